//! The consumer groups by name: lease rows, lag gauges and progress say the same words.

use crate::domain::vocabulary::Stream;

pub const CONTEXT_ARRIVAL_EVENTS: &str = "context_arrival_events";
pub const CONTEXT_ARRIVAL_ENTITIES: &str = "context_arrival_entities";
pub const CONTEXT_FLOW_ANCHOR: &str = "context_flow_anchor";

/// The groups whose watermarks a join waits for, each with its stream. A lease scope is the text
/// of a `ShardRef`; the watermark of a group is the least of its shards'.
pub const CONTEXT_GROUPS: [(&str, Stream); 3] = [
    (CONTEXT_ARRIVAL_EVENTS, Stream::ArrivalEvents),
    (CONTEXT_ARRIVAL_ENTITIES, Stream::ArrivalEntities),
    (CONTEXT_FLOW_ANCHOR, Stream::FlowAnchor),
];

/// The projection of the entity graph, over the streams whose records name entities or label them.
pub const GRAPH_GROUPS: [(&str, Stream); 3] = [
    ("graph_arrival_entities", Stream::ArrivalEntities),
    ("graph_labels", Stream::Labels),
    ("graph_traffic", Stream::Traffic),
];

/// The archive writer, over every stream: its positions are the archive's coverage.
pub const ARCHIVE: &str = "archive";

/// The decision workers: one lease a run.
pub const DECISION: &str = "decision";

/// The decision log in segments: one lease a run; its position is the last link that a segment holds.
pub const SEGMENTS: &str = "segments";

/// The gate: one lease a gate.
pub const IG: &str = "ig";

/// The receipt writer: one lease a gate.
pub const RECEIPTS: &str = "receipts";

/// Maintenance: one lease for all; its position is the day that context was last swept as of.
pub const MAINTENANCE: &str = "maintenance";

/// The World Streamer's progress: one lease a run.
pub const WSP: &str = "wsp";

/// The executors of actions: one lease an executor; it has no position.
pub const ACTIONS: &str = "actions";
