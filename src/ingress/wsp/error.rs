//! Why a world could not be streamed.

use crate::domain::ids::PlatformRunId;
use crate::ingress::world;
use crate::runtime::lease;
use crate::substrate::{bus, db, objects};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    World(#[from] world::Error),
    #[error("no READY for {run} on the control bus: create the run with `fraudplat sr run`")]
    NotReady { run: PlatformRunId },
    /// L8: what READY names is not what stands there.
    #[error("run_facts_view of {run} does not hash to what READY says")]
    FactsMismatch { run: PlatformRunId },
    #[error("{run} is a live run: it has no world to stream")]
    NoWorld { run: PlatformRunId },
    #[error("another process is streaming {run}")]
    Busy { run: PlatformRunId },
    #[error("the gate at {url} gives no verdicts: {cause}")]
    Gate { url: String, cause: String },
    /// The gate took the request and refused events: the world or the run is wrong.
    #[error("the gate refused {refused} events, the first `{event_id}`: {code} {detail}")]
    Refused {
        refused: u64,
        event_id: String,
        code: String,
        detail: String,
    },
    #[error("the run did not pass what was sent within {waited_s} s: {behind}")]
    Behind { waited_s: u64, behind: String },
    #[error("stopped; `fraudplat wsp stream` goes on from arrival {at}")]
    Stopped { at: i64 },
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}
