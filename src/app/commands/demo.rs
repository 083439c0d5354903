//! `fraudplat demo`: a world made from a scenario, pinned, streamed, decided, balanced, replayed and
//! reported in one go, shown while it happens; a table at the end, and the commands that look further.

use std::time::Duration;

use anyhow::Context;

use crate::app::auth;
use crate::app::cli::{Demo, SrRun, WorldSource};
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, report, sr, wsp};
use crate::app::live::Show;
use crate::app::report::money;
use crate::app::roles;
use crate::app::run::{DONE, FAILED};
use crate::contracts::code::Code;
use crate::contracts::ready::WorldFacts;
use crate::contracts::run_report::RunReport;
use crate::ingress::world::WorldReader;
use crate::ingress::wsp::Options;

const LANES: usize = 4;
const ARRIVALS_AT_ONCE: usize = 4_096;

pub(crate) async fn run(call: &Call, asked: &Demo) -> anyhow::Result<u8> {
    let report = Box::pin(whole_loop(call, asked)).await?;
    call.output.result(&report, shown);
    if asked.serve {
        serve(call, &report).await;
    }
    let holds = report.reconciliation.balanced && report.replay.mismatched == 0;
    Ok(if holds { DONE } else { FAILED })
}

async fn whole_loop(call: &Call, asked: &Demo) -> anyhow::Result<RunReport> {
    if !call.profile.archive.enabled {
        let detail = "the demo replays decisions, and this profile keeps no archive";
        return Err(Refusal::new(Code::ArchiveRequired, detail).into());
    }
    let bells = call.bells.as_ref();
    let bells = bells.context("the demo runs the roles itself")?;
    let stages = ["world", "stream", "decide", "balance", "replay", "report"];
    let show = Show::new(
        &call.output,
        &format!("demo of {}", asked.scenario),
        &stages,
    );
    let call = &show.call(call);

    show.begin("world");
    let created = Box::pin(sr::pin(call, &world(&asked.scenario, asked.seed))).await?;
    let run = created.platform_run_id;
    let world = created.world.context("a scenario has a world")?;
    show.end("world", described(&world));
    let (arrivals, payments) = extent(call, &world, asked.payments).await?;
    show.change(|canvas| {
        let live = canvas.live_mut();
        live.title = format!("demo of {}, {} payments", asked.scenario, grouped(payments));
        live.run = run.to_string();
    });

    let watch = show.watch(call, &run, payments.unsigned_abs());
    show.begin("stream");
    show.begin("decide");
    let sent = Box::pin(wsp::send(call, &run, &options(arrivals))).await?;
    let (streamed, decided) = match sent.events {
        0 => (
            "nothing to send: this world was streamed before".to_owned(),
            "as before".to_owned(),
        ),
        events => (
            format!("{} events through the gate", grouped(events.cast_signed())),
            format!("{} decisions", grouped(payments)),
        ),
    };
    show.end("stream", streamed);
    roles::settle(&call.ground, bells, &call.output).await?;
    watch.end().await;
    show.end("decide", decided);

    let asked = report::Asked {
        sent: Some(sent.events.cast_signed()),
        out: None,
    };
    Box::pin(report::make(call, &run, &asked, &show)).await
}

/// How many arrivals of the world are sent, `None` for all, and how many of them are payments.
async fn extent(
    call: &Call,
    world: &WorldFacts,
    asked: Option<i64>,
) -> anyhow::Result<(Option<i64>, i64)> {
    let Some(asked) = asked.filter(|asked| *asked < world.payments_count) else {
        return Ok((None, world.payments_count));
    };
    let mut reader = WorldReader::open(call.ground.objects.clone(), world.clone(), 0);
    let mut payments = 0;
    loop {
        let arrivals = reader.next(ARRIVALS_AT_ONCE).await?;
        anyhow::ensure!(
            !arrivals.is_empty(),
            "the world has fewer payments than it says"
        );
        for arrival in arrivals {
            payments += i64::from(arrival.payment.is_some());
            if payments == asked {
                return Ok((Some(arrival.index + 1), asked));
            }
        }
    }
}

