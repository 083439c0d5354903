//! A decision as its sender is told it, and the corridor between who waits for decisions (the gate)
//! and who makes them (the decision role). `app` joins the two: roles never name one another.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::decision::DecisionBody;
use crate::domain::ids::DecisionId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{Outcome, Posture};

/// What a sender acts on; the whole is at `GET /v1/decisions/{decision_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionNotice {
    pub decision_id: DecisionId,
    pub outcome: Outcome,
    pub reasons: Vec<String>,
    /// Of the rules that fired; the body's field of this name.
    pub rule_score: i64,
    /// Why the decision was made on less than the whole frame.
    pub degraded: Vec<String>,
    /// Left out where it is `NORMAL`.
    #[serde(default = "normal", skip_serializing_if = "is_normal")]
    pub posture: Posture,
    pub decided_at: Time,
}

const fn normal() -> Posture {
    Posture::Normal
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_normal(posture: &Posture) -> bool {
    *posture == Posture::Normal
}

impl DecisionNotice {
    #[must_use]
    pub fn of(body: DecisionBody, decided_at: Time) -> DecisionNotice {
        DecisionNotice {
            decision_id: body.decision_id,
            outcome: body.outcome,
            reasons: body.reasons,
            rule_score: body.rule_score,
            degraded: body.degraded,
            posture: body.posture,
            decided_at,
        }
    }
}

/// Tells of decisions once they are durable.
pub trait DecisionWaiter: Send + Sync {
    /// From now on every decision on one of `ids` that is committed is told to this watch, once.
    /// The caller bounds how many ids are watched; dropping the watch ends it.
    fn watch(&self, ids: &[DecisionId]) -> Box<dyn DecisionWatch>;
}

#[async_trait]
pub trait DecisionWatch: Send {
    /// Has the decision log looked at for `ids`: they may have been decided before the watch began.
    fn look_up(&self, ids: &[DecisionId]);

    /// The next decision, in whatever order they are made; `None` when nobody decides any more.
    /// Nothing is lost when the future is dropped.
    async fn next(&mut self) -> Option<DecisionNotice>;
}
