//! The counters, as one closed list. They die with the process; durable truth is in the rows that
//! reconciliation balances (L11).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::contracts::permission::Corridor;
use crate::contracts::stamps::Stamps;
use crate::domain::keys::Pins;
use crate::domain::offset::ShardRef;
use crate::domain::vocabulary::vocabulary;
use crate::governance::latencies::{Latencies, Latency};

vocabulary!(
    /// Exactly the names of the contract.
    Counter {
        WspSent = "wsp_sent",
        IgReceived = "ig_received",
        Admitted = "admitted",
        Duplicate = "duplicate",
        Quarantined = "quarantined",
        PublishAmbiguous = "publish_ambiguous",
        ReceiptsWritten = "receipts_written",
        ReceiptWriteFailed = "receipt_write_failed",
        InletSeen = "inlet_seen",
        InletDeduped = "inlet_deduped",
        InletQuarantined = "inlet_quarantined",
        ContextUpdates = "context_updates",
        FlowbindingWrites = "flowbinding_writes",
        FlowbindingConflicts = "flowbinding_conflicts",
        JoinWaitCount = "join_wait_count",
        DecisionEmitted = "decision_emitted",
        ShadowScored = "shadow_scored",
        ShadowSkipped = "shadow_skipped",
        ShadowFailed = "shadow_failed",
        ActionRequested = "action_requested",
        ActionSuccess = "action_success",
        ActionFailed = "action_failed",
        SegmentDecisionsWritten = "segment_decisions_written",
        SegmentWriteFailed = "segment_write_failed",
    }
);

/// Gauges of what the features of a run take: of the keys in memory, and put away.
const FEATURE_BYTES: [&str; 2] = ["feature_memory_bytes", "feature_spilled_bytes"];
vocabulary!(
    /// How a decision came to whoever waited for it: from a worker of this process, after a notice of the process
    /// that decided it, or because somebody looked.
    Way {
        Memory = "memory",
        Notice = "notice",
        Look = "look",
    }
);

/// Counts of one run.
#[derive(Debug)]
struct RunCounts {
    labels: String,
    counts: Vec<AtomicU64>,
    degraded: RwLock<BTreeMap<String, u64>>,
    /// In memory and put away, as the worker last said.
    feature_bytes: [AtomicU64; 2],
}

/// Every counter of this process, by run; shared by its roles.
#[derive(Debug, Clone)]
pub struct Counters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stamps: Stamps,
    runs: RwLock<BTreeMap<String, Arc<RunCounts>>>,
    lag: RwLock<BTreeMap<(String, ShardRef), u64>>,
    /// A place for each corridor; a denied caller may name no run.
    denied: Vec<AtomicU64>,
    told: [AtomicU64; Way::ALL.len()],
    notices: AtomicU64,
    latencies: Latencies,
}

impl Counters {
    #[must_use]
    pub fn new(stamps: Stamps) -> Counters {
        let runs = RwLock::default();
        Counters(Arc::new(Inner {
            stamps,
            runs,
            lag: RwLock::default(),
            denied: Corridor::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            told: Default::default(),
            notices: AtomicU64::new(0),
            latencies: Latencies::default(),
        }))
    }

