//! What a group takes of a record: whether, under which key, with which columns.

use crate::engine::event::EventRecord;
use crate::engine::expr::{Cell, Slots};
use crate::engine::features::series::{COLUMNS_MAX, Position};
use crate::engine::features::texts::Texts;
use crate::engine::features::{Column, Group};

pub(super) fn position(event: &EventRecord) -> Position<'_> {
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
pub(super) fn passes(group: &Group, event: &EventRecord) -> bool {
    match &group.filter {
        None => true,
        Some((_, filter)) => filter.run(&slots(event)) == Ok(Cell::Bool(true)),
    }
}

/// Writes the key, each part led by its length; whether the event has one.
pub(super) fn key_of(group: &Group, event: &EventRecord, key: &mut Vec<u8>) -> bool {
    key.clear();
    for entity in &group.entity {
        let Some(part) = event.entity(*entity) else {
            return false;
        };
        write_part(part, key);
    }
    true
}

pub(super) fn write_part(part: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(&part.len().to_le_bytes());
    key.extend_from_slice(part.as_bytes());
}

pub(super) fn columns_of(
    group: &Group,
    event: &EventRecord,
    texts: &mut Texts,
) -> [Option<i64>; COLUMNS_MAX] {
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
