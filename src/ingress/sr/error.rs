//! Why a run could not be pinned.

use crate::domain::ids::PlatformRunId;
use crate::substrate::{bus, db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// L3: other facts stand under the key of this run.
    #[error("run_facts_view of {run} already holds other facts: {difference}")]
    OtherFacts {
        run: PlatformRunId,
        difference: String,
    },
    #[error("the stored facts of {run} cannot be read: {cause}")]
    Facts { run: PlatformRunId, cause: String },
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}
