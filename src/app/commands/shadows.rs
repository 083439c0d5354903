//! `fraudplat dla shadows`: how shadow bundles agree with what was decided, as tables.

use crate::app::commands::Call;
use crate::app::commands::replay::refusal;
use crate::app::commands::table::{grouped, table};
use crate::app::run::DONE;
use crate::domain::ids::PlatformRunId;
use crate::rtdl::audit::{self, Agreement, Scores, SlotAgreement};

pub(super) async fn run(
    call: &Call,
    run: &PlatformRunId,
    slot: Option<&str>,
) -> anyhow::Result<u8> {
    let agreement = audit::agreement(&call.ground, run, slot).await;
    call.output.result(&agreement.map_err(refusal)?, shown);
    Ok(DONE)
}

fn shown(agreement: &Agreement) -> String {
    if agreement.slots.is_empty() {
        return "no shadow has scored a decision of this run".to_owned();
    }
    let slots: Vec<String> = agreement.slots.iter().map(of_slot).collect();
    slots.join("\n\n")
}

fn of_slot(it: &SlotAgreement) -> String {
    let count = |n: u64| grouped(n.cast_signed());
    let bundles: Vec<String> = it.bundles.iter().map(ToString::to_string).collect();
    let pairs = it.outcomes.iter().map(|pair| {
        vec![
            pair.primary.to_string(),
            pair.shadow.to_string(),
            count(pair.decisions),
        ]
    });
    let pairs = table(&["PRIMARY", "SHADOW", "DECISIONS"], pairs, &[2]);
    let scores = [("primary", &it.primary), ("shadow", &it.shadow)];
    let head = [
        "SCORE",
        "OF",
        "DECISIONS",
        "P10",
        "P50",
        "P90",
        "P99",
        "MAX",
    ];
    let scores = scores.map(|(who, scores)| spread(who, scores));
    format!(
        "{}: {} of {} decisions would have another outcome ({:.2} %) by bundle {}\n\n{pairs}\n\n{}",
        it.bundle_slot,
        count(it.differ),
        count(it.compared),
        100.0 * it.differ_share,
        bundles.join(", "),
        table(&head, scores, &[2, 3, 4, 5, 6, 7]),
    )
}

fn spread(who: &str, scores: &Scores) -> Vec<String> {
    let digits = if scores.of == "model" { 4 } else { 0 };
    let shown = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.digits$}"));
    let quantiles = [scores.p10, scores.p50, scores.p90, scores.p99, scores.max];
    let mut row = vec![
        who.to_owned(),
        scores.of.to_owned(),
        grouped(scores.decisions.cast_signed()),
    ];
    row.extend(quantiles.map(shown));
    row
}
