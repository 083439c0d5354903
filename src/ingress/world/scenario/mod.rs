//! The scenario generator: a town of customers, merchants and fraudsters that never was, as a world
//! like that of a data set.
//!
//! ```text
//! scenario.yaml ─ yaml ─► Scenario ─ model ─► Model ─ town ─► people, merchants
//!   season ─► slice ─┬─ habits (customers in chunks, in parallel) ─┐
//!                    └─ campaigns (each once, on its first day) ───┴► generate: order, numbers
//!                                      labels ◄── what becomes known ──┘      └─► write ─► objects
//! ```
//!
//! **Invariant:** every draw is a function of the seed and of what it is drawn for, so the same
//! scenario and seed make the same bytes on any number of threads (L12).
//! **Invariant:** memory is bounded by people, merchants, labels, campaigns under way, one slice, and
//! one object a thread; not by the length of the world.
//! **Absent here:** any fraud detector. The control that blocks is a table of chances.

mod campaigns;
mod draws;
mod generate;
mod habits;
mod labels;
mod materialise;
mod model;
mod row;
mod season;
#[cfg(test)]
mod tests;
mod threads;
mod town;
mod trades;
mod write;
mod yaml;

pub use crate::ingress::world::scenario::materialise::materialise_scenario;
pub use crate::ingress::world::scenario::yaml::{ScenarioPlan, parse as parse_scenario};

/// What a scenario means changes with the generator: a release that makes other bytes of the same
/// scenario counts this up, and its worlds are other worlds.
pub const GENERATOR_REV: i64 = 1;
