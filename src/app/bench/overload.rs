//! Overload (P7): the gate at its peak and with ten times as much offered, in turns: what it still admits,
//! how it refuses the rest, what its memory does.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::bench::gate::Gate;
use crate::app::bench::load::{Bodies, Load, Pace, Plan, Sent, Until};
use crate::app::bench::machine::{self, Cpu, Meter, median};
use crate::app::bench::report::{Goal, Measure, Ratio, measure};
use crate::app::bench::usage::{Cost, FLUSHES_MAX};
use crate::app::commands::Call;
use crate::domain::keys::Pins;
use crate::governance::counters::Counter;

pub(crate) const ROUNDS: u64 = 3;
const EVENTS_PER_REQUEST: u64 = 64;
/// In their turns these keep the gate busy and find room in its queue.
const PEAK_CONNECTIONS: usize = 256;
/// More than the queue has room for, so that the gate must refuse.
const OVERLOAD_CONNECTIONS: usize = 1_024;
const OVERLOAD: f64 = 10.0;
/// One part in so many of a phase fills the queue; what is in it then is admitted later, and not counted.
const FILLING: u32 = 4;
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// One phase: what was sent, what was admitted while it was offered, what that took.
struct Phase {
    sent: Sent,
    admitted_per_s: f64,
    resident_mb: Resident,
    cpu: Cpu,
    wall_s: f64,
}

/// What of the gate's process was in memory while load was offered.
struct Resident {
    /// When the queue is full.
    full: f64,
    end: f64,
    most: f64,
}

/// Every round's two phases.
pub(crate) struct Overloaded {
    peaks: Vec<Phase>,
    overloads: Vec<Phase>,
    before_mb: f64,
    after_mb: f64,
    cost: Cost,
}

pub(crate) struct Bench<'b> {
    pub(crate) call: &'b Call,
    pub(crate) gate: &'b Gate,
    pub(crate) pins: &'b Pins,
    pub(crate) meter: &'b Meter,
}

impl Bench<'_> {
    pub(crate) async fn overload(&self, phase: Duration) -> anyhow::Result<Overloaded> {
        let before_mb = machine::resident_mb();
        let (mut peaks, mut overloads) = (Vec::new(), Vec::new());
        let mut cost = Cost::default();
        for round in 0..ROUNDS {
            self.call.output.progress("overload", round, ROUNDS);
            let began = self.gate.cost(self.call, self.pins);
            let series = format!("peak-{round}");
            let peak = self
                .phase(&series, PEAK_CONNECTIONS, Pace::Answered, phase)
                .await?;
            self.gate.settle().await;
            cost = cost.plus(self.gate.cost(self.call, self.pins).since(began));
            let pace = Pace::EventsPerS(OVERLOAD * peak.admitted_per_s);
            let series = format!("over-{round}");
            overloads.push(
                self.phase(&series, OVERLOAD_CONNECTIONS, pace, phase)
                    .await?,
            );
            peaks.push(peak);
            self.gate.settle().await;
        }
        Ok(Overloaded {
            peaks,
            overloads,
            before_mb,
            after_mb: machine::resident_mb(),
            cost,
        })
    }

    async fn phase(
        &self,
        series: &str,
        connections: usize,
        pace: Pace,
        lasts: Duration,
    ) -> anyhow::Result<Phase> {
        let plan = Plan {
            target: self.gate.target(self.pins),
            bodies: Bodies {
                series: series.to_owned(),
                ts_utc: self.call.ground.clock.now(),
                events_per_body: EVENTS_PER_REQUEST,
            },
            connections,
            pace,
            until: Until::Elapsed(lasts),
        };
        let load = Load::start(&plan).await?;
        let began = Instant::now();
        tokio::time::sleep(lasts / FILLING).await;
        let admitted = || self.call.ground.counters.get(self.pins, Counter::Admitted);
        let (cpu, before, full) = (self.meter.now(), admitted(), Instant::now());
        let mut resident = vec![machine::resident_mb()];
        while began.elapsed() < lasts {
            tokio::time::sleep(SAMPLE_EVERY).await;
            resident.push(machine::resident_mb());
        }
        let wall_s = full.elapsed().as_secs_f64();
        let admitted_per_s = (admitted() - before) as f64 / wall_s;
        let cpu = self.meter.now().since(cpu);
        let sent = load.sent().await?;
        Ok(Phase {
            admitted_per_s,
            resident_mb: Resident {
                full: resident.first().copied().unwrap_or(f64::NAN),
                end: resident.last().copied().unwrap_or(f64::NAN),
                most: resident.iter().copied().fold(f64::NAN, f64::max),
            },
            cpu,
            wall_s,
            sent,
        })
    }
}

