//! The decision role: reads labels and traffic in log order, joins context with wait and degrade, computes
//! features, decides, and appends body, evidence and chain link in the transaction that moves its
//! position (L4, L5, L6, L12).
//!
//! One worker a run, under one lease a run: fence, basis and chain fence are one row.
//!
//! **Invariant:** a worker's memory is a function of the log up to its committed position; when in
//! doubt it is thrown away and restored: the newest snapshot that fits, and what came after it.

mod adopt;
mod anchor;
mod asked;
mod batch;
mod bundles;
mod doc;
mod error;
pub mod force;
mod frames;
mod heard;
pub mod http;
mod join;
mod labels;
pub mod ladder;
mod lists;
mod looks;
mod memory;
mod posture;
pub mod rehearse;
mod restore;
mod role;
mod search;
mod shadow;
mod snapshot;
mod state;
#[cfg(test)]
mod state_tests;
mod store;
mod told;
mod warm;
mod watermark;
mod worker;

pub use bundles::{Bundles, InForce, KEEP_MS};
pub use error::Error;
pub use looks::Looks;
pub use memory::Memory;
pub use role::{Decision, Options};
pub use shadow::Shadows;
