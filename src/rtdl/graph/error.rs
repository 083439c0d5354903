//! Why the graph gives no answer.

use crate::contracts::code::Code;
use crate::domain::ids::PlatformRunId;
use crate::runtime::archive;
use crate::substrate::db;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
    #[error("there is no run {run}")]
    RunUnknown { run: PlatformRunId },
    #[error("the links of {run} are being read back from the archive")]
    Rebuilding { run: PlatformRunId },
    #[error("stopped; the links of {run} are not all back: start the rebuild again")]
    Stopped { run: PlatformRunId },
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
            Error::Db(_) => Code::SubstrateUnavailable,
            Error::Archive(error) => error.code(),
            Error::RunUnknown { .. } => Code::RunUnknown,
            Error::Rebuilding { .. } | Error::Stopped { .. } => Code::GraphRebuilding,
        }
    }
}
