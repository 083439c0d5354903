//! Why a decision could not be read or recomputed.

use crate::contracts::canonical;
use crate::contracts::code::Code;
use crate::domain::offset::OriginOffset;
use crate::runtime::{archive, decisions};
use crate::substrate::{bus, db, objects};

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
    #[error("anchor `{key}` and the decision log are not one: {what}")]
    Anchor { key: String, what: &'static str },
    #[error(
        "archive and bus do not agree on {}/{} {}: {what}",
        .offset.stream, .offset.shard_id.0, .offset.sequence_number.as_str()
    )]
    Basis {
        offset: OriginOffset,
        what: &'static str,
    },
    #[error(transparent)]
    Bus(#[from] bus::Error),
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
            Error::Anchor { .. } => Code::ChainBroken,
            Error::Evidence { .. } | Error::Form(_) => Code::EvidenceMissing,
            Error::Basis { .. } => Code::ReplayBasisMismatch,
            Error::Bus(bus::Error::Altered { .. }) => Code::LogAltered,
            Error::Db(_) | Error::Objects(_) | Error::Bus(_) => Code::SubstrateUnavailable,
        }
    }
}
