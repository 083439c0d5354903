//! Archives one leased shard: reads ahead of its position, and writes out what it holds when that
//! is full, old, asked for, or the end.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::groups;
use crate::domain::offset::{Position, ShardRef};
use crate::domain::time::Time;
use crate::law;
use crate::rtdl::archive::hold::{self, Hold, Made};
use crate::rtdl::archive::role::Options;
use crate::runtime::archive::{Error as ArchiveError, FlushAsked};
use crate::runtime::commit::{self, Effects};
use crate::runtime::consumer::Error;
use crate::runtime::ground::Ground;
use crate::runtime::lease::{LEASE_MS, Lease};
use crate::runtime::lineage;
use crate::runtime::partitions::Partitions;
use crate::substrate::bus::{ReadBatch, ReadFrom, ReadLimit};
use crate::substrate::db::{Day, Transaction};
use crate::substrate::objects::{ObjectKey, Put};

const APPEND: &str = include_str!("sql/append_segments.sql");

/// What one read takes; the hold is filled by several.
const READ_RECORDS_MAX: usize = 5_000;
const READ_BYTES_MAX: usize = 4 << 20;
/// How long a read waits at the tip. Bells and the stop interrupt it.
const READ_WAIT: Duration = Duration::from_millis(500);
/// A third of the lease: two renewals may fail before it lapses.
const RENEW_EVERY: Duration = Duration::from_millis(LEASE_MS as u64 / 3);

pub(super) struct Writer {
    pub(super) ground: Ground,
    pub(super) options: Options,
    pub(super) partitions: Partitions,
    pub(super) flush: FlushAsked,
}

/// What a turn of the loop met.
enum Met {
    Read(ReadBatch),
    Asked,
    Stop,
}

impl Writer {
    /// Archives until stopped; then what it holds is written out and the lease released.
    pub(super) async fn run(
        mut self,
        shard: ShardRef,
        mut lease: Lease,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let position = lease.position.parse::<Position>();
        let mut read_to = position.map_err(|_| Error::Position(lease.position.clone()))?;
        let mut hold = Hold::default();
        let (mut oldest, mut renewed) = (Instant::now(), Instant::now());
        let mut is_asked = false;
        // When all that had arrived was committed.
        let mut seen_at = None;
        loop {
            let asked_at = self.ground.clock.now();
            let met = self
                .next(&shard, &read_to, &hold, oldest, is_asked, &stop)
                .await?;
            let mut is_end = false;
            let is_due = match met {
                Met::Stop => {
                    self.write_out(&shard, &mut lease, &mut hold).await?;
                    lease.release(&self.ground.db.get().await?).await?;
                    return Ok(());
                }
                Met::Asked => {
                    is_asked = true;
                    false
                }
                Met::Read(read) => {
                    let lag = read.behind_tip;
                    self.ground.counters.set_lag(groups::ARCHIVE, &shard, lag);
                    let is_tip = lag == 0 || read.records.is_empty();
                    is_end = read.shard_end;
                    if hold.is_empty() {
                        oldest = Instant::now();
                        if read.records.is_empty() {
                            seen_at = Some(asked_at);
                        }
                    }
                    if let Some(first) = read.records.first() {
                        let number = &first.sequence_number;
                        law!(L4, !read_to.covers(number), "{shard} gave {number} again");
                    }
                    hold.add(read.records);
                    read_to = hold.end().unwrap_or(read_to);
                    let is_answered = is_asked && is_tip;
                    is_asked &= !is_tip;
                    is_answered || is_end || self.is_due(&hold, oldest)
                }
            };
            if is_due && !hold.is_empty() {
                self.write_out(&shard, &mut lease, &mut hold).await?;
                renewed = Instant::now();
            }
            if is_end {
                return lineage::finish(&self.ground.db.get().await?, &lease).await;
            }
            if renewed.elapsed() >= RENEW_EVERY {
                let client = self.ground.db.get().await?;
                lease.renew(&client, seen_at).await?;
                renewed = Instant::now();
            }
        }
    }

    fn is_due(&self, hold: &Hold, oldest: Instant) -> bool {
        hold.len() >= self.options.hold_records_max
            || hold.bytes() >= self.options.hold_bytes_max
            || oldest.elapsed() >= self.options.hold_max()
    }

