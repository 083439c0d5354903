//! What is counted of a run: printed by `fraudplat demo --json` and `fraudplat run report --json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::reconciliation::Check;
use crate::domain::ids::PlatformRunId;

pub const SCHEMA_VERSION: i64 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    pub schema_version: i64,
    pub platform_run_id: PlatformRunId,
    pub events: Events,
    /// `total`, one count an outcome, and `degraded`.
    pub decisions: BTreeMap<String, i64>,
    pub throughput: Throughput,
    /// From admission to decision, by the platform's clock.
    pub latency_ms: Latency,
    pub fraud: Fraud,
    /// Fraud by what made it so, the most valuable first.
    #[serde(default)]
    pub campaigns: Vec<Campaign>,
    /// Every rule that was tried, those that found most first.
    #[serde(default)]
    pub rules: Vec<RuleFigures>,
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
    /// What the gate received, or what this command sent, if that is more.
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

/// Truth against outcomes: caught means not APPROVE. All zero where no truth is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fraud {
    pub count: i64,
    pub caught: i64,
    /// In minor units of `currency`; payments in another currency are counted and not valued.
    pub amount_minor: i64,
    pub caught_minor: i64,
    /// The currency of most payments of the run.
    #[serde(default)]
    pub currency: String,
    /// Payments without fraud that were not approved.
    #[serde(default)]
    pub false_alarms: i64,
    /// The part of the payments not approved that were fraud.
    #[serde(default)]
    pub precision: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// As the world names it; empty for fraud of no campaign.
    pub name: String,
    pub count: i64,
    pub caught: i64,
    pub amount_minor: i64,
    pub caught_minor: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFigures {
    pub rule_id: String,
    pub fired: i64,
    /// Of those, fraud.
    pub frauds: i64,
    /// `frauds` of `fired`, and of all fraud.
    pub precision: f64,
    pub recall: f64,
    /// The value of the fraud that it fired on.
    pub caught_minor: i64,
    /// Frauds that no other rule fired on.
    pub alone: i64,
    /// Decisions where an operand was missing or undefined.
    pub blind: i64,
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
