//! One shape for every consumer: take a lease, read, guard, prefetch, decide in memory, then one
//! transaction of facts, projections, outbox rows and position (DESIGN §4; L4, L5).
//!
//! **Invariant:** a position never moves without the effects that it stands for, and never under
//! a lease that was lost.

pub mod actions;
pub mod archive;
pub mod bundles;
pub mod commit;
pub mod consumer;
pub mod decisions;
pub mod ground;
pub mod group;
pub mod guard;
pub mod lease;
pub mod lineage;
pub mod outbox;
pub mod partitions;
pub mod usage;
