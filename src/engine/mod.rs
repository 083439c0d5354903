//! What decides, and nothing else: features, expressions, policy, decide. Live decisions, replay,
//! offline builds and backtests run this same code.
//!
//! **Invariant:** no IO, no clock, no chance: the same arguments give the same bytes (L12).
//! **Invariant:** the iteration order of a hash map never reaches a result.

pub mod diagnostic;
pub mod event;
pub(crate) mod expr;
pub mod frame;
pub(crate) mod yaml;

pub use diagnostic::Diagnostic;
