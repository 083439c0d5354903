//! Appends facts in the transaction that made them true, and sends each new one to the control
//! bus through the outbox.

use std::collections::{BTreeMap, BTreeSet};

use crate::contracts::control::ControlMessage;
use crate::contracts::fact::Fact;
use crate::domain::ids::{FactId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{FactType, Stream};
use crate::governance::cases;
use crate::substrate::db::{self, Db, Transaction};

const APPEND: &str = include_str!("sql/append_fact.sql");
const LIST: &str = include_str!("sql/list_facts.sql");
const ENQUEUE: &str = include_str!("sql/enqueue_fact.sql");

/// Appends the facts that are new; a repeat is silently the same fact (L2). Returns how many were.
///
/// # Errors
/// Those of the database; the transaction is then to be rolled back.
pub async fn append(tx: &Transaction<'_>, facts: &[Fact]) -> Result<u64, db::Error> {
    if facts.is_empty() {
        return Ok(0);
    }
    // Sorted, so that two writers of the same facts cannot wait for one another in a circle.
    let sorted: BTreeMap<FactId, &Fact> = facts.iter().map(|it| (it.fact_id, it)).collect();
    let facts: Vec<&Fact> = sorted.into_values().collect();
    let json = |fact: &&Fact| serde_json::to_vec(fact).expect("a fact is plain JSON");
    let ids: Vec<FactId> = facts.iter().map(|it| it.fact_id).collect();
    let types: Vec<&str> = facts.iter().map(|it| it.fact_type.as_str()).collect();
    let keys: Vec<String> = facts
        .iter()
        .map(|it| serde_json::to_string(&it.natural_key).expect("text is plain JSON"))
        .collect();
    let runs: Vec<Option<PlatformRunId>> = facts.iter().map(|it| it.platform_run_id).collect();
    let actors: Vec<&str> = facts.iter().map(|it| it.actor.actor_id.as_str()).collect();
    let sources: Vec<&str> = facts
        .iter()
        .map(|it| it.actor.source_type.as_str())
        .collect();
    let releases: Vec<&str> = facts
        .iter()
        .map(|it| it.stamps.service_release_id.as_str())
        .collect();
    let times: Vec<Time> = facts.iter().map(|it| it.observed_time).collect();
    let bodies: Vec<Vec<u8>> = facts.iter().map(json).collect();
    let statement = tx.prepare_cached(APPEND).await?;
    let new = tx
        .query(
            &statement,
            &[
                &ids, &types, &keys, &runs, &actors, &sources, &releases, &times, &bodies,
            ],
        )
        .await?;
    let new: BTreeSet<FactId> = new.iter().map(|row| row.get(0)).collect();
    let fresh: Vec<&Fact> = facts
        .into_iter()
        .filter(|it| new.contains(&it.fact_id))
        .collect();
    send(tx, &fresh).await?;
    let asked = cases::asked(tx, &fresh).await?;
    enqueue(tx, Stream::CaseTriggers, asked).await?;
    Ok(new.len() as u64)
}

/// Appends facts in a transaction of their own.
///
/// # Errors
/// Those of the database; then none is appended.
pub async fn append_alone(db: &Db, facts: &[Fact]) -> Result<(), db::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let mut client = db.get().await?;
    let tx = client.transaction().await?;
    append(&tx, facts).await?;
    tx.commit().await?;
    Ok(())
}

/// Queues facts for the control bus, those of a run under its key.
async fn send(tx: &Transaction<'_>, facts: &[&Fact]) -> Result<(), db::Error> {
    let messages = facts.iter().map(|fact| {
        let run = fact.platform_run_id;
        let key = run.map_or_else(|| fact.fact_id.to_string(), |run| run.to_string());
        let fact = Box::new((*fact).clone());
        (key, ControlMessage::Fact { fact }.to_bytes())
    });
    enqueue(tx, Stream::Control, messages.collect()).await
}

/// Queues messages, each under its key.
async fn enqueue(
    tx: &Transaction<'_>,
    stream: Stream,
    messages: Vec<(String, Vec<u8>)>,
) -> Result<(), db::Error> {
    let (keys, messages): (Vec<String>, Vec<Vec<u8>>) = messages.into_iter().unzip();
    if !keys.is_empty() {
        let statement = tx.prepare_cached(ENQUEUE).await?;
        tx.execute(&statement, &[&stream.as_str(), &keys, &messages])
            .await?;
    }
    Ok(())
}

/// The newest facts of a run (or of all), of one type (or of all).
///
/// # Errors
/// Those of the database.
pub async fn list(
    client: &db::Client,
    run: Option<PlatformRunId>,
    fact_type: Option<FactType>,
    limit: i64,
) -> Result<Vec<Fact>, db::Error> {
    let fact_type = fact_type.map(FactType::as_str);
    let rows = client.query(LIST, &[&run, &fact_type, &limit]).await?;
    let read = |row: &db::Row| serde_json::from_slice(row.get::<_, &[u8]>(0));
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|cause| db::Error::form("fact", &cause))
}