    async fn next(
        &mut self,
        shard: &ShardRef,
        read_to: &Position,
        hold: &Hold,
        oldest: Instant,
        is_asked: bool,
        stop: &CancellationToken,
    ) -> Result<Met, Error> {
        let left = self.options.hold_max().saturating_sub(oldest.elapsed());
        let wait_max = match hold.is_empty() {
            // Who asked gets an answer as soon as the tip is met.
            _ if is_asked => Duration::ZERO,
            true => READ_WAIT,
            false => READ_WAIT.min(left),
        };
        let room = self.options.hold_records_max.saturating_sub(hold.len());
        let limit = ReadLimit {
            records_max: READ_RECORDS_MAX.min(room).max(1),
            bytes_max: READ_BYTES_MAX,
            wait_max,
        };
        let from = ReadFrom::Position(read_to.clone());
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(Met::Stop),
            // A bell that rings on and on must not keep the read from its end.
            () = self.flush.asked(), if !is_asked => Ok(Met::Asked),
            read = self.ground.bus.read(shard.stream, &shard.shard_id, from, limit) => {
                Ok(Met::Read(read?))
            }
        }
    }

    /// Encodes, puts, then lists the segments and moves the position in one transaction.
    async fn write_out(
        &self,
        shard: &ShardRef,
        lease: &mut Lease,
        hold: &mut Hold,
    ) -> Result<(), Error> {
        let Some(end) = hold.end() else {
            return Ok(());
        };
        let (stream, records) = (shard.stream, hold.take());
        let made = tokio::task::spawn_blocking(move || hold::segments(stream, records)).await;
        let made = made.expect("encoding does not panic and is not cancelled");
        let made = made.map_err(|cause| failed(ArchiveError::Encode(cause)))?;
        let mut listed = Vec::with_capacity(made.len());
        for segment in made {
            listed.push(self.put(shard, segment).await?);
        }
        let at = self.ground.clock.now();
        self.partitions
            .ensure(&self.ground.db.get().await?, Day::of(at))
            .await?;
        let stamps = serde_json::to_string(&self.ground.stamps);
        let manifest = Manifest {
            shard,
            at,
            stamps: stamps.expect("stamps are plain JSON"),
            listed,
        };
        let to = end.to_string();
        commit::commit(&self.ground, lease, &manifest, &to, None).await?;
        lease.moved(to);
        Ok(())
    }

    async fn put(&self, shard: &ShardRef, made: Made) -> Result<Listed, Error> {
        let hash = &made.content_hash;
        let key = made
            .folder
            .segment_key(shard, &made.first, &made.last, hash);
        let key = key.map_err(|cause| failed(ArchiveError::Key(cause)))?;
        let bytes = made.content.len();
        let put = self
            .ground
            .objects
            .put_new(&key, made.content.clone())
            .await;
        match put.map_err(|cause| failed(ArchiveError::Objects(cause)))? {
            Put::Created | Put::Same => Ok(Listed { key, bytes, made }),
            Put::Conflict { stored } => Err(failed(ArchiveError::Altered {
                key: key.to_string(),
                expected: made.content_hash,
                found: stored,
            })),
        }
    }
}

/// A segment that is durable under its key.
struct Listed {
    key: ObjectKey,
    bytes: usize,
    made: Made,
}

struct Manifest<'a> {
    shard: &'a ShardRef,
    at: Time,
    stamps: String,
    listed: Vec<Listed>,
}

#[async_trait]
impl Effects for Manifest<'_> {
    fn group(&self) -> &'static str {
        groups::ARCHIVE
    }

    async fn write(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        let of = || self.listed.iter();
        let int = |n: usize| i64::try_from(n).expect("a segment is bounded");
        let folders: Vec<String> = of().map(|it| it.made.folder.to_string()).collect();
        let runs: Vec<_> = of().map(|it| it.made.folder.run()).collect();
        let firsts: Vec<&str> = of().map(|it| it.made.first.as_str()).collect();
        let lasts: Vec<&str> = of().map(|it| it.made.last.as_str()).collect();
        let records = of().map(|it| i32::try_from(it.made.records).expect("a segment is bounded"));
        let records: Vec<i32> = records.collect();
        let keys: Vec<&str> = of().map(|it| it.key.as_str()).collect();
        let bytes: Vec<i64> = of().map(|it| int(it.bytes)).collect();
        let hashes: Vec<_> = of().map(|it| it.made.content_hash).collect();
        let (stream, shard) = (self.shard.stream.as_str(), self.shard.shard_id.0.as_str());
        let statement = tx.prepare_cached(APPEND).await?;
        tx.execute(
            &statement,
            &[
                &Day::of(self.at),
                &stream,
                &shard,
                &self.at,
                &self.stamps,
                &folders,
                &runs,
                &firsts,
                &lasts,
                &records,
                &keys,
                &bytes,
                &hashes,
            ],
        )
        .await?;
        Ok(())
    }
}

fn failed(error: ArchiveError) -> Error {
    Error::Handler {
        group: groups::ARCHIVE,
        source: Box::new(error),
    }
}
