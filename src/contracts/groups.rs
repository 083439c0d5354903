//! The consumer groups by name: lease rows, lag gauges and progress say the same words.

use crate::domain::vocabulary::Stream;

/// The groups that write the join frame, each with its stream.
pub const CONTEXT_GROUPS: &[(&str, Stream)] = &[
    ("context_arrival_events", Stream::ArrivalEvents),
    ("context_arrival_entities", Stream::ArrivalEntities),
    ("context_flow_anchor", Stream::FlowAnchor),
];

/// The archive writer, over every stream.
pub const ARCHIVE: &str = "archive";

/// The decision workers: one lease a run.
pub const DECISION: &str = "decision";

/// The gate: one lease a gate.
pub const IG: &str = "ig";

/// The receipt writer: one lease a gate.
pub const RECEIPTS: &str = "receipts";

/// The World Streamer's progress: one lease a run.
pub const WSP: &str = "wsp";
