//! A bus in memory, for tests of other rooms: the same answers as the embedded log, nothing kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::offset::{OriginOffset, Position, SequenceNumber, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::place::{self, Extent};
use crate::substrate::bus::{
    Bus, BusRecord, Error, PutCounts, PutOutcome, PutRecord, Puts, ReadBatch, ReadFrom, ReadLimit,
    RefusalCode, Shard, admit, route,
};
use crate::substrate::clock::Clock;

pub struct MemoryBus {
    clock: Arc<dyn Clock>,
    shards: BTreeMap<Stream, u32>,
    kept: Mutex<BTreeMap<(Stream, ShardId), Kept>>,
    /// Counts puts, so that readers at a tip look again.
    changes: watch::Sender<u64>,
    puts: PutCounts,
}

#[derive(Debug, Default)]
struct Kept {
    /// Records `n_dropped + 1 ..`, in order.
    records: Vec<BusRecord>,
    n_dropped: u64,
    dropped_until: Option<Time>,
}

impl Kept {
    fn extent(&self) -> Extent {
        Extent {
            oldest: self.n_dropped + 1,
            newest: self.n_dropped + self.records.len() as u64,
            dropped_until: self.dropped_until,
        }
    }

    /// A number within the extent.
    fn record(&self, number: u64) -> Result<&BusRecord, Error> {
        let at = usize::try_from(number - self.n_dropped - 1).unwrap_or(usize::MAX);
        self.records.get(at).ok_or_else(|| Error::Io {
            action: "read",
            source: format!("record {number} is not kept").into(),
        })
    }

    fn push(&mut self, record: PutRecord, now: Time) -> SequenceNumber {
        let sequence_number = SequenceNumber::from_u64(self.extent().newest + 1);
        let last = self.records.last().map_or(now, |it| it.arrived_at);
        self.records.push(BusRecord {
            sequence_number: sequence_number.clone(),
            partition_key: record.partition_key,
            arrived_at: last.max(now),
            data: record.data,
        });
        sequence_number
    }
}

impl MemoryBus {
    /// A bus of these streams, each with so many shards (at least 1).
    #[must_use]
    pub fn new(streams: &[(Stream, u32)], clock: Arc<dyn Clock>) -> MemoryBus {
        let mut kept = BTreeMap::new();
        for (stream, n_shards) in streams {
            for at in 0..*n_shards {
                kept.insert((*stream, route::shard_id(at)), Kept::default());
            }
        }
        MemoryBus {
            clock,
            shards: streams.iter().copied().collect(),
            kept: Mutex::new(kept),
            changes: watch::Sender::new(0),
            puts: PutCounts::default(),
        }
    }

    /// Drops what arrived before `cutoff`, the newest record of a shard excepted. Returns how many
    /// records were dropped.
    pub fn trim(&self, cutoff: Time) -> u64 {
        let mut n_dropped = 0;
        for kept in self.kept().values_mut() {
            let n_old = kept.records.partition_point(|it| it.arrived_at < cutoff);
            let n_old = n_old.min(kept.records.len().saturating_sub(1));
            if let Some(last) = kept.records.drain(..n_old).last() {
                kept.dropped_until = Some(last.arrived_at);
            }
            kept.n_dropped += n_old as u64;
            n_dropped += n_old as u64;
        }
        n_dropped
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(Stream, ShardId), Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        stream: Stream,
        shard: &ShardId,
        look: impl FnOnce(&Kept) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.shards.contains_key(&stream) {
            return Err(Error::NoSuchStream { stream });
        }
        match self.kept().get(&(stream, shard.clone())) {
            Some(kept) => look(kept),
            None => Err(Error::NoSuchShard {
                stream,
                shard_id: shard.clone(),
            }),
        }
    }

    fn read_now(
        &self,
        at: &ShardRef,
        from: &ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        let now = self.clock.now();
        self.with(at.stream, &at.shard_id, |kept| {
            let extent = kept.extent();
            let arrived_at = |number| kept.record(number).map(|it| it.arrived_at);
            let first = place::first_number(at, from, extent, arrived_at)?;
            place::fill(first, extent, limit, now, |number| {
                kept.record(number).cloned()
            })
        })
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        let Some(&n_shards) = self.shards.get(&stream) else {
            let code = RefusalCode::NoSuchStream;
            return vec![PutOutcome::Refused { code }; records.len()];
        };
        self.puts.add(records.len());
        let verdicts = admit::verdicts(&records);
        let now = self.clock.now();
        let mut kept = self.kept();
        let mut put = |record: PutRecord| {
            let at = route::shard_of(route::key_hash(&record.partition_key), n_shards);
            let shard_id = route::shard_id(at);
            let shard = kept.entry((stream, shard_id.clone())).or_default();
            PutOutcome::Stored(OriginOffset {
                stream,
                shard_id,
                sequence_number: shard.push(record, now),
            })
        };
        let outcomes = records
            .into_iter()
            .zip(verdicts)
            .map(|(record, verdict)| match verdict {
                Some(code) => PutOutcome::Refused { code },
                None => put(record),
            });
        let outcomes = outcomes.collect();
        drop(kept);
        self.changes.send_modify(|it| *it += 1);
        outcomes
    }

    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, Error> {
        let n_shards = self.shards.get(&stream);
        let n_shards = n_shards.ok_or(Error::NoSuchStream { stream })?;
        Ok(route::shards(*n_shards))
    }

    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        let at = ShardRef {
            stream,
            shard_id: shard.clone(),
        };
        let mut puts = self.changes.subscribe();
        let deadline = tokio::time::sleep(limit.wait_max);
        tokio::pin!(deadline);
        loop {
            puts.mark_unchanged();
            let batch = self.read_now(&at, &from, limit)?;
            if !batch.records.is_empty() || limit.wait_max.is_zero() {
                return Ok(batch);
            }
            tokio::select! {
                _ = puts.changed() => {}
                () = &mut deadline => return Ok(batch),
            }
        }
    }

    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, Error> {
        self.with(stream, shard, |kept| Ok(kept.extent().tip()))
    }

    fn puts(&self) -> Puts {
        self.puts.read()
    }
}
