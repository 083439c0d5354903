//! The state of one feature set over one run: takes records and labels in any order, and computes
//! the features of an event as if all records had been there from the start.

mod snapshot;

pub use snapshot::SnapshotError;

use std::collections::HashMap;
use std::sync::Arc;

use crate::contracts::decision::Value;
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::expr::{Cell, Slots};
use crate::engine::features::graph::GraphPart;
use crate::engine::features::ids::EventIds;
use crate::engine::features::labels::{Labels, Standing};
use crate::engine::features::read::Reading;
use crate::engine::features::series::{COLUMNS_MAX, Entry, Place, Position, Series};
use crate::engine::features::texts::Texts;
use crate::engine::features::{Column, FeatureSet, FeatureVector, Group, How};

/// Why a record was not taken. The state is as it was.
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
}

#[derive(Debug)]
pub struct FeatureState {
    set: Arc<FeatureSet>,
    groups: Vec<Keyed>,
    ids: EventIds,
    texts: Texts,
    labels: Labels,
    graph: Option<GraphPart>,
    horizon: Time,
    scratch: Scratch,
}

/// The series of one group.
#[derive(Debug, Default)]
struct Keyed {
    keys: HashMap<Box<[u8]>, u32>,
    series: Vec<Option<Series>>,
    free: Vec<u32>,
}

/// Buffers, so that a record costs no allocation of its own.
#[derive(Debug, Default)]
struct Scratch {
    key: Vec<u8>,
    /// Per group the series of the record, and the place in it.
    places: Vec<Option<(u32, Place)>>,
}

impl FeatureState {
    #[must_use]
    pub fn new(set: Arc<FeatureSet>) -> FeatureState {
        FeatureState {
            groups: set.groups.iter().map(|_| Keyed::default()).collect(),
            graph: GraphPart::of(&set),
            set,
            ids: EventIds::default(),
            texts: Texts::default(),
            labels: Labels::default(),
            horizon: Time::from_micros(i64::MIN),
            scratch: Scratch::default(),
        }
    }

    #[must_use]
    pub fn set(&self) -> &Arc<FeatureSet> {
        &self.set
    }

