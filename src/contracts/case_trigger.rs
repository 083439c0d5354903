//! What asks for a case: an escalated decision, a failed action, an anomaly, an outside signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::fact::EvidenceRef;
use crate::domain::ids::CaseTriggerId;
use crate::domain::keys::{CaseSubject, Pins};
use crate::domain::vocabulary::CaseTriggerType;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseTrigger {
    pub schema_version: i64,
    pub pins: Pins,
    pub subject: CaseSubject,
    pub case_trigger_id: CaseTriggerId,
    pub trigger_type: CaseTriggerType,
    pub source_ref_id: String,
    pub evidence_refs: Vec<EvidenceRef>,
}
