//! Runs random streams through the engine and the reference, and counts what was compared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fraudplat::domain::digest::Digest;
use fraudplat::domain::time::Time;
use fraudplat::engine::{FeatureSet, FeatureState};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::case::{Case, SECOND, Step, case, event_id, label_record, record};
use super::reference::Reference;

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
  - {name: stddev_10, entity: [customer_id], agg: stddev, value: event.amount_minor, window: 10s}
  - {name: stddev_before, entity: [customer_id], agg: stddev, value: event.attributes.points, window: 20s, include_current: false, empty: -1}
  - {name: first_10, entity: [customer_id], agg: first, value: event.attributes.points, window: 10s}
  - {name: last_10, entity: [customer_id], agg: last, value: event.attributes.points, window: 10s, empty: 99}
  - {name: last_before, entity: [customer_id], agg: last, value: event.amount_minor, window: 30s, include_current: false}
  - {name: last_terminal, entity: [customer_id], agg: last, value: event.terminal_id, window: 20s, include_current: false, empty: none}
  - {name: first_terminal, entity: [customer_id], agg: first, value: event.terminal_id, window: 20s, delay: 2s}
  - {name: since_last, entity: [customer_id], agg: time_since_last, window: 30s, include_current: false}
  - {name: since_last_large, entity: [customer_id], agg: time_since_last, window: 30s, delay: 1s, filter: "event.amount_minor >= 50", empty: -1}
  - {name: since_first, entity: [terminal_id, customer_id], agg: time_since_first, window: 40s}
  - {name: decayed_count, entity: [customer_id], agg: decayed_count, window: 20s, half_life: 3s}
  - {name: decayed_points, entity: [customer_id], agg: decayed_sum, value: event.attributes.points, window: 30s, half_life: 7s, delay: 2s}
  - {name: decayed_before, entity: [terminal_id], agg: decayed_sum, value: event.amount_minor, window: 64s, half_life: 1s, include_current: false, empty: -1}
"#;

/// What was done, over all cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) labels: AtomicU64,
    pub(crate) repeats: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) features: AtomicU64,
}

/// Runs so many random cases.
///
/// # Errors
/// The smallest case that differs, with the feature and the event in words.
pub(crate) fn compare(cases: u32) -> Result<Tally, TestError<Case>> {
    // Nothing of a stream of some tens of events is packed, some of it, and nearly all.
    let sets = [None, Some(7), Some(2)].map(|block_entries| {
        let set = FeatureSet::compile("reference.yaml", SET).unwrap_or_else(|found| {
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            panic!("{}", found.join("\n"))
        });
        Arc::new(match block_entries {
            Some(n) => set.with_block_entries(n),
            None => set,
        })
    });
    let tally = Tally::default();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config).run(&case(), |case| {
        let mut sets = sets.iter();
        sets.try_for_each(|set| run(set, &case, &tally))
    })?;
    Ok(tally)
}

fn run(set: &Arc<FeatureSet>, case: &Case, tally: &Tally) -> Result<(), TestCaseError> {
    let count = |of: &AtomicU64| of.fetch_add(1, Ordering::Relaxed);
    count(&tally.cases);
    let mut state = FeatureState::new(Arc::clone(set));
    let mut reference = Reference {
        case,
        events: BTreeSet::new(),
        labels: BTreeSet::new(),
    };
    let mut horizon = i64::MIN;
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
                count(&tally.events);
                *nth
            }
            Step::Label(nth) => {
                state.apply_label(&label_record(*nth, &case.labels[*nth]));
                // The state may forget a label that was observed before the horizon's reach while
                // its event was not there; an event that can still come is younger than that.
                reference.labels.insert(*nth);
                count(&tally.labels);
                continue;
            }
            Step::Again(nth) => *nth,
            Step::Repeat(nth) => {
                if reference.events.contains(nth) {
                    let again = record(*nth, &case.events[*nth]);
                    prop_assert!(state.apply_event(&again).is_err(), "a repeat was taken");
                    count(&tally.repeats);
                }
                *nth
            }
            Step::Restart => {
                state = restart(set, &state)?;
                count(&tally.restarts);
                continue;
            }
            Step::Evict => {
                let seen = reference.events.iter().map(|it| case.events[*it].ts);
                horizon = seen.max().unwrap_or(0) - 5;
                state.evict_before(Time::from_micros(horizon * SECOND));
                count(&tally.evictions);
                continue;
            }
        };
        if !reference.events.contains(&looked_at) || case.events[looked_at].ts < horizon {
            continue;
        }
        let found = state.compute(&record(looked_at, &case.events[looked_at]));
        let expect = reference.features(looked_at);
        for ((name, _), (found, expect)) in set.features().zip(found.values.iter().zip(&expect)) {
            prop_assert_eq!(found, expect, "{} of {}", name, event_id(looked_at));
            count(&tally.features);
        }
        prop_assert_eq!(found.values.len(), expect.len());
    }
    if horizon == i64::MIN {
        let in_order = bytes(&in_order(set, &reference));
        prop_assert_eq!(bytes(&state), in_order, "the way shows in the bytes");
    }
    let last = case.events.iter().map(|it| it.ts).max().unwrap_or(0) + 1_000;
    state.evict_before(Time::from_micros(last * SECOND));
    prop_assert_eq!((state.n_keys(), state.n_waiting_labels()), (0, 0));
    Ok(())
}

/// Of the feature set's text, in the test.
fn digest() -> Digest {
    Digest::of_bytes(SET.as_bytes())
}

fn bytes(state: &FeatureState) -> Vec<u8> {
    state.to_bytes(&digest())
}

/// The state written out and read back, which gives the same bytes again.
fn restart(set: &Arc<FeatureSet>, state: &FeatureState) -> Result<FeatureState, TestCaseError> {
    let written = bytes(state);
    let read = FeatureState::from_bytes(Arc::clone(set), &digest(), &written);
    let read = read.map_err(|cause| TestCaseError::fail(format!("snapshot: {cause}")))?;
    prop_assert_eq!(bytes(&read), written, "a snapshot read back is another");
    prop_assert_eq!(read.n_keys(), state.n_keys());
    prop_assert_eq!(read.n_waiting_labels(), state.n_waiting_labels());
    Ok(read)
}

/// A state that took all that is known, labels last, and never computed anything.
fn in_order(set: &Arc<FeatureSet>, reference: &Reference<'_>) -> FeatureState {
    let mut state = FeatureState::new(Arc::clone(set));
    for nth in &reference.events {
        let event = record(*nth, &reference.case.events[*nth]);
        state.apply_event(&event).unwrap();
    }
    for nth in &reference.labels {
        state.apply_label(&label_record(*nth, &reference.case.labels[*nth]));
    }
    state
}
