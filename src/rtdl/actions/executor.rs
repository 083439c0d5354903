//! The executors: `log`, which carries nothing outside, and the webhooks of the profile. Each makes one
//! attempt and says what it found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::contracts::action_intent::{ActionIntent, IntentType};
use crate::domain::time::Time;
use crate::substrate::webhook::{Answer, Target, Unheard};

/// The executor of what no endpoint takes.
pub const LOG: &str = "log";

/// A receiver and what it takes.
#[derive(Clone)]
pub struct Endpoint {
    /// As the profile names it.
    pub name: String,
    pub intent_types: BTreeSet<IntentType>,
    pub target: Arc<Target>,
}

/// Whoever carries out the actions of some types.
#[derive(Clone)]
pub(super) enum Executor {
    /// Takes every type that is not routed.
    Log {
        routed: BTreeSet<IntentType>,
    },
    Webhook(Endpoint),
}

/// What an attempt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) result: AttemptResult,
    pub(super) http_status: Option<i32>,
    pub(super) detail: String,
    /// The receiver asks for so much time.
    pub(super) retry_after: Option<Duration>,
    /// The endpoint as a whole is not well.
    pub(super) is_ill: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptResult {
    Done,
    /// Another attempt would find the same.
    Refused,
    Failed,
}

impl AttemptResult {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            AttemptResult::Done => "DONE",
            AttemptResult::Refused => "REFUSED",
            AttemptResult::Failed => "FAILED",
        }
    }
}

impl Executor {
    pub(super) fn name(&self) -> &str {
        match self {
            Executor::Log { .. } => LOG,
            Executor::Webhook(endpoint) => &endpoint.name,
        }
    }

    pub(super) fn takes(&self, intent_type: &str) -> bool {
        let is_in = |of: &BTreeSet<IntentType>| of.iter().any(|it| it.as_str() == intent_type);
        match self {
            Executor::Log { routed } => !is_in(routed),
            Executor::Webhook(endpoint) => is_in(&endpoint.intent_types),
        }
    }

    /// One attempt. `body` is the intent as it is stored.
    pub(super) async fn attempt(
        &self,
        intent: &ActionIntent,
        attempt_no: i64,
        body: Bytes,
        now: Time,
    ) -> Tried {
        match self {
            Executor::Log { .. } => {
                // Asked for by name; the subject may be a person and stays in the record.
                tracing::info!(action_intent_id = %intent.action_intent_id, intent_type = %intent.intent_type, "action");
                Tried {
                    result: AttemptResult::Done,
                    http_status: None,
                    detail: "logged; nothing outside was called".to_owned(),
                    retry_after: None,
                    is_ill: false,
                }
            }
            Executor::Webhook(endpoint) => {
                let key = intent.action_intent_id.to_string();
                judge(endpoint.target.post(&key, attempt_no, body, now).await)
            }
        }
    }
}

/// What an answer means: 2xx is done; what may be otherwise later is tried again; the rest is a refusal.
fn judge(heard: Result<Answer, Unheard>) -> Tried {
    let answer = match heard {
        Ok(answer) => answer,
        Err(unheard) => {
            return Tried {
                result: AttemptResult::Failed,
                http_status: None,
                detail: unheard.to_string(),
                retry_after: None,
                is_ill: true,
            };
        }
    };
    let (result, is_ill, what) = match answer.status {
        200..=299 => (AttemptResult::Done, false, "the receiver took it"),
        // 409: the receiver is still at an earlier call under this key.
        408 | 409 | 425 => (AttemptResult::Failed, false, "the receiver says: later"),
        429 => (AttemptResult::Failed, true, "the receiver says: too many"),
        500.. => (AttemptResult::Failed, true, "the receiver is not well"),
        300..=399 => (AttemptResult::Refused, false, "redirects are not followed"),
        _ => (AttemptResult::Refused, false, "the receiver refuses it"),
    };
    Tried {
        result,
        http_status: Some(answer.status.into()),
        detail: what.to_owned(),
        retry_after: answer.retry_after,
        is_ill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_otherwise_later_is_tried_again() {
        use AttemptResult::{Done, Failed, Refused};
        for (status, result, is_ill) in [
            (200, Done, false),
            (204, Done, false),
            (301, Refused, false),
            (400, Refused, false),
            (401, Refused, false),
            (404, Refused, false),
            (408, Failed, false),
            (409, Failed, false),
            (410, Refused, false),
            (422, Refused, false),
            (425, Failed, false),
            (429, Failed, true),
            (500, Failed, true),
            (503, Failed, true),
        ] {
            let answer = Answer {
                status,
                retry_after: None,
            };
            let tried = judge(Ok(answer));
            assert_eq!((tried.result, tried.is_ill), (result, is_ill), "{status}");
        }
        let tried = judge(Err(Unheard::of("no answer in time")));
        assert_eq!((tried.result, tried.is_ill), (Failed, true));
    }
}
