//! A label as someone asserts it: what, about which event, true when, known when, by whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::fact::EvidenceRef;
use crate::domain::canonical::Canon;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{ActorId, LabelAssertionId};
use crate::domain::keys::LabelSubject;
use crate::domain::time::Time;
use crate::domain::vocabulary::LabelType;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelAssertion {
    pub schema_version: i64,
    /// As given, or derived from the natural key.
    pub label_assertion_id: LabelAssertionId,
    pub subject: LabelSubject,
    pub label_type: LabelType,
    pub value: String,
    /// When it became true.
    pub effective_time: Time,
    /// When it became known: the only time that features and datasets may see it from.
    pub observed_time: Time,
    pub source: String,
    pub source_ref_id: String,
    pub actor_id: ActorId,
    pub evidence_refs: Vec<EvidenceRef>,
}

impl LabelAssertion {
    /// The hash that makes a second assertion under one id a repeat or an anomaly (L3).
    #[must_use]
    pub fn payload_hash(&self) -> Digest {
        let mut refs = self.evidence_refs.clone();
        refs.sort_by(|a, b| {
            (a.ref_type.as_str(), &a.ref_id).cmp(&(b.ref_type.as_str(), &b.ref_id))
        });
        let mut listed = Canon::new();
        listed.array(refs.len());
        for evidence in &refs {
            listed
                .array(2)
                .text(evidence.ref_type.as_str())
                .text(&evidence.ref_id);
        }
        let tagged = Tagged::new("label").display(self.subject.platform_run_id);
        let tagged = tagged
            .display(&self.subject.event_id)
            .display(self.label_type);
        let tagged = tagged
            .text(&self.value)
            .time(self.effective_time)
            .time(self.observed_time);
        let tagged = tagged
            .text(&self.source)
            .text(&self.source_ref_id)
            .display(&self.actor_id);
        tagged.raw(&listed).digest()
    }
}
