//! Brings a worker's memory back to its committed position: the newest snapshot that fits, then
//! the records after it, from the log, or from the archive where retention has cut the log.
//!
//! **Invariant:** a memory is used only if it has met exactly the events that are decided (L8).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::contracts::ready::Ready;
use crate::contracts::run_position::RunPosition;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::planted;
use crate::rtdl::decision::memory::Memory;
use crate::rtdl::decision::state::{Past, RunState, Sets};
use crate::rtdl::decision::{Error, snapshot};
use crate::runtime::archive::{self, ArchiveReader, Folder};
use crate::runtime::ground::Ground;
use crate::substrate::bus::{self, BusRecord, ReadFrom, ReadLimit};
use crate::substrate::tasks;

/// One run's past.
pub(super) struct Restore<'a> {
    pub(super) ground: &'a Ground,
    /// The primary's is brought back; the others as far as a snapshot has them.
    pub(super) sets: &'a Sets,
    pub(super) memory: &'a Memory,
    pub(super) ready: &'a Ready,
    pub(super) shards: &'a [ShardRef],
    pub(super) position: &'a RunPosition,
    /// Told how many events the memory has met.
    pub(super) progress: &'a AtomicI64,
}

/// Memory, and what it took to get it.
pub(super) struct Restored {
    pub(super) state: RunState,
    /// The seq of the snapshot it began with; 0 without one.
    pub(super) snapshot_seq: i64,
    /// Records read after it, of all runs on the log.
    pub(super) records_read: u64,
    from_archive: bool,
}

/// Where the records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Log,
    /// As far as the archive has come, then the log.
    ArchiveFirst,
}

