//! What a worker holds in memory: the features of its run, by feature set, and which events it has met. A
//! function of the log up to a position; rebuilt from there after any doubt.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::contracts::chunks;
use crate::contracts::run_position::RunPosition;
use crate::contracts::run_snapshot::{MET_BYTES, Met, RunSnapshot};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::offset::ShardRef;
use crate::domain::vocabulary::{EventClass, Stream};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::features::{self, FeatureSet, FeatureState, SnapshotError};
use crate::rtdl::decision::Error;
use crate::rtdl::decision::memory::Memory;
use crate::runtime::guard::{self, Guarded};
use crate::substrate::bus::BusRecord;

/// The feature sets that a worker needs.
#[derive(Debug, Clone)]
pub(super) struct Sets {
    /// Of the bundle that acts: without its features nothing is decided.
    pub(super) primary: (Digest, Arc<FeatureSet>),
    /// Of the others; never the primary's.
    pub(super) others: BTreeMap<Digest, Arc<FeatureSet>>,
}

impl Sets {
    pub(super) fn of<'b>(
        primary: &CompiledBundle,
        others: impl IntoIterator<Item = &'b CompiledBundle>,
    ) -> Sets {
        let named = |it: &CompiledBundle| (it.feature_set_digest, Arc::clone(&it.feature_set));
        let primary = named(primary);
        let others = others.into_iter().map(named);
        Sets {
            others: others.filter(|it| it.0 != primary.0).collect(),
            primary,
        }
    }

    /// Only this one.
    pub(super) fn one(digest: Digest, set: Arc<FeatureSet>) -> Sets {
        Sets {
            primary: (digest, set),
            others: BTreeMap::new(),
        }
    }
}

/// What a record adds to a run's past, read and checked.
#[derive(Debug)]
pub(super) enum Past {
    Event {
        id: DecisionId,
        event: Box<EventRecord>,
    },
    Label(LabelRecord),
}

impl Past {
    /// Of a record of this run, unless it adds nothing: what is refused now was refused when it was read
    /// first, too.
    pub(super) fn read(run: &PlatformRunId, shard: &ShardRef, record: &BusRecord) -> Option<Past> {
        if shard.stream == Stream::Labels {
            let label = LabelRecord::read(&record.data).filter(|(of, _)| of == run);
            return label.map(|(_, label)| Past::Label(label));
        }
        let guarded = guard::guard(shard, record).ok()?;
        Past::of(run, &guarded)
    }

