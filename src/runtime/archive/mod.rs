//! The archive as its readers see it: which segments there are, what one looks like, how far it
//! has come. `rtdl/archive` writes it; replay, reconciliation and dataset builds read it from here.
//!
//! **Invariant:** a manifest row is the truth. A segment without a row is an orphan of a crash and
//! is never read; a row without its object is an error, never an empty answer (L8).

mod error;
mod flush;
mod folder;
mod head;
mod reader;
mod segment;
mod sparse;

pub use error::Error;
pub use flush::{Flush, FlushAsked};
pub use folder::Folder;
pub use head::Head;
pub use reader::{ArchiveReader, Scan, Segment};
pub use segment::{Row, encode};
