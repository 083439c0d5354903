//! Everything that is counted of a run, one decision after the other. Pure: it is told the decision
//! and what the world knows of it.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use crate::app::charts::seconds;
use crate::app::report::frauds::Frauds;
use crate::app::report::known::Known;
use crate::app::report::rules::Rules;
use crate::app::report::timeline::{Grid, Pace, UNBOUNDED, Volume, ms, place};
use crate::app::report::worth::Worths;
use crate::contracts::decision::{DecisionBody, DecisionEvidence};
use crate::contracts::run_report::{Latency, Throughput};
use crate::domain::time::Time;
use crate::domain::vocabulary::Outcome;

/// From when to when a run's decisions reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) first_ts: Time,
    pub(super) last_ts: Time,
    pub(super) first_decided: Time,
    pub(super) last_decided: Time,
}

#[derive(Debug)]
pub(crate) struct Figures {
    /// In order of [`Outcome::ALL`], as the next.
    pub(super) outcomes: [i64; 4],
    pub(super) frauds_in: [i64; 4],
    pub(super) degraded: i64,
    /// Decisions by why they were made on less than the whole frame.
    pub(super) degradations: BTreeMap<String, i64>,
    pub(super) by_event_time: Grid,
    pub(super) volumes: Vec<Volume>,
    pub(super) by_clock: Grid,
    pub(super) paces: Vec<Pace>,
    pub(super) latency_us: Histogram<u64>,
    first_admitted: Option<Time>,
    last_decided: Option<Time>,
    pub(super) frauds: Frauds,
    pub(super) rules: Rules,
    pub(super) worths: Worths,
    /// What decided: name of the thing, and every value it had.
    pub(super) identities: BTreeMap<&'static str, BTreeSet<String>>,
    pub(super) amount_minor: i64,
    /// The last decision, and the last that was not approved.
    pub(super) example: Option<String>,
    example_is_caught: bool,
}

const EVENT_BUCKETS_MAX: u32 = 42;
const CLOCK_BUCKETS_MAX: u32 = 60;

impl Figures {
    pub(super) fn new(span: &Span) -> Figures {
        let by_event_time = Grid::new(span.first_ts, span.last_ts, EVENT_BUCKETS_MAX);
        let by_clock = Grid::new(span.first_decided, span.last_decided, CLOCK_BUCKETS_MAX);
        Figures {
            outcomes: [0; 4],
            frauds_in: [0; 4],
            degraded: 0,
            degradations: BTreeMap::new(),
            volumes: vec![Volume::default(); by_event_time.n_buckets()],
            by_event_time,
            paces: (0..by_clock.n_buckets()).map(|_| Pace::new()).collect(),
            by_clock,
            latency_us: Histogram::new(3).expect("three digits are a valid precision"),
            first_admitted: None,
            last_decided: None,
            frauds: Frauds::new(),
            rules: Rules::default(),
            worths: Worths::default(),
            identities: BTreeMap::new(),
            amount_minor: 0,
            example: None,
            example_is_caught: false,
        }
    }

    pub(super) fn add(
        &mut self,
        body: &DecisionBody,
        evidence: &DecisionEvidence,
        known: Option<&Known>,
    ) {
        let is_caught = body.outcome != Outcome::Approve;
        self.outcomes[place(body.outcome)] += 1;
        self.degraded += i64::from(!body.degraded.is_empty());
        for reason in &body.degraded {
            *self.degradations.entry(reason.clone()).or_default() += 1;
        }
        let volume = &mut self.volumes[self.by_event_time.bucket(body.ts_utc)];
        volume.outcomes[place(body.outcome)] += 1;
        if let Some(known) = known {
            self.amount_minor += known.amount_minor;
            if known.is_fraud {
                volume.frauds += 1;
                self.frauds_in[place(body.outcome)] += 1;
                let value = match is_caught {
                    true => &mut volume.caught_minor,
                    false => &mut volume.missed_minor,
                };
                *value += known.amount_minor;
            }
            self.frauds.add(known, is_caught);
            self.worths.add(body, known);
        }
        self.rules.add(&body.trace, known);
        self.time(evidence);
        self.identify(body, evidence);
        if is_caught || !self.example_is_caught {
            self.example = Some(body.decision_id.to_string());
            self.example_is_caught = is_caught;
        }
    }

    fn time(&mut self, evidence: &DecisionEvidence) {
        let waited_us = evidence.decided_at.micros() - evidence.admitted_at.micros();
        let waited_us = waited_us.max(0).unsigned_abs();
        self.latency_us.record(waited_us).expect(UNBOUNDED);
        let pace = &mut self.paces[self.by_clock.bucket(evidence.decided_at)];
        pace.latency_us.record(waited_us).expect(UNBOUNDED);
        let (admitted, decided) = (evidence.admitted_at, evidence.decided_at);
        self.first_admitted = Some(self.first_admitted.map_or(admitted, |at| at.min(admitted)));
        self.last_decided = Some(self.last_decided.map_or(decided, |at| at.max(decided)));
    }

    fn identify(&mut self, body: &DecisionBody, evidence: &DecisionEvidence) {
        let stamps = &evidence.stamps;
        let mut name = |thing, value: String| {
            let values = self.identities.entry(thing).or_default();
            // A run under more bundles than anyone would read.
            if values.len() < 20 {
                values.insert(value);
            }
        };
        name("bundle", body.bundle_digest.to_string());
        name("bundle slot", body.bundle_slot.clone());
        name("feature set", body.feature_set_digest.to_string());
        name("policy", stamps.policy_rev.clone());
        name("posture", body.posture.to_string());
        name("engine revision", evidence.engine_rev.to_string());
        name("release", stamps.service_release_id.clone());
        name("profile digest", stamps.run_config_digest.to_string());
        name(
            "environment",
            format!("{}, {}", stamps.environment, stamps.mode),
        );
    }

    pub(crate) fn total(&self) -> i64 {
        self.outcomes.iter().sum()
    }

    pub(super) fn of(&self, outcome: Outcome) -> i64 {
        self.outcomes[place(outcome)]
    }

    /// `total`, the outcomes, `degraded`.
    pub(crate) fn decisions(&self) -> BTreeMap<String, i64> {
        let outcomes = Outcome::ALL.iter();
        let mut counts: BTreeMap<String, i64> =
            outcomes.map(|it| (it.to_string(), self.of(*it))).collect();
        counts.insert("total".to_owned(), self.total());
        counts.insert("degraded".to_owned(), self.degraded);
        counts
    }

    /// From the first admission to the last decision.
    pub(crate) fn throughput(&self) -> Throughput {
        let wall = self.first_admitted.zip(self.last_decided);
        let wall_s = wall.map_or(0.0, |(first, last)| seconds(last) - seconds(first));
        Throughput {
            payments_per_s: round(self.total() as f64 / wall_s.max(1e-9)),
            wall_s: round(wall_s),
        }
    }

    pub(crate) fn latency_ms(&self) -> Latency {
        let ms = |quantile| round(ms(&self.latency_us, quantile));
        Latency {
            p50: ms(0.5),
            p95: ms(0.95),
            p99: ms(0.99),
            p999: ms(0.999),
        }
    }
}

/// Two decimals are all that these numbers mean.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
