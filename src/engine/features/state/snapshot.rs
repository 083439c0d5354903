//! The state of a feature set as bytes and back.
//!
//! What is written is what the features are a function of: the records, the labels, the horizon,
//! each in one order. How the state came by them does not show: neither arrival order, nor where
//! cursors stand, nor the numbers that memory gave to keys and texts. So the same records give the
//! same bytes, and reading them back and writing them again gives these bytes too.
//!
//! **Invariant:** bytes of another revision, another feature set or another form are refused (L8).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::canonical::{Canon, ReadError, Reader};
use crate::domain::digest::Digest;
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::engine::decide::ENGINE_REV;
use crate::engine::features::ids::EventRef;
use crate::engine::features::labels::{Assertion, Standing};
use crate::engine::features::series::Entry;
use crate::engine::features::state::FeatureState;
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
}

fn contradiction<T>(what: &'static str) -> Result<T, SnapshotError> {
    Err(SnapshotError::Contradiction { what })
}

impl FeatureState {
    /// The state as canonical CBOR; `digest` is that of the feature set's text.
    #[must_use]
    pub fn to_bytes(&self, digest: &Digest) -> Vec<u8> {
        let records = self.records();
        let mut numbers = HashMap::with_capacity(records.len());
        let mut canon = Canon::new();
        canon.array(8 + usize::from(self.graph.is_some()));
        canon.text(FORM).int(ENGINE_REV);
        canon.bytes(digest.as_bytes()).int(self.horizon.micros());
        canon.array(records.len());
        for (number, ((ts, id), record)) in records.iter().enumerate() {
            canon.array(3).int(*ts).text(id);
            match record.standing {
                Some(event) => write_assertions(&mut canon, self.labels.assertions(event)),
                None => {
                    canon.null();
                }
            }
            let number = i64::try_from(number).expect("fewer than 2^32 records are held");
            numbers.extend(record.refs.iter().map(|it| (*it, number)));
        }
        let texts = self.texts.sorted();
        canon.array(texts.len());
        for (text, _) in &texts {
            canon.text(text);
        }
        let texts: HashMap<i64, i64> = (0..).zip(&texts).map(|(at, it)| (it.1, at)).collect();
        canon.array(self.set.groups.len());
        for nth in 0..self.set.groups.len() {
            self.write_group(&mut canon, nth, &numbers, &texts);
        }
        let waiting: BTreeMap<&EventId, &[Assertion]> = self.labels.waiting().collect();
        canon.array(waiting.len());
        for (event, assertions) in waiting {
            canon.array(2).text(event.as_str());
            write_assertions(&mut canon, assertions);
        }
        if let Some(graph) = &self.graph {
            graph.write(&mut canon);
        }
        canon.into_bytes()
    }

    /// Every record that a series or a label refers to, by time and id.
    fn records(&self) -> BTreeMap<(i64, &str), Record> {
        let mut records: BTreeMap<(i64, &str), Record> = BTreeMap::new();
        let mut seen: HashMap<EventRef, i64> = HashMap::new();
        for (group, keyed) in self.set.groups.iter().zip(&self.groups) {
            for series in keyed.series.iter().flatten() {
                let entries = series.places(group).map(|it| series.at(group, it));
                seen.extend(entries.map(|(ts, event)| (event, ts)));
            }
        }
        for (_, standing) in self.labels.standing() {
            seen.insert(standing.event, standing.ts);
        }
        for (event, ts) in seen {
            let record = records.entry((ts, self.ids.get(event))).or_default();
            record.refs.push(event);
        }
        for (_, standing) in self.labels.standing() {
            let at = (standing.ts, self.ids.get(standing.event));
            records.entry(at).or_default().standing = Some(standing.event);
        }
        records
    }

    fn write_group(
        &self,
        canon: &mut Canon,
        nth: usize,
        numbers: &HashMap<EventRef, i64>,
        texts: &HashMap<i64, i64>,
    ) {
        let (group, keyed) = (&self.set.groups[nth], &self.groups[nth]);
        let keys = keyed.keys.iter();
        let mut keys: Vec<_> = keys.map(|(key, it)| (parts_of(key), *it)).collect();
        keys.sort_unstable();
        canon.array(2).text(&shape_of(group)).array(keys.len());
        for (parts, series) in keys {
            canon.array(2).array(parts.len());
            for part in parts {
                canon.text(part);
            }
            let series = keyed.get(series);
            canon.array(series.len(group) * (1 + group.columns.len()));
            for entry in series.places(group) {
                canon.int(numbers[&series.at(group, entry).1]);
                for (at, column) in group.columns.iter().enumerate() {
                    let value = series.column(group, entry, at);
                    canon.opt_int(match column {
                        Column::Int(_) => value,
                        Column::Interned(_) => value.map(|it| texts[&it]),
                    });
                }
            }
        }
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
        let mut state = FeatureState::new(set);
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
            state.labels.restore_waiting(event, assertions);
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
        let held = records.iter().zip(&n_refs);
        let held: Vec<EventRef> = held.map(|(it, n)| self.ids.hold(it.id, *n)).collect();
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
            self.labels.restore_event(id, standing, assertions);
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
            for entry in key.entries() {
                let record = record_of(entry);
                let (ts, event) = (filling.records[record].ts, filling.held[record]);
                columns.clear();
                for (column, value) in group.columns.iter().zip(&entry[1..]) {
                    let text = |it: i64| filling.texts[at(it)];
                    columns.push(match column {
                        Column::Int(_) => *value,
                        Column::Interned(_) => value.map(|it| self.texts.hold_text(text(it))),
                    });
                }
                let series = self.groups[nth].get_mut(number);
                let columns = &columns;
                let last = series.end(group);
                let entry = Entry { ts, event, columns };
                series.insert(group, &self.labels, last, entry);
                if !group.labelled {
                    continue;
                }
                filling.places[record][labelled] = Some(number);
                let Some(assertions) = &filling.records[record].assertions else {
                    return contradiction("a record of a labelled key that no label finds");
                };
                for it in assertions {
                    let observed = it.observed;
                    series.note_change(group, &self.ids, &self.labels, ts, event, observed);
                }
            }
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

struct ReadRecord<'b> {
    ts: i64,
    id: &'b str,
    assertions: Option<Vec<Assertion>>,
}

/// One key with its entries back to back, `stride` words each: the record, then the columns.
struct ReadKey<'b> {
    parts: Vec<&'b str>,
    words: Vec<Option<i64>>,
    stride: usize,
}

