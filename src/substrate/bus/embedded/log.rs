//! The log on disk: one `fjall` keyspace a shard, key = sequence number, value = frame; and a
//! keyspace of facts about the log itself. Blocking; knows nothing of waiting callers.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey,
    UserValue,
};
use tokio::sync::watch;

use crate::domain::offset::{SequenceNumber, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::embedded::frame::{self, Frame};
use crate::substrate::bus::embedded::inspect::{self, Newest};
use crate::substrate::bus::embedded::writer::{Commit, Failure, Queued};
use crate::substrate::bus::place::{self, Extent};
use crate::substrate::bus::{BusRecord, Error, ReadBatch, ReadFrom, ReadLimit, route};

/// Unflushed records of one shard. Larger tables mean fewer flushes; measured against 16 MiB it
/// costs a sixth less CPU a record.
const MEMTABLE_BYTES_MAX: u64 = 32 << 20;
/// The journal, and with it the unflushed records of all shards together, stays near this size;
/// it is also what a start after a crash reads again.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;
/// Reads are scans, so large blocks: less index, better compression.
const BLOCK_BYTES: u32 = 32 << 10;
/// One flushes while the other moves tables; keys only grow, so nothing is ever merged.
const WORKERS: usize = 2;

const FACTS: &str = "facts";

/// The newest record of a shard that is durable; number 0 before there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) number: u64,
    pub(super) arrived_at: Time,
}

/// The front of a shard, moved by retention.
#[derive(Debug, Clone, Copy)]
struct Front {
    oldest: u64,
    dropped_until: Option<Time>,
}

pub(super) struct ShardLog {
    pub(super) at: ShardRef,
    keyspace: Keyspace,
    /// What readers may see. Written by the commit, after its fsync.
    pub(super) tip: watch::Sender<Tip>,
    front: RwLock<Front>,
}

pub(super) struct Log {
    db: Database,
    facts: Keyspace,
    pub(super) shards: Vec<Arc<ShardLog>>,
    /// The first shard of a stream in `shards`, and how many it has.
    streams: BTreeMap<Stream, (usize, u32)>,
}

/// Why the store in a directory is not opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// What a stream was created with, against what it is asked to have.
    ShardCount {
        stream: Stream,
        recorded: u32,
        asked: u32,
    },
    Altered(String),
    Locked,
    Io(Box<dyn std::error::Error + Send + Sync>),
}

impl From<inspect::Error> for Refused {
    fn from(error: inspect::Error) -> Refused {
        match error {
            inspect::Error::Altered { .. } => Refused::Altered(error.to_string()),
            inspect::Error::Io { .. } => Refused::Io(Box::new(error)),
        }
    }
}

impl From<fjall::Error> for Refused {
    fn from(error: fjall::Error) -> Refused {
        match error {
            fjall::Error::Locked => Refused::Locked,
            error if is_of_the_disk(&error) => Refused::Io(Box::new(error)),
            error => Refused::Altered(format!("the store refuses it: {error}")),
        }
    }
}

impl Log {
    /// Opens the store in `dir`, which holds what `newest` says at least, creates the streams that it lacks, and makes
    /// what a crash left in the page cache durable before anyone may read it.
    pub(super) fn open(
        dir: &Path,
        newest: &Newest,
        streams: &[(Stream, u32)],
    ) -> Result<Log, Refused> {
        let db = Database::builder(dir)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()?;
        db.persist(PersistMode::SyncAll)?;
        let facts = db.keyspace(FACTS, KeyspaceCreateOptions::default)?;
        holds(&facts, newest)?;
        let mut log = Log {
            db,
            facts,
            shards: Vec::new(),
            streams: BTreeMap::new(),
        };
        for &(stream, n_shards) in streams {
            log.open_stream(newest, stream, n_shards)?;
        }
        Ok(log)
    }

    fn open_stream(&mut self, newest: &Newest, stream: Stream, asked: u32) -> Result<(), Refused> {
        let fact = format!("shards/{stream}");
        let recorded = match self.facts.get(&fact)? {
            Some(bytes) => Some(u32::from_be_bytes(fixed(&bytes)?)),
            None => None,
        };
        if let Some(recorded) = recorded.filter(|recorded| *recorded != asked) {
            return Err(Refused::ShardCount {
                stream,
                recorded,
                asked,
            });
        }
        self.streams.insert(stream, (self.shards.len(), asked));
        for at in 0..asked {
            let shard_id = route::shard_id(at);
            let shard = self.open_shard(newest, ShardRef { stream, shard_id })?;
            self.shards.push(Arc::new(shard));
        }
        if recorded.is_none() {
            // After its keyspaces, so that a crash in between leaves only empty ones.
            self.record(&fact, &asked.to_be_bytes())?;
        }
        Ok(())
    }

