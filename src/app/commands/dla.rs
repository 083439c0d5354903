//! `fraudplat dla`: list, explain, shadows, export, verify.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::app::cli::{Dla, DlaList};
use crate::app::commands::replay::refusal;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, explain, parse_run, runs, shadows};
use crate::app::progress;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::ids::PlatformRunId;
use crate::rtdl::audit::{self, DecisionRow};
use crate::runtime::decisions::Wanted;

/// Decisions read at a time.
const PAGE: i64 = 2_000;

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
    if let Dla::Explain { id } = command {
        return Box::pin(explain::run(call, id)).await;
    }
    let (Dla::Verify { run }
    | Dla::List(DlaList { run, .. })
    | Dla::Shadows { run, .. }
    | Dla::Export { run, .. }) = command
    else {
        return Ok(DONE);
    };
    let run = parse_run(run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    match command {
        Dla::Verify { .. } => verify(call, &run).await,
        Dla::List(asked) => list(call, &run, asked).await,
        Dla::Shadows { slot, .. } => shadows::run(call, &run, slot.as_deref()).await,
        Dla::Export {
            after, limit, out, ..
        } => export(call, &run, *after, limit.unwrap_or(i64::MAX), out).await,
        Dla::Explain { .. } => Ok(DONE),
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

/// Every page, until there are as many as were asked for.
async fn list(call: &Call, run: &PlatformRunId, asked: &DlaList) -> anyhow::Result<u8> {
    let mut wanted = wanted(asked)?;
    let mut rows: Vec<DecisionRow> = Vec::new();
    let mut left = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    while left > 0 && !call.stop.is_cancelled() {
        wanted.limit = left.min(audit::PAGE_MAX);
        let page = audit::page(&call.ground, run, &wanted).await;
        let page = page.map_err(refusal)?;
        let Some(page) = page else {
            return Err(runs::unknown(run).into());
        };
        left -= page.results.len();
        rows.extend(page.results);
        let Some(next) = page.next else { break };
        wanted.after = next.parse().context("reading where the list goes on")?;
        call.output
            .progress("looking", wanted.after.unsigned_abs(), 0);
    }
    call.output.result(&rows, |rows| listed(rows));
    Ok(DONE)
}

fn wanted(asked: &DlaList) -> anyhow::Result<Wanted> {
    let after = asked.after.to_string();
    let degraded = asked.degraded.map(|it| it.to_string());
    let said = [
        ("event_id", asked.event_id.as_deref()),
        ("entity", asked.entity.as_deref()),
        ("outcome", asked.outcome.as_deref()),
        ("rule", asked.rule.as_deref()),
        ("from", asked.from.as_deref()),
        ("to", asked.to.as_deref()),
        ("degraded", degraded.as_deref()),
        ("after", Some(after.as_str())),
    ];
    let said = said.into_iter().filter_map(|(name, it)| Some((name, it?)));
    let wanted = audit::wanted(said);
    wanted
        .map_err(|(name, why)| Refusal::new(Code::QueryInvalid, format!("--{name}: {why}")).into())
}

fn listed(rows: &[DecisionRow]) -> String {
    let cells = rows.iter().map(|row| {
        vec![
            grouped(row.seq),
            row.ts_utc.to_string(),
            row.event_id.to_string(),
            row.outcome.to_string(),
            row.rules.join(" "),
            row.decision_id.to_string(),
        ]
    });
    let head = ["SEQ", "TIME", "EVENT", "OUTCOME", "RULES", "DECISION"];
    table(&head, cells, &[0])
}

async fn verify(call: &Call, run: &PlatformRunId) -> anyhow::Result<u8> {
    let output = call.output.clone();
    let said = move |done: i64| output.progress("verifying", done.unsigned_abs(), 0);
    let report = audit::verify(&call.ground, run, &said).await;
    let report = report.map_err(refusal)?;
    call.output.result(&report, |report| {
        format!(
            "{} records verified; head {}; {} segments hold those up to {}, {} anchors those up to {}",
            grouped(report.verified),
            report.head,
            grouped(report.segments),
            grouped(report.in_segments),
            grouped(report.anchors),
            grouped(report.anchored)
        )
    });
    match report.broken {
        None => Ok(DONE),
        Some(broken) => {
            let since = match broken.not_before < broken.seq {
                true => format!(", or one of those since {}", grouped(broken.not_before)),
                false => String::new(),
            };
            let detail = format!(
                "record {} ({}){since}: {}",
                broken.seq, broken.decision_id, broken.why
            );
            Err(Refusal::new(Code::ChainBroken, detail).into())
        }
    }
}
