//! Appends facts in the transaction that made them true, and sends each new one to the control
//! bus through the outbox.

use crate::contracts::control::ControlMessage;
use crate::contracts::fact::Fact;
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::{FactType, Stream};
use crate::substrate::db::{self, Transaction};

const APPEND: &str = include_str!("sql/append_fact.sql");
const LIST: &str = include_str!("sql/list_facts.sql");
const ENQUEUE: &str = include_str!("sql/enqueue_fact.sql");

/// Appends the facts that are new; a repeat is silently the same fact (L2). Facts are rare, so a
/// statement each is no cost.
///
/// # Errors
/// Those of the database; the transaction is then to be rolled back.
pub async fn append(tx: &Transaction<'_>, facts: &[Fact]) -> Result<u64, db::Error> {
    let mut appended = 0;
    for fact in facts {
        let body = serde_json::to_vec(fact).expect("a fact is plain JSON");
        let run = fact.platform_run_id;
        let source_type = fact.actor.source_type.as_str();
        let rows = tx
            .execute(
                APPEND,
                &[
                    &fact.fact_id,
                    &fact.fact_type.as_str(),
                    &fact.natural_key,
                    &run,
                    &fact.actor.actor_id.as_str(),
                    &source_type,
                    &fact.stamps.service_release_id,
                    &fact.observed_time,
                    &body,
                ],
            )
            .await?;
        if rows == 1 {
            let key = run.map_or_else(|| fact.fact_id.to_string(), |run| run.to_string());
            let message = ControlMessage::Fact {
                fact: Box::new(fact.clone()),
            }
            .to_bytes();
            tx.execute(ENQUEUE, &[&Stream::Control.as_str(), &key, &message])
                .await?;
        }
        appended += rows;
    }
    Ok(appended)
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
