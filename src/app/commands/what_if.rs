//! `fraudplat replay range --bundle`: how outcomes would have changed, as a table.

use std::path::Path;

use crate::app::bundles;
use crate::app::commands::Call;
use crate::app::commands::replay::refusal;
use crate::app::commands::table::{grouped, table};
use crate::app::run::DONE;
use crate::rtdl::audit::{self, WhatIfReport};
use crate::runtime::decisions::StoredDecision;

pub(super) async fn run(
    call: &Call,
    dir: &Path,
    decisions: &[StoredDecision],
) -> anyhow::Result<u8> {
    let (bundle, files) = bundles::sources(Some(&call.path(dir)))?;
    let declared = call.profile.semantics.attributes.as_ref();
    let bundle = bundles::compile(&bundle, &files, declared)?;
    let output = call.output.clone();
    let progress = move |done, total| output.progress("deciding again", done, total);
    let report = audit::what_if(&call.ground, decisions, &bundle, &progress).await;
    call.output.result(&report.map_err(refusal)?, shown);
    Ok(DONE)
}

fn shown(report: &WhatIfReport) -> String {
    let count = |n: u64| grouped(n.cast_signed());
    let outcomes = report.outcomes.iter().map(|it| {
        let amounts = it.amount_minor.iter();
        let amounts = amounts.map(|(currency, minor)| {
            let minor = i64::try_from(*minor).unwrap_or(i64::MAX);
            format!("{} {currency}", grouped(minor))
        });
        let example = it.examples.first().map(ToString::to_string);
        vec![
            it.from.to_string(),
            it.to.to_string(),
            count(it.decisions),
            amounts.collect::<Vec<_>>().join(", "),
            example.unwrap_or_default(),
        ]
    });
    let head = ["FROM", "TO", "DECISIONS", "AMOUNT, MINOR UNITS", "SUCH AS"];
    let outcomes = table(&head, outcomes, &[2, 3]);
    let rules = report
        .rules
        .iter()
        .map(|it| vec![it.rule_id.clone(), count(it.fired), count(it.would_fire)]);
    let rules = table(&["RULE", "FIRED", "WOULD FIRE"], rules, &[1, 2]);
    let engine = match report.other_engine {
        0 => String::new(),
        n => format!(
            "\n{} were made by another revision of the engine than this one's {}: of these a change may be the code's",
            count(n),
            report.engine_rev
        ),
    };
    format!(
        "{} of {} decisions would have another outcome by bundle {}{engine}\n\n{outcomes}\n\n{rules}",
        count(report.changed),
        count(report.compared),
        report.bundle,
    )
}
