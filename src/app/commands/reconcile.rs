//! `fraudplat reconcile run`: the checks as a table; exit 3 when one does not balance.

use std::time::Duration;

use crate::app::cli::Reconcile;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, parse_run, runs};
use crate::app::progress;
use crate::app::run::{DONE, REFUSED};
use crate::contracts::code::Code;
use crate::contracts::reconciliation::{Check, Reconciliation};
use crate::domain::ids::PlatformRunId;
use crate::reconcile;

/// How long consumers may take to pass the cut.
const PASS_MAX: Duration = Duration::from_secs(120);

pub(crate) async fn run(call: &Call, command: &Reconcile) -> anyhow::Result<u8> {
    let Reconcile::Run { run } = command;
    let run = parse_run(run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    let found = balance(call, &run).await?;
    call.output.result(&found, shown);
    if found.balanced {
        return Ok(DONE);
    }
    call.output
        .note(Refusal::new(Code::Unbalanced, format!("{run} does not balance")).to_string());
    Ok(REFUSED)
}

/// Balances a run with progress.
pub(crate) async fn balance(call: &Call, run: &PlatformRunId) -> anyhow::Result<Reconciliation> {
    if let Some(bells) = &call.bells {
        bells.flush.ask();
    }
    let output = call.output.clone();
    let progress = move |what: &str, done| output.progress(what, done, 0);
    // Without roles in this process nobody would pass anything: what is there is counted.
    let wait = if call.gate_addr.is_some() {
        PASS_MAX
    } else {
        Duration::ZERO
    };
    let has_archive = call.profile.archive.enabled;
    let options = reconcile::Options {
        wait,
        has_archive,
        ..reconcile::Options::default()
    };
    let ground = call.ground.acting_as("svc:reconcile");
    let reconciled = Box::pin(reconcile::reconcile(&ground, run, options, &progress)).await;
    let reconciled = reconciled.map_err(|error| match error.code() {
        code @ Code::EvidenceDropped => anyhow::Error::from(Refusal::new(code, error.to_string())),
        _ => error.into(),
    })?;
    Ok(reconciled.reconciliation)
}

fn shown(found: &Reconciliation) -> String {
    let rows = found.checks.iter().map(row);
    let verdict = match found.balanced {
        true => "balanced",
        false => "NOT BALANCED",
    };
    format!(
        "{}\n\n{verdict} at the cut of {}",
        table(&["", "CHECK", "LEFT", "RIGHT", ""], rows, &[2, 3]),
        found.made_at
    )
}

fn row(check: &Check) -> Vec<String> {
    let mark = if check.balances() { "✓" } else { "✗" };
    vec![
        mark.to_owned(),
        check.name.clone(),
        grouped(check.left),
        grouped(check.right),
        check.examples.first().cloned().unwrap_or_default(),
    ]
}
