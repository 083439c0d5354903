//! The reconciliation of a run: durable rows balanced at a pinned cut, references audited.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::stamps::Stamps;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::Basis;
use crate::domain::time::Time;

pub const SCHEMA_VERSION: i64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    pub schema_version: i64,
    pub platform_run_id: PlatformRunId,
    /// The positions up to which everything was counted.
    pub cut: Basis,
    pub made_at: Time,
    pub balanced: bool,
    pub checks: Vec<Check>,
    pub stamps: Stamps,
}

/// Two numbers that must be equal, and where the first difference lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Lowercase words with underscores, such as `decisions_equal_admitted_traffic`.
    pub name: String,
    pub left: i64,
    pub right: i64,
    /// The first offenders by id, at most ten, where the sides differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Check {
    #[must_use]
    pub fn balances(&self) -> bool {
        self.left == self.right
    }
}
