//! What the platform says about itself: counters under their exact names, facts with their actors.
//!
//! **Invariant:** success is counted, an anomaly is a fact, and neither carries a payload (L11).

mod cases;
pub mod corridor;
pub mod counters;
pub mod facts;
pub mod latencies;
