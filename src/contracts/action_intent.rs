//! What asks for an action: block this payment, challenge that customer. A decision asks, or a case;
//! the id follows from who asks for what, so that asking again is the same intent (L2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::canonical;
use crate::contracts::fact::EvidenceRef;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::{ActionIntentId, CaseId, CaseTimelineEventId, DecisionId, text_serde};
use crate::domain::keys::{CaseSubject, Pins};
use crate::domain::vocabulary::vocabulary;

pub const SCHEMA_VERSION: i64 = 1;
/// A subject's id is an entity of a payment.
const SUBJECT_ID_CHARS_MAX: usize = 256;
const EVIDENCE_REFS_MAX: usize = 32;

/// Which action: a lowercase word that the executor knows, such as `block_payment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentType(std::sync::Arc<str>);

text_serde!(
    IntentType,
    "a lowercase letter, then lowercase letters, digits and _, 64 in all",
    "^[a-z][a-z0-9_]{0,63}$"
);

impl IntentType {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for IntentType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for IntentType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<IntentType, ParseError> {
        let is_word = (1..=64).contains(&text.len())
            && text.starts_with(|it: char| it.is_ascii_lowercase())
            && text
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        match is_word {
            true => Ok(IntentType(text.into())),
            false => Err(ParseError {
                found: text.chars().take(80).collect(),
                expected: "a lowercase letter, then lowercase letters, digits and _, 64 in all",
            }),
        }
    }
}

vocabulary!(
    /// What an action is done to: the payment itself, or one of its entities.
    SubjectType {
        Payment = "payment",
        CustomerId = "customer_id",
        AccountId = "account_id",
        CardId = "card_id",
        DeviceId = "device_id",
        Ip = "ip",
        MerchantId = "merchant_id",
        TerminalId = "terminal_id",
        BeneficiaryId = "beneficiary_id",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionSubject {
    pub subject_type: SubjectType,
    /// The entity's id; of a payment its event id.
    #[schemars(length(min = 1, max = 256))]
    pub subject_id: String,
}

impl ActionSubject {
    /// What enters the intent's id: `card_id=k17`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}={}", self.subject_type, self.subject_id)
    }
}

/// Who asks: the decision on an event, or the case about it. Exactly one of the two ids is given, and
/// it is that of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionSource {
    pub event: CaseSubject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<DecisionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_id: Option<CaseId>,
    /// The event of the case's timeline that asks; a case may ask for the same action twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_case_event_id: Option<CaseTimelineEventId>,
}

impl ActionSource {
    #[must_use]
    pub fn of_decision(event: CaseSubject) -> ActionSource {
        ActionSource {
            decision_id: Some(decision_of(&event)),
            event,
            case_id: None,
            source_case_event_id: None,
        }
    }

    #[must_use]
    pub fn of_case(event: CaseSubject, asked_by: CaseTimelineEventId) -> ActionSource {
        ActionSource {
            case_id: Some(CaseId::of(&event)),
            event,
            decision_id: None,
            source_case_event_id: Some(asked_by),
        }
    }

