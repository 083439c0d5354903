//! Ten bugs, planted on purpose, so that it can be shown that the tests would find them. All of it
//! exists only with the feature `planted-bugs`; without it a site compiles to what is right.
//!
//! One bug at a time, for the whole process: the executable takes it from
//! `FRAUDPLAT_PLANTED_BUG`, a test calls `plant`.

#[cfg(feature = "planted-bugs")]
pub use bugs::{BUGS, Bug, VARIABLE, has, named, plant};

#[cfg(feature = "planted-bugs")]
mod bugs {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Each stands for a mistake that was made somewhere once.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Bug {
        /// The gate says ADMITTED before anything is written.
        AcknowledgeBeforeCommit,
        /// A consumer's position is committed first, its effects afterwards.
        PositionAheadOfEffects,
        /// A position moves whoever holds the lease.
        MissingFence,
        /// A record that stands on the bus again is decided again.
        SecondDecisionOnRepeat,
        /// The payload hash is of the bytes as they were sent.
        HashOfUnparsedBytes,
        /// Of two payloads under one id the later one stays.
        FirstPayloadOverwritten,
        /// A window takes in its open end.
        WindowOffByOne,
        /// A label counts for payments from before it was observed.
        LabelSeenEarly,
        /// Records of one moment are taken in reverse order of their ids.
        TieOrder,
        /// A snapshot is taken for the memory of wherever the run has come to.
        SnapshotWithoutBasis,
    }

    pub const BUGS: [Bug; 10] = [
        Bug::AcknowledgeBeforeCommit,
        Bug::PositionAheadOfEffects,
        Bug::MissingFence,
        Bug::SecondDecisionOnRepeat,
        Bug::HashOfUnparsedBytes,
        Bug::FirstPayloadOverwritten,
        Bug::WindowOffByOne,
        Bug::LabelSeenEarly,
        Bug::TieOrder,
        Bug::SnapshotWithoutBasis,
    ];

    /// Where the executable is told which bug to have.
    pub const VARIABLE: &str = "FRAUDPLAT_PLANTED_BUG";

    /// 0 for none, else one more than the place in [`BUGS`].
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    /// Plants one bug, or takes it out again.
    pub fn plant(bug: Option<Bug>) {
        let place = bug.and_then(|bug| BUGS.iter().position(|it| *it == bug));
        PLANTED.store(place.map_or(0, |it| it + 1), Ordering::SeqCst);
    }

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Bug> {
        BUGS.into_iter().find(|it| format!("{it:?}") == name)
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn has(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as usize + 1
    }
}

/// `planted!(Bug, wrong, right)`: what is wrong if the bug is planted, else what is right; without
/// the feature nothing but what is right. `planted!(Bug)` is whether it is planted.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted!($bug, true, false)
    };
    ($bug:ident, $wrong:expr, $right:expr) => {{
        #[cfg(feature = "planted-bugs")]
        {
            match $crate::domain::planted::has($crate::domain::planted::Bug::$bug) {
                true => $wrong,
                false => $right,
            }
        }
        #[cfg(not(feature = "planted-bugs"))]
        {
            $right
        }
    }};
}
