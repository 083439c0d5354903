//! The ingress plane: worlds, the runner that pins them, the streamer, the gate.

pub mod world;
