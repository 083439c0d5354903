//! Warm-up: a feature set that is wanted and not there is built from the archive and then the log, beside the
//! worker, which goes on deciding; at a batch boundary where both have met the same events it joins the worker.
//!
//! **Invariant:** the features of a set that was warmed up are those of one that was there from the start: both
//! are a function of the same records, and a memory joins only if it has met exactly the events that are decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::contracts::progress::{FeatureSetProgress, FeatureSetState};
use crate::contracts::run_position::RunPosition;
use crate::domain::digest::Digest;
use crate::domain::offset::ShardRef;
use crate::domain::vocabulary::Stream;
use crate::engine::bundle::{CompiledBundle, PRIMARY_SLOT};
use crate::engine::features::FeatureSet;
use crate::law;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::restore::{Restore, Source};
use crate::rtdl::decision::state::{RunState, Sets};
use crate::rtdl::decision::worker::Worker;
use crate::substrate::db;

const SAY: &str = include_str!("sql/say_features.sql");
/// So many decisions may still be missing from a memory that joins: they are read between two batches.
const INLINE_MAX: i64 = 1_000;
/// After a failure it begins again, but not at once.
const PAUSE: Duration = Duration::from_secs(5);
const SAY_EVERY: Duration = Duration::from_secs(2);

/// One set at a time: a warm-up takes the memory of a restart.
#[derive(Default)]
pub(super) struct WarmUps {
    under_way: Option<WarmUp>,
    paused_until: Option<Instant>,
    said_at: Option<Instant>,
}

struct WarmUp {
    digest: Digest,
    set: Arc<FeatureSet>,
    begun: Instant,
    /// How many events its memory has met.
    progress: Arc<AtomicI64>,
    legs: u32,
    /// The leg that is read; ended with the worker.
    leg: JoinSet<Result<Leg, Error>>,
}

/// A memory of one set, and what it is a function of.
struct Leg {
    state: RunState,
    position: RunPosition,
}

impl Worker {
    /// Keeps features warm for a bundle beside the one that acts, until another is wanted in its slot. One
    /// wanted as `primary` is to act next; it may once [`Worker::is_warm`] says so, between two batches.
    pub(super) fn want(&mut self, bundle: &Arc<CompiledBundle>) {
        self.wanted.insert(bundle.slot.clone(), Arc::clone(bundle));
    }

    /// Whether the features of a set are there: all that is decided is in them.
    pub(super) fn is_warm(&self, feature_set: &Digest) -> bool {
        let nothing_decided = self.position.seq == 0;
        let state = self.state.as_ref();
        state.map_or(nothing_decided, |it| it.has(feature_set))
    }

    fn sets(&self) -> Sets {
        Sets::of(&self.remembered, self.wanted.values().map(AsRef::as_ref))
    }

    /// Of every stream that the memory is made of.
    fn shard_refs(&self) -> Vec<ShardRef> {
        let traffic = self.shards.iter().map(|it| it.of(Stream::Traffic));
        traffic.chain(self.labels.shard_refs()).collect()
    }

    /// The memory of this run, restored when there is none: most runs that a worker
    /// looks at have long ended and need none.
    pub(super) async fn warm(&mut self, shard: &ShardRef) -> Result<&mut RunState, Error> {
        if self.state.is_none() {
            let (tips, position) = (&self.ready.tips, &self.position);
            law!(
                L4,
                position.basis.position(shard).reaches(tips.position(shard)),
                "{shard} is behind its pinned tip"
            );
            let restore = Restore {
                ground: &self.ground,
                sets: &self.sets(),
                memory: &self.options.memory,
                ready: &self.ready,
                shards: &self.shard_refs(),
                position: &self.position,
                progress: &AtomicI64::new(0),
            };
            let restored = restore.restore().await?;
            self.snapshots.covered = restored.snapshot_seq;
            self.state = Some(restored.state);
            let newest = (self.run(), self.position.seq);
            self.posture = self.posture.resume(&self.ground, newest).await;
            self.say_features(true).await;
        }
        Ok(self.state.as_mut().expect("it was set above"))
    }

    /// Between batches: lets go of what nobody wants, joins what is warm, begins what is missing. Whatever
    /// goes wrong here is said and tried again; it never ends the worker.
    pub(super) async fn tend_features(&mut self) {
        let sets = self.sets();
        let Some(state) = &mut self.state else {
            return;
        };
        state.retain(&sets);
        let missing = |it: &Digest| sets.others.contains_key(it) && !state.has(it);
        if let Some(warm_up) = &mut self.warm_ups.under_way {
            if !missing(&warm_up.digest) {
                self.warm_ups.under_way = None;
            } else if let Some(ended) = warm_up.leg.try_join_next() {
                self.go_on(ended.unwrap_or_else(|cause| Err(Error::WarmUp(cause.to_string()))))
                    .await;
            }
            self.say_features(self.warm_ups.under_way.is_none()).await;
            return;
        }
        let is_paused = self
            .warm_ups
            .paused_until
            .is_some_and(|it| Instant::now() < it);
        let next = sets.others.iter().find(|(digest, _)| missing(digest));
        if let Some((digest, set)) = next.filter(|_| !is_paused) {
            self.begin(*digest, Arc::clone(set));
            self.say_features(true).await;
        }
    }

