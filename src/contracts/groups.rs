//! The names of consumer groups that more than one room reads: their lease rows say how far a
//! group has come, and up to which admitted time it has surely seen everything.

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

/// Its positions are the archive's coverage, one per shard of every stream.
pub const ARCHIVE: &str = "archive";
