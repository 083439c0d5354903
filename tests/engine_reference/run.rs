//! Runs random streams through the engine and the reference, and counts what was compared.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fraudplat::contracts::chunks;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::time::Time;
use fraudplat::engine::features::{Error, SnapshotError};
use fraudplat::engine::{FeatureSet, FeatureState};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::case::{Case, SECOND, Step, case, event_id, label_record, record};
use super::packing::{Damage, Packing};
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
    /// Keys that were away whole when a case ended.
    pub(crate) cold_keys: AtomicU64,
    /// Cases in which a chunk came back damaged, and those in which the state then said so.
    pub(crate) damaged: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// Why a case goes no further.
enum Stop {
    Lost,
    Wrong(TestCaseError),
}

impl From<chunks::Error> for Stop {
    fn from(_: chunks::Error) -> Stop {
        Stop::Lost
    }
}

impl From<TestCaseError> for Stop {
    fn from(wrong: TestCaseError) -> Stop {
        Stop::Wrong(wrong)
    }
}

fn set(packing: &Packing) -> Arc<FeatureSet> {
    let set = FeatureSet::compile("reference.yaml", SET).unwrap_or_else(|found| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{}", found.join("\n"))
    });
    Arc::new(match packing.block_entries {
        Some(n) => set.with_block_entries(n),
        None => set,
    })
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// Runs so many random cases, each in every packing.
///
/// # Errors
/// The smallest case that differs, with the feature and the event in words.
pub(crate) fn compare(cases: u32) -> Result<Tally, TestError<Case>> {
    let packings = Packing::all();
    let sets: Vec<_> = packings.iter().map(set).collect();
    let tally = Tally::default();
    runner(cases).run(&case(), |case| {
        for (packing, set) in packings.iter().zip(&sets) {
            let mut run = Run::new(set, packing, &case, &tally);
            match run.through() {
                Ok(()) => {}
                Err(Stop::Wrong(wrong)) => return Err(wrong),
                Err(Stop::Lost) => return Err(TestCaseError::fail("a chunk was lost")),
            }
        }
        Ok(())
    })?;
    Ok(tally)
}

/// Runs so many random cases with everything put away at once, of which one chunk comes back
/// damaged.
///
/// # Errors
/// The smallest case in which that gave another value, or in which the state went on.
pub(crate) fn damage(cases: u32) -> Result<Tally, TestError<Case>> {
    let tally = Tally::default();
    let drawn = (case(), 0..400_u64, any::<u64>());
    let set = set(&Packing::damaging(Arc::default()));
    let found = runner(cases).run(&drawn, |(case, nth, how)| {
        let damage = Arc::new(Damage::at(nth, how));
        let packing = Packing::damaging(Arc::clone(&damage));
        let mut run = Run::new(&set, &packing, &case, &tally);
        let stopped = run.through();
        let count = |of: &AtomicU64, is: bool| of.fetch_add(u64::from(is), Ordering::Relaxed);
        count(&tally.damaged, damage.is_done());
        count(&tally.lost, matches!(stopped, Err(Stop::Lost)));
        match stopped {
            Err(Stop::Wrong(wrong)) => Err(wrong),
            Err(Stop::Lost) => run.stays_lost(),
            Ok(()) => {
                prop_assert!(!damage.is_done(), "a damaged chunk was taken");
                Ok(())
            }
        }
    });
    match found {
        Ok(()) => Ok(tally),
        Err(TestError::Abort(why)) => Err(TestError::Abort(why)),
        Err(TestError::Fail(why, (case, ..))) => Err(TestError::Fail(why, case)),
    }
}

/// One case in one packing.
struct Run<'c> {
    set: &'c Arc<FeatureSet>,
    packing: &'c Packing,
    case: &'c Case,
    tally: &'c Tally,
    state: FeatureState,
    reference: Reference<'c>,
    horizon: i64,
}

