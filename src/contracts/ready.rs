//! What the Scenario Runner pins: the run's facts, and READY on the control bus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::digest::Digest;
use crate::domain::keys::Pins;
use crate::domain::offset::Basis;
use crate::domain::time::Time;

pub const SCHEMA_VERSION: i64 = 1;

/// The whole of what a run is, written once to `{run}/sr/run_facts_view.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    pub schema_version: i64,
    pub pins: Pins,
    /// The scenario's, mapping's or live run's name.
    pub name: String,
    pub label: String,
    pub semantic_digest: Digest,
    /// `None` for a live run, which has neither a world nor an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<WorldFacts>,
    pub created_at: Time,
    pub actor: Actor,
    pub stamps: Stamps,
}

/// The pinned world of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorldFacts {
    /// The object keys of the arrivals, in order, with the digest of each.
    pub arrivals: Vec<PinnedObject>,
    pub truth: PinnedObject,
    pub arrivals_count: i64,
    /// Arrivals that are payments.
    pub payments_count: i64,
    pub first_ts: Time,
    pub last_ts: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PinnedObject {
    pub key: String,
    pub digest: Digest,
    /// Rows it holds.
    pub rows: i64,
}

/// READY {pins, run_facts_view ref and digest, actor}, and the tips at which the run's consumers
/// start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    pub schema_version: i64,
    pub pins: Pins,
    pub run_facts_ref: String,
    pub run_facts_digest: Digest,
    /// The position of every shard of every stream when the run was made.
    pub tips: Basis,
    pub actor: Actor,
    pub ready_at: Time,
    pub stamps: Stamps,
}
