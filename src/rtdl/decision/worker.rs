//! One run's worker: reads traffic, waits for context where it must, decides the prefix that it
//! can, commits it with its position, and goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::fact::Fact;
use crate::contracts::groups::DECISION;
use crate::contracts::permission::Corridor;
use crate::contracts::ready::Ready;
use crate::contracts::run_position::RunPosition;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::offset::{Position, SequenceNumber, ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, Posture, Stream};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::governance::counters::Counter;
use crate::governance::latencies::Latency;
use crate::law;
use crate::planted;
use crate::rtdl::decision::adopt::Resolving;
use crate::rtdl::decision::anchor::Anchors;
use crate::rtdl::decision::asked;
use crate::rtdl::decision::batch::{Decided, Deciding, Pending};
use crate::rtdl::decision::force::Force;
use crate::rtdl::decision::frames::Found;
use crate::rtdl::decision::labels::Labels;
use crate::rtdl::decision::lists;
use crate::rtdl::decision::posture::{Asked, Judged, RunPosture, StoreErrors};
use crate::rtdl::decision::state::RunState;
use crate::rtdl::decision::store::{Batch, CountKey, Counts};
use crate::rtdl::decision::told::Told;
use crate::rtdl::decision::warm::WarmUps;
use crate::rtdl::decision::{Error, Options};
use crate::rtdl::decision::{shadow, snapshot};
use crate::runtime::commit::{self, Effects};
use crate::runtime::ground::Ground;
use crate::runtime::guard::{self, Guarded, Refused};
use crate::runtime::lease::Lease;
use crate::runtime::lineage;
use crate::runtime::partitions::Partitions;
use crate::substrate::bus::{BusRecord, ReadFrom, ReadLimit, Shard};
use crate::substrate::db::Day;

const READ_WAIT: Duration = Duration::from_millis(50);
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// One record of a batch, in log order.
pub(super) enum Item {
    Pending(Box<Pending>),
    Refused(Box<Refused>),
    Repeated,
    OtherRun,
}

/// Items with their place, in log order.
pub(super) type Items = VecDeque<(SequenceNumber, Item)>;

pub(super) struct Worker {
    pub(super) ground: Ground,
    pub(super) options: Options,
    /// Decides.
    pub(super) bundle: Arc<CompiledBundle>,
    /// Whose features the memory needs: the one that decides, or, while none may, the one before.
    pub(super) remembered: Arc<CompiledBundle>,
    pub(super) resolving: Resolving,
    /// Bundles that need warm features beside it, by slot: the shadows, and who is to act next.
    pub(super) wanted: BTreeMap<String, Arc<CompiledBundle>>,
    pub(super) warm_ups: WarmUps,
    pub(super) n_broken_shadows: u64,
    pub(super) partitions: Partitions,
    /// Told of every decision once it is committed.
    pub(super) told: Arc<Told>,
    pub(super) ready: Ready,
    /// The traffic shards of the basis, parents before children.
    pub(super) shards: Vec<Shard>,
    /// Those of them that are read to their end.
    pub(super) drained: BTreeSet<ShardId>,
    pub(super) labels: Labels,
    /// The scopes of the context groups whose watermarks judge a missing part.
    pub(super) context_scopes: BTreeSet<String>,
    /// How many of them were drained when they were listed.
    pub(super) context_drained: usize,
    /// The run has ended: at the tip there is nothing more to come.
    pub(super) is_over: Arc<AtomicBool>,
    pub(super) lease: Lease,
    pub(super) position: RunPosition,
    pub(super) state: Option<RunState>,
    pub(super) posture: RunPosture,
    /// What operators say, as it was read with the frames of the batch.
    pub(super) forces: Vec<Force>,
    pub(super) store_errors: Arc<StoreErrors>,
    pub(super) snapshots: snapshot::Writer,
    pub(super) anchors: Anchors,
    pub(super) batch_no: i64,
    pub(super) renewed: Instant,
}

impl Worker {
    pub(super) fn run(&self) -> &PlatformRunId {
        &self.ready.pins.platform_run_id
    }

