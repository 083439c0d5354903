//! Real time: from the bus to a decision.

pub mod decision;
