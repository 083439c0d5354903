//! What asks for a case: an escalated decision, a failed action, an anomaly, an outside signal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::fact::EvidenceRef;
use crate::domain::ids::{CaseId, CaseTriggerId};
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

impl CaseTrigger {
    /// The same source asks for the same trigger, however often (L2).
    #[must_use]
    pub fn new(
        pins: Pins,
        subject: CaseSubject,
        trigger_type: CaseTriggerType,
        source_ref_id: String,
        evidence_refs: Vec<EvidenceRef>,
    ) -> CaseTrigger {
        let case_id = CaseId::of(&subject);
        CaseTrigger {
            schema_version: 1,
            case_trigger_id: CaseTriggerId::of(&case_id, trigger_type, &source_ref_id),
            pins,
            subject,
            trigger_type,
            source_ref_id,
            evidence_refs,
        }
    }

    #[must_use]
    pub fn case_id(&self) -> CaseId {
        CaseId::of(&self.subject)
    }
}
