//! The report of a run: its decisions counted page by page, its world's truth laid against them, and
//! one HTML file that needs nothing else.
//!
//! ```text
//! decision log ─ collect ─► Figures ─┬─► contracts::run_report (JSON)
//! world ─ known ────────────►        └─► plots, page ─► templates/report.html
//! ```
//!
//! **Invariant:** memory holds 32 bytes a payment of the world and one page of decisions, whatever the
//! length of the run; and the rows of the world's truth until they are laid on its payments.
//! **Invariant:** only decisions up to the seq that was pinned at the start are counted (L7).
//! **Absent here:** anything that decides whether a run is sound. That is `reconcile` and `replay`;
//! the report shows what they found.

mod collect;
mod figures;
mod frauds;
mod known;
mod money;
mod page;
mod plots;
mod rules;
mod tables;
#[cfg(test)]
mod tests;
mod timeline;
mod worth;

pub(crate) use crate::app::report::collect::{Collected, collect};
pub(crate) use crate::app::report::figures::round;
pub(crate) use crate::app::report::money::money;
pub(crate) use crate::app::report::page::{Proof, path_of, write};
