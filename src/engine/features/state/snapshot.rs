//! The state of a feature set as bytes and back.
//!
//! What is written is what the features are a function of: the records, the labels, the horizon,
//! each in one order. How the state came by them does not show: neither arrival order, nor where
//! cursors stand, nor the numbers that memory gave to keys and texts. So the same records give the
//! same bytes, and reading them back and writing them again gives these bytes too.
//!
//! **Invariant:** bytes of another revision, another feature set or another form are refused (L8).

mod read;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::contracts::chunks;
use crate::domain::canonical::{Canon, ReadError, Reader};
use crate::domain::digest::Digest;
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::engine::decide::ENGINE_REV;
use crate::engine::features::ids::EventRef;
use crate::engine::features::labels::{Assertion, Standing};
use crate::engine::features::series::{Entry, Place};
use crate::engine::features::shared::Shared;
use crate::engine::features::spill::Room;
use crate::engine::features::state::FeatureState;
use crate::engine::features::state::snapshot::read::{
    ReadKey, ReadRecord, at, read_group, read_records, read_sorted, read_waiting, record_of,
};
use crate::engine::features::{Column, FeatureSet, Group};

/// Names the form; another form has another name.
const FORM: &str = "fraudplat/feature_state/v1";

/// Why bytes are no state of this feature set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("its form is `{found}`, this engine reads `{FORM}`")]
    Form { found: String },
    #[error("it was written by revision {found} of the engine, this is {ENGINE_REV}")]
    Revision { found: i64 },
    #[error("it is of another feature set")]
    FeatureSet,
    #[error("its graph: {0}")]
    Graph(#[from] crate::engine::graph::SnapshotError),
    #[error("it contradicts itself: {what}")]
    Contradiction { what: &'static str },
    #[error("what was read of it: {0}")]
    Lost(#[from] chunks::Error),
}

fn contradiction<T>(what: &'static str) -> Result<T, SnapshotError> {
    Err(SnapshotError::Contradiction { what })
}

impl FeatureState {
    /// The state as canonical CBOR; `digest` is that of the feature set's text. What is put away is
    /// written as if it were not.
    ///
    /// # Errors
    /// The state is lost.
    pub fn to_bytes(&self, digest: &Digest) -> Result<Vec<u8>, chunks::Error> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let records = self.records()?;
        let mut numbers = HashMap::with_capacity(records.len());
        let mut canon = Canon::new();
        canon.array(8 + usize::from(self.graph.is_some()));
        canon.text(FORM).int(ENGINE_REV);
        canon.bytes(digest.as_bytes()).int(self.horizon.micros());
        canon.array(records.len());
        for (number, ((ts, id), record)) in records.iter().enumerate() {
            canon.array(3).int(*ts).text(id);
            match record.standing {
                Some(event) => write_assertions(&mut canon, self.shared.labels.assertions(event)),
                None => {
                    canon.null();
                }
            }
            let number = i64::try_from(number).expect("fewer than 2^32 records are held");
            numbers.extend(record.refs.iter().map(|it| (*it, number)));
        }
        let texts = self.shared.texts.sorted();
        canon.array(texts.len());
        for (text, _) in &texts {
            canon.text(text);
        }
        let texts: HashMap<i64, i64> = (0..).zip(&texts).map(|(at, it)| (it.1, at)).collect();
        canon.array(self.set.groups.len());
        for nth in 0..self.set.groups.len() {
            self.write_group(&mut canon, nth, &numbers, &texts)?;
        }
        let waiting: BTreeMap<&EventId, &[Assertion]> = self.shared.labels.waiting().collect();
        canon.array(waiting.len());
        for (event, assertions) in waiting {
            canon.array(2).text(event.as_str());
            write_assertions(&mut canon, assertions);
        }
        if let Some(graph) = &self.graph {
            graph.write(&mut canon);
        }
        Ok(canon.into_bytes())
    }

    /// Every record that a series or a label refers to, by time and id.
    fn records(&self) -> Result<BTreeMap<(i64, String), Record>, chunks::Error> {
        let shared = &self.shared;
        let mut seen: HashMap<EventRef, i64> = HashMap::new();
        for (group, keyed) in self.set.groups.iter().zip(&self.groups) {
            for (_, number) in keyed.keys() {
                keyed.peek(number, group, &shared.spill, |series| {
                    series.each(group, shared, |ts, event, _| {
                        seen.insert(event, ts);
                    })
                })?;
            }
        }
        let mut standing: HashSet<EventRef> = HashSet::new();
        shared.labels.each_standing(&shared.spill, |event, ts| {
            seen.insert(event, ts);
            standing.insert(event);
        })?;
        let events = seen.keys().copied().collect();
        let mut records: BTreeMap<(i64, String), Record> = BTreeMap::new();
        for (event, id) in shared.ids.texts(&shared.spill, events)? {
            let record = records.entry((seen[&event], id)).or_default();
            record.refs.push(event);
            if standing.contains(&event) {
                record.standing = Some(event);
            }
        }
        Ok(records)
    }

    fn write_group(
        &self,
        canon: &mut Canon,
        nth: usize,
        numbers: &HashMap<EventRef, i64>,
        texts: &HashMap<i64, i64>,
    ) -> Result<(), chunks::Error> {
        let (group, keyed) = (&self.set.groups[nth], &self.groups[nth]);
        let mut keys: Vec<_> = keyed.keys().map(|(key, it)| (parts_of(key), it)).collect();
        keys.sort_unstable();
        canon.array(2).text(&shape_of(group)).array(keys.len());
        let mut words: Vec<Option<i64>> = Vec::new();
        for (parts, number) in keys {
            canon.array(2).array(parts.len());
            for part in parts {
                canon.text(part);
            }
            words.clear();
            let spill = &self.shared.spill;
            keyed.peek(number, group, spill, |series| {
                series.each(group, &self.shared, |_, event, columns| {
                    words.push(Some(numbers[&event]));
                    let columns = group.columns.iter().zip(columns);
                    words.extend(columns.map(|(column, value)| match column {
                        Column::Int(_) => *value,
                        Column::Interned(_) => value.map(|it| texts[&it]),
                    }));
                })
            })?;
            canon.array(words.len());
            for word in &words {
                canon.opt_int(*word);
            }
        }
        Ok(())
    }

    /// The state that [`FeatureState::to_bytes`] wrote, under the same feature set.
    ///
    /// # Errors
    /// When the bytes are of another form, revision or feature set, or not as they were written.
    pub fn from_bytes(
        set: Arc<FeatureSet>,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<FeatureState, SnapshotError> {
        FeatureState::from_bytes_within(set, digest, bytes, Room::in_memory())
    }

    /// The same, with what it need not have in memory put away.
    ///
    /// # Errors
    /// The same, and what cannot be put away.
    pub fn from_bytes_within(
        set: Arc<FeatureSet>,
        digest: &Digest,
        bytes: &[u8],
        room: Room,
    ) -> Result<FeatureState, SnapshotError> {
        let mut reader = Reader::new(bytes);
        let length = reader.array()?;
        let found = reader.text()?;
        if found != FORM {
            let found = found.to_owned();
            return Err(SnapshotError::Form { found });
        }
        let found = reader.int()?;
        if found != ENGINE_REV {
            return Err(SnapshotError::Revision { found });
        }
        if reader.bytes()? != digest.as_bytes() {
            return Err(SnapshotError::FeatureSet);
        }
        let mut state = FeatureState::within(set, room);
        if length != 8 + usize::from(state.graph.is_some()) {
            return contradiction("a part too few or too many");
        }
        state.horizon = Time::from_micros(reader.int()?);
        let records = read_records(&mut reader)?;
        let texts = read_sorted(&mut reader, Reader::text)?;
        let set = Arc::clone(&state.set);
        reader.array_of(set.groups.len())?;
        let mut groups = Vec::with_capacity(set.groups.len());
        for group in &set.groups {
            groups.push(read_group(&mut reader, group, records.len(), texts.len())?);
        }
        for (event, assertions) in read_waiting(&mut reader)? {
            state.shared.labels.restore_waiting(event, assertions);
        }
        if let Some(graph) = &mut state.graph {
            graph.read(&mut reader)?;
        }
        reader.end()?;
        state.fill(records, &texts, &groups)?;
        Ok(state)
    }

    /// Puts what was read into memory that is empty but for the labels that wait.
    fn fill(
        &mut self,
        records: Vec<ReadRecord<'_>>,
        texts: &[&str],
        groups: &[Vec<ReadKey<'_>>],
    ) -> Result<(), SnapshotError> {
        let mut n_refs: Vec<u32> = Vec::with_capacity(records.len());
        n_refs.extend(records.iter().map(|it| u32::from(it.assertions.is_some())));
        for entry in groups.iter().flatten().flat_map(ReadKey::entries) {
            n_refs[record_of(entry)] += 1;
        }
        if n_refs.contains(&0) {
            return contradiction("a record that nothing refers to");
        }
        let mut held: Vec<EventRef> = Vec::with_capacity(records.len());
        for (record, n) in records.iter().zip(&n_refs) {
            let Shared { ids, spill, .. } = &mut self.shared;
            held.push(ids.hold(spill, record.id, *n)?);
        }
        let labelled = self.set.groups.iter().filter(|it| it.labelled).count();
        let no_places: Box<[Option<u32>]> = vec![None; labelled].into();
        let mut filling = Filling {
            texts,
            places: vec![no_places; records.len()],
            records,
            held,
        };
        let mut labelled = 0;
        for (nth, keys) in groups.iter().enumerate() {
            self.fill_group(nth, labelled, keys, &mut filling)?;
            labelled += usize::from(self.set.groups[nth].labelled);
        }
        let Filling {
            records,
            held,
            places,
            ..
        } = filling;
        for ((record, event), series) in records.into_iter().zip(held).zip(places) {
            let Some(assertions) = record.assertions else {
                continue;
            };
            let Ok(id) = record.id.parse() else {
                return contradiction("an event id that is none");
            };
            let ts = record.ts;
            let standing = Standing { ts, event, series };
            let Shared { labels, spill, .. } = &mut self.shared;
            labels.restore_event(spill, &id, standing, assertions)?;
        }
        Ok(())
    }

    /// `labelled` counts the labelled groups before this one.
    fn fill_group(
        &mut self,
        nth: usize,
        labelled: usize,
        keys: &[ReadKey<'_>],
        filling: &mut Filling<'_>,
    ) -> Result<(), SnapshotError> {
        let set = Arc::clone(&self.set);
        let group = &set.groups[nth];
        let mut columns = Vec::new();
        for key in keys {
            let number = self.groups[nth].create(&key.bytes(), group);
            let shared = &mut self.shared;
            for entry in key.entries() {
                let record = record_of(entry);
                let (ts, event) = (filling.records[record].ts, filling.held[record]);
                columns.clear();
                for (column, value) in group.columns.iter().zip(&entry[1..]) {
                    let text = |it: i64| filling.texts[at(it)];
                    columns.push(match column {
                        Column::Int(_) => *value,
                        Column::Interned(_) => value.map(|it| shared.texts.hold_text(text(it))),
                    });
                }
                self.groups[nth].count_entry();
                let series = self.groups[nth].get_mut(number);
                let columns = &columns;
                let last = series.end(group);
                let entry = Entry { ts, event, columns };
                series.insert(group, shared, last, entry)?;
                series.settle(&mut shared.spill)?;
                if !group.labelled {
                    continue;
                }
                filling.places[record][labelled] = Some(number);
                let Some(assertions) = &filling.records[record].assertions else {
                    return contradiction("a record of a labelled key that no label finds");
                };
                for it in assertions {
                    series.note_change(group, shared, (ts, event), it.observed)?;
                }
            }
            self.scratch.places.resize(set.groups.len(), None);
            self.scratch.places[nth] = Some((number, Place::default()));
            self.settle()?;
        }
        Ok(())
    }
}

/// What the groups are filled from.
struct Filling<'b> {
    texts: &'b [&'b str],
    records: Vec<ReadRecord<'b>>,
    held: Vec<EventRef>,
    /// Of each record its series in the labelled groups.
    places: Vec<Box<[Option<u32>]>>,
}

/// What memory has of one record.
#[derive(Default)]
struct Record {
    refs: Vec<EventRef>,
    /// Where labels find it, if a labelled group took it.
    standing: Option<EventRef>,
}

/// What a group is over, in words: bytes for other keys or columns are not its own.
fn shape_of(group: &Group) -> String {
    let entities = &group.entity;
    let filter = group.filter.as_ref().map_or("", |it| it.0.as_str());
    let columns = &group.columns;
    format!(
        "{entities:?} filter `{filter}` columns {columns:?} labelled {}",
        group.labelled
    )
}

/// The parts of a key as memory has it.
fn parts_of(key: &[u8]) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = key;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (part, after) = after.split_at(usize::from_le_bytes(*length));
        parts.push(std::str::from_utf8(part).expect("it was written from text"));
        rest = after;
    }
    parts
}

fn write_assertions(canon: &mut Canon, assertions: &[Assertion]) {
    canon.array(assertions.len());
    for it in assertions {
        canon
            .array(3)
            .int(it.observed)
            .text(it.id.as_str())
            .bool(it.is_fraud);
    }
}
