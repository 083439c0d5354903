//! The feature state against a naive reference that looks at every record for every event: random
//! streams with ties, late and repeated times, labels before and after their events, eviction.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: helpers may panic, and its size comes from the environment"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fraudplat::contracts::decision::Value;
use fraudplat::contracts::payload::{AttributeValue, Traffic};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Channel;
use fraudplat::engine::{EventRecord, FeatureSet, FeatureState, LabelRecord};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;

const SET: &str = r#"
feature_set: reference
version: 1
features:
  - {name: count_10, entity: [customer_id], agg: count, window: 10s}
  - {name: count_10_without, entity: [customer_id], agg: count, window: 10s, include_current: false}
  - {name: count_delayed, entity: [customer_id], agg: count, window: 7s, delay: 3s}
  - {name: sum_10, entity: [customer_id], agg: sum, value: event.amount_minor, window: 10s}
  - {name: mean_30, entity: [customer_id], agg: mean, value: event.amount_minor, window: 30s, empty: 0}
  - {name: min_5, entity: [customer_id], agg: min, value: event.amount_minor, window: 5s, include_current: false}
  - {name: max_5_delayed, entity: [customer_id], agg: max, value: event.amount_minor, window: 5s, delay: 2s, empty: -1}
  - {name: terminals_10, entity: [customer_id], agg: distinct, value: event.terminal_id, window: 10s}
  - {name: risk_10, entity: [terminal_id], agg: fraud_share, window: 10s, delay: 4s, empty: 0}
  - {name: risk_now, entity: [terminal_id], agg: fraud_share, window: 20s, include_current: false}
  - {name: pair_count, entity: [terminal_id, customer_id], agg: count, window: 20s}
  - {name: large_count, entity: [customer_id], agg: count, window: 20s, filter: "event.amount_minor >= 50"}
  - {name: large_risk, entity: [customer_id], agg: fraud_share, window: 15s, filter: "event.amount_minor >= 50"}
  - {name: points_sum, entity: [customer_id], agg: sum, value: event.attributes.points, window: 10s}
  - {name: points_mean, entity: [customer_id], agg: mean, value: event.attributes.points, window: 10s}
  - {name: points_kinds, entity: [customer_id], agg: distinct, value: event.attributes.points, window: 10s}
"#;

#[derive(Debug, Clone)]
struct Event {
    ts: i64,
    customer: u8,
    terminal: Option<u8>,
    amount: i64,
    points: Option<Result<i64, bool>>,
}

#[derive(Debug, Clone)]
struct Label {
    event: usize,
    observed: i64,
    is_fraud: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Event(usize),
    Label(usize),
    /// Computes again what was computed before, out of order.
    Again(usize),
    Evict,
}

#[derive(Debug, Clone)]
struct Case {
    events: Vec<Event>,
    labels: Vec<Label>,
    steps: Vec<Step>,
}

fn record(nth: usize, event: &Event) -> EventRecord {
    let world = ManifestFingerprint::of_live(None, "reference");
    let points = event.points.map(|it| match it {
        Ok(points) => AttributeValue::Int(points),
        Err(flag) => AttributeValue::Bool(flag),
    });
    let traffic = Traffic {
        flow_id: format!("f{nth}"),
        customer_id: format!("c{}", event.customer),
        merchant_id: "m".to_owned(),
        account_id: None,
        card_id: None,
        device_id: None,
        ip: None,
        terminal_id: event.terminal.map(|it| format!("t{it}")),
        beneficiary_id: None,
        amount_minor: event.amount,
        currency: "EUR".to_owned(),
        channel: Channel::Pos,
        attributes: points.map(|it| BTreeMap::from([("points".to_owned(), it)])),
    };
    let pins = Pins {
        platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"semantics"), None, ""),
        scenario_run_id: ScenarioRunId::of(&world, "reference"),
        manifest_fingerprint: world,
        tenant_id: None,
    };
    let id = event_id(nth).parse().unwrap();
    let ts = Time::from_micros(event.ts * SECOND);
    EventRecord::of(pins, id, Digest::of_bytes(b""), ts, traffic)
}

/// Ids whose text order is not that of arrival.
fn event_id(nth: usize) -> String {
    format!("e{:03}", nth * 7_919 % 1_000)
}

fn label_record(nth: usize, label: &Label) -> LabelRecord {
    LabelRecord {
        event_id: event_id(label.event).parse().unwrap(),
        label_assertion_id: assertion_id(nth).parse().unwrap(),
        observed_time: Time::from_micros(label.observed * SECOND),
        is_fraud: label.is_fraud,
    }
}

fn assertion_id(nth: usize) -> String {
    format!("l{:03}", nth * 7_919 % 1_000)
}

