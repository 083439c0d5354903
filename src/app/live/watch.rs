//! Follows the decision log while a run is being decided. It only reads, a few times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::live::show::Show;
use crate::app::live::{Stopped, Waited};
use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence};
use crate::domain::ids::PlatformRunId;
use crate::runtime::ground::Ground;

const COUNTS: &str = include_str!("../sql/live_counts.sql");
const NEWEST: &str = include_str!("../sql/live_newest.sql");
const STOPPED: &str = include_str!("../sql/live_stopped.sql");

const TICK: Duration = Duration::from_millis(250);
/// Ticks over which a rate is taken: decisions are committed in batches.
const RATE_TICKS: usize = 4;
/// Samples kept for the sparkline.
const RATES_MAX: usize = 240;
/// Decisions that the latency is of.
const NEWEST_MAX: i64 = 200;
pub(super) const STOPPED_MAX: i64 = 8;
/// The stage whose progress the decisions are.
pub(super) const DECIDE: &str = "decide";

/// A running watch. Dropped, it ends when it can.
pub(crate) struct Watch {
    stop: DropGuard,
    task: JoinHandle<()>,
}

struct Watcher {
    show: Show,
    ground: Ground,
    run: PlatformRunId,
    payments: u64,
    after: i64,
    begun: Instant,
    /// When, and how many were decided by then.
    seen: VecDeque<(Duration, u64)>,
}

/// What one look found.
struct Look {
    outcomes: [u64; 4],
    degraded: u64,
    waited: Option<Waited>,
    stopped: Vec<Stopped>,
}

impl Watch {
    pub(super) fn begin(show: Show, ground: Ground, run: PlatformRunId, payments: u64) -> Watch {
        let stop = CancellationToken::new();
        let mut watcher = Watcher {
            show,
            ground,
            run,
            payments,
            after: 0,
            begun: Instant::now(),
            seen: VecDeque::from([(Duration::ZERO, 0)]),
        };
        let told = stop.clone();
        let task = tokio::spawn(async move {
            loop {
                // What is decided before the end is asked for is looked at after it.
                let is_last = told.is_cancelled();
                // A look that fails shows nothing new; whoever does the work will say why.
                if let Ok(look) = watcher.look().await {
                    watcher.draw(look);
                }
                if is_last {
                    break;
                }
                drop(tokio::time::timeout(TICK, told.cancelled()).await);
            }
        });
        Watch {
            stop: stop.drop_guard(),
            task,
        }
    }

    /// Looks once more, and ends.
    pub(crate) async fn end(self) {
        drop(self.stop);
        drop(self.task.await);
    }
}

impl Watcher {
    async fn look(&mut self) -> anyhow::Result<Look> {
        let client = self.ground.db.get().await?;
        let (run, after) = (self.run, self.after);
        let counts = client.prepare_cached(COUNTS).await?;
        let row = client.query_one(&counts, &[&run, &after]).await?;
        let count = |at: usize| row.get::<_, i64>(at).unsigned_abs();
        let mut look = Look {
            outcomes: [count(1), count(2), count(3), count(4)],
            degraded: count(5),
            waited: None,
            stopped: Vec::new(),
        };
        let last: i64 = row.get(0);
        if last == after {
            return Ok(look);
        }
        let newest = client.prepare_cached(NEWEST).await?;
        let rows = client.query(&newest, &[&run, &after, &NEWEST_MAX]).await?;
        let mut waits = Vec::with_capacity(rows.len());
        for row in &rows {
            let evidence: DecisionEvidence =
                canonical::from_bytes("decision evidence", row.get(0))?;
            let waited = evidence.decided_at.micros() - evidence.admitted_at.micros();
            waits.push(waited.max(0).unsigned_abs());
        }
        look.waited = waited(waits);
        let stopped = client.prepare_cached(STOPPED).await?;
        let rows = client
            .query(&stopped, &[&run, &after, &STOPPED_MAX])
            .await?;
        for row in &rows {
            let body: DecisionBody = canonical::from_bytes("decision body", row.get(0))?;
            look.stopped.push(Stopped {
                ts: body.ts_utc.to_string().chars().take(16).collect(),
                outcome: body.outcome,
                score: body.rule_score,
                event_id: body.event_id.to_string(),
                reasons: body.reasons,
            });
        }
        self.after = last;
        Ok(look)
    }

    fn draw(&mut self, look: Look) {
        let now = self.begun.elapsed();
        let found: u64 = look.outcomes.iter().sum();
        let before = self.seen.back().map_or(0, |it| it.1);
        self.seen.push_back((now, before + found));
        let (rate, payments) = (rate(&self.seen), self.payments);
        while self.seen.len() > RATE_TICKS + 1 {
            self.seen.pop_front();
        }
        self.show.clone().change(|canvas| {
            let live = canvas.live_mut();
            for (sum, more) in live.outcomes.iter_mut().zip(look.outcomes) {
                *sum += more;
            }
            live.degraded += look.degraded;
            live.waited = look.waited.or(live.waited);
            live.stopped.splice(0..0, look.stopped);
            live.stopped.truncate(STOPPED_MAX.unsigned_abs() as usize);
            let decided = live.decided();
            live.rate = rate;
            if decided < payments {
                live.rates.push(rate);
                let excess = live.rates.len().saturating_sub(RATES_MAX);
                live.rates.drain(..excess);
            }
            let left = payments.saturating_sub(decided);
            live.eta_ms = (rate > 0 && left > 0).then(|| left * 1_000 / rate);
            let stage = canvas.stage(DECIDE);
            (stage.done, stage.total) = (decided, payments);
        });
    }
}

/// Decisions a second between the first and the last of what was seen.
fn rate(seen: &VecDeque<(Duration, u64)>) -> u64 {
    let (Some(first), Some(last)) = (seen.front(), seen.back()) else {
        return 0;
    };
    let seconds = (last.0 - first.0).as_secs_f64();
    if seconds <= 0.0 {
        return 0;
    }
    ((last.1 - first.1) as f64 / seconds).round() as u64
}

fn waited(mut waits_us: Vec<u64>) -> Option<Waited> {
    waits_us.sort_unstable();
    let at = |share: f64| {
        let place = (share * waits_us.len() as f64).ceil() as usize;
        waits_us.get(place.saturating_sub(1)).copied()
    };
    Some(Waited {
        p50_us: at(0.5)?,
        p99_us: at(0.99)?,
        max_us: at(1.0)?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::{rate, waited};

    #[test]
    fn a_rate_is_what_came_over_the_time_it_took() {
        let seen = |points: &[(u64, u64)]| {
            let points = points.iter().map(|it| (Duration::from_millis(it.0), it.1));
            points.collect::<VecDeque<_>>()
        };
        assert_eq!(rate(&seen(&[])), 0);
        assert_eq!(rate(&seen(&[(0, 0)])), 0);
        assert_eq!(
            rate(&seen(&[(500, 100), (1_000, 350), (1_500, 1_100)])),
            1_000
        );
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(waited(Vec::new()), None);
        let found = waited((1..=200).rev().collect()).expect("there are waits");
        assert_eq!((found.p50_us, found.p99_us, found.max_us), (100, 198, 200));
    }
}