    /// Of a record of this run that is a payment: what is none was no decision when it was read first, either.
    pub(super) fn of(run: &PlatformRunId, guarded: &Guarded) -> Option<Past> {
        let envelope = &guarded.event.envelope;
        if envelope.platform_run_id != *run {
            return None;
        }
        Some(Past::Event {
            id: DecisionId::of(run, EventClass::Traffic, &envelope.event_id),
            event: Box::new(EventRecord::parse(&guarded.event).ok()?),
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct RunState {
    /// Every one has taken the same events and labels.
    features: BTreeMap<Digest, FeatureState>,
    /// Of every event met: repeats on the bus are dropped.
    met: HashSet<Met>,
}

impl RunState {
    /// Before the first event: every set is there from the start.
    pub(super) fn empty(sets: &Sets, memory: &Memory) -> RunState {
        let all = [(&sets.primary.0, &sets.primary.1)].into_iter();
        let all = all.chain(&sets.others);
        let fresh = |set: &Arc<FeatureSet>| FeatureState::within(Arc::clone(set), memory.room());
        RunState {
            features: all.map(|(digest, set)| (*digest, fresh(set))).collect(),
            met: HashSet::new(),
        }
    }

    /// The features of a set, where it is warm.
    pub(super) fn features(&mut self, set: &Digest) -> Option<&mut FeatureState> {
        self.features.get_mut(set)
    }

    /// Lets a set go that is lost: it is warmed up anew.
    pub(super) fn forget(&mut self, set: &Digest) {
        self.features.remove(set);
    }

    /// Bytes of the keys in memory, and of what was put away; of all sets.
    pub(super) fn feature_bytes(&self) -> (u64, u64) {
        let of = |it: &FeatureState| (it.warm_bytes() as u64, it.bytes_away());
        let all = self.features.values().map(of);
        all.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    pub(super) fn has(&self, set: &Digest) -> bool {
        self.features.contains_key(set)
    }

    /// Lets go of every set that is not needed.
    pub(super) fn retain(&mut self, sets: &Sets) {
        let needed = |it: &Digest| *it == sets.primary.0 || sets.others.contains_key(it);
        self.features.retain(|it, _| needed(it));
    }

    /// Takes over the features of a memory that has met the same events.
    pub(super) fn join(&mut self, other: RunState) {
        debug_assert_eq!(self.met, other.met, "both are of one position");
        self.features.extend(other.features);
    }

    /// Whether the event is new to this run; from now on it is not.
    pub(super) fn meet(&mut self, id: &DecisionId) -> bool {
        let mut short = [0; MET_BYTES];
        short.copy_from_slice(&id.digest().as_bytes()[..MET_BYTES]);
        self.met.insert(short)
    }

    /// Whether so many events were met: every event that is decided was met once, and one that is
    /// met is decided with its batch.
    pub(super) fn has_met(&self, decided: i64) -> bool {
        i64::try_from(self.met.len()) == Ok(decided)
    }

    pub(super) fn n_met(&self) -> usize {
        self.met.len()
    }

    /// Takes a new event into the features of every set.
    ///
    /// # Errors
    /// When the primary's refuses it.
    pub(super) fn apply(
        &mut self,
        primary: &Digest,
        event: &EventRecord,
    ) -> Result<(), features::Error> {
        self.enter(primary, |state| state.apply_event(event))
    }

    /// Takes a label into the features of every set, before or after its event; one that is there changes
    /// nothing.
    ///
    /// # Errors
    /// When the primary's is lost.
    pub(super) fn apply_label(
        &mut self,
        primary: &Digest,
        label: &LabelRecord,
    ) -> Result<(), Error> {
        let entered = self.enter(primary, |state| state.apply_label(label));
        entered.map_err(|lost| Error::Labels(lost.to_string()))
    }

    /// What another set than the primary's refuses costs that set its state, never the decision.
    fn enter<E: std::fmt::Display>(
        &mut self,
        primary: &Digest,
        mut into: impl FnMut(&mut FeatureState) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut refused = None;
        self.features.retain(|digest, state| match into(state) {
            Err(error) if digest == primary => {
                refused = Some(error);
                true
            }
            Err(error) => {
                tracing::warn!(feature_set = %digest, error = %error, "a feature set beside the primary's refused a record; it starts over");
                false
            }
            Ok(()) => true,
        });
        refused.map_or(Ok(()), Err)
    }

    /// Takes a part of the past, unless it is there already.
    ///
    /// # Errors
    /// When the primary's features refuse it.
    pub(super) fn take_back(&mut self, primary: &Digest, past: &Past) -> Result<(), Error> {
        let (id, event) = match past {
            Past::Event { id, event } => (id, event),
            Past::Label(label) => return self.apply_label(primary, label),
        };
        if !self.meet(id) {
            return Ok(());
        }
        let applied = self.apply(primary, event);
        applied.map_err(|cause| Error::Decide {
            event_id: event.event_id.to_string(),
            cause: cause.to_string(),
        })
    }

    pub(super) fn to_snapshot(
        &self,
        run: PlatformRunId,
        position: RunPosition,
        primary: &Digest,
    ) -> Result<RunSnapshot, chunks::Error> {
        let mut met: Vec<Met> = self.met.iter().copied().collect();
        met.sort_unstable();
        let mut further = BTreeMap::new();
        for (digest, state) in &self.features {
            further.insert(*digest, state.to_bytes(digest)?);
        }
        Ok(RunSnapshot {
            run,
            position,
            met,
            features: further.remove(primary).unwrap_or_default(),
            further,
        })
    }

    /// The memory that a snapshot holds. A set beside the primary's that it does not hold is left out.
    ///
    /// # Errors
    /// When it does not hold the primary's.
    pub(super) fn of_snapshot(
        sets: &Sets,
        snapshot: &RunSnapshot,
        memory: &Memory,
    ) -> Result<RunState, SnapshotError> {
        let read = |digest: &Digest, set: &Arc<FeatureSet>| {
            let states = snapshot.states(digest);
            let from = |bytes| {
                let set = Arc::clone(set);
                FeatureState::from_bytes_within(set, digest, bytes, memory.room())
            };
            let mut read = states.map(from);
            read.next().unwrap_or(Err(SnapshotError::FeatureSet))
        };
        let (primary, set) = &sets.primary;
        let mut features = BTreeMap::from([(*primary, read(primary, set)?)]);
        for (digest, set) in &sets.others {
            match read(digest, set) {
                Ok(state) => {
                    features.insert(*digest, state);
                }
                Err(why) => {
                    tracing::info!(feature_set = %digest, why = %why, "a snapshot has no state of a feature set");
                }
            }
        }
        Ok(RunState {
            features,
            met: snapshot.met.iter().copied().collect(),
        })
    }
}
