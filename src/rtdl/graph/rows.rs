//! What guarded records become: links by run, each once. Pure.

use std::collections::BTreeMap;

use serde::Deserialize as _;

use crate::contracts::graph::{EntityKind, EntityRef};
use crate::contracts::payload::{ArrivalEntities, Traffic};
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::EventClass;
use crate::engine::graph::{Met, Node};
use crate::runtime::guard::Guarded;
use crate::substrate::db::Day;

/// Whose link it is: the run, who leads, with whom.
type Key = (PlatformRunId, EntityRef, EntityRef);

/// When a link was seen first, and the day it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) first: Time,
    pub(super) last: Day,
}

/// Links in order of their keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links(pub(super) BTreeMap<Key, Seen>);

impl Links {
    /// Takes the links of a record; one of another class or form has none.
    pub(super) fn take(&mut self, guarded: &Guarded) {
        let envelope = &guarded.event.envelope;
        let (run, ts) = (envelope.platform_run_id, envelope.ts_utc);
        match guarded.class {
            EventClass::Traffic => {
                if let Ok(traffic) = Traffic::deserialize(&envelope.payload) {
                    self.add(run, Met::in_traffic(&traffic), ts);
                }
            }
            EventClass::ArrivalEntities => {
                if let Ok(arrival) = ArrivalEntities::deserialize(&envelope.payload) {
                    self.add(run, Met::in_arrival(&arrival), ts);
                }
            }
            EventClass::ArrivalEvent | EventClass::FlowAnchor => {}
        }
    }

    fn add(&mut self, run: PlatformRunId, met: Met<'_>, ts: Time) {
        let seen = Seen {
            first: ts,
            last: Day::of(ts),
        };
        for (lead, other) in met.links() {
            let key = (run, entity(lead), entity(other));
            let stood = self.0.entry(key).or_insert(seen);
            stood.first = stood.first.min(seen.first);
            stood.last = stood.last.max(seen.last);
        }
    }
}

fn entity((kind, id): Node<'_>) -> EntityRef {
    EntityRef {
        kind,
        id: id.to_owned(),
    }
}

/// How a kind stands in a column.
pub(super) fn number(kind: EntityKind) -> i16 {
    kind as i16
}

/// The kind that a column says; none where a later release wrote it.
pub(super) fn kind(number: i16) -> Option<EntityKind> {
    let at = usize::try_from(number).ok()?;
    EntityKind::ALL.get(at).copied()
}
