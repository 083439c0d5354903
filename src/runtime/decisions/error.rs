//! Why a decision could not be read: what is missing or altered is named, so that an operator knows what to
//! restore.

use crate::contracts::canonical;
use crate::contracts::code::Code;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::DecisionId;
use crate::substrate::{db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    Form(#[from] canonical::Error),
    #[error("there is no decision {0}")]
    Unknown(DecisionId),
    /// Bytes that do not hash to what stands beside them.
    #[error(
        "the {part} of decision {decision_id} was altered: it does not hash to what the row says"
    )]
    Altered {
        decision_id: DecisionId,
        part: &'static str,
    },
    #[error("decision segment `{key}` is in the manifest but not among the objects")]
    SegmentMissing { key: String },
    #[error("decision segment `{key}` hashes to {found}, the manifest says {expected}")]
    SegmentAltered {
        key: String,
        expected: Digest,
        found: Digest,
    },
    #[error("decision segment `{key}` is not what its manifest row says: {what}")]
    SegmentDiffers { key: String, what: &'static str },
    #[error("decision segment `{key}` is no readable Parquet")]
    Parquet {
        key: String,
        #[source]
        source: parquet::errors::ParquetError,
    },
    #[error("a manifest row names a decision segment by no legal key")]
    Key(#[source] ParseError),
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

impl Error {
    /// The stable code that an operator sees.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Unknown(_) => Code::NotFound,
            Error::Altered { .. }
            | Error::SegmentAltered { .. }
            | Error::SegmentDiffers { .. }
            | Error::Parquet { .. } => Code::ChainBroken,
            Error::SegmentMissing { .. } | Error::Form(_) | Error::Key(_) => Code::EvidenceMissing,
            Error::Db(_) | Error::Objects(_) => Code::SubstrateUnavailable,
        }
    }
}
