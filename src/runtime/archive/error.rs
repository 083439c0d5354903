//! What can be wrong with the archive: each names the object or the place, so that an operator
//! knows what to restore.

use crate::contracts::code::Code;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::offset::{OriginOffset, Position};
use crate::substrate::{db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error("the archive of {shard} has come to {archived}; {wanted} was asked for")]
    Behind {
        shard: String,
        archived: Position,
        wanted: Position,
    },
    #[error("segment `{key}` is in the manifest but not among the objects")]
    SegmentMissing { key: String },
    #[error("no segment of the run holds {}/{}/{}", .offset.stream, .offset.shard_id, .offset.sequence_number)]
    RecordMissing { offset: OriginOffset },
    #[error("segment `{key}` hashes to {found}, the manifest says {expected}")]
    Altered {
        key: String,
        expected: Digest,
        found: Digest,
    },
    #[error("segment `{key}` is not what its manifest row says: {what}")]
    Disagrees { key: String, what: String },
    #[error("segment `{key}` is no readable Parquet")]
    Parquet {
        key: String,
        #[source]
        source: parquet::errors::ParquetError,
    },
    #[error("the bus named a shard that no object key takes")]
    Key(#[source] ParseError),
    #[error("writing a segment as Parquet")]
    Encode(#[source] parquet::errors::ParquetError),
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

impl Error {
    /// What an operator reads about it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Behind { .. } => Code::ArchiveBehind,
            Error::SegmentMissing { .. } | Error::RecordMissing { .. } => Code::EvidenceMissing,
            Error::Altered { .. } | Error::Disagrees { .. } | Error::Parquet { .. } => {
                Code::ReplayBasisMismatch
            }
            Error::Db(_) | Error::Objects(_) => Code::SubstrateUnavailable,
            Error::Key(_) | Error::Encode(_) => Code::Internal,
        }
    }
}
