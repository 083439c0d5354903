//! How an action ended: once for each intent, for ever (L1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::action_intent::IntentType;
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::ids::{ActionIntentId, CaseId};
use crate::domain::keys::{CaseSubject, Pins};
use crate::domain::time::Time;
use crate::domain::vocabulary::vocabulary;

pub const SCHEMA_VERSION: i64 = 1;

vocabulary!(
    /// The end of an intent.
    ActionResult {
        /// An executor said that it is done.
        Succeeded = "SUCCEEDED",
        /// An operator gave it up after its attempts had failed.
        Failed = "FAILED",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionOutcome {
    pub schema_version: i64,
    pub pins: Pins,
    pub action_intent_id: ActionIntentId,
    pub intent_type: IntentType,
    /// The event that the action was about, and the case about it.
    pub event: CaseSubject,
    pub case_id: CaseId,
    pub result: ActionResult,
    /// `log`, or the name of an endpoint.
    pub executor: String,
    /// The attempt that decided it.
    pub attempt_no: i64,
    /// What the receiver answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<i64>,
    /// In words; never a payload.
    pub detail: String,
    pub finished_at: Time,
    pub actor: Actor,
    pub stamps: Stamps,
}
