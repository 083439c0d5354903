//! What travels on the stream of cases: what asks for a case, and how the actions about it ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::action_outcome::ActionOutcome;
use crate::contracts::case_trigger::CaseTrigger;

/// The form's fields stand beside `kind`, so that its pins are where those of every record are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaseMessage {
    CaseTrigger(Box<CaseTrigger>),
    ActionOutcome(Box<ActionOutcome>),
}

impl CaseMessage {
    /// The bytes that go on the bus, and the key under which they go: the case's id.
    ///
    /// # Panics
    /// Never: every field serialises.
    #[must_use]
    pub fn to_record(&self) -> (String, Vec<u8>) {
        let case_id = match self {
            CaseMessage::CaseTrigger(trigger) => trigger.case_id(),
            CaseMessage::ActionOutcome(outcome) => outcome.case_id,
        };
        let bytes = serde_json::to_vec(self).expect("a case message is plain JSON");
        (case_id.to_string(), bytes)
    }
}
