//! `fraudplat run`: list, show, report, cancel.

use serde::Serialize;

use crate::app::cli::RunCommand;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, parse_run, report};
use crate::app::progress;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::contracts::progress::RunProgress;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{FactType, SourceType};
use crate::governance::facts;

const LIST: &str = include_str!("../sql/list_runs.sql");

#[derive(Serialize)]
struct RunRow {
    platform_run_id: PlatformRunId,
    name: String,
    label: String,
    created_at: Time,
    facts: Vec<String>,
    decisions: i64,
}

pub(crate) async fn run(call: &Call, command: &RunCommand) -> anyhow::Result<u8> {
    match command {
        RunCommand::List => list(call).await,
        RunCommand::Show { run } => show(call, &parse_run(run)?).await,
        RunCommand::Report { run, out } => {
            Box::pin(report::run(call, &parse_run(run)?, out.as_deref())).await
        }
        RunCommand::Cancel { run } => cancel(call, &parse_run(run)?).await,
    }
}

async fn list(call: &Call) -> anyhow::Result<u8> {
    let rows = call.ground.db.get().await?.query(LIST, &[]).await?;
    let rows = rows.iter().map(|row| RunRow {
        platform_run_id: row.get(0),
        name: row.get(1),
        label: row.get(2),
        created_at: row.get(3),
        facts: row.get(4),
        decisions: row.get(5),
    });
    let rows: Vec<RunRow> = rows.collect();
    call.output.result(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let id = row.platform_run_id.to_string();
            let state = row
                .facts
                .last()
                .cloned()
                .unwrap_or_else(|| "READY".to_owned());
            let label = row.label.clone();
            vec![
                id,
                row.name.clone(),
                label,
                state,
                row.created_at.to_string(),
                grouped(row.decisions),
            ]
        });
        table(
            &["RUN", "NAME", "LABEL", "LAST", "CREATED", "DECISIONS"],
            cells,
            &[5],
        )
    });
    Ok(DONE)
}

async fn show(call: &Call, run: &PlatformRunId) -> anyhow::Result<u8> {
    let progress = progress::read(&call.ground, run, call.profile.archive.enabled)
        .await?
        .ok_or_else(|| unknown(run))?;
    call.output.result(&progress, shown);
    Ok(DONE)
}

fn shown(progress: &RunProgress) -> String {
    let groups = progress.groups.iter().map(|group| {
        let shard = format!("{}/{}", group.stream, group.shard_id);
        vec![
            group.group.clone(),
            shard,
            group.position.to_string(),
            group.tip.to_string(),
        ]
    });
    let groups = table(&["GROUP", "SHARD", "POSITION", "TIP"], groups, &[2, 3]);
    let sets = match progress.feature_sets.is_empty() {
        true => String::new(),
        false => format!("\n\n{}", feature_sets(progress)),
    };
    format!(
        "{}  {:?}  {} decisions\n\n{groups}{sets}",
        progress.platform_run_id,
        progress.state,
        grouped(progress.decisions_count)
    )
}

fn feature_sets(progress: &RunProgress) -> String {
    let sets = progress.feature_sets.iter().map(|it| {
        vec![
            it.feature_set_digest.to_string(),
            it.slots.join(" "),
            it.state.to_string(),
            grouped(it.events),
            grouped(it.decided),
        ]
    });
    table(
        &["FEATURES", "OF", "STATE", "EVENTS", "DECIDED"],
        sets,
        &[3, 4],
    )
}

/// Appends RUN_CANCELLED as the person at the keyboard (L10).
async fn cancel(call: &Call, run: &PlatformRunId) -> anyhow::Result<u8> {
    let mut client = call.ground.db.get().await?;
    if progress::state(&client, run).await?.is_none() {
        return Err(unknown(run).into());
    }
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    let fact = ground.fact(FactType::RunCancelled, &[&run.to_string()], Some(*run));
    let tx = client.transaction().await?;
    let appended = facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    call.output.line(match appended {
        0 => format!("{run} was cancelled before"),
        _ => format!("{run} is cancelled; the gate takes nothing more for it"),
    });
    Ok(DONE)
}

pub(crate) fn unknown(run: &PlatformRunId) -> Refusal {
    Refusal::new(
        Code::RunUnknown,
        format!("there is no run {run}; `fraudplat run list` has them"),
    )
}
