//! `fraudplat dla`: list, export, verify.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::app::cli::Dla;
use crate::app::commands::replay::refusal;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, parse_run, runs};
use crate::app::progress;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::Outcome;
use crate::rtdl::audit;

/// Decisions read at a time.
const PAGE: i64 = 2_000;

/// A decision as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    seq: i64,
    decision_id: DecisionId,
    event_id: EventId,
    ts_utc: Time,
    outcome: Outcome,
    degraded: Vec<String>,
    body_hash: Digest,
}

/// What `dla export --json` prints.
#[derive(Debug, Serialize)]
struct Exported {
    platform_run_id: PlatformRunId,
    decisions: i64,
    /// The place in the chain of the last one written; `--after` goes on from there.
    last_seq: i64,
    file: PathBuf,
}

pub(crate) async fn run(call: &Call, command: &Dla) -> anyhow::Result<u8> {
    let (Dla::Verify { run } | Dla::List { run, .. } | Dla::Export { run, .. }) = command;
    let run = parse_run(run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    match command {
        Dla::Verify { .. } => verify(call, &run).await,
        Dla::List { after, limit, .. } => list(call, &run, *after, *limit).await,
        Dla::Export {
            after, limit, out, ..
        } => export(call, &run, *after, limit.unwrap_or(i64::MAX), out).await,
    }
}

/// Writes page by page, so that a run of any size needs the memory of one page. Each record is
/// verified against its hashes on the way.
async fn export(
    call: &Call,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
    out: &Path,
) -> anyhow::Result<u8> {
    let path = call.path(out);
    let file = File::create_new(&path).with_context(|| format!("creating {}", path.display()))?;
    let writing = || format!("writing {}", path.display());
    let mut to = BufWriter::new(file);
    let (mut last_seq, mut decisions) = (after, 0);
    while decisions < limit && !call.stop.is_cancelled() {
        let n = PAGE.min(limit - decisions);
        let page = audit::list(&call.ground, run, last_seq, n).await;
        let page = page.map_err(refusal)?;
        let Some(last) = page.last() else { break };
        last_seq = last.seq;
        decisions += i64::try_from(page.len())?;
        for stored in &page {
            serde_json::to_writer(&mut to, &audit::http::view(stored)?).with_context(writing)?;
            to.write_all(b"\n").with_context(writing)?;
        }
        call.output
            .progress("exporting", decisions.unsigned_abs(), 0);
    }
    let file = to.into_inner().map_err(|error| error.into_error());
    file.and_then(|file| file.sync_all())
        .with_context(writing)?;
    let exported = Exported {
        platform_run_id: *run,
        decisions,
        last_seq,
        file: path,
    };
    call.output.result(&exported, |it| {
        format!(
            "{} decisions in {}",
            grouped(it.decisions),
            it.file.display()
        )
    });
    Ok(DONE)
}

async fn list(call: &Call, run: &PlatformRunId, after: i64, limit: i64) -> anyhow::Result<u8> {
    let (mut rows, mut after, mut left) = (Vec::new(), after, limit);
    while left > 0 {
        let page = audit::list(&call.ground, run, after, left.min(PAGE)).await;
        let page = page.map_err(refusal)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        left -= i64::try_from(page.len())?;
        for stored in &page {
            let (body, _) = stored.open()?;
            rows.push(Row {
                seq: stored.seq,
                decision_id: stored.decision_id,
                event_id: body.event_id,
                ts_utc: body.ts_utc,
                outcome: body.outcome,
                degraded: body.degraded,
                body_hash: stored.body_hash,
            });
        }
    }
    call.output.result(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            vec![
                grouped(row.seq),
                row.ts_utc.to_string(),
                row.event_id.to_string(),
                row.outcome.to_string(),
                row.decision_id.to_string(),
            ]
        });
        table(
            &["SEQ", "TIME", "EVENT", "OUTCOME", "DECISION"],
            cells,
            &[0],
        )
    });
    Ok(DONE)
}

async fn verify(call: &Call, run: &PlatformRunId) -> anyhow::Result<u8> {
    let output = call.output.clone();
    let said = move |done: i64| output.progress("verifying", done.unsigned_abs(), 0);
    let report = audit::verify(&call.ground, run, &said).await;
    let report = report.map_err(refusal)?;
    call.output.result(&report, |report| {
        format!(
            "{} records verified; head {}; {} segments hold those up to {}",
            grouped(report.verified),
            report.head,
            grouped(report.segments),
            grouped(report.in_segments)
        )
    });
    match report.broken {
        None => Ok(DONE),
        Some(broken) => {
            let detail = format!(
                "record {} ({}): {}",
                broken.seq, broken.decision_id, broken.why
            );
            Err(Refusal::new(Code::ChainBroken, detail).into())
        }
    }
}
