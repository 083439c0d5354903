//! The state of one feature set over one run: takes records and labels in any order, and computes
//! the features of an event as if all records had been there from the start.

mod keyed;
mod record;
mod snapshot;

pub use snapshot::SnapshotError;

use std::sync::Arc;

use crate::contracts::chunks;
use crate::contracts::decision::Value;
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::expr::{Cell, Slots};
use crate::engine::features::graph::GraphPart;
use crate::engine::features::labels::Standing;
use crate::engine::features::read::Reading;
use crate::engine::features::series::{Entry, Place};
use crate::engine::features::shared::Shared;
use crate::engine::features::spill::Room;
use crate::engine::features::state::keyed::Keyed;
use crate::engine::features::state::record::{columns_of, key_of, passes, position};
use crate::engine::features::{FeatureSet, FeatureVector, Group, How};

/// Why a record was not taken. The state is as it was, unless what it had put away is lost: then it
/// answers nothing any more, and is to be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("event `{event_id}` is in the feature state already: repeats are dropped before it")]
    Repeat { event_id: EventId },
    #[error("event `{event_id}` of {ts} is older than {horizon}, from where on history is kept")]
    BehindHorizon {
        event_id: EventId,
        ts: Time,
        horizon: Time,
    },
    #[error(transparent)]
    Lost(#[from] chunks::Error),
}

#[derive(Debug)]
pub struct FeatureState {
    set: Arc<FeatureSet>,
    groups: Vec<Keyed>,
    shared: Shared,
    graph: Option<GraphPart>,
    horizon: Time,
    memory_bytes: usize,
    /// The first chunk that did not come back as it was: what is in memory may be half changed.
    lost: Option<chunks::Error>,
    scratch: Scratch,
}

/// Buffers, so that a record costs no allocation of its own.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    /// Per group the series of the record, and the place in it.
    places: Vec<Option<(u32, Place)>>,
}

impl FeatureState {
    /// All of it in memory.
    #[must_use]
    pub fn new(set: Arc<FeatureSet>) -> FeatureState {
        FeatureState::within(set, Room::in_memory())
    }

    #[must_use]
    pub fn within(set: Arc<FeatureSet>, room: Room) -> FeatureState {
        FeatureState {
            groups: set.groups.iter().map(|_| Keyed::default()).collect(),
            graph: GraphPart::of(&set),
            memory_bytes: room.memory_bytes,
            shared: Shared::new(&set, room),
            set,
            horizon: Time::from_micros(i64::MIN),
            lost: None,
            scratch: Scratch::default(),
        }
    }

    #[must_use]
    pub fn set(&self) -> &Arc<FeatureSet> {
        &self.set
    }