    /// Decides until stopped or until an ended run is drained; then releases the lease.
    pub(super) async fn work(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut is_drained = false;
        self.name_labels().await?;
        while !stop.is_cancelled() {
            self.resolve().await?;
            // Asked before the read: what is sent after the end is seen to be refused by the gate.
            let was_over = self.is_over.load(Ordering::SeqCst);
            let asked_at = self.ground.clock.now();
            let mut n_read = self.hear_labels(false).await?;
            let ready = lineage::ready(&self.shards, &self.drained);
            let ready: Vec<ShardRef> = ready.map(|it| it.of(Stream::Traffic)).collect();
            for shard in ready {
                n_read += self.step(&shard, &stop).await?;
            }
            if n_read == 0 && was_over {
                is_drained = true;
                break;
            }
            if n_read == 0 {
                let taken_at = self.labels.taken_at();
                self.renew(taken_at.map(|it| it.min(asked_at))).await?;
            }
            if self.anchors.is_due() {
                self.anchors.write(&self.ground).await;
            }
            self.tend_features().await;
            if self.snapshots.is_due(self.position.seq) {
                self.snapshot().await;
            }
        }
        // Nobody needs the memory of a run that has nothing more to come.
        if !is_drained {
            self.snapshot().await;
        }
        self.anchors.write(&self.ground).await;
        self.anchors.finish().await;
        self.snapshots.finish().await;
        self.lease.release(&self.ground.db.get().await?).await?;
        Ok(())
    }

    /// Between batches, so that the memory is that of the position.
    pub(super) async fn snapshot(&mut self) {
        let run = self.ready.pins.platform_run_id;
        let (ground, position) = (&self.ground, &self.position);
        let primary = &self.remembered.feature_set_digest;
        let (snapshots, state) = (&mut self.snapshots, &mut self.state);
        snapshots
            .write(ground, primary, &run, position, state)
            .await;
    }

