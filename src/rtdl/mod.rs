//! The real-time decision loop: contexts in, decisions out, and the log of everything read.

/// The writer of the archive.
pub mod archive;

/// Context streams into frames and flow bindings.
pub mod inlet;