/// The middle of what the rounds say.
fn middle(phases: &[Phase], of: impl Fn(&Phase) -> f64) -> f64 {
    median(phases.iter().map(of).collect())
}

impl Overloaded {
    pub(crate) fn ratios(&self, call: &Call) -> Vec<Ratio> {
        let (peak, over) = (&self.peaks, &self.overloads);
        let admitted = |it: &Phase| it.admitted_per_s;
        let offered = |it: &Phase| (it.sent.requests * EVENTS_PER_REQUEST) as f64 / it.sent.wall_s;
        let mut ratios = vec![
            Ratio::new(
                "P7 events offered/s over peak",
                middle(over, offered),
                middle(peak, admitted),
                Goal::None,
            ),
            Ratio::new(
                "P7 events admitted/s under it over peak",
                middle(over, admitted),
                middle(peak, admitted),
                Goal::AtLeast(0.9),
            ),
        ];
        let sum = |of: fn(&Sent) -> u64| over.iter().map(|it| of(&it.sent)).sum::<u64>();
        let (refused, other) = (sum(|it| it.refused), sum(|it| it.other));
        // Where all was taken, too little was offered; the first ratio says so.
        if refused + other > 0 {
            ratios.push(Ratio::new(
                "P7 answers 429 with Retry-After over all that were not taken",
                refused as f64,
                (refused + other) as f64,
                Goal::AtLeast(1.0),
            ));
        }
        ratios.push(Ratio::new(
            "P7 MB resident at the end over a quarter in",
            middle(over, |it| it.resident_mb.end),
            middle(over, |it| it.resident_mb.full),
            Goal::AtMost(1.1),
        ));
        ratios.extend(self.cost.ratios(call, "at the peak", FLUSHES_MAX));
        ratios
    }

    pub(crate) fn measures(&self) -> Vec<Measure> {
        let mut measures = Vec::new();
        for (what, phases) in [("peak", &self.peaks), ("overload", &self.overloads)] {
            let of = |what_of: &str, unit, of: fn(&Phase) -> f64| {
                measure(format!("{what}: {what_of}"), middle(phases, of), unit)
            };
            measures.extend([
                of("gate", "CPUs busy", |it| it.cpu.executable_s / it.wall_s),
                of("Postgres", "CPUs busy", |it| it.cpu.postgres_s / it.wall_s),
                of("load generator", "CPUs busy", |it| {
                    it.sent.cpu_s / it.sent.wall_s
                }),
                of("answered 200, p50", "ms", |it| it.sent.taken_ms.p50),
                of("answered 200, p99", "ms", |it| it.sent.taken_ms.p99),
                of("answered 202", "of all answers", |it| {
                    it.sent.in_flight as f64 / it.sent.requests as f64
                }),
                of("refused, p50", "ms", |it| it.sent.refused_ms.p50),
                of("refused, p99", "ms", |it| it.sent.refused_ms.p99),
                of("memory at most", "MB", |it| it.resident_mb.most),
            ]);
        }
        measures.push(measure("memory before", self.before_mb, "MB"));
        measures.push(measure("memory after", self.after_mb, "MB"));
        measures
    }

    /// What an answer was that should not be, if there was one.
    pub(crate) fn first_other(&self) -> Option<&str> {
        let mut phases = self.peaks.iter().chain(&self.overloads);
        phases.find_map(|it| it.sent.first_other.as_deref())
    }
}