impl ReadKey<'_> {
    fn entries(&self) -> impl Iterator<Item = &[Option<i64>]> {
        self.words.chunks(self.stride)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            super::write_part(part, &mut bytes);
        }
        bytes
    }
}

/// The record of an entry that was read.
fn record_of(entry: &[Option<i64>]) -> usize {
    at(entry[0].expect("it was checked when it was read"))
}

fn at(number: i64) -> usize {
    usize::try_from(number).expect("it was checked when it was read")
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

fn read_assertions(reader: &mut Reader<'_>) -> Result<Vec<Assertion>, SnapshotError> {
    let mut assertions: Vec<Assertion> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(3)?;
        let observed = reader.int()?;
        let Ok(id) = reader.text()?.parse() else {
            return contradiction("a label id that is none");
        };
        let is_fraud = reader.bool()?;
        let at = (observed, &id);
        if assertions
            .last()
            .is_some_and(|it| (it.observed, &it.id) >= at)
        {
            return contradiction("labels out of order");
        }
        assertions.push(Assertion {
            observed,
            id,
            is_fraud,
        });
    }
    Ok(assertions)
}

fn read_records<'b>(reader: &mut Reader<'b>) -> Result<Vec<ReadRecord<'b>>, SnapshotError> {
    let mut records: Vec<ReadRecord<'b>> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(3)?;
        let (ts, id) = (reader.int()?, reader.text()?);
        if records.last().is_some_and(|it| (it.ts, it.id) >= (ts, id)) {
            return contradiction("records out of order");
        }
        let assertions = match reader.null() {
            true => None,
            false => Some(read_assertions(reader)?),
        };
        records.push(ReadRecord { ts, id, assertions });
    }
    Ok(records)
}

fn read_sorted<'b, T: PartialOrd>(
    reader: &mut Reader<'b>,
    read: impl Fn(&mut Reader<'b>) -> Result<T, ReadError>,
) -> Result<Vec<T>, SnapshotError> {
    let mut items = Vec::new();
    for _ in 0..reader.array()? {
        let item = read(reader)?;
        if items.last().is_some_and(|it| *it >= item) {
            return contradiction("texts out of order");
        }
        items.push(item);
    }
    Ok(items)
}

fn read_group<'b>(
    reader: &mut Reader<'b>,
    group: &Group,
    n_records: usize,
    n_texts: usize,
) -> Result<Vec<ReadKey<'b>>, SnapshotError> {
    reader.array_of(2)?;
    if reader.text()? != shape_of(group) {
        return contradiction("a group of another shape");
    }
    let stride = 1 + group.columns.len();
    let mut keys: Vec<ReadKey<'b>> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(2)?;
        reader.array_of(group.entity.len())?;
        let parts = group.entity.iter().map(|_| reader.text());
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if keys.last().is_some_and(|it| it.parts >= parts) {
            return contradiction("keys out of order");
        }
        let n_words = reader.array()?;
        if n_words == 0 || n_words % stride != 0 {
            return contradiction("an entry that is cut");
        }
        let mut words = Vec::with_capacity(n_words);
        let mut after = -1;
        for at in 0..n_words {
            let word = reader.opt_int()?;
            let column = (at % stride).checked_sub(1).map(|it| &group.columns[it]);
            let is_within = |n: usize| move |it: i64| usize::try_from(it).is_ok_and(|it| it < n);
            let is_right = match column {
                None => word.is_some_and(|it| it > after && is_within(n_records)(it)),
                Some(Column::Interned(_)) => word.is_none_or(is_within(n_texts)),
                Some(Column::Int(_)) => true,
            };
            if !is_right {
                return contradiction("an entry that names nothing");
            }
            if column.is_none() {
                after = word.unwrap_or(after);
            }
            words.push(word);
        }
        keys.push(ReadKey {
            parts,
            words,
            stride,
        });
    }
    Ok(keys)
}

fn read_waiting(reader: &mut Reader<'_>) -> Result<Vec<(EventId, Vec<Assertion>)>, SnapshotError> {
    let mut waiting: Vec<(EventId, Vec<Assertion>)> = Vec::new();
    for _ in 0..reader.array()? {
        reader.array_of(2)?;
        let Ok(event) = reader.text()?.parse() else {
            return contradiction("an event id that is none");
        };
        if waiting.last().is_some_and(|it| it.0 >= event) {
            return contradiction("waiting labels out of order");
        }
        waiting.push((event, read_assertions(reader)?));
    }
    Ok(waiting)
}
