//! The event bus: sharded, ordered, at-least-once logs (L5). Planes see this trait and nothing
//! of what carries it.

mod admit;
pub mod embedded;
pub mod kinesis;
pub mod memory;
mod place;
mod route;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::offset::{OriginOffset, Position, SequenceNumber, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;

/// One record to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutRecord {
    /// Records of one key stay in one shard, in order. 1..=256 characters.
    pub partition_key: String,
    pub data: Bytes,
}

/// What became of one record of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// Durable at this place.
    Stored(OriginOffset),
    /// Definitely not stored; may be sent again.
    Refused { code: RefusalCode },
    /// Stored or not: the bus did not say (`PUBLISH_AMBIGUOUS`).
    Unknown { cause: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The shard is over its rate; later is better.
    Throttled,
    /// An earlier record of the same key is not known to be stored, so this one was held back.
    HeldBack,
    /// Larger than [`RECORD_BYTES_MAX`].
    TooLarge,
    /// The partition key is empty or longer than [`PARTITION_KEY_CHARS_MAX`].
    KeyInvalid,
    /// The bus carries no such stream.
    NoSuchStream,
    /// The bus does not know us, or does not let us: credentials or rights.
    Denied,
    /// The bus is closing or out of room.
    Unavailable,
}

/// A shard and its lineage: a child is read when its parents are drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub shard_id: ShardId,
    pub parents: Vec<ShardId>,
    /// Inclusive range of the 128-bit key hash.
    pub hash_range: (u128, u128),
    pub is_closed: bool,
}

impl Shard {
    /// Its name among all shards; the stream is the one that it was listed of.
    #[must_use]
    pub fn of(&self, stream: Stream) -> ShardRef {
        ShardRef {
            stream,
            shard_id: self.shard_id.clone(),
        }
    }
}

/// Where a read begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReadFrom {
    Position(Position),
    /// The first record that arrived at or after this time, also when it is yet to arrive.
    ArrivedAt(Time),
}

impl fmt::Display for ReadFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFrom::Position(position) => fmt::Display::fmt(position, f),
            ReadFrom::ArrivedAt(time) => fmt::Display::fmt(time, f),
        }
    }
}

/// What a read may take.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// 0 is taken as 1: an empty batch says "at the tip" and nothing else.
    pub records_max: usize,
    /// A batch ends with the record that passes this many bytes, so it is never empty for size.
    pub bytes_max: usize,
    /// How long a read at the tip may wait for the next record before it answers empty; a bus may
    /// answer earlier.
    pub wait_max: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusRecord {
    pub sequence_number: SequenceNumber,
    pub partition_key: String,
    /// When the bus took it, by the bus's clock. On a bus of many machines that is approximate: who
    /// reads by time begins as much earlier as clocks may differ.
    pub arrived_at: Time,
    pub data: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatch {
    pub records: Vec<BusRecord>,
    /// Records known to lie behind this batch; 0 at the tip. A bus that only knows time says 1.
    pub behind_tip: u64,
    /// The age of the next unread record, where the bus tells; 0 at the tip.
    pub behind_ms: u64,
    /// The shard was closed by a reshard and this batch is its end.
    pub shard_end: bool,
}

/// As Kinesis: a record's data and key together.
pub const RECORD_BYTES_MAX: usize = 1_048_576;

/// As Kinesis: Unicode characters of a partition key.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bus carries no stream {stream}")]
    NoSuchStream { stream: Stream },
    #[error("stream {stream} has no shard {shard_id}")]
    NoSuchShard { stream: Stream, shard_id: ShardId },
    #[error(
        "records after {asked} in {stream}/{shard_id} were dropped by retention; the oldest kept is {oldest}"
    )]
    Trimmed {
        stream: Stream,
        shard_id: ShardId,
        asked: ReadFrom,
        oldest: SequenceNumber,
    },
    /// The reader's position and this log do not belong together, such as a log restored from an
    /// older copy: to wait for the number to come up again would skip what is written until then.
    #[error("position {asked} in {stream}/{shard_id} lies beyond the newest record {tip}")]
    BeyondTip {
        stream: Stream,
        shard_id: ShardId,
        asked: SequenceNumber,
        tip: Position,
    },
    /// What is stored is not what was written.
    #[error("the log was altered: {what}")]
    Altered { what: String },
    #[error("{action} on the bus failed")]
    Io {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[async_trait]
pub trait Bus: Send + Sync {
    /// Puts the records of each partition key in order; which of two keys comes first is the bus's
    /// choice. The answer has one outcome a record, in the order of the records. Within one call a
    /// record that is not stored holds back later ones of its key. Returns once every `Stored`
    /// record is durable. A full bus makes the caller wait, or refuses. Dropping the future takes
    /// nothing back: its records may be stored (L5).
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome>;

    /// Every shard that may still hold records, parents before children.
    ///
    /// # Errors
    /// [`Error::NoSuchStream`] when the bus does not carry the stream.
    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, Error>;

    /// Records from a place on, in order. An empty batch means: at the tip for `wait_max`.
    ///
    /// # Errors
    /// [`Error::Trimmed`] when records that the read asks for were dropped by retention: those
    /// after its position, or such as may have arrived at or after its time, where the bus can
    /// tell. A reader never jumps silently. `Position::Start` asks for what is kept, and is never
    /// trimmed. Where numbers are not dense, a position whose own record is gone counts as trimmed,
    /// unless the bus knows that nothing went with it. [`Error::BeyondTip`] when the position is
    /// ahead of the log, or of another one.
    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error>;

    /// The position of the newest record, `Start` where none is kept: what a run pins at its start.
    /// What is put after the call is read from there.
    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, Error>;

    /// Tells what an earlier reader knew for sure: all that had arrived by `seen_at` lies before
    /// the position. A bus whose numbers are not dense tells by it a shard where nothing was put
    /// from one that retention has cut; others need not know.
    fn recall(&self, _shard: &ShardRef, _position: &Position, _seen_at: Time) {}

    /// What was put since the bus was opened.
    fn puts(&self) -> Puts;
}

/// How many requests carried how many records, refused ones and repeats included: what a bus asks to be
/// paid for. Of an embedded log a request is what one sync made durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Puts {
    pub requests: u64,
    pub records: u64,
}

#[derive(Debug, Default)]
struct PutCounts {
    requests: AtomicU64,
    records: AtomicU64,
}

impl PutCounts {
    fn add(&self, n_records: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(n_records as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Puts {
        Puts {
            requests: self.requests.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
        }
    }
}
