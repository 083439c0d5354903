//! Buckets of time: of events, for what came and how it was decided, and of the wall clock, for how
//! fast that went.

use hdrhistogram::Histogram;

use crate::app::charts::seconds;
use crate::domain::time::Time;
use crate::domain::vocabulary::Outcome;

/// Widths that people think in, in seconds.
const WIDTHS_S: [f64; 25] = [
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
    31_536_000.0,
];

/// Buckets of equal width over a span, with round edges.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    pub(super) width_s: f64,
    /// One more than buckets, in seconds since 1970.
    pub(super) edges: Vec<f64>,
}

impl Grid {
    /// At most `n_max` buckets from the one that holds `from` to the one that holds `to`.
    pub(super) fn new(from: Time, to: Time, n_max: u32) -> Grid {
        let (from_s, to_s) = (seconds(from), seconds(to).max(seconds(from)));
        let n_max = f64::from(n_max.max(2));
        // One less: the edges are rounded outwards.
        let fits = |width: &&f64| (to_s - from_s) / **width <= n_max - 1.0;
        let width_s = WIDTHS_S
            .iter()
            .find(fits)
            .copied()
            .unwrap_or_else(|| (to_s - from_s) / (n_max - 1.0));
        let first = (from_s / width_s).floor();
        let n_buckets = ((to_s / width_s).floor() - first) as usize + 1;
        let edges = (0..=n_buckets).map(|nth| (first + nth as f64) * width_s);
        Grid {
            width_s,
            edges: edges.collect(),
        }
    }

    pub(super) fn n_buckets(&self) -> usize {
        self.edges.len() - 1
    }

    /// The bucket of a moment; those outside fall into the first and the last.
    pub(super) fn bucket(&self, at: Time) -> usize {
        let along = (seconds(at) - self.edges[0]) / self.width_s;
        (along.max(0.0) as usize).min(self.n_buckets() - 1)
    }

    /// The width in words: `6 h`.
    pub(super) fn width(&self) -> String {
        let (number, unit) = match self.width_s {
            width if width >= 86_400.0 => (width / 86_400.0, "d"),
            width if width >= 3_600.0 => (width / 3_600.0, "h"),
            width if width >= 60.0 => (width / 60.0, "min"),
            width => (width, "s"),
        };
        let number = (number * 1_000.0).round() / 1_000.0;
        format!("{number} {unit}")
    }
}

/// Histograms here grow with their values.
pub(super) const UNBOUNDED: &str = "a histogram without bounds takes every value";

/// What came in a bucket of event time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Volume {
    /// In order of [`Outcome::ALL`].
    pub(super) outcomes: [i64; 4],
    pub(super) frauds: i64,
    pub(super) caught_minor: i64,
    pub(super) missed_minor: i64,
}

impl Volume {
    pub(super) fn of(&self, outcome: Outcome) -> i64 {
        self.outcomes[place(outcome)]
    }

    pub(super) fn total(&self) -> i64 {
        self.outcomes.iter().sum()
    }
}

/// The place of an outcome in [`Outcome::ALL`].
pub(super) fn place(outcome: Outcome) -> usize {
    Outcome::ALL
        .iter()
        .position(|it| *it == outcome)
        .expect("ALL holds every outcome")
}

/// What was decided in a bucket of the wall clock.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) latency_us: Histogram<u64>,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            latency_us: Histogram::new(2).expect("two digits are a valid precision"),
        }
    }

    pub(super) fn decided(&self) -> u64 {
        self.latency_us.len()
    }

    pub(super) fn ms(&self, quantile: f64) -> f64 {
        ms(&self.latency_us, quantile)
    }
}

/// A quantile of microseconds in milliseconds.
pub(super) fn ms(of: &Histogram<u64>, quantile: f64) -> f64 {
    of.value_at_quantile(quantile) as f64 / 1_000.0
}
