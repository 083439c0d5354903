//! The inlets: three consumer groups that project the context streams into `rtdl.frame_part` and
//! `rtdl.flow_binding`, for the join.
//!
//! **Invariant:** what stands under a key first stays (L3). A second record with the same payload
//! is a repeat, one with another payload is quarantined and becomes a fact.
//! **Invariant:** a flow anchor's frame part and its binding are written together or not at all.
//! **Invariant:** seen = written + deduped + quarantined, in every `rtdl.inlet_count` row.
//!
//! The decision role reads these tables with its own SQL: `frame_part` is keyed by the digest of
//! the JoinFrameKey and the part (1 arrival_event, 2 arrival_entities, 3 flow_anchor) and holds
//! the payload in JSON, its hash, and the record's place on the part's stream; `flow_binding` maps
//! the digest of the FlowKey to that frame. The watermark of each group stands in its lease rows.

mod entry;
mod handler;
mod role;
mod settle;
mod store;

pub use role::{Inlet, Options};
