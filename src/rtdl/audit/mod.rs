//! Decision Log & Audit: reads the decision log, verifies its chain, and recomputes decisions from
//! the archive alone (L6, L7, L12).
//!
//! **Invariant:** nothing here reads the bus or a projection: what evidence does not name and the
//! archive does not hold is refused, never guessed (L8).

mod chain;
mod diff;
mod doc;
mod error;
pub mod http;
mod read;
mod replay;

pub use chain::{ChainReport, verify};
pub use diff::FieldDiff;
pub use error::Error;
pub use read::{find, list, sample};
pub use replay::{Compared, ReplayReport, replay};
