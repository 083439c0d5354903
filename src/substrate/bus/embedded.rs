//! The bus of one machine: a sharded, durable, group-committed log in a directory. `Stored` is
//! said after the fsync, and readers see nothing that is not durable.

mod frame;
mod inspect;
mod log;
mod writer;

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{RwLock, RwLockReadGuard, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::domain::offset::{OriginOffset, Position, SequenceNumber, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::embedded::inspect::Newest;
use crate::substrate::bus::embedded::log::{Log, Refused, ShardLog};
use crate::substrate::bus::embedded::writer::{Failure, Queued, QueuedPut};
use crate::substrate::bus::{
    self, Bus, PutCounts, PutOutcome, PutRecord, Puts, ReadBatch, ReadFrom, ReadLimit, RefusalCode,
    Shard, admit, route,
};
use crate::substrate::clock::Clock;

/// Puts that wait for the commit before theirs; a further one waits for room.
const QUEUE_PUTS_MAX: usize = 4_096;
/// Bytes of records that wait; a put that is larger waits until it is alone.
const QUEUE_BYTES_MAX: u32 = 64 << 20;
/// A read this close to the tip finds its records in memory and is not worth a change of threads.
const HOT_RECORDS_MAX: u64 = 4_096;
/// The longest that a read waits at the tip, whatever it asks.
const READ_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often and after what pause a directory is asked for that another bus still has.
const LOCK_TRIES_MAX: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Shard ids have six digits, but each shard costs a memtable and file handles.
const SHARDS_MAX: u32 = 1_024;

/// Why a bus cannot be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "stream {stream} was created with {recorded} shards and is opened with {asked}: the embedded log cannot be resharded"
    )]
    ShardCount {
        stream: Stream,
        recorded: u32,
        asked: u32,
    },
    #[error("stream {stream} is listed with {asked} shards; 1 to 1024 are possible, once a stream")]
    Options { stream: Stream, asked: u32 },
    #[error("another process has the log in {dir} open")]
    Locked { dir: String },
    #[error("the log in {dir} was altered: {what}")]
    Altered { dir: String, what: String },
    #[error("{action} of the log in {dir} failed")]
    Io {
        action: &'static str,
        dir: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How a stream is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    pub stream: Stream,
    /// 1..=1024, fixed when the stream is first opened.
    pub shards: u32,
    /// Records older than this are dropped by [`EmbeddedBus::trim`]; `None` keeps all.
    pub retention: Option<Duration>,
}

pub struct Options {
    /// A stream that is not listed is not served; its records stay.
    pub streams: Vec<StreamOptions>,
    pub clock: Arc<dyn Clock>,
}

/// Keep it in an `Arc`; end it with [`EmbeddedBus::close`]. A bus that is merely dropped loses
/// nothing acknowledged, but gives its directory free only some time later.
pub struct EmbeddedBus {
    dir: String,
    options: Options,
    /// Every call holds it for reading as long as it runs, so that the end waits for them all.
    open: RwLock<Option<Open>>,
    room: Arc<Semaphore>,
    /// Wakes readers that wait at a tip.
    is_closing: watch::Sender<bool>,
    puts: Arc<PutCounts>,
}

struct Open {
    log: Arc<Log>,
    queue: mpsc::Sender<QueuedPut>,
    writer: JoinHandle<()>,
}