    /// Takes a record. Its event_id is new: the caller drops repeats.
    ///
    /// # Errors
    /// A repeat that was found all the same, or an event older than the horizon.
    pub fn apply_event(&mut self, event: &EventRecord) -> Result<(), Error> {
        if event.ts < self.horizon {
            return Err(Error::BehindHorizon {
                event_id: event.event_id.clone(),
                ts: event.ts,
                horizon: self.horizon,
            });
        }
        let set = Arc::clone(&self.set);
        let (n_places, is_labelled) = self.find_places(&set, event)?;
        if let Some(graph) = &mut self.graph {
            graph.apply_event(event);
        }
        if n_places == 0 {
            return Ok(());
        }
        let n_refs = n_places + u32::from(is_labelled);
        let held = self.ids.hold(event.event_id.as_str(), n_refs);
        let ts = event.ts.micros();
        let mut changes = Vec::new();
        if is_labelled {
            let standing = Standing {
                ts,
                event: held,
                series: self.labelled_places(&set),
            };
            changes = self.labels.note_event(&event.event_id, standing);
        }
        for (at, group) in set.groups.iter().enumerate() {
            let Some((series, nth)) = self.scratch.places[at] else {
                continue;
            };
            let columns = columns_of(group, event, &mut self.texts);
            let entry = Entry {
                ts,
                event: held,
                columns: &columns[..group.columns.len()],
            };
            let series = self.groups[at].get_mut(series);
            series.insert(group, &self.labels, nth, entry);
            if group.labelled {
                for observed in &changes {
                    series.note_change(group, &self.ids, &self.labels, ts, held, *observed);
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
        if self.labels.knows(&event.event_id) {
            return Err(repeat());
        }
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
            let keyed = &self.groups[nth];
            let place = match keyed.find(&self.scratch.key) {
                Some(series) => {
                    let found = keyed.get(series).place(group, &self.ids, at);
                    (series, found.ok_or_else(repeat)?)
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
    pub fn apply_label(&mut self, label: &LabelRecord) {
        if let Some(graph) = &mut self.graph {
            graph.apply_label(label);
        }
        if !self.set.groups.iter().any(|it| it.labelled) {
            return;
        }
        let Some(standing) = self.labels.note_label(label) else {
            return;
        };
        let observed = label.observed_time.micros();
        let set = Arc::clone(&self.set);
        let labelled = set.groups.iter().enumerate().filter(|(_, it)| it.labelled);
        for ((at, group), series) in labelled.zip(&standing.series) {
            let Some(series) = series else { continue };
            // A group of shorter reach may have let the key go.
            if let Some(series) = &mut self.groups[at].series[*series as usize] {
                let (ts, event) = (standing.ts, standing.event);
                series.note_change(group, &self.ids, &self.labels, ts, event, observed);
            }
        }
    }

    /// The features of an event; for `include_current` to count it, it has been applied.
    pub fn compute(&mut self, event: &EventRecord) -> FeatureVector {
        self.compute_with(event, true)
    }

    /// The same; without the graph its features are missing, and so is what expressions make of them.
    pub fn compute_with(&mut self, event: &EventRecord, has_graph: bool) -> FeatureVector {
        let set = Arc::clone(&self.set);
        let at = position(event);
        self.scratch.places.clear();
        for (nth, group) in set.groups.iter().enumerate() {
            let place = key_of(group, event, &mut self.scratch.key).then(|| {
                let keyed = &mut self.groups[nth];
                let series = keyed.find(&self.scratch.key);
                if let Some(series) = series {
                    let series = keyed.get_mut(series);
                    series.move_to(group, &self.ids, &self.labels, at);
                }
                (series.unwrap_or(u32::MAX), Place::default())
            });
            self.scratch.places.push(place);
        }
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
                        let series = self.groups[*group].get(series);
                        let reading = Reading {
                            series,
                            group: &set.groups[*group],
                            window: *window,
                            texts: &self.texts,
                            now: event.ts.micros(),
                        };
                        output.read(&reading).unwrap_or_else(|| empty.clone())
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
        FeatureVector { values }
    }

    /// Drops what no event at or after `time` can reach; older events are refused from now on.
    /// The features of the others do not change. A label still waiting for its event is dropped
    /// with what lies that far back.
    pub fn evict_before(&mut self, time: Time) {
        if time <= self.horizon {
            return;
        }
        self.horizon = time;
        let set = Arc::clone(&self.set);
        for (group, keyed) in set.groups.iter().zip(&mut self.groups) {
            let cutoff = time.micros().saturating_sub(group.reach());
            let (series, free) = (&mut keyed.series, &mut keyed.free);
            let (ids, texts) = (&mut self.ids, &mut self.texts);
            keyed.keys.retain(|_, number| {
                let slot = &mut series[*number as usize];
                let Some(held) = slot else { return false };
                held.evict(group, cutoff, |event, value_of| {
                    ids.release(event);
                    for (at, column) in group.columns.iter().enumerate() {
                        if let (Column::Interned(_), Some(value)) = (column, value_of(at)) {
                            texts.release(value);
                        }
                    }
                });
                let is_empty = held.is_empty();
                if is_empty {
                    *slot = None;
                    free.push(*number);
                }
                !is_empty
            });
        }
        let labelled = set.groups.iter().filter(|it| it.labelled);
        if let Some(reach) = labelled.map(Group::reach).max() {
            for event in self.labels.forget(time.micros().saturating_sub(reach)) {
                self.ids.release(event);
            }
        }
    }

    /// Keys over all groups.
    #[must_use]
    pub fn n_keys(&self) -> usize {
        self.groups.iter().map(|it| it.keys.len()).sum()
    }

    /// Records over all groups and keys: one that several groups keep counts in each.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        let groups = self.set.groups.iter().zip(&self.groups);
        let lens =
            groups.flat_map(|(group, keyed)| keyed.series.iter().flatten().map(|it| it.len(group)));
        lens.sum()
    }

    /// Labels whose event has not come.
    #[must_use]
    pub fn n_waiting_labels(&self) -> usize {
        self.labels.n_waiting()
    }

    /// About how much memory it all takes; walks every key.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let keyed = self.groups.iter().map(|it| {
            let keys: usize = it.keys.keys().map(|key| key.len() + 2 * 24 + 16).sum();
            let series: usize = it.series.iter().flatten().map(Series::bytes).sum();
            keys + series
        });
        let graph = self.graph.as_ref().map_or(0, GraphPart::bytes);
        let held = self.ids.bytes() + self.texts.bytes() + self.labels.bytes();
        keyed.sum::<usize>() + held + graph
    }
}

impl Keyed {
    fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.get(key).copied()
    }

    fn get(&self, series: u32) -> &Series {
        let held = self.series[series as usize].as_ref();
        held.expect("a key's series is there as long as the key")
    }

    fn get_mut(&mut self, series: u32) -> &mut Series {
        let held = self.series[series as usize].as_mut();
        held.expect("a key's series is there as long as the key")
    }

    fn create(&mut self, key: &[u8], group: &Group) -> u32 {
        let series = Some(Series::new(group));
        let number = match self.free.pop() {
            Some(number) => {
                self.series[number as usize] = series;
                number
            }
            None => {
                self.series.push(series);
                u32::try_from(self.series.len() - 1).expect("fewer than 4 billion keys fit memory")
            }
        };
        self.keys.insert(key.into(), number);
        number
    }
}

fn position(event: &EventRecord) -> Position<'_> {
    Position {
        ts: event.ts.micros(),
        event_id: event.event_id.as_str(),
    }
}

fn slots(event: &EventRecord) -> Slots<'_> {
    Slots {
        event,
        arrival: None,
        degraded: false,
        features: &[],
        policy: None,
    }
}

/// Whether the group takes the record: a filter that is missing something takes it not.
fn passes(group: &Group, event: &EventRecord) -> bool {
    match &group.filter {
        None => true,
        Some((_, filter)) => filter.run(&slots(event)) == Ok(Cell::Bool(true)),
    }
}

/// Writes the key, each part led by its length; whether the event has one.
fn key_of(group: &Group, event: &EventRecord, key: &mut Vec<u8>) -> bool {
    key.clear();
    for entity in &group.entity {
        let Some(part) = event.entity(*entity) else {
            return false;
        };
        write_part(part, key);
    }
    true
}

fn write_part(part: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(&part.len().to_le_bytes());
    key.extend_from_slice(part.as_bytes());
}

fn columns_of(group: &Group, event: &EventRecord, texts: &mut Texts) -> [Option<i64>; COLUMNS_MAX] {
    let mut columns = [None; COLUMNS_MAX];
    let slots = slots(event);
    for (value, column) in columns.iter_mut().zip(&group.columns) {
        *value = match column {
            Column::Int(slot) => match slots.load(slot) {
                Some(Cell::Int(value)) => Some(value),
                _ => None,
            },
            Column::Interned(slot) => slots.load_any(slot).map(|it| texts.hold(it)),
        };
    }
    columns
}
