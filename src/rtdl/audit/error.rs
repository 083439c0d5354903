//! Why a decision could not be read or recomputed.

use crate::contracts::canonical;
use crate::contracts::code::Code;
use crate::runtime::{archive, decisions};
use crate::substrate::{db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    Log(#[from] decisions::Error),
    #[error(transparent)]
    Archive(#[from] archive::Error),
    #[error(transparent)]
    Form(#[from] canonical::Error),
    #[error("{what} is missing or is not what its name says")]
    Evidence { what: String },
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
            Error::Archive(error) => error.code(),
            Error::Log(error) => error.code(),
            Error::Evidence { .. } | Error::Form(_) => Code::EvidenceMissing,
            Error::Db(_) | Error::Objects(_) => Code::SubstrateUnavailable,
        }
    }
}
