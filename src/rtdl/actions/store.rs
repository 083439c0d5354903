//! What a worker reads and writes: claims, and attempts with what they lead to, each set in one transaction.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::action_outcome::{self, ActionOutcome, ActionResult};
use crate::contracts::case_message::CaseMessage;
use crate::contracts::case_trigger::CaseTrigger;
use crate::contracts::fact::EvidenceRef;
use crate::domain::ids::{ActionIntentId, CaseId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{CaseTriggerType, RefType, Stream};
use crate::rtdl::actions::Error;
use crate::rtdl::actions::executor::Tried;
use crate::rtdl::actions::next::Next;
use crate::runtime::ground::Ground;
use crate::runtime::lease::Lease;
use crate::runtime::outbox::{self, Message};
use crate::substrate::db::{self, Client, Day, Transaction};

const OPEN_TYPES: &str = include_str!("sql/open_types.sql");
const CLAIM: &str = include_str!("sql/claim.sql");
const UNCLAIM: &str = include_str!("sql/unclaim.sql");
const SETTLE: &str = include_str!("sql/settle.sql");
const APPEND_ATTEMPTS: &str = include_str!("sql/append_attempts.sql");
const APPEND_OUTCOMES: &str = include_str!("sql/append_outcomes.sql");
const APPEND_DEAD: &str = include_str!("sql/append_dead_letters.sql");

/// An action in hand.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) day: Day,
    pub(super) intent: ActionIntent,
    /// The intent as it is stored, which is what is sent.
    pub(super) body: Bytes,
    pub(super) attempt_no: i64,
    pub(super) failures: i32,
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) claimed: Claimed,
    pub(super) tried: Tried,
    pub(super) next: Next,
    pub(super) started_at: Time,
    pub(super) ended_at: Time,
}

