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

/// Decisions that one pass over the archive holds in memory: about 4 KiB each.
pub(crate) const PASS_MAX: i64 = 200_000;

pub(crate) async fn run(call: &Call, command: &Replay) -> anyhow::Result<u8> {
    if !call.profile.archive.enabled {
        let detail = "this profile keeps no archive, and replay reads nothing else";
        return Err(Refusal::new(Code::ArchiveRequired, detail).into());
    }
    let report = match command {
        Replay::Decision(asked) => Box::pin(compare(call, select(call, asked).await?)).await?,
        Replay::Range(asked) => {
            let range = range(call, asked).await?;
            if asked.against_bus {
                against_bus(call, &range).await?;
            }
            if let Some(dir) = &asked.bundle {
                let decisions = range.whole(call).await?;
                return Box::pin(what_if::run(call, dir, &decisions)).await;
            }
            Box::pin(in_passes(call, &range, asked.at_a_time)).await?
        }
    };
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

/// Places of a run's chain, both ends included; `to` is 0 where nothing is decided.
struct Range {
    run: PlatformRunId,
    from: i64,
    to: i64,
}

impl Range {
    /// Its decisions; a place that the chain does not have is refused.
    async fn decisions(&self, call: &Call) -> anyhow::Result<Vec<StoredDecision>> {
        let (run, from, to) = (&self.run, self.from, self.to);
        let found = audit::list(&call.ground, run, from - 1, to - from + 1).await;
        let found = found.map_err(refusal)?;
        match found.last().map(|last| last.seq) {
            Some(last) if last == to => Ok(found),
            None if to == 0 => Ok(found),
            last => Err(self.ends(last).into()),
        }
    }

    /// All of them at once.
    async fn whole(&self, call: &Call) -> anyhow::Result<Vec<StoredDecision>> {
        let n = self.to - self.from + 1;
        anyhow::ensure!(
            n <= PASS_MAX,
            "{} decisions at a time are too many; ask for {} and go on after them",
            grouped(n),
            grouped(PASS_MAX)
        );
        self.decisions(call).await
    }

    fn ends(&self, last: Option<i64>) -> Refusal {
        let last = last.map_or_else(
            || "ends before".to_owned(),
            |last| format!("ends at {last}"),
        );
        let (from, to) = (self.from, self.to);
        let detail = format!("the chain has no {from} to {to}: in this range it {last}");
        Refusal::new(Code::NotFound, detail)
    }
}

/// What was asked for; the whole chain where nothing was said.
async fn range(call: &Call, asked: &ReplayRange) -> anyhow::Result<Range> {
    let run = parse_run(&asked.run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    let last = audit::last_seq(&call.ground, &run).await.map_err(refusal)?;
    let (from, to) = (asked.from, asked.to.unwrap_or(last));
    let range = Range { run, from, to };
    if asked.to.is_none() && to == 0 && from == 1 {
        return Ok(range);
    }
    anyhow::ensure!(
        1 <= from && from <= to,
        "--from and --to are places of the chain, counted from 1, --from not after --to"
    );
    match to <= last {
        true => Ok(range),
        false => Err(range.ends((from <= last).then_some(last)).into()),
    }
}

/// A pass over the archive for each so many decisions: memory has bounds, a range has none.
async fn in_passes(call: &Call, range: &Range, at_a_time: i64) -> anyhow::Result<ReplayReport> {
    let n = (range.to - range.from + 1).cast_unsigned();
    let mut total = ReplayReport::default();
    let mut from = range.from;
    while from <= range.to {
        let to = range.to.min(from.saturating_add(at_a_time - 1));
        let pass = Range { from, to, ..*range };
        let (output, before) = (call.output.clone(), total.compared);
        let progress = move |done, _| output.progress("replaying", before + done, n);
        let decisions = pass.decisions(call).await?;
        total.extend(Box::pin(compared(call, decisions, &progress)).await?);
        from = to + 1;
    }
    Ok(total)
}

/// Refused where archive and bus differ, with a fact that stays.
async fn against_bus(call: &Call, range: &Range) -> anyhow::Result<()> {
    let from = range.to.max(1);
    let last = Range { from, ..*range }.decisions(call).await?;
    let Some(last) = last.last() else {
        return Ok(());
    };
    match audit::against_bus(&call.ground, last).await {
        Ok(n_equal) => {
            let n_equal = grouped(n_equal.cast_signed());
            let said = format!(
                "{n_equal} payments and labels of the range are still on the bus, as archived"
            );
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
    let output = call.output.clone();
    let progress = move |done, total| output.progress("replaying", done, total);
    compared(call, decisions, &progress).await
}

async fn compared(
    call: &Call,
    decisions: Vec<StoredDecision>,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> anyhow::Result<ReplayReport> {
    let mut by_run: BTreeMap<PlatformRunId, Vec<StoredDecision>> = BTreeMap::new();
    for decision in decisions {
        by_run.entry(decision.run).or_default().push(decision);
    }
    let mut total = ReplayReport::default();
    for (run, decisions) in by_run {
        let replayed = Box::pin(audit::replay(&call.ground, &decisions, progress)).await;
        match replayed {
            Ok(report) => total.extend(report),
            Err(error) => {
                if error.code() == Code::ReplayBasisMismatch {
                    say_mismatch(call, &run, &error.to_string()).await?;
                }
                return Err(refusal(error));
            }
        }
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
