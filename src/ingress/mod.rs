//! The ingress plane: worlds, the runner that pins them, the streamer, the gate.

pub mod ig;
pub mod sr;
// world
// wsp