impl<'c> Run<'c> {
    fn new(
        set: &'c Arc<FeatureSet>,
        packing: &'c Packing,
        case: &'c Case,
        tally: &'c Tally,
    ) -> Run<'c> {
        Run {
            set,
            packing,
            case,
            tally,
            state: FeatureState::within(Arc::clone(set), packing.room()),
            reference: Reference {
                case,
                events: BTreeSet::new(),
                labels: BTreeSet::new(),
            },
            horizon: i64::MIN,
        }
    }

    fn through(&mut self) -> Result<(), Stop> {
        count(&self.tally.cases);
        for step in &self.case.steps {
            if let Some(looked_at) = self.step(step)? {
                self.look_at(looked_at)?;
            }
        }
        let cold = self.state.n_cold_keys() as u64;
        self.tally.cold_keys.fetch_add(cold, Ordering::Relaxed);
        if self.horizon == i64::MIN {
            let in_order = in_order(self.set, &self.reference).to_bytes(&digest())?;
            let bytes = self.state.to_bytes(&digest())?;
            is_equal(&bytes, &in_order, "the way shows in the bytes")?;
        }
        let last = self.case.events.iter().map(|it| it.ts).max().unwrap_or(0) + 1_000;
        self.state.evict_before(Time::from_micros(last * SECOND))?;
        let left = (self.state.n_keys(), self.state.n_waiting_labels());
        is_equal(&left, &(0, 0), "something is left")?;
        is_equal(&self.state.n_entries(), &0, "an entry is left")?;
        // What is freed is free: nothing but the ids that are being filled.
        let is_bound = !self.packing.on_disk && self.state.bytes_away() > 0;
        is_equal(&is_bound, &false, "something is still away")
    }

    /// Does one step; the event that is looked at after it.
    fn step(&mut self, step: &Step) -> Result<Option<usize>, Stop> {
        let case = self.case;
        match step {
            Step::Event(nth) => {
                let event = record(*nth, &case.events[*nth]);
                let is_late = case.events[*nth].ts < self.horizon;
                match self.state.apply_event(&event) {
                    Err(Error::Lost(_)) => return Err(Stop::Lost),
                    Err(Error::BehindHorizon { .. }) if is_late => return Ok(None),
                    applied => is_equal(&applied, &Ok(()), "an event was not taken")?,
                }
                is_equal(&is_late, &false, "an event behind the horizon was taken")?;
                self.reference.events.insert(*nth);
                count(&self.tally.events);
                return Ok(Some(*nth));
            }
            Step::Label(nth) => {
                self.state
                    .apply_label(&label_record(*nth, &case.labels[*nth]))?;
                // The state may forget a label that was observed before the horizon's reach while
                // its event was not there; an event that can still come is younger than that.
                self.reference.labels.insert(*nth);
                count(&self.tally.labels);
            }
            Step::Again(nth) => return Ok(Some(*nth)),
            Step::Repeat(nth) => {
                if self.reference.events.contains(nth) {
                    match self.state.apply_event(&record(*nth, &case.events[*nth])) {
                        Err(Error::Lost(_)) => return Err(Stop::Lost),
                        taken => is_equal(&taken.is_err(), &true, "a repeat was taken")?,
                    }
                    count(&self.tally.repeats);
                }
                return Ok(Some(*nth));
            }
            Step::Restart => {
                self.restart()?;
                count(&self.tally.restarts);
            }
            Step::Evict => {
                let seen = self.reference.events.iter().map(|it| case.events[*it].ts);
                self.horizon = seen.max().unwrap_or(0) - 5;
                let horizon = Time::from_micros(self.horizon * SECOND);
                self.state.evict_before(horizon)?;
                count(&self.tally.evictions);
            }
        }
        Ok(None)
    }

    fn look_at(&mut self, nth: usize) -> Result<(), Stop> {
        let event = &self.case.events[nth];
        if !self.reference.events.contains(&nth) || event.ts < self.horizon {
            return Ok(());
        }
        let found = self.state.compute(&record(nth, event))?.values;
        let expect = self.reference.features(nth);
        for ((name, _), (found, expect)) in self.set.features().zip(found.iter().zip(&expect)) {
            is_equal(found, expect, &format!("{name} of {}", event_id(nth)))?;
            count(&self.tally.features);
        }
        is_equal(&found.len(), &expect.len(), "features")
    }

    /// The state written out and read back, which gives the same bytes again.
    fn restart(&mut self) -> Result<(), Stop> {
        let written = self.state.to_bytes(&digest())?;
        let (set, room) = (Arc::clone(self.set), self.packing.room());
        let read = match FeatureState::from_bytes_within(set, &digest(), &written, room) {
            Ok(read) => read,
            Err(SnapshotError::Lost(_)) => return Err(Stop::Lost),
            Err(cause) => return Err(TestCaseError::fail(format!("snapshot: {cause}")).into()),
        };
        is_equal(&read.to_bytes(&digest())?, &written, "a snapshot read back")?;
        let counts = |it: &FeatureState| (it.n_keys(), it.n_entries(), it.n_waiting_labels());
        is_equal(&counts(&read), &counts(&self.state), "counts read back")?;
        self.state = read;
        Ok(())
    }

    /// A state that lost a chunk while it worked answers nothing any more.
    fn stays_lost(&mut self) -> Result<(), TestCaseError> {
        // What was lost while a snapshot was read or written changed nothing.
        if let Ok(bytes) = self.state.to_bytes(&digest()) {
            let in_order = in_order(self.set, &self.reference).to_bytes(&digest());
            prop_assert!(self.horizon != i64::MIN || in_order.as_ref() == Ok(&bytes));
            return Ok(());
        }
        let event = record(0, &self.case.events[0]);
        prop_assert!(self.state.compute(&event).is_err());
        prop_assert!(self.state.apply_event(&event).is_err());
        Ok(())
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

fn is_equal<T: PartialEq + std::fmt::Debug>(found: &T, expect: &T, what: &str) -> Result<(), Stop> {
    let check = || {
        prop_assert_eq!(found, expect, "{}", what);
        Ok(())
    };
    check().map_err(Stop::Wrong)
}

/// Of the feature set's text, in the test.
fn digest() -> Digest {
    Digest::of_bytes(SET.as_bytes())
}

/// A state that took all that is known, labels last, and never computed anything.
fn in_order(set: &Arc<FeatureSet>, reference: &Reference<'_>) -> FeatureState {
    let mut state = FeatureState::new(Arc::clone(set));
    for nth in &reference.events {
        let event = record(*nth, &reference.case.events[*nth]);
        state.apply_event(&event).unwrap();
    }
    for nth in &reference.labels {
        state
            .apply_label(&label_record(*nth, &reference.case.labels[*nth]))
            .unwrap();
    }
    state
}