    pub fn add(&self, pins: &Pins, counter: Counter, n: u64) {
        if n > 0 {
            self.run(pins).counts[counter as usize].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts decisions made on less than their whole frame, by reason.
    pub fn add_degraded(&self, pins: &Pins, reason: &str, n: u64) {
        let run = self.run(pins);
        let mut degraded = run.degraded.write().unwrap_or_else(PoisonError::into_inner);
        *degraded.entry(reason.to_owned()).or_default() += n;
    }

    /// Counts a caller that was not let through.
    pub fn add_denied(&self, corridor: Corridor) {
        self.0.denied[corridor as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts decisions that came to whoever waited for them in this process.
    pub fn add_told(&self, way: Way, n: u64) {
        self.0.told[way as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Counts batches of decisions that other processes were told of.
    pub fn add_notices(&self, n: u64) {
        self.0.notices.fetch_add(n, Ordering::Relaxed);
    }

    /// Records how long something took.
    pub fn observe(&self, latency: Latency, took: Duration) {
        self.0.latencies.observe(latency, took);
    }

    /// Decisions that came this way.
    #[must_use]
    pub fn told(&self, way: Way) -> u64 {
        self.0.told[way as usize].load(Ordering::Relaxed)
    }

    /// Batches that other processes were told of.
    #[must_use]
    pub fn notices(&self) -> u64 {
        self.0.notices.load(Ordering::Relaxed)
    }

    /// Records that `group` has yet to read in a shard.
    pub fn set_lag(&self, group: &str, shard: &ShardRef, records: u64) {
        let mut lag = self.0.lag.write().unwrap_or_else(PoisonError::into_inner);
        lag.insert((group.to_owned(), shard.clone()), records);
    }

    /// Records what the features of a run take: of the keys in memory, and put away.
    pub fn set_feature_bytes(&self, pins: &Pins, in_memory: u64, away: u64) {
        for (gauge, bytes) in self.run(pins).feature_bytes.iter().zip([in_memory, away]) {
            gauge.store(bytes, Ordering::Relaxed);
        }
    }

    /// The count of one run; 0 for a run this process has not met.
    #[must_use]
    pub fn get(&self, pins: &Pins, counter: Counter) -> u64 {
        self.run(pins).counts[counter as usize].load(Ordering::Relaxed)
    }

    fn run(&self, pins: &Pins) -> Arc<RunCounts> {
        let key = pins.platform_run_id.to_string();
        let known = self.0.runs.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = known.get(&key) {
            return run.clone();
        }
        drop(known);
        let mut runs = self.0.runs.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let stamps = &self.0.stamps;
            let labels = format!(
                "platform_run_id=\"{}\",scenario_run_id=\"{}\",environment=\"{}\",mode=\"{}\",policy_rev=\"{}\"",
                pins.platform_run_id,
                pins.scenario_run_id,
                stamps.environment,
                stamps.mode,
                stamps.policy_rev
            );
            let counts = Counter::ALL.iter().map(|_| AtomicU64::new(0)).collect();
            Arc::new(RunCounts {
                labels,
                counts,
                degraded: RwLock::default(),
                feature_bytes: Default::default(),
            })
        };
        runs.entry(key).or_insert_with(fresh).clone()
    }

    /// The Prometheus text exposition, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let runs = self.0.runs.read().unwrap_or_else(PoisonError::into_inner);
        for counter in Counter::ALL {
            line(&mut text, format_args!("# TYPE {counter} counter"));
            for run in runs.values() {
                let count = run.counts[*counter as usize].load(Ordering::Relaxed);
                line(
                    &mut text,
                    format_args!("{counter}{{{}}} {count}", run.labels),
                );
            }
        }
        line(&mut text, format_args!("# TYPE degrade_count counter"));
        for run in runs.values() {
            let degraded = run.degraded.read().unwrap_or_else(PoisonError::into_inner);
            for (reason, count) in degraded.iter() {
                line(
                    &mut text,
                    format_args!(
                        "degrade_count{{{},reason=\"{reason}\"}} {count}",
                        run.labels
                    ),
                );
            }
        }
        for (nth, name) in FEATURE_BYTES.iter().enumerate() {
            line(&mut text, format_args!("# TYPE {name} gauge"));
            for run in runs.values() {
                let bytes = run.feature_bytes[nth].load(Ordering::Relaxed);
                line(&mut text, format_args!("{name}{{{}}} {bytes}", run.labels));
            }
        }
        line(&mut text, format_args!("# TYPE corridor_denied counter"));
        let stamps = &self.0.stamps;
        let (environment, mode) = (stamps.environment, stamps.mode);
        for corridor in Corridor::ALL {
            let count = self.0.denied[*corridor as usize].load(Ordering::Relaxed);
            line(
                &mut text,
                format_args!(
                    "corridor_denied{{environment=\"{environment}\",mode=\"{mode}\",corridor=\"{corridor}\"}} {count}"
                ),
            );
        }
        self.render_told(&mut text);
        line(&mut text, format_args!("# TYPE topic_lag gauge"));
        let lag = self.0.lag.read().unwrap_or_else(PoisonError::into_inner);
        for ((group, shard), records) in lag.iter() {
            let (stream, shard_id) = (shard.stream, &shard.shard_id);
            line(
                &mut text,
                format_args!(
                    "topic_lag{{group=\"{group}\",stream=\"{stream}\",shard_id=\"{shard_id}\"}} {records}"
                ),
            );
        }
        text
    }

    fn render_told(&self, text: &mut String) {
        let stamps = &self.0.stamps;
        let labels = format!(
            "environment=\"{}\",mode=\"{}\"",
            stamps.environment, stamps.mode
        );
        line(text, format_args!("# TYPE decision_told counter"));
        for way in Way::ALL {
            let count = self.told(*way);
            line(
                text,
                format_args!("decision_told{{{labels},way=\"{way}\"}} {count}"),
            );
        }
        line(text, format_args!("# TYPE decision_notices counter"));
        let count = self.notices();
        line(text, format_args!("decision_notices{{{labels}}} {count}"));
        self.0.latencies.render(text, &labels);
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a String takes every write");
}