/// The types that have something open.
pub(super) async fn open_types(client: &Client) -> Result<Vec<String>, Error> {
    let statement = client.prepare_cached(OPEN_TYPES).await?;
    let rows = client.query(&statement, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// At most `limit` due actions of these types, for `claimant`, who holds the lease.
pub(super) async fn claim(
    client: &Client,
    lease: &Lease,
    claimant: &str,
    types: &[String],
    now: Time,
    limit: usize,
) -> Result<Vec<Claimed>, Error> {
    let statement = client.prepare_cached(CLAIM).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let key = &lease.key;
    let rows = client
        .query(
            &statement,
            &[
                &types,
                &claimant,
                &now,
                &limit,
                &key.group,
                &key.scope,
                &lease.epoch,
            ],
        )
        .await?;
    let read = |row: &db::Row| {
        let body = Bytes::copy_from_slice(row.get(4));
        Ok(Claimed {
            day: row.get(1),
            attempt_no: row.get(2),
            failures: row.get(3),
            intent: serde_json::from_slice(&body)
                .map_err(|cause| db::Error::form("action intent", &cause))?,
            body,
        })
    };
    rows.iter().map(read).collect()
}

/// Gives back what was not begun.
pub(super) async fn unclaim(
    client: &Client,
    claimant: &str,
    left: impl Iterator<Item = &Claimed> + Send,
) -> Result<(), Error> {
    let ids: Vec<ActionIntentId> = left.map(|it| it.intent.action_intent_id).collect();
    if !ids.is_empty() {
        client.execute(UNCLAIM, &[&ids, &claimant]).await?;
    }
    Ok(())
}

/// Appends the attempts and moves their actions; returns those that moved. Repeating it changes nothing.
pub(super) async fn record(
    ground: &Ground,
    executor: &str,
    claimant: &str,
    finished: &[&Finished],
) -> Result<BTreeSet<ActionIntentId>, Error> {
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    let moved = settle(&tx, claimant, finished).await?;
    append_attempts(&tx, ground, executor, finished).await?;
    let moved_now = |it: &&&Finished| moved.contains(&it.claimed.intent.action_intent_id);
    let ended = finished.iter().filter(moved_now);
    let done: Vec<(Day, ActionOutcome)> = ended
        .clone()
        .filter(|it| it.next == Next::Done)
        .map(|it| (it.claimed.day, outcome(ground, executor, it)))
        .collect();
    let dead: Vec<&Finished> = ended
        .filter(|it| matches!(it.next, Next::Dead { .. }))
        .copied()
        .collect();
    append_outcomes(&tx, &done).await?;
    append_dead(&tx, ground, &dead).await?;
    tx.commit().await?;
    Ok(moved)
}

async fn settle(
    tx: &Transaction<'_>,
    claimant: &str,
    finished: &[&Finished],
) -> Result<BTreeSet<ActionIntentId>, Error> {
    let state = |it: &&Finished| match it.next {
        Next::Done => ("DONE", it.claimed.failures, it.ended_at),
        Next::Again { failures, due_at } => ("OPEN", failures, due_at),
        Next::Dead { failures } => ("DEAD", failures, it.ended_at),
    };
    let ids = ids(finished);
    let attempts: Vec<i64> = finished.iter().map(|it| it.claimed.attempt_no).collect();
    let states: Vec<&str> = finished.iter().map(|it| state(it).0).collect();
    let failures: Vec<i32> = finished.iter().map(|it| state(it).1).collect();
    let due: Vec<Time> = finished.iter().map(|it| state(it).2).collect();
    let statement = tx.prepare_cached(SETTLE).await?;
    let rows = tx
        .query(
            &statement,
            &[&claimant, &ids, &attempts, &states, &failures, &due],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn ids(finished: &[&Finished]) -> Vec<ActionIntentId> {
    let of = |it: &&Finished| it.claimed.intent.action_intent_id;
    finished.iter().map(of).collect()
}

async fn append_attempts(
    tx: &Transaction<'_>,
    ground: &Ground,
    executor: &str,
    finished: &[&Finished],
) -> Result<(), Error> {
    let days: Vec<Day> = finished.iter().map(|it| it.claimed.day).collect();
    let ids = ids(finished);
    let attempts: Vec<i64> = finished.iter().map(|it| it.claimed.attempt_no).collect();
    let results: Vec<&str> = finished.iter().map(|it| it.tried.result.as_str()).collect();
    let statuses: Vec<Option<i32>> = finished.iter().map(|it| it.tried.http_status).collect();
    let details: Vec<&str> = finished.iter().map(|it| it.tried.detail.as_str()).collect();
    let started: Vec<Time> = finished.iter().map(|it| it.started_at).collect();
    let ended: Vec<Time> = finished.iter().map(|it| it.ended_at).collect();
    let statement = tx.prepare_cached(APPEND_ATTEMPTS).await?;
    tx.execute(
        &statement,
        &[
            &executor,
            &stamps(ground),
            &days,
            &ids,
            &attempts,
            &results,
            &statuses,
            &details,
            &started,
            &ended,
        ],
    )
    .await?;
    Ok(())
}

pub(super) fn stamps(ground: &Ground) -> String {
    serde_json::to_string(&ground.stamps).expect("stamps are plain JSON")
}

fn outcome(ground: &Ground, executor: &str, it: &Finished) -> ActionOutcome {
    let event = it.claimed.intent.source.event.clone();
    ActionOutcome {
        schema_version: action_outcome::SCHEMA_VERSION,
        pins: it.claimed.intent.pins.clone(),
        action_intent_id: it.claimed.intent.action_intent_id,
        intent_type: it.claimed.intent.intent_type.clone(),
        case_id: CaseId::of(&event),
        event,
        result: ActionResult::Succeeded,
        executor: executor.to_owned(),
        attempt_no: it.claimed.attempt_no,
        http_status: it.tried.http_status.map(i64::from),
        detail: it.tried.detail.clone(),
        finished_at: it.ended_at,
        actor: ground.actor.clone(),
        stamps: ground.stamps.clone(),
    }
}

/// Appends how actions ended and tells the cases, by reference.
pub(super) async fn append_outcomes(
    tx: &Transaction<'_>,
    outcomes: &[(Day, ActionOutcome)],
) -> Result<(), Error> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let of = || outcomes.iter().map(|(_, it)| it);
    let days: Vec<Day> = outcomes.iter().map(|(day, _)| *day).collect();
    let ids: Vec<ActionIntentId> = of().map(|it| it.action_intent_id).collect();
    let runs: Vec<PlatformRunId> = of().map(|it| it.pins.platform_run_id).collect();
    let results: Vec<&str> = of().map(|it| it.result.as_str()).collect();
    let bodies: Vec<Vec<u8>> = of()
        .map(|it| serde_json::to_vec(it).expect("an outcome is plain JSON"))
        .collect();
    let finished: Vec<Time> = of().map(|it| it.finished_at).collect();
    let statement = tx.prepare_cached(APPEND_OUTCOMES).await?;
    tx.execute(
        &statement,
        &[&days, &ids, &runs, &results, &bodies, &finished],
    )
    .await?;
    let told = of().map(|it| CaseMessage::ActionOutcome(Box::new(it.clone())));
    outbox::enqueue(tx, &messages(told)).await?;
    Ok(())
}

async fn append_dead(
    tx: &Transaction<'_>,
    ground: &Ground,
    dead: &[&Finished],
) -> Result<(), Error> {
    if dead.is_empty() {
        return Ok(());
    }
    let days: Vec<Day> = dead.iter().map(|it| it.claimed.day).collect();
    let attempts: Vec<i64> = dead.iter().map(|it| it.claimed.attempt_no).collect();
    let details: Vec<&str> = dead.iter().map(|it| it.tried.detail.as_str()).collect();
    let now = ground.clock.now();
    tx.execute(
        APPEND_DEAD,
        &[
            &now,
            &stamps(ground),
            &days,
            &ids(dead),
            &attempts,
            &details,
        ],
    )
    .await?;
    let told = dead
        .iter()
        .map(|it| CaseMessage::CaseTrigger(Box::new(failure(&it.claimed.intent))));
    outbox::enqueue(tx, &messages(told)).await?;
    Ok(())
}

/// The case of an action that needs an operator: the same one however often it dies.
fn failure(intent: &ActionIntent) -> CaseTrigger {
    let id = intent.action_intent_id.to_string();
    let mut refs = vec![EvidenceRef {
        ref_type: RefType::ActionOutcome,
        ref_id: id.clone(),
    }];
    refs.extend(intent.source.decision_id.map(|it| EvidenceRef {
        ref_type: RefType::Decision,
        ref_id: it.to_string(),
    }));
    let (pins, event) = (intent.pins.clone(), intent.source.event.clone());
    CaseTrigger::new(pins, event, CaseTriggerType::ActionFailure, id, refs)
}

fn messages(told: impl Iterator<Item = CaseMessage>) -> Vec<Message> {
    told.map(|message| {
        let (partition_key, data) = message.to_record();
        Message {
            stream: Stream::CaseTriggers,
            partition_key,
            data,
        }
    })
    .collect()
}
