//! The outbox: what a transaction said must reach the bus, does, at least once, in no promised
//! order. Receivers drop repeats by natural id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::domain::vocabulary::Stream;
use crate::substrate::bus::{Bus, PutOutcome, PutRecord};
use crate::substrate::db::{self, Client, Db, Transaction};

const CLAIM: &str = include_str!("sql/claim_outbox.sql");
const DELETE: &str = include_str!("sql/delete_outbox.sql");
const RELEASE: &str = include_str!("sql/release_outbox.sql");
const ENQUEUE: &str = include_str!("sql/enqueue_outbox.sql");
const COUNT: &str = include_str!("sql/count_outbox.sql");

/// As many as one put takes on the narrowest bus.
const CLAIM_ROWS_MAX: i64 = 500;
/// Longer than any put; a relay that dies leaves its claim to lapse.
const CLAIM_MS: i64 = 30_000;
/// When what the bus did not take is put again.
const AGAIN_MS: i64 = 500;
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// One message to deliver.
#[derive(Debug, Clone)]
pub struct Message {
    pub stream: Stream,
    pub partition_key: String,
    pub data: Vec<u8>,
}

/// Queues messages in the caller's transaction.
///
/// # Errors
/// Those of the database; the transaction is then to be rolled back.
pub async fn enqueue(tx: &Transaction<'_>, messages: &[Message]) -> Result<(), db::Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let streams: Vec<&str> = messages.iter().map(|it| it.stream.as_str()).collect();
    let keys: Vec<&str> = messages
        .iter()
        .map(|it| it.partition_key.as_str())
        .collect();
    let data: Vec<&[u8]> = messages.iter().map(|it| it.data.as_slice()).collect();
    let statement = tx.prepare_cached(ENQUEUE).await?;
    tx.execute(&statement, &[&streams, &keys, &data]).await?;
    Ok(())
}

/// Messages that are still to be delivered.
///
/// # Errors
/// Those of the database.
pub async fn waiting(db: &Db) -> Result<i64, db::Error> {
    Ok(db.get().await?.query_one(COUNT, &[]).await?.get(0))
}

/// Delivers until stopped, then until the queue is empty.
pub async fn relay(db: Db, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut claims = Claims::default();
    loop {
        match deliver_some(&db, bus.as_ref(), &mut claims).await {
            Ok(0) if stop.is_cancelled() => return,
            Ok(0) => wait(&stop, IDLE_WAIT).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "outbox relay failed; it tries again"
                );
                if stop.is_cancelled() {
                    return;
                }
                wait(&stop, Duration::from_secs(1)).await;
            }
        }
    }
}

async fn wait(stop: &CancellationToken, pause: Duration) {
    let stopped = tokio::time::timeout(pause, stop.cancelled()).await;
    drop(stopped);
}

/// Claimed messages whose rows do not say yet what became of them, also where the connection was
/// lost meanwhile: nobody else touches them until their claims lapse.
#[derive(Default)]
struct Claims {
    delivered: Vec<i64>,
    /// Not stored, or nobody knows; to be put again.
    open: Vec<i64>,
}

impl Claims {
    async fn settle(&mut self, client: &Client) -> Result<(), db::Error> {
        if !self.delivered.is_empty() {
            client.execute(DELETE, &[&self.delivered]).await?;
            self.delivered.clear();
        }
        if !self.open.is_empty() {
            client.execute(RELEASE, &[&self.open, &AGAIN_MS]).await?;
            self.open.clear();
        }
        Ok(())
    }
}

/// Claims, puts, deletes what was stored; what was not may soon be claimed again.
async fn deliver_some(db: &Db, bus: &dyn Bus, claims: &mut Claims) -> Result<usize, db::Error> {
    let client = db.get().await?;
    claims.settle(&client).await?;
    let statement = client.prepare_cached(CLAIM).await?;
    let rows = client
        .query(&statement, &[&CLAIM_ROWS_MAX, &CLAIM_MS])
        .await?;
    let mut by_stream: BTreeMap<Stream, Vec<(i64, PutRecord)>> = BTreeMap::new();
    for row in &rows {
        let stream: Stream = row
            .get::<_, &str>(1)
            .parse()
            .map_err(|cause| db::Error::form("outbox row", &cause))?;
        let data = Bytes::copy_from_slice(row.get(3));
        let record = PutRecord {
            partition_key: row.get(2),
            data,
        };
        by_stream
            .entry(stream)
            .or_default()
            .push((row.get(0), record));
    }
    for (stream, mut claimed) in by_stream {
        claimed.sort_by_key(|(id, _)| *id);
        let (ids, records): (Vec<i64>, Vec<PutRecord>) = claimed.into_iter().unzip();
        let outcomes = bus.put_records(stream, records).await;
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                PutOutcome::Stored(_) => claims.delivered.push(id),
                PutOutcome::Refused { .. } | PutOutcome::Unknown { .. } => claims.open.push(id),
            }
        }
    }
    claims.settle(&client).await?;
    Ok(rows.len())
}