    /// Works on the state, and puts away what then need not be in memory.
    fn work<T, E: From<chunks::Error> + AsLost>(
        &mut self,
        work: impl FnOnce(&mut FeatureState) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone().into());
        }
        let mut done = work(self);
        let is_lost = |it: &E| it.as_lost().is_some();
        if !done.as_ref().is_err_and(is_lost)
            && let Err(lost) = self.settle()
        {
            done = Err(lost.into());
        }
        if let Err(error) = &done {
            self.lost = error.as_lost().cloned();
        }
        done
    }

    /// Of the series in the scratch, and of others where there is too much in memory.
    fn settle(&mut self) -> Result<(), chunks::Error> {
        let set = Arc::clone(&self.set);
        for (keyed, place) in self.groups.iter_mut().zip(&self.scratch.places) {
            if let Some((series, _)) = place
                && *series != u32::MAX
            {
                keyed.settle(*series, &mut self.shared.spill)?;
            }
        }
        self.scratch.places.clear();
        while self.warm_bytes() > self.memory_bytes {
            let groups = self.groups.iter_mut().zip(&set.groups);
            let most = groups.max_by_key(|(keyed, _)| keyed.warm_bytes());
            let Some((keyed, group)) = most else { break };
            if !keyed.cool(group, &mut self.shared.spill)? {
                break;
            }
        }
        Ok(())
    }

    /// Takes a record. Its event_id is new: the caller drops repeats.
    ///
    /// # Errors
    /// A repeat that was found all the same, an event older than the horizon, or a state that is lost.
    pub fn apply_event(&mut self, event: &EventRecord) -> Result<(), Error> {
        if event.ts < self.horizon {
            return Err(Error::BehindHorizon {
                event_id: event.event_id.clone(),
                ts: event.ts,
                horizon: self.horizon,
            });
        }
        self.work(|it| it.take_event(event))
    }

    fn take_event(&mut self, event: &EventRecord) -> Result<(), Error> {
        let set = Arc::clone(&self.set);
        let (n_places, is_labelled) = self.find_places(&set, event)?;
        if let Some(graph) = &mut self.graph {
            graph.apply_event(event);
        }
        if n_places == 0 {
            return Ok(());
        }
        let n_refs = n_places + u32::from(is_labelled);
        let Shared { ids, spill, .. } = &mut self.shared;
        let held = ids.hold(spill, event.event_id.as_str(), n_refs)?;
        let ts = event.ts.micros();
        let mut changes = Vec::new();
        if is_labelled {
            let standing = Standing {
                ts,
                event: held,
                series: self.labelled_places(&set),
            };
            let Shared { labels, spill, .. } = &mut self.shared;
            changes = labels.note_event(spill, &event.event_id, standing)?;
        }
        for (at, group) in set.groups.iter().enumerate() {
            let Some((series, nth)) = self.scratch.places[at] else {
                continue;
            };
            let shared = &mut self.shared;
            let columns = columns_of(group, event, &mut shared.texts);
            let entry = Entry {
                ts,
                event: held,
                columns: &columns[..group.columns.len()],
            };
            let keyed = &mut self.groups[at];
            keyed.count_entry();
            let series = keyed.get_mut(series);
            series.insert(group, shared, nth, entry)?;
            if group.labelled {
                for observed in &changes {
                    series.note_change(group, shared, (ts, held), *observed)?;
                }
            }
        }
        Ok(())
    }

    /// Fills the scratch; how many groups take the event, and whether a labelled one does.
    fn find_places(&mut self, set: &FeatureSet, event: &EventRecord) -> Result<(u32, bool), Error> {
        let repeat = || Error::Repeat {
            event_id: event.event_id.clone(),
        };
        self.scratch.places.clear();
        self.scratch.places.resize(set.groups.len(), None);
        let (mut n_places, mut is_labelled) = (0, false);
        let at = position(event);
        // Two passes over the groups that can refuse and those that create: none can refuse once
        // one has created.
        for (nth, group) in set.groups.iter().enumerate() {
            let has_part = passes(group, event) && key_of(group, event, &mut self.scratch.key);
            if !has_part {
                continue;
            }
            let (keyed, shared) = (&mut self.groups[nth], &mut self.shared);
            let place = match keyed.find(&self.scratch.key) {
                Some(number) => {
                    // Named before it is brought, so that it is settled even if it is refused.
                    self.scratch.places[nth] = Some((number, Place::default()));
                    let series = keyed.touch(number, group, &mut shared.spill)?;
                    let found = series.place(group, shared, at)?;
                    (number, found.ok_or_else(repeat)?)
                }
                None => (u32::MAX, Place::default()),
            };
            self.scratch.places[nth] = Some(place);
            n_places += 1;
            is_labelled |= group.labelled;
        }
        for (nth, group) in set.groups.iter().enumerate() {
            if let Some((series @ u32::MAX, _)) = &mut self.scratch.places[nth] {
                key_of(group, event, &mut self.scratch.key);
                *series = self.groups[nth].create(&self.scratch.key, group);
            }
        }
        Ok((n_places, is_labelled))
    }

    fn labelled_places(&self, set: &FeatureSet) -> Box<[Option<u32>]> {
        let places = self.scratch.places.iter().zip(&set.groups);
        let labelled = places.filter(|(_, group)| group.labelled);
        labelled.map(|(place, _)| place.map(|it| it.0)).collect()
    }

    /// Takes a label, before or after its event; a label that is here already changes nothing.
    ///
    /// # Errors
    /// The state is lost.
    pub fn apply_label(&mut self, label: &LabelRecord) -> Result<(), chunks::Error> {
        self.work(|it| it.take_label(label))
    }

    fn take_label(&mut self, label: &LabelRecord) -> Result<(), chunks::Error> {
        if let Some(graph) = &mut self.graph {
            graph.apply_label(label);
        }
        if !self.set.groups.iter().any(|it| it.labelled) {
            return Ok(());
        }
        let Shared {
            ids, labels, spill, ..
        } = &mut self.shared;
        let standing = labels.standing_of(ids, spill, &label.event_id)?;
        let is_new = labels.note_label(label, standing.as_ref());
        let Some(standing) = standing.filter(|_| is_new) else {
            return Ok(());
        };
        let observed = label.observed_time.micros();
        let set = Arc::clone(&self.set);
        self.scratch.places.resize(set.groups.len(), None);
        let labelled = set.groups.iter().enumerate().filter(|(_, it)| it.labelled);
        for ((at, group), number) in labelled.zip(&standing.series) {
            let Some(number) = number else { continue };
            let shared = &mut self.shared;
            // A group of shorter reach may have let the key go.
            let series = self.groups[at].touch_any(*number, group, &mut shared.spill)?;
            if let Some(series) = series {
                let entry = (standing.ts, standing.event);
                series.note_change(group, shared, entry, observed)?;
                self.scratch.places[at] = Some((*number, Place::default()));
            }
        }
        Ok(())
    }

    /// The features of an event; for `include_current` to count it, it has been applied.
    ///
    /// # Errors
    /// The state is lost.
    pub fn compute(&mut self, event: &EventRecord) -> Result<FeatureVector, chunks::Error> {
        self.compute_with(event, true)
    }

    /// The same; without the graph its features are missing, and so is what expressions make of them.
    ///
    /// # Errors
    /// The state is lost.
    pub fn compute_with(
        &mut self,
        event: &EventRecord,
        has_graph: bool,
    ) -> Result<FeatureVector, chunks::Error> {
        self.work(|it| {
            it.move_to(event)?;
            it.read(event, has_graph)
        })
    }

    /// Moves the windows of the event's keys to it; fills the scratch.
    fn move_to(&mut self, event: &EventRecord) -> Result<(), chunks::Error> {
        let set = Arc::clone(&self.set);
        let at = position(event);
        self.scratch.places.clear();
        self.scratch.places.resize(set.groups.len(), None);
        for (nth, group) in set.groups.iter().enumerate() {
            if !key_of(group, event, &mut self.scratch.key) {
                continue;
            }
            let (keyed, shared) = (&mut self.groups[nth], &mut self.shared);
            let number = keyed.find(&self.scratch.key);
            let place = (number.unwrap_or(u32::MAX), Place::default());
            self.scratch.places[nth] = Some(place);
            if let Some(number) = number {
                let series = keyed.touch(number, group, &mut shared.spill)?;
                series.move_to(group, shared, at)?;
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        event: &EventRecord,
        has_graph: bool,
    ) -> Result<FeatureVector, chunks::Error> {
        let set = Arc::clone(&self.set);
        let mut values = Vec::with_capacity(set.features.len());
        for feature in &set.features {
            let value = match &feature.how {
                How::Window {
                    group,
                    window,
                    output,
                    empty,
                } => match self.scratch.places[*group] {
                    None => Value::Missing,
                    Some((u32::MAX, _)) => empty.clone(),
                    Some((series, _)) => {
                        let mut reading = Reading {
                            series: self.groups[*group].get_mut(series),
                            group: &set.groups[*group],
                            window: *window,
                            shared: &mut self.shared,
                            now: event.ts.micros(),
                        };
                        let value = output.read(&mut reading)?;
                        value.unwrap_or_else(|| empty.clone())
                    }
                },
                How::Graph { entity, measure } => {
                    let graph = self.graph.as_ref().filter(|_| has_graph);
                    graph.map_or(Value::Missing, |it| it.compute(event, *entity, measure))
                }
                How::Expr(program) => {
                    let slots = Slots {
                        event,
                        arrival: None,
                        degraded: false,
                        features: &values,
                        policy: None,
                    };
                    // Missing and undefined alike: a feature has no trace to tell them apart.
                    program.run(&slots).map_or(Value::Missing, Cell::to_value)
                }
            };
            values.push(value);
        }
        Ok(FeatureVector { values })
    }

    /// Drops what no event at or after `time` can reach; older events are refused from now on.
    /// The features of the others do not change. A label still waiting for its event is dropped
    /// with what lies that far back.
    ///
    /// # Errors
    /// The state is lost.
    pub fn evict_before(&mut self, time: Time) -> Result<(), chunks::Error> {
        if time <= self.horizon {
            return Ok(());
        }
        self.horizon = time;
        self.work(|it| it.evict(time))
    }

    fn evict(&mut self, time: Time) -> Result<(), chunks::Error> {
        let set = Arc::clone(&self.set);
        let shared = &mut self.shared;
        for (group, keyed) in set.groups.iter().zip(&mut self.groups) {
            let cutoff = time.micros().saturating_sub(group.reach());
            keyed.evict(group, shared, cutoff)?;
        }
        let labelled = set.groups.iter().filter(|it| it.labelled);
        if let Some(reach) = labelled.map(Group::reach).max() {
            let cutoff = time.micros().saturating_sub(reach);
            for event in shared.labels.forget(&mut shared.spill, cutoff)? {
                shared.ids.release(&mut shared.spill, event);
            }
        }
        Ok(())
    }

    /// Keys over all groups.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        self.groups.iter().map(Keyed::n_keys).sum()
    }

    /// Those of them whose series is put away whole.
    #[must_use]
    pub fn n_cold_keys(&self) -> usize {
        self.groups.iter().map(Keyed::n_cold).sum()
    }

    /// Records over all groups and keys: one that several groups keep counts in each.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        self.groups.iter().map(Keyed::n_entries).sum()
    }

    /// Labels whose event has not come.
    #[must_use]
    pub fn n_waiting_labels(&self) -> usize {
        self.shared.labels.n_waiting()
    }

    /// About how much memory it all takes, without what is put away.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let keyed: usize = self.groups.iter().map(Keyed::bytes).sum();
        let graph = self.graph.as_ref().map_or(0, GraphPart::bytes);
        let Shared {
            ids, texts, labels, ..
        } = &self.shared;
        keyed + ids.bytes() + texts.bytes() + labels.bytes() + graph
    }

    /// Memory of the keys that are not put away: what [`Room::memory_bytes`] bounds.
    #[must_use]
    pub fn warm_bytes(&self) -> usize {
        self.groups.iter().map(Keyed::warm_bytes).sum()
    }

    /// Bytes that what is put away takes where it is.
    #[must_use]
    pub fn bytes_away(&self) -> u64 {
        self.shared.spill.bytes()
    }
}

/// Of an error, that of a chunk which is lost.
trait AsLost {
    fn as_lost(&self) -> Option<&chunks::Error>;
}

impl AsLost for chunks::Error {
    fn as_lost(&self) -> Option<&chunks::Error> {
        Some(self)
    }
}

impl AsLost for Error {
    fn as_lost(&self) -> Option<&chunks::Error> {
        match self {
            Error::Lost(lost) => Some(lost),
            _ => None,
        }
    }
}
