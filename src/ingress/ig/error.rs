//! What can go wrong inside the gate; never what is wrong with an event, which is a verdict.

use crate::contracts::code::Code;
use crate::runtime::lease;
use crate::substrate::{bus, db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the gate's options are wrong: {0}")]
    Options(String),
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// Something at rest is not what the rows say (L8).
    #[error("{what}: {cause}")]
    Evidence { what: &'static str, cause: String },
    /// More segments than one lookup opens.
    #[error(
        "not among the newest {searched} receipt segments of the run; name the day of its admission"
    )]
    TooMany { searched: usize },
    /// Another gate with the same name holds the lease, or it expired.
    #[error("the gate does not hold its lease")]
    NotHolder,
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

impl Error {
    pub(super) fn evidence(what: &'static str, cause: impl std::fmt::Display) -> Error {
        Error::Evidence {
            what,
            cause: cause.to_string(),
        }
    }

    /// The error with its causes, for the one line that logs it.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// The stable code an operator or a producer sees.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Options(_) => Code::ProfileInvalid,
            Error::Db(_) | Error::Lease(_) | Error::Bus(_) | Error::Objects(_) => {
                Code::SubstrateUnavailable
            }
            Error::TooMany { .. } => Code::QueryInvalid,
            Error::Evidence { .. } => Code::EvidenceMissing,
            Error::NotHolder => Code::Overloaded,
        }
    }
}
