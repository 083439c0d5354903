//! What ends a decision worker.

use crate::domain::ids::PlatformRunId;
use crate::governance::corridor;
use crate::runtime::{archive, bundles, consumer, lease};
use crate::substrate::{bus, db};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Commit(#[from] consumer::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Corridor(#[from] corridor::Denied),
    #[error("the bundle that fails closed is not in the store")]
    Bundle(#[from] bundles::Error),
    #[error("the stored position of {run} cannot be read: {cause}")]
    Position { run: PlatformRunId, cause: String },
    #[error("reading the past of a run from the archive")]
    Archive(#[source] Box<archive::Error>),
    /// L8: fewer means that something is gone, more that something came twice.
    #[error("of {run} {n_met} events were found, {decided} are decided")]
    Past {
        run: PlatformRunId,
        n_met: usize,
        decided: i64,
    },
    #[error("taking labels into a run's memory: {0}")]
    Labels(String),
    /// It begins again, and the worker goes on.
    #[error("warming up a feature set: {0}")]
    WarmUp(String),
    /// L8: a frame that does not parse, a body without a canonical form. Refused, nothing lost.
    #[error("deciding `{event_id}`: {cause}")]
    Decide { event_id: String, cause: String },
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

impl Error {
    /// Whether a read or a commit of the store failed.
    pub(super) fn is_of_the_store(&self) -> bool {
        matches!(
            self,
            Error::Db(_)
                | Error::Lease(lease::Error::Db(_))
                | Error::Commit(
                    consumer::Error::Db(_) | consumer::Error::Lease(lease::Error::Db(_))
                )
        )
    }
}
