//! Decision Log & Audit: reads the decision log, verifies its chain, and recomputes decisions from
//! the archive alone (L6, L7, L12).
//!
//! **Invariant:** nothing here reads the bus or a projection, but for the check that holds the bus against the
//! archive: what evidence does not name and the
//! archive does not hold is refused, never guessed (L8).

mod against_bus;
mod anchors;
mod chain;
mod diff;
mod doc;
mod error;
mod explain;
pub mod http;
mod listed;
mod operands;
mod read;
mod replay;
mod shadows;
mod what_if;

pub use against_bus::against_bus;
pub use chain::{ChainReport, verify};
pub use diff::FieldDiff;
pub use error::Error;
pub use explain::{Explanation, RuleTried, explain};
pub use listed::{DecisionPage, DecisionRow, PAGE, PAGE_MAX, page, wanted};
pub use read::{find, last_seq, list, sample};
pub use replay::{Compared, ReplayReport, replay};
pub use shadows::{
    Agreement, Pair, Scores, ShadowCompared, ShadowReport, ShadowScore, SlotAgreement, agreement,
};
pub use what_if::{Moved, RuleMoved, WhatIfReport, what_if};
