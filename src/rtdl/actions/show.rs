//! One action with everything that is known of it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::action_outcome::ActionOutcome;
use crate::contracts::stamps::Actor;
use crate::domain::digest::Digest;
use crate::domain::ids::ActionIntentId;
use crate::domain::time::Time;
use crate::rtdl::actions::Error;
use crate::rtdl::actions::list::ActionState;
use crate::substrate::db::{self, Client, Row};

const SHOW: &str = include_str!("sql/show.sql");
const ATTEMPTS: &str = include_str!("sql/list_attempts.sql");
const REQUEUED: &str = include_str!("sql/list_requeued.sql");

/// An action: what was asked for, every attempt, how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ActionView {
    pub state: ActionState,
    pub intent: ActionIntent,
    pub payload_hash: Digest,
    pub requested_at: Time,
    pub requested_by: Actor,
    /// When it is tried next; of an open one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// The attempt that was begun last. One that is not in the list below was begun, and nobody knows what
    /// came of it: its process died.
    pub attempt_no: i64,
    pub attempts: Vec<AttemptView>,
    pub requeued: Vec<RequeuedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ActionOutcome>,
}

/// An attempt that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AttemptView {
    pub attempt_no: i64,
    /// `log`, or the name of an endpoint.
    pub executor: String,
    /// DONE, REFUSED (another would find the same) or FAILED.
    pub result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999))]
    pub http_status: Option<i32>,
    pub detail: String,
    pub started_at: Time,
    pub ended_at: Time,
}

/// An operator had it tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequeuedView {
    /// After this attempt.
    pub attempt_no: i64,
    pub reason: String,
    pub requeued_at: Time,
    pub actor: Actor,
}

/// The action of this id.
///
/// # Errors
/// [`Error::Unknown`], those of the database.
pub async fn show(client: &Client, id: ActionIntentId) -> Result<ActionView, Error> {
    let row = client.query_opt(SHOW, &[&id]).await?;
    let row = row.ok_or(Error::Unknown(id))?;
    let attempts = client.query(ATTEMPTS, &[&id]).await?;
    let requeued = client.query(REQUEUED, &[&id]).await?;
    let outcome: Option<ActionOutcome> = match row.get::<_, Option<&[u8]>>(7) {
        Some(bytes) => Some(
            serde_json::from_slice(bytes)
                .map_err(|cause| db::Error::form("action outcome", &cause))?,
        ),
        None => None,
    };
    let result = outcome.as_ref().map(|it| it.result.as_str());
    let state = ActionState::of(row.get(4), result)?;
    Ok(ActionView {
        state,
        intent: serde_json::from_slice(row.get(0))
            .map_err(|cause| db::Error::form("action intent", &cause))?,
        payload_hash: row.get(8),
        requested_at: row.get(1),
        requested_by: actor(&row, 2)?,
        due_at: (state == ActionState::Open).then(|| row.get(5)),
        attempt_no: row.get(6),
        attempts: attempts.iter().map(attempt).collect(),
        requeued: requeued.iter().map(requeue).collect::<Result<_, _>>()?,
        outcome,
    })
}

fn attempt(row: &Row) -> AttemptView {
    AttemptView {
        attempt_no: row.get(0),
        executor: row.get(1),
        result: row.get(2),
        http_status: row.get(3),
        detail: row.get(4),
        started_at: row.get(5),
        ended_at: row.get(6),
    }
}

fn requeue(row: &Row) -> Result<RequeuedView, Error> {
    Ok(RequeuedView {
        attempt_no: row.get(0),
        reason: row.get(1),
        requeued_at: row.get(2),
        actor: actor(row, 3)?,
    })
}

/// The actor in two columns from `at` on.
fn actor(row: &Row, at: usize) -> Result<Actor, Error> {
    let form = |cause: crate::domain::digest::ParseError| db::Error::form("actor", &cause);
    Ok(Actor {
        actor_id: row.get::<_, &str>(at).parse().map_err(form)?,
        source_type: row.get::<_, &str>(at + 1).parse().map_err(form)?,
    })
}
