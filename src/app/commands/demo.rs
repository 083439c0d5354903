//! `fraudplat demo`: a small world of our own, pinned, streamed, decided, balanced and replayed in
//! one go; a table at the end, and the commands that look further.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

use crate::app::cli::{Demo, SrRun};
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, demo_numbers, reconcile, replay, sr, wsp};
use crate::app::roles;
use crate::app::run::{DONE, FAILED};
use crate::contracts::code::Code;
use crate::contracts::demo_report::{
    Balance, DemoReport, Events, Replayed, SCHEMA_VERSION, Throughput,
};
use crate::contracts::reconciliation::Reconciliation;
use crate::domain::ids::PlatformRunId;
use crate::ingress::world::sample;
use crate::ingress::wsp::{Options, Report};
use crate::rtdl::audit;

const REPLAYED: usize = 500;
const LANES: usize = 4;

pub(crate) async fn run(call: &Call, asked: &Demo) -> anyhow::Result<u8> {
    let report = Box::pin(whole_loop(call, asked)).await?;
    call.output.result(&report, shown);
    if asked.serve {
        serve(call).await;
    }
    let holds = report.reconciliation.balanced && report.replay.mismatched == 0;
    Ok(if holds { DONE } else { FAILED })
}

async fn whole_loop(call: &Call, asked: &Demo) -> anyhow::Result<DemoReport> {
    anyhow::ensure!(asked.payments > 0, "--payments must be at least 1");
    if !call.profile.archive.enabled {
        let detail = "the demo replays decisions, and this profile keeps no archive";
        return Err(Refusal::new(Code::ArchiveRequired, detail).into());
    }
    call.output
        .note("1/5 a world: corner shops, their customers, two kinds of fraud");
    let created = Box::pin(sr::pin(call, &world(call, asked.payments, asked.seed)?)).await?;
    let run = created.platform_run_id;
    let world = created.world.context("a data set has a world")?;
    call.output
        .note("2/5 streaming it through the gate; decisions follow as it comes");
    let sent = Box::pin(wsp::send(call, &run, &options())).await?;
    let bells = call.bells.as_ref();
    let bells = bells.context("the demo runs the roles itself")?;
    roles::settle(&call.ground, bells, &call.output).await?;
    call.output.note("3/5 balancing every durable row");
    let balance = Box::pin(reconcile::balance(call, &run)).await?;
    call.output
        .note("4/5 recomputing a sample of decisions from the archive");
    let sample = audit::sample(&call.ground.db, &run, REPLAYED, 1).await?;
    let replayed = Box::pin(replay::compare(call, sample)).await?;
    call.output.note("5/5 counting what was caught");
    let numbers = demo_numbers::read(call, &run, &world).await?;
    let replayed = Replayed {
        compared: replayed.compared.cast_signed(),
        mismatched: replayed.mismatched.cast_signed(),
    };
    Ok(report(run, &sent, balance, replayed, numbers))
}

pub(crate) fn options() -> Options {
    Options {
        speedup: None,
        concurrency: LANES,
        lockstep: None,
        limit: None,
        arrivals_per_request: wsp::ARRIVALS_PER_REQUEST,
    }
}

/// The data set as a user's would be: a CSV file and its mapping.
pub(crate) fn world(call: &Call, payments: i64, seed: u64) -> anyhow::Result<SrRun> {
    anyhow::ensure!(payments > 0, "--payments must be at least 1");
    let name = format!("cache/demo-{payments}-{seed}");
    let dir = call.data_dir.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let file = dir.join(sample::FILE);
    sample::write_csv(&file, payments.unsigned_abs(), seed)
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(SrRun {
        scenario: None,
        seed: None,
        dataset: Some(file),
        mapping: Some("corner-shops".to_owned()),
        live: None,
        label: String::new(),
        limit: None,
    })
}

fn report(
    run: PlatformRunId,
    sent: &Report,
    balance: Reconciliation,
    replay: Replayed,
    numbers: demo_numbers::Numbers,
) -> DemoReport {
    let total = numbers.outcomes.values().sum();
    let mut decisions: BTreeMap<String, i64> = numbers.outcomes;
    decisions.insert("total".to_owned(), total);
    decisions.insert("degraded".to_owned(), numbers.degraded);
    DemoReport {
        schema_version: SCHEMA_VERSION,
        platform_run_id: run,
        events: Events {
            sent: sent.events.cast_signed(),
            ..numbers.events
        },
        decisions,
        throughput: Throughput {
            payments_per_s: round(total as f64 / numbers.wall_s.max(1e-9)),
            wall_s: round(numbers.wall_s),
        },
        latency_ms: numbers.latency_ms,
        fraud: numbers.fraud,
        reconciliation: Balance {
            balanced: balance.balanced,
            checks: balance.checks,
        },
        replay,
        rss_peak_mb: numbers.rss_peak_mb,
        reports: Vec::new(),
        next: next(&run, &numbers.example),
    }
}

/// Two decimals are all that these numbers mean.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn next(run: &PlatformRunId, example: &str) -> Vec<String> {
    vec![
        format!("fraudplat run show {run}"),
        format!("fraudplat replay decision {example}"),
        format!("fraudplat dla verify --run {run}"),
        format!("fraudplat reconcile run --run {run}"),
        format!("fraudplat gov facts --run {run}"),
    ]
}

fn shown(report: &DemoReport) -> String {
    let rows = rows(report)
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value]);
    let next = report.next.join("\n  ");
    format!(
        "\n{}\n\nlook further:\n  {next}",
        table(&["", ""], rows, &[])
    )
}

fn rows(report: &DemoReport) -> Vec<(&'static str, String)> {
    let count = |outcome: &str| grouped(report.decisions.get(outcome).copied().unwrap_or_default());
    let of = |some: i64, all: i64| format!("{} of {}", grouped(some), grouped(all));
    let (fraud, latency) = (&report.fraud, &report.latency_ms);
    let speed = &report.throughput;
    let balance = if report.reconciliation.balanced {
        "balanced"
    } else {
        "NOT BALANCED"
    };
    let (compared, differ) = (report.replay.compared, report.replay.mismatched);
    vec![
        ("run", report.platform_run_id.to_string()),
        (
            "events admitted",
            format!("{} sent", of(report.events.admitted, report.events.sent)),
        ),
        ("payments decided", count("total")),
        ("  approve", count("APPROVE")),
        ("  step up", count("STEP_UP")),
        ("  review", count("REVIEW")),
        ("  decline", count("DECLINE")),
        ("  degraded", count("degraded")),
        (
            "throughput",
            format!(
                "{:.0} payments/s over {:.1} s",
                speed.payments_per_s, speed.wall_s
            ),
        ),
        (
            "admission → decision",
            format!(
                "p50 {:.0} ms, p99 {:.0} ms (a backlog at full speed)",
                latency.p50, latency.p99
            ),
        ),
        (
            "fraud",
            format!("{} payments caught", of(fraud.caught, fraud.count)),
        ),
        (
            "  by value",
            format!("{} minor units", of(fraud.caught_minor, fraud.amount_minor)),
        ),
        ("reconciliation", balance.to_owned()),
        (
            "replay",
            format!(
                "{} recomputed, {} differ",
                grouped(compared),
                grouped(differ)
            ),
        ),
    ]
}

async fn serve(call: &Call) {
    if let Some(addr) = &call.gate_addr {
        call.output
            .note(format!("serving on http://{addr} until Ctrl-C"));
    }
    while !call.stop.is_cancelled() {
        drop(tokio::time::timeout(Duration::from_secs(3_600), call.stop.cancelled()).await);
    }
}
