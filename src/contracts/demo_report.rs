//! What `fraudplat demo --json` prints.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::reconciliation::Check;
use crate::domain::ids::PlatformRunId;

pub const SCHEMA_VERSION: i64 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoReport {
    pub schema_version: i64,
    pub platform_run_id: PlatformRunId,
    pub events: Events,
    /// `total`, one count an outcome, and `degraded`.
    pub decisions: BTreeMap<String, i64>,
    pub throughput: Throughput,
    /// From admission to decision, by the platform's clock.
    pub latency_ms: Latency,
    pub fraud: Fraud,
    pub reconciliation: Balance,
    pub replay: Replayed,
    /// Of this process, Postgres not included.
    pub rss_peak_mb: i64,
    /// Files written for people.
    pub reports: Vec<String>,
    /// Commands that look further.
    pub next: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub sent: i64,
    pub received: i64,
    pub admitted: i64,
    pub duplicate: i64,
    pub quarantined: i64,
    pub ambiguous: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    pub payments_per_s: f64,
    pub wall_s: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
}

/// Truth against outcomes: caught means not APPROVE.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fraud {
    pub count: i64,
    pub caught: i64,
    pub amount_minor: i64,
    pub caught_minor: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    pub balanced: bool,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    pub compared: i64,
    pub mismatched: i64,
}
