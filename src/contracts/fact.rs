//! Governance facts and anomalies: what happened, to what, by whom; each a repeat-safe record.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::ids::{FactId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{FactType, RefType};

/// A pointer to evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    pub ref_type: RefType,
    pub ref_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Hash of the type and the natural key: a retry makes the same fact (L2).
    pub fact_id: FactId,
    pub fact_type: FactType,
    pub natural_key: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<PlatformRunId>,
    pub actor: Actor,
    pub observed_time: Time,
    pub refs: Vec<EvidenceRef>,
    /// Short particulars for people; never a payload.
    pub details: BTreeMap<String, String>,
    pub stamps: Stamps,
}

impl Fact {
    /// A fact without refs and details; add them to the value.
    #[must_use]
    pub fn new(
        fact_type: FactType,
        natural_key: &[&str],
        run: Option<PlatformRunId>,
        actor: Actor,
        observed_time: Time,
        stamps: Stamps,
    ) -> Fact {
        Fact {
            fact_id: FactId::of(fact_type.as_str(), natural_key),
            fact_type,
            natural_key: natural_key.iter().map(|part| (*part).to_owned()).collect(),
            platform_run_id: run,
            actor,
            observed_time,
            refs: Vec::new(),
            details: BTreeMap::new(),
            stamps,
        }
    }
}