    /// Keeps the lease, and says since when nothing is left to decide.
    pub(super) async fn renew(&mut self, seen_at: Option<Time>) -> Result<(), Error> {
        if self.renewed.elapsed() >= RENEW_EVERY {
            let client = self.ground.db.get().await?;
            self.lease.renew(&client, seen_at).await?;
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// Reads one batch of a shard and works it off. Returns how many records it read.
    async fn step(&mut self, shard: &ShardRef, stop: &CancellationToken) -> Result<usize, Error> {
        let from = ReadFrom::Position(self.position.basis.position(shard).clone());
        let limit = ReadLimit {
            records_max: self.options.batch_records_max,
            bytes_max: self.options.batch_bytes_max,
            wait_max: READ_WAIT,
        };
        let read = self
            .ground
            .bus
            .read(shard.stream, &shard.shard_id, from, limit)
            .await?;
        self.ground
            .counters
            .set_lag(DECISION, shard, read.behind_tip);
        if read.records.is_empty() {
            return match read.shard_end {
                true => self.drain(shard).await,
                false => Ok(0),
            };
        }
        self.hear_labels(true).await?;
        let mut items = self.sort_out(shard, &read.records).await?;
        let mut has_waited = false;
        while !items.is_empty() {
            let frames = self.decidable(&items, &mut has_waited, stop).await?;
            let Some(frames) = frames else {
                return Ok(read.records.len());
            };
            self.decide_prefix(shard, &mut items, frames).await?;
        }
        Ok(read.records.len())
    }

    /// Goes on with the children of a shard that is read to its end, which counts as read.
    async fn drain(&mut self, shard: &ShardRef) -> Result<usize, Error> {
        self.drained.insert(shard.shard_id.clone());
        self.shards = self.ground.bus.shards(Stream::Traffic).await?;
        Ok(1)
    }

    /// Guards the records and tells this run's new events from repeats and other runs.
    async fn sort_out(&mut self, shard: &ShardRef, records: &[BusRecord]) -> Result<Items, Error> {
        let mut items = Items::with_capacity(records.len());
        for record in records {
            let item = match guard::guard(shard, record) {
                Ok(guarded) => self.item(shard, guarded).await?,
                Err(refused) if self.is_ours(&refused) => Item::Refused(refused),
                Err(_) => Item::OtherRun,
            };
            items.push_back((record.sequence_number.clone(), item));
        }
        Ok(items)
    }

    fn is_ours(&self, refused: &Refused) -> bool {
        let run = refused
            .event
            .as_ref()
            .map(|event| event.envelope.platform_run_id);
        run == Some(*self.run())
    }

    async fn item(&mut self, shard: &ShardRef, guarded: Guarded) -> Result<Item, Error> {
        if guarded.event.envelope.platform_run_id != *self.run() {
            return Ok(Item::OtherRun);
        }
        let decision_id = DecisionId::of(
            self.run(),
            EventClass::Traffic,
            &guarded.event.envelope.event_id,
        );
        let event = match EventRecord::parse(&guarded.event) {
            Ok(event) => event,
            Err(cause) => {
                return Ok(Item::Refused(Box::new(unparsable(
                    guarded,
                    &cause.to_string(),
                ))));
            }
        };
        let state = self.warm(shard).await?;
        let decision_id = match state.meet(&decision_id) {
            true => decision_id,
            false => planted!(
                SecondDecisionOnRepeat,
                again(&guarded.origin_offset),
                return Ok(Item::Repeated)
            ),
        };
        Ok(Item::Pending(Box::new(Pending {
            decision_id,
            origin_offset: guarded.origin_offset,
            admitted_at: guarded.event.admitted_at,
            event,
        })))
    }

    /// Decides the events that have frames, with what stands between and after them up to the next
    /// event that still waits, and commits.
    async fn decide_prefix(
        &mut self,
        shard: &ShardRef,
        items: &mut Items,
        mut frames: VecDeque<Found>,
    ) -> Result<(), Error> {
        let now = self.ground.clock.now();
        let judged = self.judge(items, &frames, now);
        self.look_at_lists(items, &mut frames, now).await?;
        let mut position = self.position.clone();
        let (mut decided, mut refused, mut counts) = (Vec::new(), Vec::new(), Counts::default());
        while let Some((number, item)) = items.pop_front() {
            match item {
                Item::Pending(pending) => {
                    let Some(found) = frames.pop_front() else {
                        items.push_front((number, Item::Pending(pending)));
                        break;
                    };
                    let judged = judged.as_ref().expect("there are frames");
                    decided.push(self.decide(
                        shard,
                        &mut position,
                        (&pending, &found),
                        judged,
                        now,
                    )?);
                    counts.decided += 1;
                }
                Item::Refused(refusal) => {
                    refused.push(*refusal);
                    counts.quarantined += 1;
                }
                Item::Repeated => counts.repeated += 1,
                Item::OtherRun => counts.other_runs += 1,
            }
            counts.seen += 1;
            position.advance(shard, Position::After(number));
        }
        law!(
            L11,
            counts.balance(),
            "a decision batch does not balance: {counts:?}"
        );
        let (epoch, batch_no) = (self.lease.epoch, self.batch_no);
        let key = CountKey {
            run: *self.run(),
            epoch,
            batch_no,
            last_seq: position.seq,
        };
        let facts = judged.as_ref().and_then(|it| self.change(it));
        let batch = Batch {
            key,
            decided,
            refused,
            counts,
            facts: facts.into_iter().collect(),
            now,
            ground: self.ground.clone(),
            is_told: AtomicBool::new(false),
        };
        self.commit_batch(position, &batch).await?;
        self.anchors.note(&batch.decided);
        self.told.tell(&batch.decided);
        self.ground
            .counters
            .add_notices(u64::from(batch.is_told.into_inner()));
        self.count(&batch.decided, judged.as_ref(), counts);
        Ok(())
    }

    /// The posture of the events that have frames; `None` where there are none.
    fn judge(&mut self, items: &Items, frames: &VecDeque<Found>, now: Time) -> Option<Judged> {
        let pending = items.iter().filter_map(|(_, item)| match item {
            Item::Pending(pending) => Some(pending.admitted_at),
            _ => None,
        });
        let lacks: Vec<bool> = frames.iter().map(|it| !it.is_complete()).collect();
        let asked = Asked {
            now,
            oldest_admitted_at: pending.take(frames.len()).min()?,
            lacks: &lacks,
            forces: &self.forces,
            store_errors: &self.store_errors,
            bundle: self.resolving.state,
        };
        Some(self.posture.judge(&asked))
    }

    /// The fact of a posture that the next decision is the first under.
    fn change(&self, judged: &Judged) -> Option<Fact> {
        judged.change(&self.ground, self.run(), self.position.seq + 1)
    }

    /// Adds what the lists say of the events that have frames, as it is in force now.
    async fn look_at_lists(
        &self,
        items: &Items,
        frames: &mut VecDeque<Found>,
        now: Time,
    ) -> Result<(), Error> {
        let bundles = [self.bundle.as_ref()]
            .into_iter()
            .chain(shadow::of(&self.wanted));
        let lists = shadow::lists(bundles);
        if lists.is_empty() {
            return Ok(());
        }
        self.ground.enter(Corridor::MprResolve).await?;
        let events = items.iter().filter_map(|(_, item)| match item {
            Item::Pending(pending) => Some(&pending.event),
            _ => None,
        });
        let events: Vec<&EventRecord> = events.take(frames.len()).collect();
        let client = self.ground.db.get().await?;
        let hits = lists::read(&client, &lists, &events, now).await?;
        for (found, hits) in frames.iter_mut().zip(hits) {
            found.lists = hits;
        }
        Ok(())
    }

    fn decide(
        &mut self,
        shard: &ShardRef,
        position: &mut RunPosition,
        (pending, found): (&Pending, &Found),
        judged: &Judged,
        now: Time,
    ) -> Result<Decided, Error> {
        let deciding = Deciding {
            bundle: &self.bundle,
            remembered: &self.remembered.feature_set_digest,
            wanted: &self.wanted,
            stamps: &self.ground.stamps,
            shard,
            judged,
        };
        let state = self
            .state
            .as_mut()
            .expect("a pending event warmed the memory");
        deciding.decide(state, position, pending, found, now)
    }

    /// Commits what was decided.
    async fn commit_batch(&mut self, position: RunPosition, batch: &Batch) -> Result<(), Error> {
        self.ground.enter(Corridor::DlaAppend).await?;
        asked::enter(&self.ground, batch).await?;
        self.partitions
            .ensure(&self.ground.db.get().await?, Day::of(batch.now))
            .await?;
        self.commit(position, batch, batch.now).await?;
        self.batch_no += 1;
        Ok(())
    }

    /// Commits the effects of what was read with the position behind it (L4).
    pub(super) async fn commit<E: Effects>(
        &mut self,
        position: RunPosition,
        effects: &E,
        now: Time,
    ) -> Result<(), Error> {
        let to = position.to_text();
        let committed = commit::commit(&self.ground, &self.lease, effects, &to, None).await;
        self.store_errors.note(now, committed?);
        self.lease.moved(to);
        self.position = position;
        self.renewed = Instant::now();
        Ok(())
    }

    fn count(&self, decided: &[Decided], judged: Option<&Judged>, counts: Counts) {
        let (counters, pins) = (&self.ground.counters, &self.ready.pins);
        counters.add(pins, Counter::DecisionEmitted, decided.len() as u64);
        counters.add(
            pins,
            Counter::InletQuarantined,
            u64::from(counts.quarantined.unsigned_abs()),
        );
        asked::count(counters, pins, decided);
        for shadows in decided.iter().map(|it| &it.shadows) {
            counters.add(pins, Counter::ShadowScored, shadows.scores.len() as u64);
            counters.add(pins, Counter::ShadowSkipped, shadows.skipped);
            let n_failed = shadows.failed + self.n_broken_shadows;
            counters.add(pins, Counter::ShadowFailed, n_failed);
        }
        if let Some(state) = &self.state {
            let (in_memory, away) = state.feature_bytes();
            counters.set_feature_bytes(pins, in_memory, away);
        }
        for row in decided {
            let took = row.decided_at.micros() - row.admitted_at.micros();
            let took = Duration::from_micros(took.max(0).unsigned_abs());
            counters.observe(Latency::Decision, took);
        }
        for reason in decided.iter().flat_map(|row| &row.degraded) {
            counters.add_degraded(pins, reason, 1);
        }
        let degraded = judged.filter(|it| it.standing.posture != Posture::Normal);
        if let Some(judged) = degraded {
            let reason = judged.standing.reason.as_str();
            counters.add_degraded(pins, reason, decided.len() as u64);
        }
    }
}

fn unparsable(guarded: Guarded, cause: &str) -> Refused {
    Refused {
        origin_offset: guarded.origin_offset,
        code: crate::contracts::code::Code::SchemaInvalid,
        detail: cause.to_owned(),
        event: Some(Box::new(guarded.event)),
    }
}

/// The decision on a repeat, as if its place made it another event.
#[cfg(feature = "planted-bugs")]
fn again(at: &crate::domain::offset::OriginOffset) -> DecisionId {
    let place = format!("{at:?}");
    DecisionId::from_digest(crate::domain::digest::Digest::of_bytes(place.as_bytes()))
}
