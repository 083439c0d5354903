//! The loop of one leased shard: read, guard, prepare once, commit with the position, and settle
//! or resubmit what the database left open.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::domain::offset::{Position, ShardRef};
use crate::domain::time::Time;
use crate::law;
use crate::runtime::commit;
use crate::runtime::ground::Ground;
use crate::runtime::guard::{self, Guarded, Refused};
use crate::runtime::lease::{self, Lease};
use crate::runtime::lineage;
use crate::substrate::bus::{self, BusRecord, ReadFrom, ReadLimit};
use crate::substrate::db::{self, Transaction};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Bus(#[from] bus::Error),
    #[error("the stored position `{0}` is no position")]
    Position(String),
    #[error("preparing a batch of {group}")]
    Handler {
        group: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

impl Error {
    pub(super) fn as_db(&self) -> Option<&db::Error> {
        match self {
            Error::Db(error) | Error::Lease(lease::Error::Db(error)) => Some(error),
            _ => None,
        }
    }
}

/// What was read, guarded, in order.
#[derive(Debug)]
pub struct Batch {
    pub shard: ShardRef,
    /// As the bus gave them: what a stream of other forms than events is read from.
    pub raw: Vec<BusRecord>,
    pub records: Vec<Result<Guarded, Box<Refused>>>,
    pub read_at: Time,
}

/// What a group does with a batch.
#[async_trait]
pub trait Handler: Send + Sync {
    /// What is written, computed once and resubmitted as it is.
    type Prepared: Send + Sync;

    fn group(&self) -> &'static str;

    /// Prefetches and decides. Must not write.
    async fn prepare(&mut self, batch: &Batch) -> Result<Self::Prepared, Error>;

    /// Writes everything, rows sorted by key, in the transaction that moves the position.
    async fn write(&self, tx: &Transaction<'_>, prepared: &Self::Prepared) -> Result<(), Error>;

    /// The transaction committed: count.
    fn committed(&mut self, prepared: &Self::Prepared);
}

/// Limits of one consumer.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub batch_records_max: usize,
    pub batch_bytes_max: usize,
    /// A record admitted by a gate may stand on the bus this much later than its `admitted_at`:
    /// publish timeout + delivery delay + clock skew.
    pub late_bound_ms: u64,
}

/// How long a read at the tip waits; also how often an idle watermark moves.
const READ_WAIT: Duration = Duration::from_millis(50);

/// Consumes the shard until stopped or until its end (the lease is released), or until the lease is
/// lost or the bus fails (the error says which; nothing was half-done).
///
/// # Errors
/// Any that the loop cannot heal by resubmitting.
pub async fn run<H: Handler>(
    ground: &Ground,
    shard: ShardRef,
    mut lease: Lease,
    mut handler: H,
    options: Options,
    stop: CancellationToken,
) -> Result<(), Error> {
    loop {
        if stop.is_cancelled() {
            lease.release(&ground.db.get().await?).await?;
            return Ok(());
        }
        let position: Position = lease
            .position
            .parse()
            .map_err(|_| Error::Position(lease.position.clone()))?;
        let read_at = ground.clock.now();
        let limit = ReadLimit {
            records_max: options.batch_records_max,
            bytes_max: options.batch_bytes_max,
            wait_max: READ_WAIT,
        };
        let read = ground
            .bus
            .read(
                shard.stream,
                &shard.shard_id,
                ReadFrom::Position(position.clone()),
                limit,
            )
            .await?;
        ground
            .counters
            .set_lag(handler.group(), &shard, read.behind_tip);
        let Some(last) = read.records.last() else {
            let client = ground.db.get().await?;
            if read.shard_end {
                return lineage::finish(&client, &lease).await;
            }
            let watermark = read_at.minus_ms(options.late_bound_ms);
            lease.renew(&client, Some(watermark)).await?;
            continue;
        };
        law!(
            L4,
            !position.covers(&last.sequence_number),
            "{shard} gave again what {position} covers"
        );
        let to = last.sequence_number.to_string();
        let batch = guarded(&shard, read.records, read_at);
        let watermark = admitted_max(&batch).map(|at| at.minus_ms(options.late_bound_ms));
        let prepared = handler.prepare(&batch).await?;
        let effects = Effects {
            handler: &handler,
            prepared: &prepared,
        };
        commit::commit(ground, &lease, &effects, &to, watermark).await?;
        lease.moved(to);
        handler.committed(&prepared);
    }
}

fn guarded(shard: &ShardRef, raw: Vec<BusRecord>, read_at: Time) -> Batch {
    let records = raw.iter().map(|record| guard::guard(shard, record));
    Batch {
        shard: shard.clone(),
        records: records.collect(),
        raw,
        read_at,
    }
}

fn admitted_max(batch: &Batch) -> Option<Time> {
    batch
        .records
        .iter()
        .flatten()
        .map(|it| it.event.admitted_at)
        .max()
}

/// A prepared batch on its way in.
struct Effects<'a, H: Handler> {
    handler: &'a H,
    prepared: &'a H::Prepared,
}

#[async_trait]
impl<H: Handler> commit::Effects for Effects<'_, H> {
    fn group(&self) -> &'static str {
        self.handler.group()
    }

    async fn write(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        self.handler.write(tx, self.prepared).await
    }
}
