//! The tiles at the head of the page: what one wants to know first.

use crate::app::commands::table::grouped;
use crate::app::report::collect::Collected;
use crate::app::report::money::money;
use crate::app::report::page::Proof;
use crate::contracts::run_report::RunReport;

/// One number with its name, and what it is of.
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) note: String,
    /// `good`, `bad` or nothing.
    pub(super) tone: &'static str,
}

pub(super) fn tiles(collected: &Collected, report: &RunReport, proof: &Proof) -> Vec<Tile> {
    let tile = |label, value, note| Tile {
        label,
        value,
        note,
        tone: "",
    };
    let latency = &report.latency_ms;
    let mut tiles = vec![
        tile(
            "Payments decided",
            grouped(report.decisions["total"]),
            format!("{} events admitted", grouped(report.events.admitted)),
        ),
        tile(
            "Throughput",
            format!("{}/s", grouped(report.throughput.payments_per_s as i64)),
            format!(
                "{:.1} s, first admission to last decision",
                report.throughput.wall_s
            ),
        ),
        tile(
            "Latency, p50",
            format!("{} ms", grouped(latency.p50.round() as i64)),
            format!(
                "p99 {} ms, admission to decision",
                grouped(latency.p99.round() as i64)
            ),
        ),
    ];
    if collected.has_truth() {
        tiles.extend(fraud_tiles(report, collected.world.currency()));
    }
    let checks = &proof.reconciliation.checks;
    let balanced = checks.iter().filter(|it| it.balances()).count();
    let is_balanced = proof.reconciliation.balanced;
    tiles.push(Tile {
        label: "Books",
        value: if is_balanced {
            "balanced"
        } else {
            "NOT balanced"
        }
        .to_owned(),
        note: format!("{balanced} of {} checks equal", checks.len()),
        tone: if is_balanced { "good" } else { "bad" },
    });
    let (compared, differ) = (report.replay.compared, report.replay.mismatched);
    let (value, tone) = match (proof.is_replayed, differ) {
        (false, _) => ("not asked".to_owned(), ""),
        (true, 0) => (format!("{} equal", grouped(compared)), "good"),
        (true, differ) => (format!("{} differ", grouped(differ)), "bad"),
    };
    tiles.push(Tile {
        label: "Replay",
        value,
        note: format!("{} decisions recomputed", grouped(compared)),
        tone,
    });
    tiles
}

fn fraud_tiles(report: &RunReport, currency: &str) -> Vec<Tile> {
    let fraud = &report.fraud;
    let stopped = fraud.caught + fraud.false_alarms;
    let tile = |label, value, note| Tile {
        label,
        value,
        note,
        tone: "",
    };
    vec![
        tile(
            "Fraud caught, by value",
            percent(fraud.caught_minor, fraud.amount_minor),
            format!(
                "{} of {}",
                money(fraud.caught_minor, currency),
                money(fraud.amount_minor, currency)
            ),
        ),
        tile(
            "Fraud caught, by count",
            percent(fraud.caught, fraud.count),
            format!(
                "{} of {} payments",
                grouped(fraud.caught),
                grouped(fraud.count)
            ),
        ),
        tile(
            "Precision",
            percent(fraud.caught, stopped),
            format!(
                "{} of {} not approved were fraud",
                grouped(fraud.caught),
                grouped(stopped)
            ),
        ),
    ]
}

/// A share in words; a dash of nothing.
pub(super) fn percent(part: i64, all: i64) -> String {
    if all == 0 {
        return "–".to_owned();
    }
    let share = 100.0 * part as f64 / all as f64;
    match share {
        share if share == 0.0 || share >= 10.0 => format!("{share:.0} %"),
        share if share >= 0.1 => format!("{share:.1} %"),
        _ => "< 0.1 %".to_owned(),
    }
}
