//! `fraudplat maintenance run`: one pass, and what it did.

use crate::app::cli::MaintenanceCommand;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal};
use crate::app::roles;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::time::Time;
use crate::domain::vocabulary::SourceType;
use crate::maintenance::{self, Asked, DayReport, Report};
use crate::substrate::db::Day;

pub(crate) async fn run(call: &Call, command: &MaintenanceCommand) -> anyhow::Result<u8> {
    let MaintenanceCommand::Run { dry_run, as_of } = command;
    let asked = Asked {
        as_of: as_of.as_deref().map(parse_day).transpose()?,
        dry_run: *dry_run,
        wait: true,
    };
    // Who asked is on record with every day that leaves (L10).
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    let options = roles::maintenance_options(&call.profile);
    let pass = maintenance::run(&ground, &call.maintenance, &options, &asked, &call.stop);
    let report = Box::pin(pass).await.map_err(|error| match error.code() {
        code @ (Code::RetentionRefused | Code::Overloaded) => {
            anyhow::Error::from(Refusal::new(code, error.to_string()))
        }
        _ => error.into(),
    })?;
    call.output.result(&report, shown);
    Ok(DONE)
}

/// A day in UTC.
pub(crate) fn parse_day(text: &str) -> Result<Day, Refusal> {
    let midnight = format!("{text}T00:00:00Z").parse::<Time>();
    let refused = |_| {
        Refusal::new(
            Code::QueryInvalid,
            format!("`{text}` is no day such as 2025-01-31"),
        )
    };
    midnight.map(Day::of).map_err(refused)
}

fn shown(report: &Report) -> String {
    let verb = if report.dry_run { "would be " } else { "" };
    let count = |n: u64| grouped(i64::try_from(n).unwrap_or(i64::MAX));
    let lines = [
        format!("as of {}", report.as_of),
        format!("{} dedupe rows {verb}pruned", count(report.dedupe_rows)),
        format!("{} ended runs {verb}closed", count(report.runs_closed)),
        format!(
            "{} decisions written in {} segments",
            count(report.segment_decisions),
            count(report.segments)
        ),
        format!("{} context rows {verb}removed", count(report.context_rows)),
        format!("{} snapshots {verb}removed", count(report.snapshots)),
    ];
    let days = match report.days.is_empty() {
        true => "no day of evidence is due".to_owned(),
        false => table(
            &["GROUP", "DAY", "", "WHY", ""],
            report.days.iter().map(row),
            &[],
        ),
    };
    format!("{}\n\n{days}", lines.join("\n"))
}

fn row(it: &DayReport) -> Vec<String> {
    let outcome = serde_json::to_value(it.outcome).unwrap_or_default();
    vec![
        it.group.clone(),
        it.day.clone(),
        outcome.as_str().unwrap_or_default().to_owned(),
        it.code.clone().unwrap_or_default(),
        it.detail.clone().unwrap_or_default(),
    ]
}