/// What is known, and the definition of every feature over it, read word for word.
struct Reference<'r> {
    case: &'r Case,
    events: BTreeSet<usize>,
    labels: BTreeSet<usize>,
}

struct Look {
    window: i64,
    delay: i64,
    with_current: bool,
}

const fn look(window: i64, delay: i64, with_current: bool) -> Look {
    Look {
        window,
        delay,
        with_current,
    }
}

impl Reference<'_> {
    fn window(&self, at: usize, look: &Look, same: impl Fn(&Event) -> bool) -> Vec<usize> {
        let now = &self.case.events[at];
        let known = self.events.iter().copied();
        let inside = known.filter(|nth| {
            let event = &self.case.events[*nth];
            let end = now.ts - look.delay;
            let before_end = if look.delay > 0 || event.ts < end {
                event.ts <= end
            } else if *nth == at {
                look.with_current
            } else {
                event.ts == end && event_id(*nth) < event_id(at)
            };
            before_end && event.ts > end - look.window && same(event)
        });
        inside.collect()
    }

    fn is_fraud(&self, event: usize, at: i64) -> bool {
        let labels = self.labels.iter().copied();
        let visible = labels.filter(|it| {
            let label = &self.case.labels[*it];
            label.event == event && label.observed <= at
        });
        let latest = visible.max_by_key(|it| (self.case.labels[*it].observed, assertion_id(*it)));
        latest.is_some_and(|it| self.case.labels[it].is_fraud)
    }

    fn share(&self, at: usize, among: &[usize], empty: Value) -> Value {
        if among.is_empty() {
            return empty;
        }
        let now = self.case.events[at].ts;
        let frauds = among.iter().filter(|it| self.is_fraud(**it, now)).count();
        Value::Float(frauds as f64 / among.len() as f64)
    }

    fn features(&self, at: usize) -> Vec<Value> {
        let now = self.case.events[at].clone();
        let mine = |it: &Event| it.customer == now.customer;
        let here = |it: &Event| it.terminal == now.terminal;
        let large = |it: &Event| mine(it) && it.amount >= 50;
        let count = |it: Vec<usize>| Value::Int(it.len() as i64);
        let amounts = |it: Vec<usize>| -> Vec<i64> {
            it.iter().map(|it| self.case.events[*it].amount).collect()
        };
        let points = |it: &[usize]| -> Vec<i64> {
            let values = it.iter().filter_map(|it| self.case.events[*it].points);
            values.filter_map(Result::ok).collect()
        };
        let mean = |it: &[i64]| it.iter().sum::<i64>() as f64 / it.len() as f64;
        let ten = self.window(at, &look(10, 0, true), mine);
        let thirty = amounts(self.window(at, &look(30, 0, true), mine));
        let five = amounts(self.window(at, &look(5, 0, false), mine));
        let five_delayed = amounts(self.window(at, &look(5, 2, true), mine));
        let terminals = ten.iter().filter_map(|it| self.case.events[*it].terminal);
        let all_points = ten.iter().filter_map(|it| self.case.events[*it].points);
        let has_terminal = now.terminal.is_some();
        let keyed = |value: Value| if has_terminal { value } else { Value::Missing };
        vec![
            count(ten.clone()),
            count(self.window(at, &look(10, 0, false), mine)),
            count(self.window(at, &look(7, 3, true), mine)),
            Value::Int(amounts(ten.clone()).iter().sum()),
            match thirty.is_empty() {
                true => Value::Float(0.0),
                false => Value::Float(mean(&thirty)),
            },
            five.iter()
                .min()
                .map_or(Value::Missing, |it| Value::Int(*it)),
            Value::Int(five_delayed.iter().max().copied().unwrap_or(-1)),
            Value::Int(terminals.collect::<BTreeSet<_>>().len() as i64),
            keyed(self.share(
                at,
                &self.window(at, &look(10, 4, true), here),
                Value::Float(0.0),
            )),
            keyed(self.share(
                at,
                &self.window(at, &look(20, 0, false), here),
                Value::Missing,
            )),
            keyed(count(
                self.window(at, &look(20, 0, true), |it| mine(it) && here(it)),
            )),
            count(self.window(at, &look(20, 0, true), large)),
            self.share(
                at,
                &self.window(at, &look(15, 0, true), large),
                Value::Missing,
            ),
            Value::Int(points(&ten).iter().sum()),
            match points(&ten) {
                none if none.is_empty() => Value::Missing,
                some => Value::Float(mean(&some)),
            },
            Value::Int(all_points.collect::<BTreeSet<_>>().len() as i64),
        ]
    }
}

