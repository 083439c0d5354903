//! The Identity & Entity Graph (IEG): a projection of who was met with what, asked by API as of any
//! time, with what labels say of them. Three consumer groups write it, over `traffic`,
//! `arrival_entities` and `labels`.
//!
//! **Invariant:** a row is a function of the set of records: it holds the earliest time and the
//! latest day of a link, or one label; a repeat, a late record or another order changes nothing.
//! **Invariant:** rows move in one transaction with the groups' positions (L4), and an answer reads
//! both in one snapshot: its `graph_version` is the digest of the positions it is of.
//! **Invariant:** it is no evidence and no decision reads it: graph features come from the engine's
//! own memory, a function of the log.
//!
//! Records that the guard refuses make no links; the join and the decision quarantine them.

mod doc;
mod error;
mod handler;
pub mod http;
mod query;
mod rebuild;
mod role;
mod rows;
mod store;

pub use error::Error;
pub use query::{Asked, component, labelled, neighbours, path, shared};
pub use rebuild::{Rebuilt, rebuild};
pub use role::{GraphProjection, Options};
