//! What has been asserted of events, and what of it is visible at a time. A label may come before
//! its event: it waits.

use std::collections::HashMap;

use crate::contracts::chunks::Error;
use crate::domain::ids::{EventId, LabelAssertionId};
use crate::engine::event::LabelRecord;
use crate::engine::features::ids::{EventIds, EventRef};
use crate::engine::features::index::Index;
use crate::engine::features::spill::Spill;
use crate::planted;

#[derive(Debug, Clone)]
pub(crate) struct Assertion {
    pub(crate) observed: i64,
    pub(crate) id: LabelAssertionId,
    pub(crate) is_fraud: bool,
}

/// Where the event of a label stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) ts: i64,
    pub(crate) event: EventRef,
    /// Its series in each labelled group; `None` where it has no part.
    pub(crate) series: Box<[Option<u32>]>,
}

#[derive(Debug)]
pub(crate) struct Labels {
    events: Index,
    of_event: HashMap<EventRef, Vec<Assertion>>,
    waiting: HashMap<EventId, Vec<Assertion>>,
}

impl Labels {
    pub(crate) fn new(events: Index) -> Labels {
        Labels {
            events,
            of_event: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Notes an event; the times at which labels that waited for it become visible.
    pub(crate) fn note_event(
        &mut self,
        spill: &mut Spill,
        id: &EventId,
        standing: Standing,
    ) -> Result<Vec<i64>, Error> {
        let waited = self.waiting.remove(id).unwrap_or_default();
        let times = waited.iter().map(|it| it.observed).collect();
        if !waited.is_empty() {
            self.of_event.insert(standing.event, waited);
        }
        self.events.put(spill, id.as_str(), standing)?;
        Ok(times)
    }

    /// Where an event stands, if it is here.
    pub(crate) fn standing_of(
        &self,
        ids: &mut EventIds,
        spill: &Spill,
        id: &EventId,
    ) -> Result<Option<Standing>, Error> {
        for standing in self.events.find(spill, id.as_str())? {
            if ids.order(spill, standing.event, id.as_str())?.is_eq() {
                return Ok(Some(standing));
            }
        }
        Ok(None)
    }

    /// Takes a label of an event that stands there, or has not come; whether it is new.
    pub(crate) fn note_label(&mut self, label: &LabelRecord, standing: Option<&Standing>) -> bool {
        let assertions = match standing {
            Some(standing) => self.of_event.entry(standing.event).or_default(),
            None => self.waiting.entry(label.event_id.clone()).or_default(),
        };
        let (observed, id) = (label.observed_time.micros(), &label.label_assertion_id);
        match assertions.binary_search_by(|it| (it.observed, &it.id).cmp(&(observed, id))) {
            Ok(_) => false,
            Err(at) => {
                let assertion = Assertion {
                    observed,
                    id: id.clone(),
                    is_fraud: label.is_fraud,
                };
                assertions.insert(at, assertion);
                true
            }
        }
    }

    /// All that was asserted of an event, by when it was observed.
    pub(crate) fn assertions(&self, event: EventRef) -> &[Assertion] {
        self.of_event.get(&event).map_or(&[][..], Vec::as_slice)
    }

    /// Shows the events that labels find with their times, in no order.
    pub(crate) fn each_standing(
        &self,
        spill: &Spill,
        show: impl FnMut(EventRef, i64),
    ) -> Result<(), Error> {
        self.events.each(spill, show)
    }

    /// What waits for its event, in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&EventId, &[Assertion])> {
        let waiting = self.waiting.iter();
        waiting.map(|(event, it)| (event, it.as_slice()))
    }

    pub(crate) fn restore_event(
        &mut self,
        spill: &mut Spill,
        id: &EventId,
        standing: Standing,
        assertions: Vec<Assertion>,
    ) -> Result<(), Error> {
        if !assertions.is_empty() {
            self.of_event.insert(standing.event, assertions);
        }
        self.events.put(spill, id.as_str(), standing)
    }

    pub(crate) fn restore_waiting(&mut self, id: EventId, assertions: Vec<Assertion>) {
        self.waiting.insert(id, assertions);
    }

    /// Whether the event counts as fraud for one who looks at time `at`.
    pub(crate) fn is_fraud(&self, event: EventRef, at: i64) -> bool {
        let assertions = self.assertions(event);
        let at = planted!(LabelSeenEarly, at.saturating_add(1_000_000), at);
        let visible = assertions.partition_point(|it| it.observed <= at);
        visible
            .checked_sub(1)
            .is_some_and(|it| assertions[it].is_fraud)
    }

    /// Forgets events at or before `cutoff`, and labels that wait and were observed by then: an
    /// event of theirs that can still matter would have happened after its label was known.
    /// Answers the events that are now unreferenced here.
    pub(crate) fn forget(
        &mut self,
        spill: &mut Spill,
        cutoff: i64,
    ) -> Result<Vec<EventRef>, Error> {
        let gone = self.events.forget(spill, cutoff)?;
        for event in &gone {
            self.of_event.remove(event);
        }
        self.waiting.retain(|_, it| {
            it.retain(|it| it.observed > cutoff);
            !it.is_empty()
        });
        Ok(gone)
    }

    pub(crate) fn bytes(&self) -> usize {
        let n_assertions = self.of_event.len() + self.waiting.len();
        self.events.bytes() + n_assertions * (2 * size_of::<(EventRef, Vec<Assertion>)>() + 96)
    }

    pub(crate) fn n_waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}
