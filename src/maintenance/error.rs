//! Why maintenance did not come to its end; what it had done by then stands.

use crate::contracts::code::Code;
use crate::domain::digest::ParseError;
use crate::domain::ids::PlatformRunId;
use crate::runtime::{consumer, lease};
use crate::substrate::db::{self, Day};
use crate::substrate::objects;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error("{as_of} has not come: what it would prune could still be admitted again")]
    Future { as_of: Day },
    #[error("another process does maintenance now")]
    Busy,
    #[error("a row names an object by no legal key")]
    Key(#[source] ParseError),
    #[error("the object `{key}` stands there with other bytes")]
    Conflict { key: String },
    #[error("decision {seq} of {run} does not follow in its chain: {why}")]
    Chain {
        run: PlatformRunId,
        seq: i64,
        why: &'static str,
    },
    #[error("a manifest row was not committed")]
    Commit(#[from] consumer::Error),
    #[error("the stored position `{0}` of segments is no position")]
    Position(String),
    #[error("a segment could not be encoded")]
    Encode(#[source] parquet::errors::ParquetError),
    #[error("the ledger could not be compressed")]
    Compress(#[source] std::io::Error),
    #[error("the facts of {run} cannot be read: {cause}")]
    Facts { run: String, cause: String },
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
            Error::Db(_) | Error::Lease(_) | Error::Objects(_) | Error::Commit(_) => {
                Code::SubstrateUnavailable
            }
            Error::Chain { .. } => Code::ChainBroken,
            Error::Future { .. } => Code::RetentionRefused,
            Error::Busy => Code::Overloaded,
            Error::Key(_) | Error::Conflict { .. } | Error::Facts { .. } => Code::EvidenceMissing,
            Error::Compress(_) | Error::Encode(_) | Error::Position(_) => Code::Internal,
        }
    }
}
