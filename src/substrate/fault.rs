//! Substrates that fail on purpose: wrappers around a real one which refuse a call, or let it
//! happen and lose the reply. What fails is a plan, so a failing run can be run again (L12).

mod bus;
mod objects;
mod plan;

pub use bus::FaultyBus;
pub use objects::FaultyObjects;
pub use plan::{Call, Fault, FaultPlan, Operation, Rates};

/// The cause that every injected error and unknown outcome names.
pub const INJECTED: &str = "injected fault";

/// What carries an injected error up through the substrate's own.
#[derive(Debug, thiserror::Error)]
#[error("{INJECTED}")]
struct Injected;