    fn open_shard(&self, newest: &Newest, at: ShardRef) -> Result<ShardLog, Refused> {
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES_MAX)
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                // Tables are written once and only ever moved: what is not compressed then never is.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::None))
        };
        let keyspace = self.db.keyspace(&at.to_string(), options)?;
        holds(&keyspace, newest)?;
        let tip = match keyspace.last_key_value() {
            None => Tip {
                number: 0,
                arrived_at: Time::from_micros(i64::MIN),
            },
            Some(last) => {
                let (key, value) = last.into_inner()?;
                let frame = frame::decode(&value).map_err(|it| Refused::Altered(it.to_string()))?;
                Tip {
                    number: u64::from_be_bytes(fixed(&key)?),
                    arrived_at: frame.arrived_at,
                }
            }
        };
        let front = match self.facts.get(front_fact(&at))? {
            None => Front {
                oldest: 1,
                dropped_until: None,
            },
            Some(bytes) => {
                let (oldest, dropped_until) = bytes.split_at_checked(8).unwrap_or((&[], &bytes));
                Front {
                    oldest: u64::from_be_bytes(fixed(oldest)?),
                    dropped_until: Some(Time::from_micros(i64::from_be_bytes(fixed(
                        dropped_until,
                    )?))),
                }
            }
        };
        Ok(ShardLog {
            at,
            keyspace,
            tip: watch::Sender::new(tip),
            front: RwLock::new(front),
        })
    }

    fn record(&self, fact: &str, value: &[u8]) -> Result<(), fjall::Error> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.facts, fact, value);
        batch.commit()
    }

    /// How many shards a stream has, and where they begin in `shards`.
    pub(super) fn stream(&self, stream: Stream) -> Option<(usize, u32)> {
        self.streams.get(&stream).copied()
    }

    pub(super) fn shard(&self, stream: Stream, id: &ShardId) -> Result<Arc<ShardLog>, Error> {
        let (first, n_shards) = self.stream(stream).ok_or(Error::NoSuchStream { stream })?;
        self.shards[first..first + n_shards as usize]
            .iter()
            .find(|shard| shard.at.shard_id == *id)
            .cloned()
            .ok_or_else(|| Error::NoSuchShard {
                stream,
                shard_id: id.clone(),
            })
    }

    /// Drops the records of a shard that arrived before `cutoff`, but never the newest. Returns
    /// how many are no longer readable; their space is freed a whole table at a time.
    pub(super) fn trim(&self, shard: &ShardLog, cutoff: Time) -> Result<u64, Error> {
        let extent = shard.extent();
        let oldest = place::first_arrival(cutoff, extent, |number| shard.arrived_at(number))?
            .min(extent.newest);
        if oldest <= extent.oldest {
            return Ok(0);
        }
        let dropped_until = shard.arrived_at(oldest - 1)?;
        let mut value = [0u8; 16];
        value[..8].copy_from_slice(&oldest.to_be_bytes());
        value[8..].copy_from_slice(&dropped_until.micros().to_be_bytes());
        // The fact comes first: a crash after it leaves records that nobody can read.
        self.record(&front_fact(&shard.at), &value)
            .map_err(io("trim"))?;
        *shard.front.write().unwrap_or_else(PoisonError::into_inner) = Front {
            oldest,
            dropped_until: Some(dropped_until),
        };
        let dropped = ..oldest.to_be_bytes();
        shard
            .keyspace
            .tree
            .drop_range::<[u8; 8], _>(dropped)
            .map_err(|source| io("trim")(source.into()))?;
        // The store lets go of dropped tables when, after a later write, some table in memory is
        // put away. The same fact again is that write, and the facts are the smallest table.
        self.record(&front_fact(&shard.at), &value)
            .and_then(|()| self.facts.rotate_memtable())
            .map_err(io("trim"))?;
        Ok(oldest - extent.oldest)
    }

    /// Makes everything durable; for a clean end.
    pub(super) fn sync(&self) -> Result<(), fjall::Error> {
        self.db.persist(PersistMode::SyncAll)
    }
}

impl Commit for Log {
    /// One batch over all shards, one `fdatasync`. It carries the data and what is needed to read
    /// it back: the journal's blocks and length. Its directory entry was synced at its creation.
    fn commit(&self, records: &[Queued], now: Time) -> Result<Vec<u64>, Failure> {
        let mut tips: Vec<Tip> = self.shards.iter().map(|it| *it.tip.borrow()).collect();
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        let mut numbers = Vec::with_capacity(records.len());
        let mut bytes = Vec::new();
        for record in records {
            let tip = &mut tips[record.shard];
            tip.number += 1;
            // Times may step back, arrival may not: a read by time bisects.
            tip.arrived_at = tip.arrived_at.max(now);
            let frame = Frame {
                arrived_at: tip.arrived_at,
                partition_key: &record.partition_key,
                data: &record.data,
            };
            frame::encode(&mut bytes, &frame);
            let keyspace = &self.shards[record.shard].keyspace;
            let key = UserKey::from(tip.number.to_be_bytes());
            batch.insert(keyspace, key, UserValue::from(bytes.as_slice()));
            numbers.push(tip.number);
        }
        batch.commit().map_err(|error| match error {
            // Said before anything is written.
            fjall::Error::Poisoned => Failure::Refused,
            error => Failure::Unknown(error.to_string()),
        })?;
        for (shard, tip) in self.shards.iter().zip(tips) {
            shard
                .tip
                .send_if_modified(|it| std::mem::replace(it, tip) != tip);
        }
        Ok(numbers)
    }
}

