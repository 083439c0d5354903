//! `fraudplat run report`, and the last half of the demo: balances a run, recomputes a sample of its
//! decisions, counts it, and writes its page.

use std::path::{Path, PathBuf};

use crate::app::commands::table::grouped;
use crate::app::commands::{Call, demo, reconcile, replay, runs};
use crate::app::live::Show;
use crate::app::progress;
use crate::app::report::{Collected, Proof, collect, path_of, write};
use crate::app::run::{DONE, REFUSED};
use crate::contracts::reconciliation::Reconciliation;
use crate::contracts::run_report::{Balance, Replayed, RunReport, SCHEMA_VERSION};
use crate::domain::ids::PlatformRunId;
use crate::rtdl::audit;

/// Decisions recomputed.
const REPLAYED: usize = 500;

/// What is asked of a report.
pub(crate) struct Asked {
    /// Events that this command sent, if it did.
    pub(crate) sent: Option<i64>,
    /// Where the page goes; in the data directory by default.
    pub(crate) out: Option<PathBuf>,
}

/// A run that does not hold is reported like any other, and the exit code says it (3).
pub(crate) async fn run(
    call: &Call,
    run: &PlatformRunId,
    out: Option<&Path>,
) -> anyhow::Result<u8> {
    let client = call.ground.db.get().await?;
    if progress::state(&client, run).await?.is_none() {
        return Err(runs::unknown(run).into());
    }
    drop(client);
    let asked = Asked {
        sent: None,
        out: out.map(|out| call.path(out)),
    };
    let show = Show::new(&call.output, "report", &["balance", "replay", "report"]);
    let call = &show.call(call);
    let report = Box::pin(make(call, run, &asked, &show)).await?;
    call.output.result(&report, demo::shown);
    let holds = report.reconciliation.balanced && report.replay.mismatched == 0;
    Ok(if holds { DONE } else { REFUSED })
}

/// Checks, counts and writes; shows the stages `balance`, `replay` and `report`.
pub(crate) async fn make(
    call: &Call,
    run: &PlatformRunId,
    asked: &Asked,
    show: &Show,
) -> anyhow::Result<RunReport> {
    show.begin("balance");
    let reconciliation = Box::pin(reconcile::balance(call, run)).await?;
    let checks = &reconciliation.checks;
    let equal = checks.iter().filter(|it| it.balances()).count() as u64;
    let n_checks = checks.len() as u64;
    show.change(|canvas| canvas.live_mut().balance = Some((equal, n_checks)));
    show.end("balance", format!("{equal} of {n_checks} checks equal"));

    show.begin("replay");
    let is_replayed = call.profile.archive.enabled;
    let mut replayed = Replayed::default();
    if is_replayed {
        let sample = audit::sample(&call.ground, run, REPLAYED, 1).await?;
        let found = Box::pin(replay::compare(call, sample)).await?;
        replayed.compared = found.compared.cast_signed();
        replayed.mismatched = found.mismatched.cast_signed();
        let both = (found.compared, found.mismatched);
        show.change(|canvas| canvas.live_mut().replay = Some(both));
    }
    let compared = grouped(replayed.compared);
    show.end(
        "replay",
        format!(
            "{compared} decisions recomputed, {} differ",
            replayed.mismatched
        ),
    );

    show.begin("report");
    let proof = Proof {
        reconciliation,
        is_replayed,
    };
    let path = asked.out.clone();
    let path = path.unwrap_or_else(|| path_of(&call.data_dir, run));
    let report = Box::pin(count(call, run, asked, replayed, &proof, &path)).await?;
    show.end("report", path.display().to_string());
    Ok(report)
}

async fn count(
    call: &Call,
    run: &PlatformRunId,
    asked: &Asked,
    replay: Replayed,
    proof: &Proof,
    path: &Path,
) -> anyhow::Result<RunReport> {
    let collected = collect(call, run).await?;
    let written = path.display().to_string();
    let mut report = numbers(
        &collected,
        asked.sent,
        replay,
        &proof.reconciliation,
        &written,
    );
    report.next = next(&call.program(), run, collected.example());
    write(path, &collected, &report, proof)?;
    Ok(report)
}

/// The report in numbers.
pub(crate) fn numbers(
    collected: &Collected,
    sent: Option<i64>,
    replay: Replayed,
    found: &Reconciliation,
    written: &str,
) -> RunReport {
    let run = collected.facts.pins.platform_run_id;
    let mut events = collected.events.clone();
    // Part of it may have been sent before.
    events.sent = events.received.max(sent.unwrap_or_default());
    RunReport {
        schema_version: SCHEMA_VERSION,
        platform_run_id: run,
        events,
        decisions: collected.figures.decisions(),
        throughput: collected.figures.throughput(),
        latency_ms: collected.figures.latency_ms(),
        fraud: collected.fraud(),
        campaigns: collected.campaigns(),
        rules: collected.rules(),
        reconciliation: Balance {
            balanced: found.balanced,
            checks: found.checks.clone(),
        },
        replay,
        rss_peak_mb: rss_peak_mb(),
        reports: vec![written.to_owned()],
        next: next("fraudplat", &run, collected.example()),
    }
}

fn next(program: &str, run: &PlatformRunId, example: Option<&str>) -> Vec<String> {
    let mut next = vec![format!("run show {run}")];
    next.extend(example.map(|id| format!("replay decision {id}")));
    next.extend([
        format!("dla verify --run {run}"),
        format!("reconcile run --run {run}"),
        format!("gov facts --run {run}"),
        format!("run report {run}"),
    ]);
    next.iter().map(|it| format!("{program} {it}")).collect()
}

/// The high-water mark of this process's memory, from `/proc/self/status`.
pub(crate) fn rss_peak_mb() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kb.map_or(0, |kb| kb / 1_024)
}
