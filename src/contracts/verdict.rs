//! The answer to `POST /v1/events`: one verdict an event, in the order of the request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::code::Code;
use crate::contracts::decision_notice::DecisionNotice;
use crate::contracts::receipt::Receipt;
use crate::domain::vocabulary::IngestResult;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestAnswer {
    pub results: Vec<Verdict>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub result: IngestResult,
    /// As sent, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What was wrong, where, never a payload value; or that the decision was not made in time, and
    /// what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For ADMITTED, and for DUPLICATE the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Where the request waited for it (`?wait=decision`) and it was made in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNotice>,
}
