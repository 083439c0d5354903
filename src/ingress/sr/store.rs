//! The row of a run and its READY, in one transaction.

use crate::contracts::control::ControlMessage;
use crate::contracts::ready::{Ready, RunFacts};
use crate::domain::ids::{PlatformRunId, TenantId};
use crate::domain::vocabulary::Stream;
use crate::runtime::outbox::{self, Message};
use crate::substrate::db::{self, Db};

const APPEND: &str = include_str!("sql/append_run.sql");
const READ: &str = include_str!("sql/read_ready.sql");

/// Appends the run and queues READY; a run that is known stays as it was.
pub(super) async fn append(db: &Db, facts: &RunFacts, ready: &Ready) -> Result<(), db::Error> {
    let mut client = db.get().await?;
    let tx = client.transaction().await?;
    let pins = &facts.pins;
    let ready_bytes =
        serde_json::to_vec(ready).map_err(|cause| db::Error::form("READY", &cause))?;
    let appended = tx
        .execute(
            APPEND,
            &[
                &pins.platform_run_id,
                &pins.scenario_run_id,
                &pins.manifest_fingerprint,
                &pins.tenant_id.as_ref().map(TenantId::as_str),
                &facts.name,
                &facts.label,
                &ready.run_facts_ref,
                &ready.run_facts_digest,
                &ready_bytes,
                &facts.created_at,
                &facts.actor.actor_id.as_str(),
                &facts.actor.source_type.as_str(),
                &facts.stamps.service_release_id,
            ],
        )
        .await?;
    if appended == 1 {
        let message = ControlMessage::Ready {
            ready: Box::new(ready.clone()),
        };
        let message = Message {
            stream: Stream::Control,
            partition_key: pins.platform_run_id.to_string(),
            data: message.to_bytes(),
        };
        outbox::enqueue(&tx, &[message]).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// READY of a run, if there is such a run.
pub(super) async fn ready(db: &Db, run: &PlatformRunId) -> Result<Option<Ready>, db::Error> {
    let row = db.get().await?.query_opt(READ, &[run]).await?;
    let read = |row: db::Row| serde_json::from_slice(row.get::<_, &[u8]>(0));
    row.map(read)
        .transpose()
        .map_err(|cause| db::Error::form("READY", &cause))
}
