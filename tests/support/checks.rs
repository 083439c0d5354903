//! What must hold after a storm, each with its name: a storm that fails says which.

/// Fails with the name of the check.
///
/// # Panics
/// When it does not hold.
#[track_caller]
pub(crate) fn check(name: &str, holds: bool, detail: impl std::fmt::Display) {
    assert!(holds, "check `{name}` fails: {detail}");
}
