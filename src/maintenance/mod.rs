//! Maintenance: keeps a platform that runs for years bounded. Prunes the dedupe index, writes decisions out as
//! segments, drops whole days of evidence after proof, empties projections of runs that have ended, removes superseded snapshots (L1).
//!
//! **Invariant:** evidence leaves only through `governance.drop_day_partitions`, which proves before it
//! drops; what no other object holds was written to a ledger first, and a fact tells of it.
//! **Invariant:** what is pruned could not be admitted again: a repeat of it is `TS_OUT_OF_RANGE` or
//! `RUN_CLOSED` by then.
//! **Invariant:** everything is done in small steps that may be repeated, under one lease.

mod context;
mod days;
mod dedupe;
mod error;
mod ledger;
mod pass;
mod role;
mod runs;
mod segments;
mod snapshots;

pub use days::{DayReport, Outcome};
pub use error::Error;
pub use pass::{Asked, Report, run};
pub use role::{Maintenance, Options};
