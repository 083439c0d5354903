//! What records become: links, payments and labels by run, each once. Pure.

use std::collections::BTreeMap;

use serde::Deserialize as _;

use crate::contracts::graph::{EntityKind, EntityRef};
use crate::contracts::payload::{ArrivalEntities, Traffic};
use crate::domain::ids::{EventId, LabelAssertionId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::EventClass;
use crate::engine::event::LabelRecord;
use crate::engine::graph::{Met, Node};
use crate::runtime::guard::Guarded;
use crate::substrate::bus::BusRecord;
use crate::substrate::db::Day;

/// Whose link it is: the run, who leads, with whom.
type Key = (PlatformRunId, EntityRef, EntityRef);

/// When a link was seen first, and the day it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) first: Time,
    pub(super) last: Day,
}

/// When a payment's label was observed, by which assertion: of these the latest holds.
type Asserted = (PlatformRunId, EventId, Time, LabelAssertionId);

/// The rows of a batch, in order of their keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) links: BTreeMap<Key, Seen>,
    /// Whose each payment was.
    pub(super) payments: BTreeMap<(PlatformRunId, EventId), String>,
    /// Whether each assertion says fraud.
    pub(super) labels: BTreeMap<Asserted, bool>,
}

impl Rows {
    /// Takes the links of an event, and whose payment it was; one of another form has none.
    pub(super) fn take_event(&mut self, guarded: &Guarded) {
        let envelope = &guarded.event.envelope;
        let (run, ts) = (envelope.platform_run_id, envelope.ts_utc);
        match guarded.class {
            EventClass::Traffic => {
                if let Ok(traffic) = Traffic::deserialize(&envelope.payload) {
                    self.add(run, Met::in_traffic(&traffic), ts);
                    let payment = (run, envelope.event_id.clone());
                    self.payments.entry(payment).or_insert(traffic.customer_id);
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

    /// Takes a label that says whether a payment was fraud; one of another form has no row: the Label
    /// Store is who refuses it. With a run, only its own.
    pub(super) fn take_label(&mut self, record: &BusRecord, of: Option<&PlatformRunId>) {
        let Some((run, label)) = LabelRecord::read(&record.data) else {
            return;
        };
        if of.is_none_or(|it| *it == run) {
            let (id, observed) = (label.label_assertion_id, label.observed_time);
            let asserted = (run, label.event_id, observed, id);
            self.labels.entry(asserted).or_insert(label.is_fraud);
        }
    }

    fn add(&mut self, run: PlatformRunId, met: Met<'_>, ts: Time) {
        let seen = Seen {
            first: ts,
            last: Day::of(ts),
        };
        for (lead, other) in met.links() {
            let key = (run, entity(lead), entity(other));
            let stood = self.links.entry(key).or_insert(seen);
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
