//! The embedded bus behind a gate of its own: puts on one stream wait while it is closed.

use async_trait::async_trait;
use fraudplat::domain::offset::{Position, ShardId};
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::bus::embedded::EmbeddedBus;
use fraudplat::substrate::bus::{
    Bus, Error, PutOutcome, PutRecord, ReadBatch, ReadFrom, ReadLimit, Shard,
};
use tokio::sync::watch;

pub(crate) struct HeldBus {
    inner: EmbeddedBus,
    is_held: watch::Sender<bool>,
    n_waiting: watch::Sender<usize>,
}

impl HeldBus {
    pub(crate) fn new(inner: EmbeddedBus) -> HeldBus {
        HeldBus {
            inner,
            is_held: watch::Sender::new(false),
            n_waiting: watch::Sender::new(0),
        }
    }

    pub(crate) fn log(&self) -> &EmbeddedBus {
        &self.inner
    }

    pub(crate) fn hold(&self) {
        self.is_held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.is_held.send_replace(false);
    }

    /// Returns when a put waits.
    pub(crate) async fn is_reached(&self) {
        let mut n_waiting = self.n_waiting.subscribe();
        n_waiting.wait_for(|n| *n > 0).await.unwrap();
    }
}

#[async_trait]
impl Bus for HeldBus {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        if !records.is_empty() {
            let mut is_held = self.is_held.subscribe();
            self.n_waiting.send_modify(|n| *n += 1);
            is_held.wait_for(|held| !held).await.unwrap();
            self.n_waiting.send_modify(|n| *n -= 1);
        }
        self.inner.put_records(stream, records).await
    }

    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, Error> {
        self.inner.shards(stream).await
    }

    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        self.inner.read(stream, shard, from, limit).await
    }

    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, Error> {
        self.inner.tip(stream, shard).await
    }
}
