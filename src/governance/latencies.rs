//! How long things take, as histograms of a few fixed buckets: the gate's part and the bus' part of a decision apart,
//! and the whole. They die with the process, like the counters (L11).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::vocabulary::vocabulary;

vocabulary!(
    /// What is measured.
    Latency {
        /// From the end of a request's body to the verdicts on its events, durable on the log; of each request.
        Admission = "gate_admission_seconds",
        /// From `admitted_at` to `decided_at`: the bus, the wait for context, the queue before the worker; of each
        /// decision that was committed.
        Decision = "bus_decision_seconds",
        /// From the end of a request's body to its answer with every decision that it waited for; of each such request.
        Answer = "gate_decision_seconds",
    }
);

/// Upper bounds in microseconds: from a fast disk's sync to the longest wait that the gate allows.
const BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// One histogram. The last bucket is of what is above every bound.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// Every histogram of this process.
#[derive(Debug, Default)]
pub(super) struct Latencies([Histogram; Latency::ALL.len()]);

impl Latencies {
    pub(super) fn observe(&self, latency: Latency, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let histogram = &self.0[latency as usize];
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        histogram.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        histogram.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The Prometheus text exposition, version 0.0.4: buckets are cumulative, in seconds.
    pub(super) fn render(&self, text: &mut String, labels: &str) {
        for latency in Latency::ALL {
            let histogram = &self.0[*latency as usize];
            let mut line = |line: std::fmt::Arguments<'_>| {
                writeln!(text, "{line}").expect("a String takes every write");
            };
            line(format_args!("# TYPE {latency} histogram"));
            let mut count = 0;
            for (at, bucket) in histogram.buckets.iter().enumerate() {
                count += bucket.load(Ordering::Relaxed);
                let bound = BOUNDS_US.get(at).map(|it| *it as f64 / 1e6);
                let bound = bound.map_or_else(|| "+Inf".to_owned(), |it| it.to_string());
                line(format_args!(
                    "{latency}_bucket{{{labels},le=\"{bound}\"}} {count}"
                ));
            }
            let sum = histogram.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
            line(format_args!("{latency}_sum{{{labels}}} {sum}"));
            line(format_args!("{latency}_count{{{labels}}} {count}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_a_bound_is_in_its_own() {
        let latencies = Latencies::default();
        for us in [0, 500, 501, 60_000_000, 60_000_001] {
            latencies.observe(Latency::Decision, Duration::from_micros(us));
        }
        let mut text = String::new();
        latencies.render(&mut text, "mode=\"fraud\"");
        for line in [
            "# TYPE bus_decision_seconds histogram",
            "bus_decision_seconds_bucket{mode=\"fraud\",le=\"0.0005\"} 2",
            "bus_decision_seconds_bucket{mode=\"fraud\",le=\"0.001\"} 3",
            "bus_decision_seconds_bucket{mode=\"fraud\",le=\"30\"} 3",
            "bus_decision_seconds_bucket{mode=\"fraud\",le=\"60\"} 4",
            "bus_decision_seconds_bucket{mode=\"fraud\",le=\"+Inf\"} 5",
            "bus_decision_seconds_sum{mode=\"fraud\"} 120.001002",
            "bus_decision_seconds_count{mode=\"fraud\"} 5",
            "gate_admission_seconds_count{mode=\"fraud\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }
}
