//! The World Streamer Producer: on READY it streams the pinned world of a run to the gate, over
//! HTTP like any producer, lane by lane in order, and knows where it was when it is started again.
//!
//! **Invariant:** what a lane has not had a final verdict for is sent again; the gate makes repeats
//! harmless (L5).

mod client;
mod cursor;
mod error;
mod job;
mod lane;
mod ready;
mod store;

pub use client::Gate;
pub use error::Error;
pub use job::{Options, Report, stream};
