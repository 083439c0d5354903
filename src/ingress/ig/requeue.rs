//! A quarantined event is submitted again once its cause is gone: which may be, and what came of
//! each try. The gate judges the kept payload as it judges any other; nothing is overwritten (L1).

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::code::Code;
use crate::contracts::verdict::Verdict;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::domain::vocabulary::IngestResult;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::quarantine::Quarantined;
use crate::runtime::ground::Ground;
use crate::runtime::partitions::Partitions;
use crate::substrate::db::{Client, Day, Row};

const APPEND: &str = include_str!("sql/append_requeued.sql");
const LIST: &str = include_str!("sql/list_requeued.sql");
const TABLES: &[&str] = &["ig.quarantine_requeued"];

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Requeued {
    pub requeued_at: Time,
    pub result: IngestResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub actor_id: String,
    /// Why the actor thought that its cause is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A try that was made: why, and what the gate said.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    pub reason: &'a str,
    pub verdict: &'a Verdict,
}

/// Why an event quarantined with this code is never submitted again; `None` where it may be.
#[must_use]
pub fn never_requeued(code: Code) -> Option<&'static str> {
    match code {
        Code::PayloadHashMismatch => Some(
            "another payload is admitted under this event id, and stays (L3); send the event under an id of its own",
        ),
        Code::PiiUnsupported => Some(
            "its pii map was not kept, so what is kept is not what was sent; have its producer send it without one",
        ),
        _ => None,
    }
}

/// Appends a try with the gate's verdict, as the actor of `ground` (L10).
///
/// # Errors
/// Those of the database: the event was submitted, the try is not on record; a repeat is safe.
pub async fn requeued(
    ground: &Ground,
    quarantined: &Quarantined,
    Try { reason, verdict }: Try<'_>,
) -> Result<(), Error> {
    let now = ground.clock.now();
    let client = ground.db.get().await?;
    Partitions::of(TABLES).ensure(&client, Day::of(now)).await?;
    let statement = client.prepare_cached(APPEND).await?;
    client
        .execute(
            &statement,
            &[
                &Day::of(now),
                &quarantined.quarantine_id,
                &now,
                &quarantined.platform_run_id,
                &verdict.result.as_str(),
                &verdict.code.map(Code::as_str),
                &verdict.detail,
                &ground.actor.actor_id.as_str(),
                &ground.actor.source_type.as_str(),
                &ground.stamps.service_release_id,
                &reason,
            ],
        )
        .await?;
    Ok(())
}

/// The tries of a quarantined event, in order.
///
/// # Errors
/// Those of the database; [`Error::Evidence`] for a row that cannot be read.
pub async fn requeues(client: &Client, quarantine_id: Digest) -> Result<Vec<Requeued>, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[&quarantine_id]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Requeued, Error> {
    let refused = |cause| Error::evidence("requeue row", cause);
    let code: Option<&str> = row.get(2);
    Ok(Requeued {
        requeued_at: row.get(0),
        result: row.get::<_, &str>(1).parse().map_err(refused)?,
        code: code.map(str::parse).transpose().map_err(refused)?,
        detail: row.get(3),
        actor_id: row.get(4),
        reason: row.get(5),
    })
}
