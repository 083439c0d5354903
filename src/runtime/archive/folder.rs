//! The first part of a segment's key: whose records it holds.

use std::fmt;
use std::str::FromStr;

use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{SequenceNumber, ShardRef};
use crate::substrate::objects::ObjectKey;

/// A run's own folder, or one of two for what belongs to no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    Run(PlatformRunId),
    /// Control records that name no run, such as a policy's activation.
    Control,
    /// Records whose run cannot be read: kept all the same, for nothing is lost (L8).
    Unreadable,
}

impl Folder {
    #[must_use]
    pub fn run(&self) -> Option<PlatformRunId> {
        match self {
            Folder::Run(run) => Some(*run),
            Folder::Control | Folder::Unreadable => None,
        }
    }

    /// Where a segment rests: its key says what range it holds and which bytes.
    ///
    /// # Errors
    /// When the bus named its shard with characters that no object key takes.
    pub fn segment_key(
        &self,
        shard: &ShardRef,
        first: &SequenceNumber,
        last: &SequenceNumber,
        content: &Digest,
    ) -> Result<ObjectKey, ParseError> {
        let content = content.to_string();
        let hash16 = content.get(..16).unwrap_or_default();
        format!("{self}/archive/{shard}/{first}-{last}-{hash16}.parquet").parse()
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Folder::Run(run) => fmt::Display::fmt(run, f),
            Folder::Control => f.write_str("control"),
            Folder::Unreadable => f.write_str("unreadable"),
        }
    }
}

impl FromStr for Folder {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Folder, ParseError> {
        match text {
            "control" => Ok(Folder::Control),
            "unreadable" => Ok(Folder::Unreadable),
            run => Ok(Folder::Run(run.parse()?)),
        }
    }
}
