//! The Scenario Runner: pins a run (its world, its facts, the tips where its consumers start) and
//! says READY on the control bus.
//!
//! **Invariant:** the same world under the same semantics, tenant and label is the same run (L2):
//! asking again changes nothing.

mod error;
mod run;
mod store;

pub use error::Error;
pub use run::{NewRun, Pinned, create};
