//! What ends an executor's worker, or refuses what is asked of an action.

use crate::contracts::code::Code;
use crate::domain::ids::ActionIntentId;
use crate::runtime::lease;
use crate::substrate::db;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error("nobody asked for {0}, or it was so long ago that its day has left")]
    Unknown(ActionIntentId),
    #[error("{id} is {state}: only a dead letter is requeued or given up")]
    NotDead { id: ActionIntentId, state: String },
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
            Error::NotDead { .. } => Code::ActionNotDead,
            Error::Db(_) | Error::Lease(_) => Code::SubstrateUnavailable,
        }
    }
}
