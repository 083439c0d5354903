//! Random records of the entity graph, and the naive reference: it looks at every record for every question.

use std::collections::{BTreeMap, BTreeSet};

use fraudplat::contracts::graph::EntityKind;
use fraudplat::contracts::payload::ArrivalEntities;
use fraudplat::domain::canonical::Canon;
use fraudplat::domain::time::Time;
use fraudplat::engine::graph::{Graph, HUB_LINKS_MAX, Met};
use fraudplat::engine::{EventRecord, LabelRecord};
use proptest::prelude::*;

use crate::case::{self, SECOND};

/// A record: entities by kind, their time, and whether it is a payment.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) ids: [Option<u16>; 6],
    pub(crate) ts: i64,
    pub(crate) is_payment: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Record(usize),
    Label(usize),
    Restart,
    Ask(i64),
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) records: Vec<Record>,
    /// (record, observed, is_fraud)
    pub(crate) labels: Vec<(usize, i64, bool)>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) type Owned = (EntityKind, String);

impl Record {
    pub(crate) fn arrival(&self) -> ArrivalEntities {
        let id = |kind: EntityKind| self.ids[kind as usize].map(|it| format!("{it}"));
        ArrivalEntities {
            merchant_id: "m".to_owned(),
            arrival_seq: 1,
            customer_id: id(EntityKind::Customer),
            account_id: id(EntityKind::Account),
            card_id: id(EntityKind::Card),
            device_id: id(EntityKind::Device),
            ip: id(EntityKind::Ip),
            terminal_id: Some("t".to_owned()),
            beneficiary_id: id(EntityKind::Beneficiary),
        }
    }

    pub(crate) fn payment(&self, nth: usize) -> EventRecord {
        let plain = case::Event {
            ts: self.ts,
            customer: 0,
            terminal: None,
            amount: 1,
            points: None,
        };
        let arrival = self.arrival();
        let mut event = case::record(nth, &plain);
        event.customer_id = arrival.customer_id.unwrap_or_else(|| "0".to_owned());
        event.account_id = arrival.account_id;
        event.card_id = arrival.card_id;
        event.device_id = arrival.device_id;
        event.ip = arrival.ip;
        event.beneficiary_id = arrival.beneficiary_id;
        event
    }

    /// By the rule's words: the first of these kinds with each of the others.
    pub(crate) fn links(&self) -> Vec<(Owned, Owned)> {
        let mut ids = self.ids;
        if self.is_payment {
            ids[0] = ids[0].or(Some(0));
        }
        let named = EntityKind::ALL.iter().zip(ids);
        let named = named.filter_map(|(kind, id)| Some((*kind, id?.to_string())));
        let named: Vec<Owned> = named.collect();
        let others = named.iter().skip(1);
        others.map(|it| (named[0].clone(), it.clone())).collect()
    }
}

/// What was taken so far, and the definitions.
pub(crate) struct Reference<'a> {
    pub(crate) case: &'a Case,
    pub(crate) records: BTreeSet<usize>,
    pub(crate) labels: BTreeSet<usize>,
}

impl Reference<'_> {
    pub(crate) fn neighbours(&self, of: &Owned, t: i64) -> BTreeMap<Owned, i64> {
        let mut found = BTreeMap::new();
        for record in self.records.iter().map(|it| &self.case.records[*it]) {
            for (one, other) in record.links() {
                for (from, to) in [(&one, &other), (&other, &one)] {
                    if from == of && record.ts <= t {
                        let since = found.entry(to.clone()).or_insert(record.ts);
                        *since = record.ts.min(*since);
                    }
                }
            }
        }
        found
    }

    pub(crate) fn entities(&self) -> BTreeSet<Owned> {
        let records = self.records.iter().map(|it| &self.case.records[*it]);
        let links = records.flat_map(Record::links);
        links.flat_map(|(one, other)| [one, other]).collect()
    }

    /// How far each entity is away, going through no hub.
    pub(crate) fn distances(&self, start: &Owned, t: i64) -> BTreeMap<Owned, usize> {
        let mut found = BTreeMap::from([(start.clone(), 0)]);
        for hops in 0.. {
            let edge = found.iter().filter(|(_, at)| **at == hops);
            let edge: Vec<Owned> = edge.map(|(it, _)| it.clone()).collect();
            if edge.is_empty() {
                break;
            }
            for node in edge {
                let behind = self.neighbours(&node, t);
                if behind.len() > HUB_LINKS_MAX {
                    continue;
                }
                for it in behind.into_keys() {
                    found.entry(it).or_insert(hops + 1);
                }
            }
        }
        found
    }

    pub(crate) fn is_fraud(&self, customer: &str, t: i64) -> bool {
        self.records.iter().any(|nth| {
            let record = &self.case.records[*nth];
            let whose = record.ids[0].unwrap_or(0).to_string();
            let labels = self.labels.iter().map(|it| (*it, &self.case.labels[*it]));
            let visible = labels.filter(|(_, it)| it.0 == *nth && it.1 <= t);
            let latest = visible.max_by_key(|(at, it)| (it.1, case::assertion_id(*at)));
            record.is_payment && whose == customer && latest.is_some_and(|(_, it)| it.2)
        })
    }
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let id = || proptest::option::weighted(0.5, 0..4_u16);
    let ids = [id(), id(), id(), id(), id(), id()];
    let record = (ids, 0..40_i64, any::<bool>());
    let record = record.prop_map(|(ids, ts, is_payment)| Record {
        ids,
        ts,
        is_payment,
    });
    proptest::collection::vec(record, 1..40).prop_flat_map(|records| {
        let n = records.len();
        let label = (0..n, 0..60_i64, any::<bool>());
        let step = prop_oneof![
            6 => (0..n).prop_map(Step::Record),
            2 => (0..20_usize).prop_map(Step::Label),
            1 => Just(Step::Restart),
            3 => (-1..60_i64).prop_map(Step::Ask),
        ];
        let labels = proptest::collection::vec(label, 20);
        let steps = proptest::collection::vec(step, 1..60);
        (Just(records), labels, steps).prop_map(|(records, labels, steps)| Case {
            records,
            labels,
            steps,
        })
    })
}

pub(crate) fn apply(graph: &mut Graph, case: &Case, nth: usize) {
    let record = &case.records[nth];
    match record.is_payment {
        true => graph.apply_event(&record.payment(nth)),
        false => {
            let ts = Time::from_micros(record.ts * SECOND);
            graph.apply(Met::in_arrival(&record.arrival()), ts);
        }
    }
}

pub(crate) fn label(case: &Case, nth: usize) -> LabelRecord {
    let (event, observed, is_fraud) = case.labels[nth];
    let label = case::Label {
        event,
        observed,
        is_fraud,
    };
    case::label_record(nth, &label)
}

pub(crate) fn bytes(graph: &Graph) -> Vec<u8> {
    let mut canon = Canon::new();
    graph.write(&mut canon);
    canon.into_bytes()
}
