//! The numbers of the demo's table, read back from durable rows and the world's truth.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::app::commands::Call;
use crate::app::commands::demo::round;
use crate::contracts::canonical;
use crate::contracts::decision::DecisionEvidence;
use crate::contracts::demo_report::{Events, Fraud, Latency};
use crate::contracts::ready::WorldFacts;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::time::{MICROS_PER_SECOND, Time};
use crate::domain::vocabulary::Outcome;
use crate::ingress::world::{WorldReader, read_truth};

const COUNTS: &str = include_str!("../sql/demo_counts.sql");
const DECISIONS: &str = include_str!("../sql/demo_decisions.sql");
const PAGE: i64 = 5_000;

/// What the demo counts.
pub(crate) struct Numbers {
    pub(crate) events: Events,
    /// By outcome, all four.
    pub(crate) outcomes: BTreeMap<String, i64>,
    pub(crate) degraded: i64,
    /// From the first admission to the last decision.
    pub(crate) wall_s: f64,
    pub(crate) latency_ms: Latency,
    pub(crate) fraud: Fraud,
    pub(crate) rss_peak_mb: i64,
    /// A decision worth looking at: the last that was not approved.
    pub(crate) example: String,
}

pub(crate) async fn read(
    call: &Call,
    run: &PlatformRunId,
    world: &WorldFacts,
) -> anyhow::Result<Numbers> {
    let mut tally = Tally::new()?;
    let client = call.ground.db.get().await?;
    let mut seq: i64 = 0;
    loop {
        let rows = client.query(DECISIONS, &[run, &seq, &PAGE]).await?;
        for row in &rows {
            tally.add(
                row.get(0),
                row.get(1),
                row.get(2),
                row.get(3),
                row.get(4),
                row.get(5),
            )?;
        }
        if rows.is_empty() {
            break;
        }
        seq += i64::try_from(rows.len())?;
    }
    let counts = client.query_one(COUNTS, &[run]).await?;
    let events = Events {
        sent: 0,
        received: counts.get(0),
        admitted: counts.get(1),
        duplicate: counts.get(2),
        quarantined: counts.get(3),
        ambiguous: 0,
    };
    let fraud = fraud(call, world, &tally.outcome_of).await?;
    Ok(tally.numbers(events, fraud))
}

struct Tally {
    outcome_of: BTreeMap<String, bool>,
    outcomes: BTreeMap<String, i64>,
    degraded: i64,
    latency_us: Histogram<u64>,
    first: Option<Time>,
    last: Option<Time>,
    example: String,
}

impl Tally {
    fn new() -> anyhow::Result<Tally> {
        Ok(Tally {
            outcome_of: BTreeMap::new(),
            outcomes: Outcome::ALL
                .iter()
                .map(|outcome| (outcome.to_string(), 0))
                .collect(),
            degraded: 0,
            latency_us: Histogram::new(3)?,
            first: None,
            last: None,
            example: String::new(),
        })
    }

    fn add(
        &mut self,
        event_id: String,
        outcome: &str,
        degraded: bool,
        decided_at: Time,
        evidence: &[u8],
        decision_id: DecisionId,
    ) -> anyhow::Result<()> {
        let evidence: DecisionEvidence = canonical::from_bytes("decision evidence", evidence)?;
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        self.degraded += i64::from(degraded);
        let waited = decided_at.micros() - evidence.admitted_at.micros();
        self.latency_us.record(waited.max(0).unsigned_abs())?;
        self.first = Some(
            self.first
                .map_or(evidence.admitted_at, |at| at.min(evidence.admitted_at)),
        );
        self.last = Some(self.last.map_or(decided_at, |at| at.max(decided_at)));
        let is_caught = outcome != Outcome::Approve.as_str();
        if is_caught || self.example.is_empty() {
            self.example = decision_id.to_string();
        }
        self.outcome_of.insert(event_id, is_caught);
        Ok(())
    }

    fn numbers(self, events: Events, fraud: Fraud) -> Numbers {
        let ms =
            |quantile: f64| round(self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0);
        let wall = self
            .first
            .zip(self.last)
            .map_or(0, |(first, last)| last.micros() - first.micros());
        Numbers {
            events,
            outcomes: self.outcomes,
            degraded: self.degraded,
            wall_s: wall as f64 / MICROS_PER_SECOND as f64,
            latency_ms: Latency {
                p50: ms(0.5),
                p95: ms(0.95),
                p99: ms(0.99),
                p999: ms(0.999),
            },
            fraud,
            rss_peak_mb: rss_peak_mb(),
            example: self.example,
        }
    }
}

/// Joins truth with outcomes and amounts.
async fn fraud(
    call: &Call,
    world: &WorldFacts,
    caught: &BTreeMap<String, bool>,
) -> anyhow::Result<Fraud> {
    let truth = read_truth(call.ground.objects.as_ref(), world).await?;
    let frauds = truth.into_iter().filter(|truth| truth.is_fraud);
    let frauds: BTreeMap<String, bool> = frauds
        .map(|truth| truth.event_id.to_string())
        .map(|id| (id.clone(), caught.get(&id) == Some(&true)))
        .collect();
    let mut found = Fraud::default();
    let mut reader = WorldReader::open(call.ground.objects.clone(), world.clone(), 0);
    loop {
        let arrivals = reader.next(PAGE.unsigned_abs() as usize).await?;
        if arrivals.is_empty() {
            return Ok(found);
        }
        for arrival in arrivals {
            let Some(is_caught) = frauds.get(arrival.event_id.as_str()) else {
                continue;
            };
            let amount = arrival.payment.map_or(0, |payment| payment.amount_minor);
            found.count += 1;
            found.amount_minor += amount;
            if *is_caught {
                found.caught += 1;
                found.caught_minor += amount;
            }
        }
    }
}

/// The high-water mark of this process's memory, from `/proc/self/status`.
fn rss_peak_mb() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kb.map_or(0, |kb| kb / 1_024)
}