    fn begin(&mut self, digest: Digest, set: Arc<FeatureSet>) {
        let (run, decided) = (self.run(), self.position.seq);
        tracing::info!(run = %run, feature_set = %digest, decided, "a feature set is warmed up");
        let mut warm_up = WarmUp {
            begun: Instant::now(),
            progress: Arc::default(),
            legs: 0,
            leg: JoinSet::new(),
            digest,
            set,
        };
        let from = Leg {
            state: RunState::empty(&warm_up.sets(), &self.options.memory),
            position: RunPosition::initial(run, &self.ready.tips),
        };
        warm_up.read(self, from);
        self.warm_ups.under_way = Some(warm_up);
    }

    /// A leg has ended: its memory joins if it is close, else it reads on to where the worker is now.
    async fn go_on(&mut self, ended: Result<Leg, Error>) {
        let Some(mut warm_up) = self.warm_ups.under_way.take() else {
            return;
        };
        let is_close = |leg: &Leg| self.position.seq - leg.position.seq <= INLINE_MAX;
        let joined = match ended {
            Ok(leg) if is_close(&leg) => self.join(&warm_up, leg).await,
            Ok(leg) => {
                warm_up.read(self, leg);
                self.warm_ups.under_way = Some(warm_up);
                return;
            }
            Err(error) => Err(error),
        };
        let (run, feature_set, legs) = (self.run(), warm_up.digest, warm_up.legs);
        let (decided, ms) = (self.position.seq, warm_up.begun.elapsed().as_millis());
        match joined {
            Ok(()) => {
                tracing::info!(run = %run, feature_set = %feature_set, decided, legs, ms, "a feature set is warm");
                // What took long to make is kept: the next snapshot is due.
                self.snapshots.covered = 0;
            }
            Err(error) => {
                tracing::warn!(run = %run, feature_set = %feature_set, error = &error as &dyn std::error::Error, "a warm-up failed; it begins again");
                self.warm_ups.paused_until = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// The last stretch, while nothing is decided: then both memories are of the committed position.
    async fn join(&mut self, warm_up: &WarmUp, leg: Leg) -> Result<(), Error> {
        let decided = self.position.seq;
        let restore = Restore {
            ground: &self.ground,
            sets: &warm_up.sets(),
            memory: &self.options.memory,
            ready: &self.ready,
            shards: &self.shard_refs(),
            position: &self.position,
            progress: &warm_up.progress,
        };
        let basis = &leg.position.basis;
        let caught_up = restore.replay(leg.state, basis, 0, Source::Log).await?;
        let state = self.state.as_mut().filter(|it| it.has_met(decided));
        let state = state.ok_or_else(|| Error::WarmUp("a batch is under way".to_owned()))?;
        state.join(caught_up.state);
        Ok(())
    }

    /// Has anyone who asks for the progress of the run see how warm its features are.
    async fn say_features(&mut self, now: bool) {
        let is_due = self
            .warm_ups
            .said_at
            .is_none_or(|it| it.elapsed() >= SAY_EVERY);
        if !now && !is_due {
            return;
        }
        self.warm_ups.said_at = Some(Instant::now());
        let said = serde_json::to_string(&self.progress()).expect("progress is plain JSON");
        let written = async {
            let client = self.ground.db.get().await?;
            let statement = client.prepare_cached(SAY).await?;
            let (epoch, at) = (self.lease.epoch, self.ground.clock.now());
            client
                .execute(&statement, &[self.run(), &epoch, &said, &at])
                .await?;
            Ok::<_, db::Error>(())
        };
        if let Err(error) = written.await {
            tracing::warn!(run = %self.run(), error = %error, "how warm the features are could not be said");
        }
    }

    fn progress(&self) -> Vec<FeatureSetProgress> {
        let mut slots: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        let primary = (PRIMARY_SLOT, &self.remembered);
        let wanted = self.wanted.iter().map(|(slot, it)| (slot.as_str(), it));
        for (slot, bundle) in [primary].into_iter().chain(wanted) {
            let slots = slots.entry(bundle.feature_set_digest).or_default();
            slots.push(slot.to_owned());
            slots.dedup();
        }
        let decided = self.position.seq;
        let under_way = self.warm_ups.under_way.as_ref();
        let progress = |(feature_set_digest, slots): (Digest, Vec<String>)| {
            let warming = under_way.filter(|it| it.digest == feature_set_digest);
            let (state, events) = match warming {
                Some(it) => (
                    FeatureSetState::Warming,
                    it.progress.load(Ordering::Relaxed),
                ),
                None if self.is_warm(&feature_set_digest) => (FeatureSetState::Warm, decided),
                None => (FeatureSetState::Cold, 0),
            };
            FeatureSetProgress {
                feature_set_digest,
                slots,
                state,
                events,
                decided,
            }
        };
        slots.into_iter().map(progress).collect()
    }
}

impl WarmUp {
    fn sets(&self) -> Sets {
        Sets::one(self.digest, Arc::clone(&self.set))
    }

    /// Reads on, from where a leg ended to where the worker is now, in a task of its own.
    fn read(&mut self, worker: &Worker, leg: Leg) {
        self.legs += 1;
        let (ground, ready) = (worker.ground.clone(), worker.ready.clone());
        let (shards, position) = (worker.shard_refs(), worker.position.clone());
        let (sets, progress) = (self.sets(), Arc::clone(&self.progress));
        let memory = worker.options.memory.clone();
        self.leg.spawn(async move {
            let restore = Restore {
                ground: &ground,
                sets: &sets,
                memory: &memory,
                ready: &ready,
                shards: &shards,
                position: &position,
                progress: &progress,
            };
            let from = &leg.position.basis;
            let read = restore.replay(leg.state, from, 0, Source::ArchiveFirst);
            let state = read.await?.state;
            Ok(Leg { state, position })
        });
    }
}