impl ShardLog {
    pub(super) fn extent(&self) -> Extent {
        // The front first: it only grows, and never past the tip, so the pair is never torn.
        let front = *self.front.read().unwrap_or_else(PoisonError::into_inner);
        Extent {
            oldest: front.oldest,
            newest: self.tip.borrow().number,
            dropped_until: front.dropped_until,
        }
    }

    fn arrived_at(&self, number: u64) -> Result<Time, Error> {
        let value = self
            .keyspace
            .get(number.to_be_bytes())
            .map_err(io("read"))?;
        let value = value.ok_or_else(|| self.hole(number))?;
        let frame = frame::decode(&value).map_err(|it| self.altered(number, &it))?;
        Ok(frame.arrived_at)
    }

    /// What is there now; never waits.
    pub(super) fn read(
        &self,
        from: &ReadFrom,
        limit: ReadLimit,
        now: Time,
    ) -> Result<ReadBatch, Error> {
        let read = || {
            let extent = self.extent();
            let first = place::first_number(&self.at, from, extent, |it| self.arrived_at(it))?;
            if extent.newest < first {
                return place::fill(first, extent, limit, now, |it| Err(self.hole(it)));
            }
            let range = first.to_be_bytes()..=extent.newest.to_be_bytes();
            let mut stored = self.keyspace.range(range);
            place::fill(first, extent, limit, now, |number| {
                let (key, value) = match stored.next() {
                    Some(record) => record.into_inner().map_err(io("read"))?,
                    None => return Err(self.hole(number)),
                };
                if key[..] != number.to_be_bytes() {
                    return Err(self.hole(number));
                }
                let frame = frame::decode(&value).map_err(|it| self.altered(number, &it))?;
                Ok(BusRecord {
                    sequence_number: SequenceNumber::from_u64(number),
                    partition_key: frame.partition_key.to_owned(),
                    arrived_at: frame.arrived_at,
                    data: frame.data_owned(),
                })
            })
        };
        let oldest = self.extent().oldest;
        let answer = told(read);
        if answer.is_err() && oldest != self.extent().oldest {
            // Retention ran through under this read; the second answer says so.
            return told(read);
        }
        answer
    }

    fn hole(&self, number: u64) -> Error {
        let what = format!("record {number} of {} is missing", self.at);
        Error::Altered { what }
    }

    fn altered(&self, number: u64, cause: &frame::Error) -> Error {
        let what = format!("record {number} of {}: {cause}", self.at);
        Error::Altered { what }
    }
}

/// Where the store's library gives up instead of answering, this answers. A read holds none of its locks for writing,
/// so nothing is left behind that a later call would stumble over.
fn told<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let what = "the store's library gave up on a block".to_owned();
        Err(Error::Altered { what })
    })
}

/// The store skips what it takes for stored already, by a number that nothing covers.
fn holds(keyspace: &Keyspace, newest: &Newest) -> Result<(), Refused> {
    let dir = keyspace.path();
    let id = dir.file_name().and_then(|it| it.to_str());
    let Some(item) = id.and_then(|it| newest.get(&it.parse().ok()?)) else {
        return Ok(());
    };
    match keyspace.get(&item.key)? {
        Some(value) if item.is(&value) => Ok(()),
        _ => {
            let what = format!("{} lacks what a journal holds for it", dir.display());
            Err(Refused::Altered(what))
        }
    }
}

/// Whether the disk failed, as against what it gave.
fn is_of_the_disk(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(cause) | fjall::Error::Storage(fjall::LsmError::Io(cause)) => {
            cause.kind() != std::io::ErrorKind::UnexpectedEof
        }
        fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted => true,
        _ => false,
    }
}

fn front_fact(at: &ShardRef) -> String {
    format!("front/{at}")
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Refused> {
    bytes.try_into().map_err(|_| {
        let what = format!("{} stored bytes where {N} belong", bytes.len());
        Refused::Altered(what)
    })
}

pub(super) fn io(action: &'static str) -> impl Fn(fjall::Error) -> Error {
    move |source| match is_of_the_disk(&source) {
        true => Error::Io {
            action,
            source: Box::new(source),
        },
        false => Error::Altered {
            what: source.to_string(),
        },
    }
}