    fn intent_id(
        &self,
        intent_type: &IntentType,
        subject: &ActionSubject,
    ) -> Option<ActionIntentId> {
        let decision = self.decision_id.map(|it| it.to_string());
        let parent = decision.or(self.case_id.map(|it| it.to_string()))?;
        let asked_by = self.source_case_event_id.as_ref();
        let key = subject.key();
        Some(ActionIntentId::of(
            &parent,
            asked_by,
            intent_type.as_str(),
            &key,
        ))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionIntent {
    pub schema_version: i64,
    /// Hash of who asks, `intent_type` and the subject: `docs/contracts/identities.md`.
    pub action_intent_id: ActionIntentId,
    pub pins: Pins,
    pub intent_type: IntentType,
    pub subject: ActionSubject,
    pub source: ActionSource,
    /// Why: at most 32.
    pub evidence_refs: Vec<EvidenceRef>,
}

impl ActionIntent {
    /// An intent under its own id.
    ///
    /// # Panics
    /// Never: a source made by its constructors names who asks.
    #[must_use]
    pub fn new(
        pins: Pins,
        intent_type: IntentType,
        subject: ActionSubject,
        source: ActionSource,
        evidence_refs: Vec<EvidenceRef>,
    ) -> ActionIntent {
        let id = source.intent_id(&intent_type, &subject);
        ActionIntent {
            schema_version: SCHEMA_VERSION,
            action_intent_id: id.expect("a source names a decision or a case"),
            pins,
            intent_type,
            subject,
            source,
            evidence_refs,
        }
    }

    /// Whether the intent is what its ids say.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sent it.
    pub fn check(&self) -> Result<(), String> {
        let (source, event) = (&self.source, &self.source.event);
        if self.schema_version != SCHEMA_VERSION {
            return Err(format!(
                "schema_version {} is not {SCHEMA_VERSION}",
                self.schema_version
            ));
        }
        if event.platform_run_id != self.pins.platform_run_id {
            return Err("source.event is of another run than pins".to_owned());
        }
        match (source.decision_id, source.case_id) {
            (Some(id), None) if id != decision_of(event) => {
                return Err(format!(
                    "source.decision_id is not that of source.event, {}",
                    decision_of(event)
                ));
            }
            (None, Some(id)) if id != CaseId::of(event) => {
                return Err(format!(
                    "source.case_id is not that of source.event, {}",
                    CaseId::of(event)
                ));
            }
            (Some(_), None) if source.source_case_event_id.is_some() => {
                return Err("source.source_case_event_id is of a case, not a decision".to_owned());
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err("source names a decision or a case: exactly one".to_owned()),
        }
        let id = &self.subject.subject_id;
        if !(1..=SUBJECT_ID_CHARS_MAX).contains(&id.chars().count()) {
            return Err(format!(
                "subject.subject_id is 1 to {SUBJECT_ID_CHARS_MAX} characters"
            ));
        }
        if self.evidence_refs.len() > EVIDENCE_REFS_MAX {
            return Err(format!("evidence_refs are at most {EVIDENCE_REFS_MAX}"));
        }
        let is_long = |it: &EvidenceRef| it.ref_id.len() > 512;
        if self.evidence_refs.iter().any(is_long) {
            return Err("evidence_refs: a ref_id is at most 512 bytes".to_owned());
        }
        match source.intent_id(&self.intent_type, &self.subject) {
            Some(id) if id == self.action_intent_id => Ok(()),
            Some(id) => Err(format!(
                "action_intent_id is not the hash of source, intent_type and subject, {id}"
            )),
            None => Err("source names nobody".to_owned()),
        }
    }

    /// What two payloads under one id are compared by (L3): everything, the references in order.
    ///
    /// # Panics
    /// Never: an intent is text and integers.
    #[must_use]
    pub fn payload_hash(&self) -> Digest {
        let mut sorted = self.clone();
        sorted.evidence_refs.sort();
        let bytes = canonical::to_bytes(&sorted);
        Digest::of_bytes(&bytes.expect("an intent has a canonical form"))
    }
}

fn decision_of(event: &CaseSubject) -> DecisionId {
    DecisionId::of(&event.platform_run_id, event.event_class, &event.event_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
    use crate::domain::vocabulary::EventClass;

    fn intent() -> ActionIntent {
        let world = ManifestFingerprint::of_live(None, "shop");
        let pins = Pins {
            platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b""), None, ""),
            scenario_run_id: ScenarioRunId::of(&world, "live"),
            manifest_fingerprint: world,
            tenant_id: None,
        };
        let event = CaseSubject {
            platform_run_id: pins.platform_run_id,
            event_class: EventClass::Traffic,
            event_id: "till:1".parse().unwrap(),
        };
        let subject = ActionSubject {
            subject_type: SubjectType::CardId,
            subject_id: "k1".to_owned(),
        };
        let source = ActionSource::of_decision(event);
        let kind = "block_card".parse().unwrap();
        ActionIntent::new(pins, kind, subject, source, Vec::new())
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut ActionIntent), why: &str) {
        let mut intent = intent();
        assert_eq!(intent.check(), Ok(()));
        change(&mut intent);
        let found = intent.check().unwrap_err();
        assert!(found.contains(why), "{found}");
    }

    #[test]
    fn an_intent_is_what_its_ids_say() {
        let other = "another".parse().unwrap();
        refused(|it| it.schema_version = 2, "schema_version");
        refused(|it| it.source.event.event_id = other, "decision_id");
        refused(|it| it.source.decision_id = None, "exactly one");
        refused(
            |it| it.source.case_id = Some(CaseId::of(&it.source.event)),
            "exactly one",
        );
        refused(|it| it.subject.subject_id.push('x'), "action_intent_id");
        refused(|it| it.subject.subject_id.clear(), "subject_id");
        refused(
            |it| it.intent_type = "block_payment".parse().unwrap(),
            "action_intent_id",
        );
        for text in ["", "Block", "1st", "block payment", "é", &"x".repeat(65)] {
            assert!(text.parse::<IntentType>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn another_reference_is_another_payload_and_their_order_is_none() {
        use crate::domain::vocabulary::RefType::ExternalRef;
        let named = |id: &str| EvidenceRef {
            ref_type: ExternalRef,
            ref_id: id.to_owned(),
        };
        let with = |refs: &[&str]| {
            let mut intent = intent();
            intent.evidence_refs = refs.iter().map(|it| named(it)).collect();
            intent.payload_hash()
        };
        assert_eq!(with(&["a", "b"]), with(&["b", "a"]));
        assert_ne!(with(&["a"]), with(&["b"]));
    }
}