fn case() -> impl Strategy<Value = Case> {
    let points = proptest::option::of(prop_oneof![
        (-3..3_i64).prop_map(Ok),
        any::<bool>().prop_map(Err)
    ]);
    let event = (
        0..90_i64,
        0..3_u8,
        proptest::option::of(0..3_u8),
        0..100_i64,
        points,
    )
        .prop_map(|(ts, customer, terminal, amount, points)| Event {
            ts,
            customer,
            terminal,
            amount,
            points,
        });
    let stream = (proptest::collection::vec(event, 1..60), 0..4_u8);
    stream
        .prop_flat_map(|(mut events, disorder)| {
            // From in order to wholly shuffled.
            match disorder {
                0 => events.sort_by_key(|it| it.ts),
                1 => events.sort_by_key(|it| it.ts / 10),
                2 => events.sort_by_key(|it| -it.ts),
                _ => {}
            }
            let n = events.len();
            let label = (0..n, -5..60_i64, any::<bool>());
            let labels = proptest::collection::vec(label, 0..40);
            let moments = proptest::collection::vec((0..n * 2, 0..n), 40);
            let again = proptest::collection::vec((0..n * 2, 0..n), 0..20);
            (Just(events), labels, moments, again, any::<bool>(), 0..n)
        })
        .prop_map(|(events, labels, moments, again, evicts, evict_at)| {
            let labels: Vec<_> = labels
                .into_iter()
                .map(|(event, lag, is_fraud)| Label {
                    event,
                    observed: events[event].ts + lag,
                    is_fraud,
                })
                .collect();
            let mut steps: Vec<(usize, Step)> = (0..events.len())
                .map(|it| (it * 2, Step::Event(it)))
                .collect();
            steps.extend(
                labels
                    .iter()
                    .enumerate()
                    .map(|(nth, _)| (moments[nth].0, Step::Label(nth))),
            );
            steps.extend(
                again
                    .into_iter()
                    .map(|(when, event)| (when, Step::Again(event))),
            );
            if evicts {
                steps.push((evict_at * 2, Step::Evict));
            }
            steps.sort_by_key(|it| it.0);
            Case {
                events,
                labels,
                steps: steps.into_iter().map(|it| it.1).collect(),
            }
        })
}

fn run(set: &Arc<FeatureSet>, case: &Case) -> Result<(), TestCaseError> {
    let mut state = FeatureState::new(Arc::clone(set));
    let mut reference = Reference {
        case,
        events: BTreeSet::new(),
        labels: BTreeSet::new(),
    };
    let mut horizon = i64::MIN;
    let names: Vec<_> = set.features().map(|it| it.0.to_owned()).collect();
    for step in &case.steps {
        let looked_at = match step {
            Step::Event(nth) => {
                let event = record(*nth, &case.events[*nth]);
                if case.events[*nth].ts < horizon {
                    prop_assert!(state.apply_event(&event).is_err());
                    continue;
                }
                prop_assert_eq!(state.apply_event(&event), Ok(()));
                reference.events.insert(*nth);
                *nth
            }
            Step::Label(nth) => {
                state.apply_label(&label_record(*nth, &case.labels[*nth]));
                // The state may forget a label that was observed before the horizon's reach while
                // its event was not there; an event that can still come is younger than that.
                reference.labels.insert(*nth);
                continue;
            }
            Step::Again(nth) => *nth,
            Step::Evict => {
                let seen = reference.events.iter().map(|it| case.events[*it].ts);
                let bound = seen.max().unwrap_or(0) - 5;
                horizon = bound;
                state.evict_before(Time::from_micros(bound * SECOND));
                continue;
            }
        };
        if !reference.events.contains(&looked_at) || case.events[looked_at].ts < horizon {
            continue;
        }
        let found = state.compute(&record(looked_at, &case.events[looked_at]));
        for ((name, found), expect) in names
            .iter()
            .zip(&found.values)
            .zip(reference.features(looked_at))
        {
            prop_assert_eq!(found, &expect, "{} of {}", name, event_id(looked_at));
        }
    }
    let last = case.events.iter().map(|it| it.ts).max().unwrap_or(0) + 1_000;
    state.evict_before(Time::from_micros(last * SECOND));
    prop_assert_eq!((state.n_keys(), state.n_waiting_labels()), (0, 0));
    Ok(())
}

fn cases() -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok();
    given.and_then(|it| it.parse().ok()).unwrap_or(2_000)
}

#[test]
fn every_feature_is_what_its_definition_says() {
    let set = FeatureSet::compile("reference.yaml", SET);
    let set = Arc::new(set.unwrap_or_else(|found| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{}", found.join("\n"))
    }));
    let config = ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(case in case())| run(&set, &case)?);
}
