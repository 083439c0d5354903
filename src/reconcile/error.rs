//! Why a run could not be reconciled at all.

use crate::contracts::code::Code;
use crate::domain::digest::ParseError;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Position, ShardRef};
use crate::runtime::decisions;
use crate::substrate::db::Day;
use crate::substrate::{bus, db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no run {0}")]
    UnknownRun(PlatformRunId),
    #[error("retention dropped {n_days} days of {run}, {first} to {last}")]
    Dropped {
        run: PlatformRunId,
        n_days: i64,
        first: Day,
        last: Day,
    },
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    Log(#[from] decisions::Error),
    #[error("{shard} gave nothing after {at}, before its tip {tip}")]
    LogEnds {
        shard: ShardRef,
        at: Position,
        tip: Position,
    },
    #[error("a row names an object by no legal key")]
    Key(#[source] ParseError),
    #[error("the artifact `{key}` stands there with other bytes")]
    ArtifactConflict { key: String },
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
            Error::UnknownRun(_) => Code::RunUnknown,
            Error::Dropped { .. } => Code::EvidenceDropped,
            Error::Bus(bus::Error::Trimmed { .. }) | Error::Key(_) | Error::LogEnds { .. } => {
                Code::EvidenceMissing
            }
            Error::Log(error) => error.code(),
            Error::Bus(bus::Error::Altered { .. }) => Code::LogAltered,
            Error::Db(_) | Error::Bus(_) | Error::Objects(_) => Code::SubstrateUnavailable,
            Error::ArtifactConflict { .. } => Code::Internal,
        }
    }
}
