//! Labels of a run's payments: read beside the worker, and taken into its memory between two batches with a
//! commit of their own, so that the basis of every decision says which of them it knew (ADR 0032).
//!
//! **Invariant:** what is in the memory is committed: labels enter it and the position together (L4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::contracts::groups::DECISION;
use crate::domain::offset::{Basis, Position, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::engine::event::LabelRecord;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::worker::Worker;
use crate::runtime::commit::Effects;
use crate::runtime::ground::Ground;
use crate::runtime::{consumer, lineage};
use crate::substrate::bus::{self, ReadBatch, ReadFrom, ReadLimit, Shard};
use crate::substrate::db::Transaction;

const RECORDS_MAX: usize = 2_000;
const BYTES_MAX: usize = 4 << 20;
/// How long a read at the tip waits for the next label: nobody waits for the read.
const WAIT: Duration = Duration::from_secs(1);

/// A read that has ended: of which shard, when it was asked, and what came.
type Heard = (ShardRef, Time, Result<ReadBatch, bus::Error>);

/// The labels' shards, and the reads that are under way.
pub(super) struct Labels {
    shards: Vec<Shard>,
    drained: BTreeSet<ShardId>,
    /// One a shard at most; ended with the worker.
    reads: JoinSet<Heard>,
    reading: BTreeSet<ShardId>,
    /// By shard: all that had come by then is taken. None before it was read to its tip.
    taken_at: BTreeMap<ShardId, Time>,
}

impl Labels {
    pub(super) fn new(shards: Vec<Shard>) -> Labels {
        Labels {
            shards,
            drained: BTreeSet::new(),
            reads: JoinSet::new(),
            reading: BTreeSet::new(),
            taken_at: BTreeMap::new(),
        }
    }

    /// Parents before children.
    pub(super) fn shard_refs(&self) -> impl Iterator<Item = ShardRef> {
        self.shards.iter().map(|it| it.of(Stream::Labels))
    }

    /// Up to when all labels that had come are taken; none while that is not known of every shard.
    pub(super) fn taken_at(&self) -> Option<Time> {
        let ready = lineage::ready(&self.shards, &self.drained);
        let taken_at = ready.map(|it| self.taken_at.get(&it.shard_id).copied());
        let all: Option<Vec<Time>> = taken_at.collect();
        all.map(|it| it.into_iter().min().unwrap_or(lineage::END_OF_TIME))
    }

    /// Begins a read of every shard that has none.
    fn read_on(&mut self, ground: &Ground, basis: &Basis) {
        let ready = lineage::ready(&self.shards, &self.drained);
        let idle = ready.filter(|it| !self.reading.contains(&it.shard_id));
        let idle: Vec<ShardRef> = idle.map(|it| it.of(Stream::Labels)).collect();
        for shard in idle {
            let shard_id = shard.shard_id.clone();
            let from = ReadFrom::Position(basis.position(&shard).clone());
            let limit = ReadLimit {
                records_max: RECORDS_MAX,
                bytes_max: BYTES_MAX,
                wait_max: match self.taken_at.contains_key(&shard_id) {
                    true => WAIT,
                    false => Duration::ZERO,
                },
            };
            let (bus, clock) = (ground.bus.clone(), ground.clock.clone());
            self.reads.spawn(async move {
                let asked_at = clock.now();
                let read = bus.read(Stream::Labels, &shard.shard_id, from, limit).await;
                (shard, asked_at, read)
            });
            self.reading.insert(shard_id);
        }
    }
}

impl Worker {
    /// Has the lease row name the labels too, where an earlier release left it: who waits for the run to be read
    /// to the tips sees them reached.
    pub(super) async fn name_labels(&mut self) -> Result<(), Error> {
        let position = self.position.clone();
        match position.to_text() == self.lease.position {
            true => Ok(()),
            false => {
                let now = self.ground.clock.now();
                self.commit(position, &OnlyThePosition, now).await
            }
        }
    }

    /// Takes the labels that have come, or waits for all that had when the worker began: before its first
    /// decision, so that who catches up knows no less than who was there. Returns how many records it were.
    pub(super) async fn hear_labels(&mut self, up_to_the_tip: bool) -> Result<usize, Error> {
        let mut n_heard = 0;
        loop {
            self.labels.read_on(&self.ground, &self.position.basis);
            let waits = up_to_the_tip && self.labels.taken_at().is_none();
            let ended = match waits {
                true => self.labels.reads.join_next().await,
                false => self.labels.reads.try_join_next(),
            };
            match ended {
                Some(Ok(heard)) => n_heard += self.take_labels(heard).await?,
                Some(Err(cause)) => return Err(Error::Labels(cause.to_string())),
                None => return Ok(n_heard),
            }
        }
    }

    /// Into the memory and the position, which is committed; the memory of a run that none of them is of
    /// need not be there.
    async fn take_labels(&mut self, (shard, asked_at, read): Heard) -> Result<usize, Error> {
        self.labels.reading.remove(&shard.shard_id);
        let read = read?;
        self.ground
            .counters
            .set_lag(DECISION, &shard, read.behind_tip);
        match read.records.last() {
            Some(last) => {
                let run = *self.run();
                let labels = read.records.iter();
                let labels = labels.filter_map(|it| LabelRecord::read(&it.data));
                let labels = labels.filter(|(of, _)| *of == run);
                let labels: Vec<LabelRecord> = labels.map(|(_, label)| label).collect();
                if !labels.is_empty() {
                    let primary = self.remembered.feature_set_digest;
                    let state = self.warm(&shard).await?;
                    for label in &labels {
                        state.apply_label(&primary, label)?;
                    }
                }
                let mut position = self.position.clone();
                position.advance(&shard, Position::After(last.sequence_number.clone()));
                let now = self.ground.clock.now();
                self.commit(position, &OnlyThePosition, now).await?;
            }
            None if read.shard_end => {
                self.labels.drained.insert(shard.shard_id.clone());
                self.labels.shards = self.ground.bus.shards(Stream::Labels).await?;
                return Ok(1);
            }
            None => {}
        }
        if read.behind_tip == 0 {
            self.labels.taken_at.insert(shard.shard_id, asked_at);
        }
        Ok(read.records.len())
    }
}

/// Labels leave no rows of the decision group: the memory is made of the log.
struct OnlyThePosition;

#[async_trait]
impl Effects for OnlyThePosition {
    fn group(&self) -> &'static str {
        DECISION
    }

    async fn write(&self, _: &Transaction<'_>) -> Result<(), consumer::Error> {
        Ok(())
    }
}
