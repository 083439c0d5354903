//! `fraudplat replay`: decision, range.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::app::cli::{Replay, ReplayDecision, ReplayRange};
use crate::app::commands::table::grouped;
use crate::app::commands::{Call, Refusal, parse_run, runs, what_if};
use crate::app::progress;
use crate::app::run::{DONE, REFUSED};
use crate::contracts::code::Code;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::vocabulary::FactType;
use crate::governance::facts;
use crate::rtdl::audit::{self, FieldDiff, ReplayReport};
use crate::runtime::decisions::StoredDecision;

/// Decisions of a range, held in memory during its one pass: about 4 KiB each.
pub(crate) const RANGE_MAX: i64 = 200_000;

pub(crate) async fn run(call: &Call, command: &Replay) -> anyhow::Result<u8> {
    if !call.profile.archive.enabled {
        let detail = "this profile keeps no archive, and replay reads nothing else";
        return Err(Refusal::new(Code::ArchiveRequired, detail).into());
    }
    let decisions = match command {
        Replay::Decision(asked) => select(call, asked).await?,
        Replay::Range(asked) => {
            let decisions = range(call, asked).await?;
            if asked.against_bus {
                against_bus(call, &decisions).await?;
            }
            if let Some(dir) = &asked.bundle {
                return Box::pin(what_if::run(call, dir, &decisions)).await;
            }
            decisions
        }
    };
    let report = Box::pin(compare(call, decisions)).await?;
    call.output.result(&report, shown);
    Ok(
        if report.mismatched == 0 && report.shadows.mismatched == 0 {
            DONE
        } else {
            REFUSED
        },
    )
}

async fn select(call: &Call, asked: &ReplayDecision) -> anyhow::Result<Vec<StoredDecision>> {
    let found = match &asked.run {
        Some(run) => audit::sample(&call.ground, &parse_run(run)?, asked.sample, asked.seed).await,
        None => {
            let ids = asked.ids.iter().map(|id| id.parse::<DecisionId>());
            let ids = ids
                .collect::<Result<Vec<_>, _>>()
                .context("reading the decision ids")?;
            audit::find(&call.ground, &ids).await
        }
    };
    found.map_err(refusal)
}

/// Every decision between two places; a place that the chain does not have is refused.
async fn range(call: &Call, asked: &ReplayRange) -> anyhow::Result<Vec<StoredDecision>> {
    let run = parse_run(&asked.run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    let from = asked.from;
    let to = match asked.to {
        Some(to) => to,
        None => {
            let last = audit::last_seq(&call.ground, &run).await;
            last.map_err(refusal)?
        }
    };
    if asked.to.is_none() && to == 0 && from == 1 {
        return Ok(Vec::new());
    }
    anyhow::ensure!(
        1 <= from && from <= to,
        "--from and --to are places of the chain, counted from 1, --from not after --to"
    );
    let n = to - from + 1;
    anyhow::ensure!(
        n <= RANGE_MAX,
        "{} decisions at a time are too many; ask for {} and go on after them",
        grouped(n),
        grouped(RANGE_MAX)
    );
    let found = audit::list(&call.ground, &run, from - 1, n).await;
    let found = found.map_err(refusal)?;
    match found.last().map(|last| last.seq) {
        Some(last) if last == to => Ok(found),
        last => {
            let last = last.map_or_else(
                || "ends before".to_owned(),
                |last| format!("ends at {last}"),
            );
            let detail = format!("the chain has no {from} to {to}: in this range it {last}");
            Err(Refusal::new(Code::NotFound, detail).into())
        }
    }
}

/// Refused where archive and bus differ, with a fact that stays.
async fn against_bus(call: &Call, decisions: &[StoredDecision]) -> anyhow::Result<()> {
    let Some(last) = decisions.last() else {
        return Ok(());
    };
    match audit::against_bus(&call.ground, last).await {
        Ok(n_equal) => {
            let n_equal = grouped(n_equal.cast_signed());
            let said =
                format!("{n_equal} traffic records of the range are still on the bus, as archived");
            call.output.note(said);
            Ok(())
        }
        Err(error) => {
            if error.code() == Code::ReplayBasisMismatch {
                say_mismatch(call, &last.run, &error.to_string()).await?;
            }
            Err(refusal(error))
        }
    }
}

/// Replays decisions of any number of runs.
pub(crate) async fn compare(
    call: &Call,
    decisions: Vec<StoredDecision>,
) -> anyhow::Result<ReplayReport> {
    let mut by_run: BTreeMap<PlatformRunId, Vec<StoredDecision>> = BTreeMap::new();
    for decision in decisions {
        by_run.entry(decision.run).or_default().push(decision);
    }
    let mut total = ReplayReport::default();
    for (run, decisions) in by_run {
        let output = call.output.clone();
        let progress = move |done, total| output.progress("replaying", done, total);
        let replayed = Box::pin(audit::replay(&call.ground, &decisions, &progress)).await;
        let report = match replayed {
            Ok(report) => report,
            Err(error) => {
                if error.code() == Code::ReplayBasisMismatch {
                    say_mismatch(call, &run, &error.to_string()).await?;
                }
                return Err(refusal(error));
            }
        };
        total.compared += report.compared;
        total.mismatched += report.mismatched;
        total.mismatches.extend(report.mismatches);
        total.shadows.extend(report.shadows);
    }
    Ok(total)
}

/// Archive and evidence disagree: an anomaly that stays on record.
async fn say_mismatch(call: &Call, run: &PlatformRunId, detail: &str) -> anyhow::Result<()> {
    let ground = call.ground.acting_as("svc:replay");
    let run_text = run.to_string();
    let fact = ground.fact(
        FactType::ReplayBasisMismatch,
        &[&run_text, detail],
        Some(*run),
    );
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    Ok(())
}

/// What an operator reads: with its code, unless a substrate failed.
pub(crate) fn refusal(error: audit::Error) -> anyhow::Error {
    match error.code() {
        Code::SubstrateUnavailable => error.into(),
        code => Refusal::new(code, error.to_string()).into(),
    }
}

fn shown(report: &ReplayReport) -> String {
    let decisions = report.mismatches.iter().map(|it| {
        let head = format!("{} (seq {})", it.decision_id, it.seq);
        (head, it.fields.as_slice())
    });
    let text = told("decisions", (report.compared, report.mismatched), decisions);
    let shadows = &report.shadows;
    if shadows.compared == 0 {
        return text;
    }
    let scores = shadows.mismatches.iter().map(|it| {
        let head = format!("{} in {} (seq {})", it.decision_id, it.bundle_slot, it.seq);
        (head, it.fields.as_slice())
    });
    let counts = (shadows.compared, shadows.mismatched);
    format!("{text}\n{}", told("shadow scores", counts, scores))
}

/// How many were equal; else the first that were not, field by field.
fn told<'r>(
    what: &str,
    (compared, mismatched): (u64, u64),
    mismatches: impl Iterator<Item = (String, &'r [FieldDiff])>,
) -> String {
    let compared = grouped(compared.cast_signed());
    if mismatched == 0 {
        return format!("{compared} {what} recomputed from the archive: equal byte for byte");
    }
    let lines = mismatches.take(20).flat_map(|(head, fields)| {
        let fields = fields.iter().map(|field| {
            format!(
                "  {}: stored {}, recomputed {}",
                field.field, field.stored, field.recomputed
            )
        });
        std::iter::once(head).chain(fields).collect::<Vec<_>>()
    });
    let lines: Vec<String> = lines.collect();
    format!(
        "{mismatched} of {compared} {what} differ\n{}",
        lines.join("\n")
    )
}
