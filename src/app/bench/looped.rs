//! `bench loop`: payments through the whole loop, from HTTP to durable decisions, and where the time goes (P3); then
//! a run's memory brought back (P8), and payments one at a time (P2).

use anyhow::Context;
use tokio::time::Instant;

use crate::app::bench::machine::{Cpu, Machine, Meter};
use crate::app::bench::profile::Profiler;
use crate::app::bench::report::{CpuPerMillion, Goal, Measure, Ratio, Report, measure};
use crate::app::bench::usage::Cost;
use crate::app::bench::{one, recovery};
use crate::app::cli::{BenchLoop, BenchWorld, SrRun};
use crate::app::commands::report::rss_peak_mb;
use crate::app::commands::{Call, demo, sr, wsp};
use crate::app::report::collect;
use crate::app::roles;
use crate::app::run::DONE;
use crate::contracts::run_report::Latency;
use crate::domain::ids::PlatformRunId;

/// What one loop did.
pub(super) struct Looped {
    pub(super) run: PlatformRunId,
    pub(super) payments: f64,
    /// From the first event sent to the last decision committed.
    pub(super) wall_s: f64,
    pub(super) cpu: Cpu,
    /// Of all roles and the streamer.
    cost: Cost,
    pub(super) measures: Vec<Measure>,
    admitted_per_s: f64,
}

pub(crate) async fn run(call: &Call, asked: &BenchLoop) -> anyhow::Result<u8> {
    let machine = Machine::before();
    let looped = Box::pin(once(call, &asked.world)).await?;
    let decided_per_s = looped.payments / looped.wall_s;
    let (recoveries, took) = recovery::measured(call, &looped.run, decided_per_s).await?;
    let single = match asked.one_by_one {
        0 => None,
        n => Some(Box::pin(one::measured(call, n)).await?),
    };
    let mut ratios = vec![Ratio::new(
        "P3 decisions/s over a quarter of the events admitted/s meanwhile",
        decided_per_s,
        looped.admitted_per_s / 4.0,
        Goal::AtLeast(0.5),
    )];
    // The goal of flushes is a role's, and this is of all that run in the process.
    ratios.extend(looped.cost.ratios(call, "all roles together", Goal::None));
    ratios.extend(recoveries);
    let mut measures = looped.measures;
    measures.extend(took);
    if let Some((ratio, took)) = single {
        ratios.insert(0, ratio);
        measures.extend(took);
    }
    let report = Report {
        bench: "loop",
        machine: machine.after(),
        ratios,
        cpu: Some(CpuPerMillion::new(
            "decisions",
            looped.cpu,
            looped.payments,
            200.0,
        )),
        measures,
        notes: NOTES.to_vec(),
    };
    report.print(&call.output);
    Ok(DONE)
}

const NOTES: [&str; 4] = [
    "the bundle is the bench's own, 22 windows, 4 features of the graph, 500 trees and 12 rules, unless the profile names one",
    "the streamer, and the client of the payments one by one, are in the executable: their CPU time is counted as its own",
    "time of tasks is that of their code on a worker thread, others' turns on the CPU in it; HTTP heads and the runtime are in no task",
    "a busy backend is one that runs a statement and waits for nothing",
];

/// Streams the payments and waits until all are decided.
pub(super) async fn once(call: &Call, asked: &BenchWorld) -> anyhow::Result<Looped> {
    let began = Instant::now();
    // A run of its own, also in a directory where this world was streamed before: there would be
    // nothing left to send, and the rates would be of nothing.
    let own = SrRun {
        label: format!("bench {}", call.ground.holder),
        ..demo::world(&asked.scenario, asked.seed)
    };
    let created = Box::pin(sr::pin(call, &own)).await?;
    let world = created.world.context("a scenario has a world")?;
    let pinning_s = began.elapsed().as_secs_f64();

    let meter = Meter::of(&call.ground.db).await?;
    let profiler = Profiler::start(&call.ground.db);
    let (before, began) = (meter.now(), Instant::now());
    let usage = call.ground.usage();
    let options = demo::options(Some(asked.payments));
    let sent = Box::pin(wsp::send(call, &created.platform_run_id, &options)).await?;
    let streaming_s = began.elapsed().as_secs_f64();
    let at_end_of_stream = meter.now();
    let bells = call
        .bells
        .as_ref()
        .context("the bench runs the roles itself")?;
    roles::settle(&call.ground, bells, &call.output).await?;
    let wall_s = began.elapsed().as_secs_f64();
    let after = meter.now();
    let usage = call.ground.usage().since(usage);
    let profile = profiler.end().await?;

    let figures = collect(call, &created.platform_run_id).await?.figures;
    let decided = figures.total();
    // An arrival may be a link, which nobody decides: at the end of the world the count is known.
    anyhow::ensure!(
        decided > 0 && (!sent.ended || decided == world.payments_count),
        "{decided} of {} payments were decided: the rates mean nothing",
        world.payments_count
    );
    let cpu = after.since(before);
    let seconds = Seconds {
        pinning: pinning_s,
        streaming: streaming_s,
        in_all: wall_s,
    };
    let while_streaming = at_end_of_stream.since(before);
    let mut measures = vec![
        measure("payments decided", decided as f64 / wall_s, "payments/s"),
        measure(
            "events admitted while streaming",
            sent.events_per_s,
            "events/s",
        ),
    ];
    measures.extend(where_time_goes(&seconds, while_streaming, cpu));
    measures.extend(latency(&figures.latency_ms()));
    let usage = profile.taken_out(usage);
    measures.extend(profile.measures);
    Ok(Looped {
        run: created.platform_run_id,
        payments: decided as f64,
        wall_s,
        cpu,
        cost: Cost {
            usage,
            events: sent.events,
        },
        measures,
        admitted_per_s: sent.events_per_s,
    })
}

fn latency(of: &Latency) -> [Measure; 3] {
    [
        measure(
            "admission to decision, p50 (a backlog at full speed)",
            of.p50,
            "ms",
        ),
        measure("admission to decision, p99", of.p99, "ms"),
        measure("memory at most", rss_peak_mb() as f64, "MB"),
    ]
}

/// On the wall.
struct Seconds {
    pinning: f64,
    streaming: f64,
    in_all: f64,
}

fn where_time_goes(seconds: &Seconds, while_streaming: Cpu, cpu: Cpu) -> [Measure; 7] {
    let rest = seconds.in_all - seconds.streaming;
    [
        measure(
            "wall: pinning the world (not in the rates)",
            seconds.pinning,
            "s",
        ),
        measure("wall: streaming", seconds.streaming, "s"),
        measure("wall: until all is decided and archived", rest, "s"),
        measure(
            "CPU while streaming: executable",
            while_streaming.executable_s,
            "s",
        ),
        measure(
            "CPU while streaming: Postgres",
            while_streaming.postgres_s,
            "s",
        ),
        measure("CPU in all: executable", cpu.executable_s, "s"),
        measure("CPU in all: Postgres", cpu.postgres_s, "s"),
    ]
}