/// As fast as the gate takes them, all or only the first so many arrivals.
pub(crate) fn options(limit: Option<i64>) -> Options {
    Options {
        speedup: None,
        concurrency: LANES,
        lockstep: None,
        limit,
        arrivals_per_request: wsp::ARRIVALS_PER_REQUEST,
    }
}

/// A run of a scenario.
pub(crate) fn world(scenario: &str, seed: Option<i64>) -> SrRun {
    SrRun {
        world: WorldSource {
            scenario: Some(scenario.to_owned()),
            seed,
            ..WorldSource::default()
        },
        live: None,
        label: String::new(),
        limit: None,
    }
}

fn described(world: &WorldFacts) -> String {
    let days = world.last_ts.day() - world.first_ts.day() + 1;
    format!(
        "{} payments over {days} days from {}",
        grouped(world.payments_count),
        world.first_ts.date()
    )
}

pub(crate) fn shown(report: &RunReport) -> String {
    let rows = rows(report)
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value]);
    let next = report.next.join("\n  ");
    format!(
        "\n{}\n\nlook further:\n  {next}",
        table(&["", ""], rows, &[])
    )
}

fn rows(report: &RunReport) -> Vec<(&'static str, String)> {
    let count = |outcome: &str| grouped(report.decisions.get(outcome).copied().unwrap_or_default());
    let of = |some: i64, all: i64| format!("{} of {}", grouped(some), grouped(all));
    let latency = &report.latency_ms;
    let speed = &report.throughput;
    let balance = if report.reconciliation.balanced {
        "balanced"
    } else {
        "NOT BALANCED"
    };
    let (compared, differ) = (report.replay.compared, report.replay.mismatched);
    let mut rows = vec![
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
                "{} payments/s over {:.1} s",
                grouped(speed.payments_per_s as i64),
                speed.wall_s
            ),
        ),
        (
            "admission → decision",
            format!(
                "p50 {:.0} ms, p99 {:.0} ms (a backlog at full speed)",
                latency.p50, latency.p99
            ),
        ),
    ];
    if report.fraud.count > 0 {
        rows.extend(fraud_rows(report));
    }
    rows.extend([
        ("reconciliation", balance.to_owned()),
        (
            "replay",
            format!(
                "{} recomputed, {} differ",
                grouped(compared),
                grouped(differ)
            ),
        ),
        ("report", report.reports.join(", ")),
    ]);
    rows
}

fn fraud_rows(report: &RunReport) -> [(&'static str, String); 3] {
    let fraud = &report.fraud;
    let percent = |part: i64, all: i64| 100.0 * part as f64 / (all as f64).max(1.0);
    [
        (
            "fraud caught",
            format!(
                "{} of {} payments ({:.0} %)",
                grouped(fraud.caught),
                grouped(fraud.count),
                percent(fraud.caught, fraud.count)
            ),
        ),
        (
            "  by value",
            format!(
                "{} of {} ({:.0} %)",
                money(fraud.caught_minor, &fraud.currency),
                money(fraud.amount_minor, &fraud.currency),
                percent(fraud.caught_minor, fraud.amount_minor)
            ),
        ),
        (
            "  false alarms",
            format!(
                "{} (precision {:.0} %)",
                grouped(fraud.false_alarms),
                fraud.precision * 100.0
            ),
        ),
    ]
}

async fn serve(call: &Call, report: &RunReport) {
    if let Some(addr) = &call.gate_addr {
        let path = format!("/v1/runs/{}/report", report.platform_run_id);
        let page = auth::page(&call.profile, &call.data_dir, addr, &path);
        call.output.note(format!("the report: {page}"));
        call.output
            .note(format!("serving on http://{addr} until Ctrl-C"));
    }
    while !call.stop.is_cancelled() {
        drop(tokio::time::timeout(Duration::from_secs(3_600), call.stop.cancelled()).await);
    }
}
