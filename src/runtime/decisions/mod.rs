//! The decision log as its readers see it, whether a day of it still stands in the database or has left and
//! rests in segments. `rtdl/decision` appends to it, `maintenance` writes its segments.
//!
//! **Invariant:** a manifest row is the truth. A segment without a row is an orphan of a crash and is never
//! read; a row without its object is an error, never an empty answer (L8).
//! **Invariant:** segments are read only for days that have left: a row that stands is the log.

mod columns;
mod error;
mod filter;
mod keys;
mod log;
mod search;
mod segment;
mod stored;

pub use columns::{Columns, columns};
pub use error::Error;
pub use filter::id_filter;
pub use keys::{ENTITIES, degraded_key, entity_key, key_filter, keys_of, outcome_key, rule_key};
pub use log::{after, at, find, last_seq};
pub use search::{Found, Wanted, search};
pub use segment::{Row, Segment, encode, segment_key, segments_after};
pub use stored::StoredDecision;
