//! The embedded bus behind a gate of its own: puts on one stream wait while it is closed.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fraudplat::domain::offset::{Position, ShardId};
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::bus::embedded::EmbeddedBus;
use fraudplat::substrate::bus::{
    Bus, Error, PutOutcome, PutRecord, Puts, ReadBatch, ReadFrom, ReadLimit, Shard,
};
use tokio::sync::watch;

pub(crate) struct HeldBus {
    inner: EmbeddedBus,
    /// How many puts may go, of all that ever came.
    n_open: watch::Sender<usize>,
    n_come: AtomicUsize,
    n_waiting: watch::Sender<usize>,
}

impl HeldBus {
    pub(crate) fn new(inner: EmbeddedBus) -> HeldBus {
        HeldBus {
            inner,
            n_open: watch::Sender::new(usize::MAX),
            n_come: AtomicUsize::new(0),
            n_waiting: watch::Sender::new(0),
        }
    }

    pub(crate) fn log(&self) -> &EmbeddedBus {
        &self.inner
    }

    pub(crate) fn hold(&self) {
        self.n_open.send_replace(self.n_come.load(Ordering::SeqCst));
    }

    /// Lets the put that came first after the hold go.
    pub(crate) fn release_one(&self) {
        self.n_open.send_modify(|n| *n += 1);
    }

    pub(crate) fn release(&self) {
        self.n_open.send_replace(usize::MAX);
    }

    /// Returns when a put waits.
    pub(crate) async fn is_reached(&self) {
        self.is_reached_by(1).await;
    }

    /// Returns when so many puts wait.
    pub(crate) async fn is_reached_by(&self, n_puts: usize) {
        let mut n_waiting = self.n_waiting.subscribe();
        n_waiting.wait_for(|n| *n >= n_puts).await.unwrap();
    }
}

#[async_trait]
impl Bus for HeldBus {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        if !records.is_empty() {
            let mut n_open = self.n_open.subscribe();
            let no = self.n_come.fetch_add(1, Ordering::SeqCst);
            self.n_waiting.send_modify(|n| *n += 1);
            n_open.wait_for(|n| no < *n).await.unwrap();
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

    fn puts(&self) -> Puts {
        self.inner.puts()
    }
}
