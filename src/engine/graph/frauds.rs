//! Which customers are known for fraud at a time: whose payments the labels speak of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::ids::{EventId, LabelAssertionId};
use crate::engine::event::LabelRecord;

/// What was asserted of one event, by (observed, id): whether it was fraud.
pub(super) type Assertions = BTreeMap<(i64, LabelAssertionId), bool>;

#[derive(Debug, Default)]
pub(super) struct Frauds {
    /// Whose each payment was.
    pub(super) customers: HashMap<EventId, u32>,
    pub(super) assertions: HashMap<EventId, Assertions>,
    /// The payments of a customer that any label speaks of.
    asserted: HashMap<u32, BTreeSet<EventId>>,
}

impl Frauds {
    pub(super) fn note_event(&mut self, event: &EventId, customer: u32) {
        self.customers.insert(event.clone(), customer);
        if self.assertions.contains_key(event) {
            self.asserted
                .entry(customer)
                .or_default()
                .insert(event.clone());
        }
    }

    pub(super) fn note_label(&mut self, label: &LabelRecord) {
        let at = (
            label.observed_time.micros(),
            label.label_assertion_id.clone(),
        );
        let of_event = self.assertions.entry(label.event_id.clone()).or_default();
        // The first stays (L3), as in windows and the projection.
        of_event.entry(at).or_insert(label.is_fraud);
        if let Some(customer) = self.customers.get(&label.event_id) {
            let asserted = self.asserted.entry(*customer).or_default();
            asserted.insert(label.event_id.clone());
        }
    }

    /// Whether of any payment the latest label that was observed by `t` says fraud.
    pub(super) fn is_fraud(&self, customer: u32, t: i64) -> bool {
        let says_fraud = |event: &EventId| {
            let visible = self.assertions[event].iter().rev();
            let mut visible = visible.skip_while(|((observed, _), _)| *observed > t);
            visible.next().is_some_and(|(_, is_fraud)| *is_fraud)
        };
        let asserted = self.asserted.get(&customer);
        asserted.is_some_and(|it| it.iter().any(says_fraud))
    }

    pub(super) fn bytes(&self) -> usize {
        self.customers.capacity() * (size_of::<(EventId, u32)>() + 32) + self.assertions.len() * 128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_say_otherwise_under_one_id_the_first_stays() {
        let label = |id: &str, is_fraud| LabelRecord {
            event_id: "e".parse().unwrap(),
            label_assertion_id: id.parse().unwrap(),
            observed_time: "2018-04-01T00:00:20Z".parse().unwrap(),
            is_fraud,
        };
        let mut frauds = Frauds::default();
        frauds.note_event(&"e".parse().unwrap(), 7);
        for (label, is_fraud) in [
            (label("l1", true), true),
            (label("l1", false), true),
            (label("l2", false), false),
            (label("l1", true), false),
        ] {
            frauds.note_label(&label);
            assert_eq!(frauds.is_fraud(7, label.observed_time.micros()), is_fraud);
        }
    }
}
