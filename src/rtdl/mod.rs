//! Real time: from the bus to a decision.

pub mod archive;
pub mod decision;
pub mod inlet;
