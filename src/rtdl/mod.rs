//! The real-time plane: from the bus to a decision, the log of decisions, the archive.

/// Action Layer: carries out what decisions and cases ask for.
pub mod actions;
/// The writer of the archive.
pub mod archive;
/// Decision Log & Audit: reads, verifies and recomputes what was decided.
pub mod audit;
/// Features, join, decisions.
pub mod decision;
/// Who was met with what: the entity graph, asked as of any time.
pub mod graph;
/// Context streams into frames and flow bindings.
pub mod inlet;