impl Restore<'_> {
    fn run(&self) -> &PlatformRunId {
        &self.ready.pins.platform_run_id
    }

    /// The memory of the committed position.
    ///
    /// # Errors
    /// Those of the bus and the archive; records that are nowhere are an error, never guessed.
    pub(super) async fn restore(&self) -> Result<Restored, Error> {
        let run = self.run();
        let restored = match self.use_snapshots().await {
            Some(restored) => restored,
            None => {
                let empty = || self.empty();
                let tips = &self.ready.tips;
                match self.replay(empty(), tips, 0, Source::Log).await {
                    Ok(restored) => restored,
                    Err(error) if error.is_of_a_cut_log() => {
                        tracing::warn!(run = %run, error = %error, "the log does not reach back; the archive is read");
                        self.replay(empty(), tips, 0, Source::ArchiveFirst).await?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let (seq, snapshot_seq) = (self.position.seq, restored.snapshot_seq);
        tracing::info!(
            run = %run, seq, snapshot_seq, records_read = restored.records_read,
            from_archive = restored.from_archive, "a run's memory is back"
        );
        Ok(restored)
    }

    /// What a run begins with. Where there is a past to read, it is read for the primary alone: no
    /// other set keeps a payment waiting.
    fn empty(&self) -> RunState {
        let (digest, set) = &self.sets.primary;
        match self.position.seq {
            0 => RunState::empty(self.sets, self.memory),
            _ => RunState::empty(&Sets::one(*digest, set.clone()), self.memory),
        }
    }

    /// The same memory without snapshots, from the archive as far as it has come.
    ///
    /// # Errors
    /// Those of bus and archive.
    pub(super) async fn restore_from_archive(&self) -> Result<Restored, Error> {
        let tips = &self.ready.tips;
        self.replay(self.empty(), tips, 0, Source::ArchiveFirst)
            .await
    }

    /// From the newest snapshot that holds; one that does not is passed over with a warning.
    async fn use_snapshots(&self) -> Option<Restored> {
        let run = self.run();
        let listed = snapshot::list(self.ground, run, self.position.seq).await;
        let listed = listed.unwrap_or_else(|error| {
            tracing::warn!(run = %run, error = %error, "snapshots could not be listed");
            Vec::new()
        });
        for stored in listed {
            let mut source = Source::Log;
            loop {
                match self.use_snapshot(&stored, source).await {
                    Ok(restored) => return Some(restored),
                    Err(Unfit::Replay(error))
                        if source == Source::Log && error.is_of_a_cut_log() =>
                    {
                        source = Source::ArchiveFirst;
                    }
                    Err(why) => {
                        tracing::warn!(run = %run, key = %stored.key, error = %why, "a snapshot is not used");
                        break;
                    }
                }
            }
        }
        None
    }

    async fn use_snapshot(
        &self,
        stored: &snapshot::Stored,
        source: Source,
    ) -> Result<Restored, Unfit> {
        let (ground, position) = (self.ground, self.position);
        let needed = (self.sets, self.memory);
        let opened = snapshot::open(ground, needed, self.run(), position, stored).await;
        let (basis, state) = opened.map_err(Unfit::Snapshot)?;
        let from = planted!(SnapshotWithoutBasis, &position.basis, &basis.basis);
        let replayed = self.replay(state, from, basis.seq, source).await;
        replayed.map_err(Unfit::Replay)
    }

    /// Reads every shard from `from` up to the committed position.
    ///
    /// # Errors
    /// As [`Restore::restore`].
    pub(super) async fn replay(
        &self,
        mut state: RunState,
        from: &Basis,
        snapshot_seq: i64,
        source: Source,
    ) -> Result<Restored, Error> {
        let (mut records_read, mut from_archive) = (0, false);
        for shard in self.shards {
            // A snapshot of a release that read fewer streams knows nothing of the others.
            let known = from.0.get(&shard.to_string());
            let begun = || self.ready.tips.position(shard);
            let mut at = known.unwrap_or_else(begun).clone();
            if source == Source::ArchiveFirst {
                let archived = self.read_archive(&mut state, shard, &mut at).await?;
                records_read += archived;
                from_archive |= archived > 0;
            }
            records_read += self.read_log(&mut state, shard, at).await?;
        }
        let decided = self.position.seq;
        let is_whole = planted!(SnapshotWithoutBasis, true, state.has_met(decided));
        if !is_whole {
            let n_met = state.n_met();
            let run = *self.run();
            return Err(Error::Past {
                run,
                n_met,
                decided,
            });
        }
        Ok(Restored {
            state,
            snapshot_seq,
            records_read,
            from_archive,
        })
    }

    async fn read_log(
        &self,
        state: &mut RunState,
        shard: &ShardRef,
        mut at: Position,
    ) -> Result<u64, Error> {
        let committed = self.position.basis.position(shard);
        let limit = ReadLimit {
            records_max: 2_000,
            bytes_max: 8 << 20,
            wait_max: Duration::ZERO,
        };
        let mut records_read = 0;
        while !at.reaches(committed) {
            let from = ReadFrom::Position(at.clone());
            let (bus, stream) = (&self.ground.bus, shard.stream);
            let read = bus.read(stream, &shard.shard_id, from, limit).await?;
            let Some(last) = read.records.last() else {
                return Err(Error::Position {
                    run: *self.run(),
                    cause: format!("{shard} ends at {at}, before {committed}"),
                });
            };
            at = Position::After(last.sequence_number.clone());
            let mut records = read.records;
            records.retain(|it| committed.covers(&it.sequence_number));
            records_read += self.take_back(state, shard, records).await?;
        }
        Ok(records_read)
    }

    /// Moves `at` to where the archive has come, at most to the committed position.
    async fn read_archive(
        &self,
        state: &mut RunState,
        shard: &ShardRef,
        at: &mut Position,
    ) -> Result<u64, Error> {
        let reader = ArchiveReader::new(self.ground.db.clone(), self.ground.objects.clone());
        let (archived, committed) = (
            reader.coverage().await?,
            self.position.basis.position(shard),
        );
        let archived = archived.position(shard);
        let up_to = match archived.reaches(committed) {
            true => committed,
            false => archived,
        };
        let folder = Folder::Run(*self.run());
        let mut scan = reader.scan(folder, shard, at, up_to).await?;
        let mut records_read = 0;
        while let Some(records) = scan.next().await? {
            records_read += self.take_back(state, shard, records).await?;
        }
        if up_to.reaches(at) {
            *at = up_to.clone();
        }
        Ok(records_read)
    }

    /// Takes a bounded batch of records back beside the tasks: it is the work that costs. Returns how
    /// many records it was.
    async fn take_back(
        &self,
        state: &mut RunState,
        shard: &ShardRef,
        records: Vec<BusRecord>,
    ) -> Result<u64, Error> {
        let primary = self.sets.primary.0;
        let n_records = records.len() as u64;
        let parts = self.read_back(shard, records).await;
        let mut taken = std::mem::take(state);
        let taken = tasks::blocking(move || {
            for past in parts.iter().flatten() {
                taken.take_back(&primary, past)?;
            }
            Ok::<_, Error>(taken)
        });
        *state = taken.await?;
        let n_met = i64::try_from(state.n_met()).unwrap_or(i64::MAX);
        self.progress.store(n_met, Ordering::Relaxed);
        Ok(n_records)
    }

    /// What records add to the run's past, in order. Parsing and hashing is most of a restore, and each record
    /// by itself: every CPU has a part of them.
    async fn read_back(&self, shard: &ShardRef, mut records: Vec<BusRecord>) -> Vec<Vec<Past>> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let each = records.len().div_ceil(cpus).max(1);
        let mut parts = Vec::with_capacity(cpus);
        while !records.is_empty() {
            let rest = records.split_off(each.min(records.len()));
            let part = std::mem::replace(&mut records, rest);
            let (run, shard) = (*self.run(), shard.clone());
            parts.push(tasks::blocking(move || {
                let past = part.iter().map(|it| Past::read(&run, &shard, it));
                past.flatten().collect()
            }));
        }
        futures::future::join_all(parts).await
    }
}

/// Why a snapshot does not serve.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Snapshot(snapshot::Refusal),
    #[error(transparent)]
    Replay(Error),
}

impl Error {
    /// Whether records that the log should hold may have been dropped by retention.
    fn is_of_a_cut_log(&self) -> bool {
        matches!(
            self,
            Error::Bus(bus::Error::Trimmed { .. }) | Error::Past { .. }
        )
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Error {
        Error::Archive(Box::new(error))
    }
}
