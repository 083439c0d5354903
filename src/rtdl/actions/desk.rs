//! What an operator does with a dead letter, under a name and with a reason (L10).

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::action_outcome::{self, ActionOutcome, ActionResult};
use crate::domain::ids::{ActionIntentId, CaseId};
use crate::rtdl::actions::Error;
use crate::rtdl::actions::executor::LOG;
use crate::rtdl::actions::store::{append_outcomes, stamps};
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Client, Day};

const REQUEUE: &str = include_str!("sql/requeue.sql");
const ABANDON: &str = include_str!("sql/abandon.sql");
const READ_STATE: &str = include_str!("sql/read_state.sql");

/// Has a dead letter tried again, with all its attempts, under the same key.
///
/// # Errors
/// [`Error::NotDead`], [`Error::Unknown`], those of the database.
pub async fn requeue(ground: &Ground, id: ActionIntentId, reason: &str) -> Result<(), Error> {
    let client = ground.db.get().await?;
    let (actor, now) = (&ground.actor, ground.clock.now());
    let (who, kind) = (actor.actor_id.as_str(), actor.source_type.as_str());
    let values: [&(dyn db::ToSql + Sync); 6] = [&id, &now, &reason, &who, &kind, &stamps(ground)];
    match client.query_opt(REQUEUE, &values).await? {
        Some(_) => Ok(()),
        None => Err(not_dead(&client, id).await?),
    }
}

/// Gives a dead letter up: its outcome is FAILED, for ever.
///
/// # Errors
/// As [`requeue`].
pub async fn abandon(ground: &Ground, id: ActionIntentId, reason: &str) -> Result<(), Error> {
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    let Some(row) = tx.query_opt(ABANDON, &[&id]).await? else {
        drop(tx);
        return Err(not_dead(&client, id).await?);
    };
    let day: Day = row.get(0);
    let intent: ActionIntent = serde_json::from_slice(row.get(2))
        .map_err(|cause| db::Error::form("action intent", &cause))?;
    let executor: Option<String> = row.get(3);
    let outcome = ActionOutcome {
        schema_version: action_outcome::SCHEMA_VERSION,
        action_intent_id: id,
        case_id: CaseId::of(&intent.source.event),
        pins: intent.pins,
        intent_type: intent.intent_type,
        event: intent.source.event,
        result: ActionResult::Failed,
        executor: executor.unwrap_or_else(|| LOG.to_owned()),
        attempt_no: row.get(1),
        http_status: row.get::<_, Option<i32>>(4).map(i64::from),
        detail: format!("given up: {reason}"),
        finished_at: ground.clock.now(),
        actor: ground.actor.clone(),
        stamps: ground.stamps.clone(),
    };
    append_outcomes(&tx, &[(day, outcome)]).await?;
    tx.commit().await?;
    Ok(())
}

async fn not_dead(client: &Client, id: ActionIntentId) -> Result<Error, Error> {
    let row = client.query_opt(READ_STATE, &[&id]).await?;
    Ok(match row {
        Some(row) => Error::NotDead {
            id,
            state: row.get(0),
        },
        None => Error::Unknown(id),
    })
}
