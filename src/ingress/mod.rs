//! The ingress plane: worlds, the runner that pins them, the streamer, the gate.

/// The Ingestion Gate.
pub mod ig;
/// The Scenario Runner.
pub mod sr;
/// Worlds at rest, and how other people's data become one.
pub mod world;
/// The World Streamer Producer.
pub mod wsp;
