//! The identity and entity graph: who used what, and who shares it with whom.
//!
//! A record names entities that met: a customer, the account, card, device and address it paid
//! with, whom it paid. The first of them, in the order of [`EntityKind`], leads the record and is
//! linked with each of the others: a star joins the same entities as all pairs would, with fewer
//! links. Merchants and terminals are places, not identities: they are no nodes.
//!
//! **Law:** every answer is a function of (the set of records, the time asked for). A link is
//! dated by the earliest record that named both ends, and visible from then on; of an event's
//! labels the latest that was observed by then holds. The order of arrival never shows.
//!
//! **Limit:** an entity with more than [`HUB_LINKS_MAX`] links at the time asked for is a hub: it
//! is found, and nothing is reached through it. So a walk has a bound that the order of records
//! does not move.

mod features;
mod frauds;
mod links;
mod nodes;
mod snapshot;
mod walk;

pub use features::{COMPONENT_MAX, Measure};
pub use links::{Met, Node};
pub use nodes::Graph;
pub use snapshot::Error as SnapshotError;
pub use walk::{Reached, Walk, Way};

pub use crate::contracts::graph::EntityKind;

/// More than a household or a small office has in common, less than what a carrier's address joins.
pub const HUB_LINKS_MAX: usize = 300;
