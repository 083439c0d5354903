//! The laws by number, and the assertion that cites them. A broken law stops the role that broke
//! it: better late than wrong.

/// The twelve laws; `docs/laws.md` says them in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LawId {
    /// Append-only truth.
    L1,
    /// Natural identity.
    L2,
    /// Same id, other payload = anomaly.
    L3,
    /// Positions commit with their effects.
    L4,
    /// The bus is at-least-once; admission and decision are exactly once.
    L5,
    /// Evidence by reference.
    L6,
    /// No "latest".
    L7,
    /// Fail closed.
    L8,
    /// One semantics, many envelopes.
    L9,
    /// Every state change has an actor.
    L10,
    /// Cheap observability.
    L11,
    /// Determinism.
    L12,
}

/// Asserts a law: `law!(L4, new >= old, "position {new} behind {old}")`.
#[macro_export]
macro_rules! law {
    ($law:ident, $holds:expr, $($message:tt)+) => {
        if !$holds {
            panic!("law {:?} broken: {}", $crate::domain::law::LawId::$law, format_args!($($message)+));
        }
    };
}
