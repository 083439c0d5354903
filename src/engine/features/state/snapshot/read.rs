//! A state's bytes, read and checked, before they become a state.

use crate::domain::canonical::{ReadError, Reader};
use crate::domain::ids::EventId;
use crate::engine::features::labels::Assertion;
use crate::engine::features::state::SnapshotError;
use crate::engine::features::state::record::write_part;
use crate::engine::features::state::snapshot::{contradiction, shape_of};
use crate::engine::features::{Column, Group};

pub(super) struct ReadRecord<'b> {
    pub(super) ts: i64,
    pub(super) id: &'b str,
    pub(super) assertions: Option<Vec<Assertion>>,
}

/// One key with its entries back to back, `stride` words each: the record, then the columns.
pub(super) struct ReadKey<'b> {
    parts: Vec<&'b str>,
    words: Vec<Option<i64>>,
    stride: usize,
}

impl ReadKey<'_> {
    pub(super) fn entries(&self) -> impl Iterator<Item = &[Option<i64>]> {
        self.words.chunks(self.stride)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            write_part(part, &mut bytes);
        }
        bytes
    }
}

/// The record of an entry that was read.
pub(super) fn record_of(entry: &[Option<i64>]) -> usize {
    at(entry[0].expect("it was checked when it was read"))
}

pub(super) fn at(number: i64) -> usize {
    usize::try_from(number).expect("it was checked when it was read")
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

pub(super) fn read_records<'b>(
    reader: &mut Reader<'b>,
) -> Result<Vec<ReadRecord<'b>>, SnapshotError> {
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

pub(super) fn read_sorted<'b, T: PartialOrd>(
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

pub(super) fn read_group<'b>(
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

pub(super) fn read_waiting(
    reader: &mut Reader<'_>,
) -> Result<Vec<(EventId, Vec<Assertion>)>, SnapshotError> {
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
