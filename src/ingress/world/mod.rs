//! Worlds: an external dataset and its mapping, or a scenario, become arrivals and truth at rest,
//! once, under the fingerprint of what they were made of; and are read back as events.
//!
//! ```text
//! mapping.yaml ─ yaml ─► Mapping ─┐
//! files ─ table ─► columns ─ bind ┴► row ─► order ─► build ─ codec ─► worlds/{fingerprint}/…
//! scenario.yaml ─ scenario (its own folder) ──────────────────┘  reader ◄─┘ ─► event
//! ```
//!
//! **Invariant:** the same mapping, files and selection make the same bytes (L12), and other bytes
//! under a world's key are refused (L3). A faulty row means no world (L8): nothing is dropped.
//! **Absent here:** what a run is (`sr`), how fast it is sent (`wsp`).

mod amount;
mod bind;
mod build;
mod cell;
mod codec;
mod error;
mod event;
mod field;
mod lookup;
mod materialise;
mod moment;
mod order;
mod plan;
pub mod portrait;
mod reader;
mod row;
pub mod scenario;
mod table;
#[cfg(test)]
mod tests;
mod truth;
mod yaml;

pub use crate::ingress::world::codec::ARRIVALS_ROWS_MAX;
pub use crate::ingress::world::error::{Diagnostic, Error, ROW_FAULTS_MAX, RowFault};
pub use crate::ingress::world::event::events_of;
pub use crate::ingress::world::materialise::{World, materialise};
pub use crate::ingress::world::plan::{Plan, Selection};
pub use crate::ingress::world::reader::{WorldReader, read_truth};
pub use crate::ingress::world::scenario::{ScenarioPlan, materialise_scenario, parse_scenario};
pub use crate::ingress::world::yaml::parse as parse_mapping;
