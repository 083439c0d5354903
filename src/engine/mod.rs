//! What decides, and nothing else: features, graph, expressions, policy, decide. Live decisions, replay,
//! What decides, and nothing else: features, expressions, scoring, policy, decide. Live decisions, replay,
//! offline builds and backtests run this same code.
//!
//! **Invariant:** no IO, no clock, no chance: the same arguments give the same bytes (L12).
//! **Invariant:** the iteration order of a hash map never reaches a result.

pub mod attributes;
pub mod bundle;
pub mod decide;
pub mod diagnostic;
pub mod event;
pub(crate) mod expr;
pub mod features;
pub mod frame;
pub mod graph;
pub(crate) mod manifest;
pub mod policy;
pub mod posture;
pub mod resolution;
pub mod scoring;
pub(crate) mod yaml;

#[cfg(test)]
mod bundle_tests;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod resolution_tests;
#[cfg(test)]
mod tests;

pub use bundle::CompiledBundle;
pub use decide::{ENGINE_REV, Given, decide};
pub use diagnostic::Diagnostic;
pub use event::{EventRecord, LabelRecord};
pub use features::{FeatureSet, FeatureState, FeatureVector};
pub use frame::{FramePart, JoinFrame};
pub use graph::Graph;
pub use policy::Policy;
