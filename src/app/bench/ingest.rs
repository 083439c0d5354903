//! `bench ingest`: events admitted over HTTP against what Postgres does at best and at worst with one row
//! each in the same keyed table, in turns, in one run (P1); what they cost in requests (P9); and the gate with
//! ten times as much offered as it takes (P7).

use std::time::Duration;

use crate::app::bench::gate::{Gate, live_run};
use crate::app::bench::load::{Bodies, Load, Pace, Plan, Until};
use crate::app::bench::machine::{Cpu, Machine, Meter, median};
use crate::app::bench::report::{CpuPerMillion, Goal, Measure, Ratio, Report, measure};
use crate::app::bench::usage::{Cost, FLUSHES_MAX};
use crate::app::bench::{ingest_rows, overload};
use crate::app::cli::BenchIngest;
use crate::app::commands::Call;
use crate::app::run::DONE;
use crate::domain::keys::Pins;
use crate::governance::counters::Counter;

const ROUNDS: u64 = 3;
const EVENTS_PER_REQUEST: u64 = 64;
pub(crate) const CONNECTIONS: usize = 16;

/// What one kind of work did in each round.
#[derive(Debug, Default)]
struct Rates {
    admitted: Vec<f64>,
    copied: Vec<f64>,
    inserted: Vec<f64>,
    cpu: Cpu,
    cost: Cost,
    wall_s: f64,
    events: f64,
}

pub(crate) async fn run(call: &Call, asked: &BenchIngest) -> anyhow::Result<u8> {
    anyhow::ensure!(asked.events >= 3_000, "--events must be at least 3,000");
    let machine = Machine::before();
    let meter = Meter::of(&call.ground.db).await?;
    let pins = live_run(call).await?;
    let gate = Gate::start(call).await?;
    let rates = rates(call, &gate, &pins, &meter, asked.events).await?;
    ingest_rows::remove(&call.ground.db).await?;
    let overloaded = match asked.overload_seconds {
        0 => None,
        seconds => {
            let bench = overload::Bench {
                call,
                gate: &gate,
                pins: &pins,
                meter: &meter,
            };
            Some(bench.overload(Duration::from_secs(seconds)).await?)
        }
    };
    gate.stop().await?;
    if let Some(other) = overloaded.as_ref().and_then(|it| it.first_other()) {
        call.output
            .note(format!("an answer that should not be: {other}"));
    }
    let mut ratios = rates.ratios(call);
    let mut measures = rates.measures();
    if let Some(overloaded) = &overloaded {
        ratios.extend(overloaded.ratios(call));
        measures.extend(overloaded.measures());
    }
    let report = Report {
        bench: "ingest",
        machine: machine.after(),
        ratios,
        cpu: Some(CpuPerMillion::new("events", rates.cpu, rates.events, 12.0)),
        measures,
        notes: vec![
            "P1 in bodies of 64; the load generator is a process of its own, whose CPU time is in no goal",
            "rates are medians of 3 rounds, what is compared in turns",
            "only the gate runs: nobody reads what it puts on the log",
        ],
    };
    report.print(&call.output);
    Ok(DONE)
}

async fn rates(
    call: &Call,
    gate: &Gate,
    pins: &Pins,
    meter: &Meter,
    events: u64,
) -> anyhow::Result<Rates> {
    let bodies = events.div_ceil(ROUNDS * EVENTS_PER_REQUEST);
    let per_round = bodies * EVENTS_PER_REQUEST;
    let mut rates = Rates::default();
    for round in 0..ROUNDS {
        call.output.progress("rounds", round, ROUNDS);
        let plan = Plan {
            target: gate.target(pins),
            bodies: Bodies {
                series: format!("p1-{round}"),
                ts_utc: call.ground.clock.now(),
                events_per_body: EVENTS_PER_REQUEST,
            },
            connections: CONNECTIONS,
            pace: Pace::Answered,
            until: Until::Bodies(bodies),
        };
        let load = Load::start(&plan).await?;
        let (cpu, cost) = (meter.now(), gate.cost(call, pins));
        let sent = load.sent().await?;
        rates.cpu = rates
            .cpu
            .plus(meter.now().since(cpu).with_generator(sent.cpu_s));
        gate.settle().await;
        rates.cost = rates.cost.plus(gate.cost(call, pins).since(cost));
        if let Some(other) = sent.first_other {
            anyhow::bail!("{other}: the rates mean nothing");
        }
        rates.admitted.push(per_round as f64 / sent.wall_s);
        rates.wall_s += sent.wall_s;
        let (round, rows) = (usize::try_from(round)?, usize::try_from(per_round)?);
        let db = &call.ground.db;
        rates
            .copied
            .push(ingest_rows::copied(db, round, rows).await?);
        rates
            .inserted
            .push(ingest_rows::inserted(db, round, rows / 20).await?);
    }
    let admitted = call.ground.counters.get(pins, Counter::Admitted);
    let sent = per_round * ROUNDS;
    anyhow::ensure!(
        admitted == sent,
        "{admitted} of {sent} events were admitted: the rates mean nothing"
    );
    rates.events = sent as f64;
    Ok(rates)
}

impl Rates {
    fn ratios(&self, call: &Call) -> Vec<Ratio> {
        let [admitted, copied, inserted] = self.medians();
        let mut ratios = vec![
            Ratio::new(
                "P1 admitted events/s over COPY BINARY rows/s",
                admitted,
                copied,
                Goal::AtLeast(0.25),
            ),
            Ratio::new(
                "P1 admitted events/s over one row per transaction, 16 connections",
                admitted,
                inserted,
                Goal::AtLeast(5.0),
            ),
        ];
        ratios.extend(self.cost.ratios(call, "16 connections", FLUSHES_MAX));
        ratios
    }

    fn medians(&self) -> [f64; 3] {
        [&self.admitted, &self.copied, &self.inserted].map(|it| median(it.clone()))
    }

    fn measures(&self) -> Vec<Measure> {
        let [admitted, copied, inserted] = self.medians();
        let busy = |what: &str, cpu_s: f64| {
            measure(
                format!("16 connections: {what}"),
                cpu_s / self.wall_s,
                "CPUs busy",
            )
        };
        vec![
            measure(
                "durably admitted, HTTP bodies of 64, 16 connections",
                admitted,
                "events/s",
            ),
            measure(
                "COPY BINARY, 1,000 rows a transaction, 1 connection",
                copied,
                "rows/s",
            ),
            measure(
                "INSERT, one row a transaction, 16 connections",
                inserted,
                "rows/s",
            ),
            busy("gate", self.cpu.executable_s),
            busy("Postgres", self.cpu.postgres_s),
            busy("load generator", self.cpu.generator_s),
        ]
    }
}
