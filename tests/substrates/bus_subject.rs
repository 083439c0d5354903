//! A bus under test, and how tests put to it and read from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fraudplat::domain::offset::{OriginOffset, Position, SequenceNumber, ShardId};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::bus::{Bus, BusRecord, PutOutcome, PutRecord, ReadFrom, ReadLimit};
use fraudplat::substrate::clock::SetClock;

pub(crate) const STREAM: Stream = Stream::Traffic;
pub(crate) const OTHER: Stream = Stream::Labels;
pub(crate) const SHARDS: u32 = 4;
pub(crate) const T0: Time = Time::from_micros(1_700_000_000_000_000);
/// Long enough for a slow machine; a test that passes does not wait for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);
/// How long a read that is to be woken may wait: less than the minute after which every read returns.
pub(crate) const WAIT: Duration = Duration::from_secs(50);

pub(crate) type Trim = Box<dyn Fn(Time) -> Pin<Box<dyn Future<Output = u64> + Send>> + Send + Sync>;

/// What dates the records.
pub(crate) enum BusClock {
    /// The test. Such a bus is of our own: it counts what lies behind, and its times never go back.
    Set(SetClock),
    /// The server, in whole milliseconds.
    Servers,
}

impl BusClock {
    /// The clock stands at `ms` after [`T0`], or at another time than before.
    pub(crate) async fn stand_at(&self, ms: u64) {
        match self {
            BusClock::Set(clock) => clock.set(T0.plus_ms(ms)),
            BusClock::Servers => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, BusClock::Set(_))
    }
}

/// A bus under test.
pub(crate) struct Subject {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: BusClock,
    /// Drops what arrived before a time; `None` where that is not ours to do.
    pub(crate) trim: Option<Trim>,
}

pub(crate) fn record(key: &str, data: impl Into<Bytes>) -> PutRecord {
    PutRecord {
        partition_key: key.to_owned(),
        data: data.into(),
    }
}

/// Records of one key hold their number as text.
pub(crate) fn numbered(key: &str, n_records: usize) -> Vec<PutRecord> {
    (0..n_records)
        .map(|it| record(key, it.to_string()))
        .collect()
}

pub(crate) fn limit(records_max: usize, wait_max: Duration) -> ReadLimit {
    ReadLimit {
        records_max,
        bytes_max: 64 << 20,
        wait_max,
    }
}

pub(crate) const ALL: ReadLimit = ReadLimit {
    records_max: 1_000_000,
    bytes_max: 64 << 20,
    wait_max: Duration::ZERO,
};

pub(crate) fn stored(outcome: &PutOutcome) -> &OriginOffset {
    match outcome {
        PutOutcome::Stored(offset) => offset,
        other => panic!("not stored: {other:?}"),
    }
}

pub(crate) const START: ReadFrom = ReadFrom::Position(Position::Start);

pub(crate) fn after(number: &SequenceNumber) -> ReadFrom {
    ReadFrom::Position(Position::After(number.clone()))
}

pub(crate) async fn shard_ids(bus: &dyn Bus, stream: Stream) -> Vec<ShardId> {
    let shards = bus.shards(stream).await.unwrap();
    shards.into_iter().map(|it| it.shard_id).collect()
}

/// All records of a shard, read in batches of `records_max`.
pub(crate) async fn drain(
    bus: &dyn Bus,
    stream: Stream,
    shard: &ShardId,
    records_max: usize,
) -> Vec<BusRecord> {
    let mut records: Vec<BusRecord> = Vec::new();
    loop {
        let from = records
            .last()
            .map_or(START, |it| after(&it.sequence_number));
        let batch = bus
            .read(stream, shard, from, limit(records_max, Duration::ZERO))
            .await;
        let batch = batch.unwrap();
        if batch.records.is_empty() {
            assert_eq!((batch.behind_tip, batch.behind_ms), (0, 0));
            return records;
        }
        assert!(batch.records.len() <= records_max);
        records.extend(batch.records);
    }
}