impl EmbeddedBus {
    /// Opens the log in `path`, creating both when absent. Blocks on the disk: after a crash it
    /// reads the journal again, at most some 256 MiB.
    ///
    /// # Errors
    /// See [`Error`]; nothing is changed then, apart from streams created before the fault.
    pub fn open(path: &Path, options: Options) -> Result<EmbeddedBus, Error> {
        let streams = layout(&options)?;
        let dir = path.display().to_string();
        let log = open_log(path, &dir, &streams)?;
        let (queue, queued) = mpsc::channel(QUEUE_PUTS_MAX);
        let puts = Arc::new(PutCounts::default());
        let writer = {
            let (log, clock, puts) = (log.clone(), options.clock.clone(), puts.clone());
            std::thread::Builder::new()
                .name("bus-writer".to_owned())
                .spawn(move || writer::run(&log, &clock, &puts, queued))
                .map_err(|source| io_error("open", &dir, source))?
        };
        Ok(EmbeddedBus {
            dir,
            options,
            open: RwLock::new(Some(Open { log, queue, writer })),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)),
            is_closing: watch::Sender::new(false),
            puts,
        })
    }

    /// Drops what is older than each stream's retention, the newest record of a shard excepted, so
    /// that its tip stays known. Returns how many records were dropped.
    ///
    /// # Errors
    /// When the disk fails, or the bus is closed.
    pub async fn trim(&self, now: Time) -> Result<u64, bus::Error> {
        let mut n_dropped = 0;
        for &StreamOptions {
            stream, retention, ..
        } in &self.options.streams
        {
            let Some(retention) = retention else {
                continue;
            };
            let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
            let cutoff = now.minus_micros(micros);
            let log = self.opened("trim").await?.log.clone();
            n_dropped += blocking("trim", move || {
                let (first, n_shards) = log.stream(stream).unwrap_or_default();
                let shards = &log.shards[first..first + n_shards as usize];
                shards
                    .iter()
                    .map(|shard| log.trim(shard, cutoff))
                    .sum::<Result<u64, _>>()
            })
            .await?;
        }
        Ok(n_dropped)
    }

    /// Takes no more puts, answers those that wait, and gives the directory free. A second call
    /// does nothing.
    ///
    /// # Errors
    /// When the last sync fails; what was acknowledged was durable before.
    pub async fn close(&self) -> Result<(), Error> {
        self.is_closing.send_replace(true);
        let Some(Open { log, queue, writer }) = self.open.write().await.take() else {
            return Ok(());
        };
        drop(queue);
        let ended = tokio::task::spawn_blocking(move || {
            let ended = writer.join();
            let synced = log.sync();
            ended
                .map_err(|_| io::Error::other("the writer panicked"))
                .and(Ok(synced))
        });
        let failed = |source| io_error("close", &self.dir, source);
        match ended.await.map_err(io::Error::other).flatten() {
            // A log that failed before has said so to its callers; there is nothing to sync.
            Ok(Ok(()) | Err(fjall::Error::Poisoned)) => Ok(()),
            Ok(Err(source)) => Err(failed(io::Error::other(source))),
            Err(source) => Err(failed(source)),
        }
    }

    async fn opened(&self, action: &'static str) -> Result<RwLockReadGuard<'_, Open>, bus::Error> {
        let open = self.open.read().await;
        RwLockReadGuard::try_map(open, Option::as_ref).map_err(|_| closed(action))
    }

    /// Queues routed records and waits until they are durable.
    async fn commit(&self, open: &Open, records: Vec<Queued>) -> Result<Vec<u64>, Failure> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let n_bytes: usize = records
            .iter()
            .map(|it| it.partition_key.len() + it.data.len())
            .sum();
        let n_bytes = u32::try_from(n_bytes)
            .unwrap_or(u32::MAX)
            .min(QUEUE_BYTES_MAX);
        let room = self.room.clone().acquire_many_owned(n_bytes).await;
        let room = room.map_err(|_| Failure::Refused)?;
        let (reply, answer) = oneshot::channel();
        let put = QueuedPut {
            records,
            reply,
            room,
        };
        open.queue.send(put).await.map_err(|_| Failure::Refused)?;
        let lost = |_| Failure::Unknown("the writer ended without an answer".to_owned());
        answer.await.map_err(lost)?
    }

    async fn read_now(
        &self,
        shard: &Arc<ShardLog>,
        from: &ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, bus::Error> {
        let now = self.options.clock.now();
        let is_hot = match from {
            ReadFrom::Position(Position::After(read)) => {
                let read: u64 = read.as_str().parse().unwrap_or_default();
                shard.extent().newest.saturating_sub(read) <= HOT_RECORDS_MAX
            }
            ReadFrom::Position(Position::Start) => shard.extent().newest <= HOT_RECORDS_MAX,
            ReadFrom::ArrivedAt(_) => false,
        };
        if is_hot {
            return shard.read(from, limit, now);
        }
        let (shard, from) = (shard.clone(), from.clone());
        blocking("read", move || shard.read(&from, limit, now)).await
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn put_records(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<PutOutcome> {
        let refuse_all = |code| vec![PutOutcome::Refused { code }; records.len()];
        let Ok(open) = self.opened("put").await else {
            return refuse_all(RefusalCode::Unavailable);
        };
        let Some((first, n_shards)) = open.log.stream(stream) else {
            return refuse_all(RefusalCode::NoSuchStream);
        };
        let mut outcomes = Vec::with_capacity(records.len());
        let mut routed = Vec::with_capacity(records.len());
        let mut places = Vec::with_capacity(records.len());
        let verdicts = admit::verdicts(&records);
        for (record, verdict) in records.into_iter().zip(verdicts) {
            // The outcome of a good record stands here until its number is known.
            let code = verdict.unwrap_or(RefusalCode::Unavailable);
            if verdict.is_none() {
                let at = route::shard_of(route::key_hash(&record.partition_key), n_shards);
                places.push((outcomes.len(), at));
                routed.push(Queued {
                    shard: first + at as usize,
                    partition_key: record.partition_key,
                    data: record.data,
                });
            }
            outcomes.push(PutOutcome::Refused { code });
        }
        match self.commit(&open, routed).await {
            Ok(numbers) => {
                for ((place, at), number) in places.into_iter().zip(numbers) {
                    outcomes[place] = PutOutcome::Stored(OriginOffset {
                        stream,
                        shard_id: route::shard_id(at),
                        sequence_number: SequenceNumber::from_u64(number),
                    });
                }
            }
            Err(Failure::Refused) => {}
            Err(Failure::Unknown(cause)) => {
                for (place, _) in places {
                    outcomes[place] = PutOutcome::Unknown {
                        cause: cause.clone(),
                    };
                }
            }
        }
        outcomes
    }

    async fn shards(&self, stream: Stream) -> Result<Vec<Shard>, bus::Error> {
        let open = self.opened("listing shards").await?;
        let of_stream = open.log.stream(stream);
        let (_, n_shards) = of_stream.ok_or(bus::Error::NoSuchStream { stream })?;
        Ok(route::shards(n_shards))
    }

    async fn read(
        &self,
        stream: Stream,
        shard: &ShardId,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, bus::Error> {
        let open = self.opened("read").await?;
        let shard = open.log.shard(stream, shard)?;
        let (mut tip, mut is_closing) = (shard.tip.subscribe(), self.is_closing.subscribe());
        let deadline = Instant::now() + limit.wait_max.min(READ_WAIT_MAX);
        loop {
            tip.mark_unchanged();
            let batch = self.read_now(&shard, &from, limit).await?;
            if !batch.records.is_empty() || limit.wait_max.is_zero() {
                return Ok(batch);
            }
            tokio::select! {
                _ = tip.changed() => {}
                _ = is_closing.wait_for(|it| *it) => return Err(closed("read")),
                () = tokio::time::sleep_until(deadline) => return Ok(batch),
            }
        }
    }

    async fn tip(&self, stream: Stream, shard: &ShardId) -> Result<Position, bus::Error> {
        let open = self.opened("reading the tip").await?;
        Ok(open.log.shard(stream, shard)?.extent().tip())
    }

    fn puts(&self) -> Puts {
        self.puts.read()
    }
}

/// Each stream once, with a possible number of shards.
fn layout(options: &Options) -> Result<Vec<(Stream, u32)>, Error> {
    let mut streams: Vec<(Stream, u32)> = Vec::new();
    for &StreamOptions { stream, shards, .. } in &options.streams {
        let is_listed = streams.iter().any(|(listed, _)| *listed == stream);
        if is_listed || !(1..=SHARDS_MAX).contains(&shards) {
            return Err(Error::Options {
                stream,
                asked: shards,
            });
        }
        streams.push((stream, shards));
    }
    Ok(streams)
}

/// A store is made beside its place and moved there when it is whole: one that is killed in the
/// middle of its creation could not be opened again.
fn open_log(path: &Path, dir: &str, streams: &[(Stream, u32)]) -> Result<Arc<Log>, Error> {
    let (place, nursery) = (path.join("log"), path.join("log.new"));
    let failed = |source: io::Error| io_error("open", dir, source);
    if !place.try_exists().map_err(failed)? {
        if nursery.try_exists().map_err(failed)? {
            fs::remove_dir_all(&nursery).map_err(failed)?;
        }
        fs::create_dir_all(path).map_err(failed)?;
        drop(Log::open(&nursery, &Newest::new(), streams).map_err(|it| refused(it, dir))?);
        fs::rename(&nursery, &place).map_err(failed)?;
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        for made in [Some(path), parent].into_iter().flatten() {
            File::open(made)
                .and_then(|it| it.sync_all())
                .map_err(failed)?;
        }
    }
    let opened = inspect_alone(&place).and_then(|newest| {
        // What is left for the library to give up on lies behind its own checksums, and in a tree that no lock covers.
        let open = AssertUnwindSafe(|| Log::open(&place, &newest, streams));
        catch_unwind(open).unwrap_or_else(|_| {
            let what = "the store's library gave up on it".to_owned();
            Err(Refused::Altered(what))
        })
    });
    Ok(Arc::new(opened.map_err(|it| refused(it, dir))?))
}

/// Inspects the store while nobody else has it: files that are written to are not as they should be.
fn inspect_alone(place: &Path) -> Result<Newest, Refused> {
    let lock = place.join("lock");
    let file = File::open(&lock).map_err(|it| Refused::Io(Box::new(it)))?;
    // A bus that was dropped gives its directory free some time later.
    for _ in 0..LOCK_TRIES_MAX {
        match file.try_lock() {
            Ok(()) => {
                let inspected = inspect::inspect(place);
                // The store locks next. Closing alone is not enough: a child that another thread is just starting
                // holds the same open file until its exec.
                let unlocked = file.unlock();
                unlocked.map_err(|it| Refused::Io(Box::new(it)))?;
                return Ok(inspected?);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(Refused::Io(Box::new(error))),
        }
    }
    Err(Refused::Locked)
}

fn refused(refused: Refused, dir: &str) -> Error {
    let dir = dir.to_owned();
    match refused {
        Refused::ShardCount {
            stream,
            recorded,
            asked,
        } => Error::ShardCount {
            stream,
            recorded,
            asked,
        },
        Refused::Altered(what) => Error::Altered { dir, what },
        Refused::Locked => Error::Locked { dir },
        Refused::Io(source) => Error::Io {
            action: "open",
            dir,
            source,
        },
    }
}

fn io_error(action: &'static str, dir: &str, source: io::Error) -> Error {
    Error::Io {
        action,
        dir: dir.to_owned(),
        source: Box::new(source),
    }
}

fn closed(action: &'static str) -> bus::Error {
    bus::Error::Io {
        action,
        source: "the bus is closed".into(),
    }
}

/// Runs what touches the disk away from the threads that serve.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, bus::Error> + Send + 'static,
) -> Result<T, bus::Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|source| {
        Err(bus::Error::Io {
            action,
            source: Box::new(source),
        })
    })
}
