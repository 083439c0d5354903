//! The page: what the template shows, in words and plots, and the file that it becomes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use askama::Template;

use crate::app::commands::table::grouped;
use crate::app::report::collect::Collected;
use crate::app::report::money::money;
use crate::app::report::plots;
use crate::app::report::tables::{
    CheckRow, OutcomeRow, RuleRow, WorthTable, campaigns, checks, identities, outcomes, percent,
    percentiles, rule_row, shown_rules, worths,
};
use crate::contracts::reconciliation::Reconciliation;
use crate::contracts::run_report::RunReport;
use crate::domain::ids::PlatformRunId;

/// What was checked of the run before the page was made.
pub(crate) struct Proof {
    pub(crate) reconciliation: Reconciliation,
    /// `false` where the profile keeps no archive: nothing can be recomputed.
    pub(crate) is_replayed: bool,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'p> {
    name: &'p str,
    run: String,
    lead: String,
    tiles: Vec<Tile>,
    has_truth: bool,
    has_decisions: bool,
    volume: String,
    interventions: String,
    outcomes: Vec<OutcomeRow>,
    campaigns_plot: String,
    fraud_amounts: String,
    amounts: String,
    value: String,
    campaigns: Vec<Vec<String>>,
    foreign: String,
    worths: Vec<WorthTable>,
    rules_plot: String,
    overlap: String,
    rules: Vec<RuleRow>,
    rules_rest: String,
    pace: String,
    latency: String,
    distribution: String,
    percentiles: Vec<(String, String)>,
    degradations: Vec<(String, String)>,
    checks: Vec<CheckRow>,
    is_balanced: bool,
    cut_at: String,
    replay: String,
    identities: Vec<(String, String)>,
    next: &'p [String],
    last_seq: String,
    made_at: String,
}

struct Tile {
    label: &'static str,
    value: String,
    note: String,
    /// `good`, `bad` or nothing.
    tone: &'static str,
}

/// Where the page of a run lies if nobody says otherwise.
#[must_use]
pub(crate) fn path_of(data_dir: &Path, run: &PlatformRunId) -> PathBuf {
    data_dir.join(format!("reports/{run}.html"))
}

/// Writes the page of a run to `path`, at once or not at all.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(
    path: &Path,
    collected: &Collected,
    report: &RunReport,
    proof: &Proof,
) -> anyhow::Result<()> {
    let html = html(collected, report, proof)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    let writing = || format!("writing {}", path.display());
    std::fs::create_dir_all(dir).with_context(writing)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .with_context(writing)?;
    file.write_all(html.as_bytes()).with_context(writing)?;
    file.persist(path).with_context(writing)?;
    Ok(())
}

/// The whole page.
pub(super) fn html(
    collected: &Collected,
    report: &RunReport,
    proof: &Proof,
) -> anyhow::Result<String> {
    Ok(page(collected, report, proof).render()?)
}

fn page<'p>(collected: &'p Collected, report: &'p RunReport, proof: &Proof) -> Page<'p> {
    let figures = &collected.figures;
    let has_truth = collected.has_truth();
    let currency = collected.world.currency();
    let (shown, rest) = shown_rules(&report.rules);
    let found = &proof.reconciliation;
    Page {
        name: &collected.facts.name,
        run: report.platform_run_id.to_string(),
        lead: lead(collected),
        tiles: tiles(collected, report, proof),
        has_truth,
        has_decisions: figures.total() > 0,
        volume: plots::volume(figures),
        interventions: plots::interventions(figures, has_truth),
        outcomes: outcomes(collected),
        campaigns_plot: plots::campaigns(&report.campaigns, currency),
        fraud_amounts: plots::fraud_amounts(collected),
        amounts: plots::amounts(collected),
        value: plots::fraud_value(collected),
        campaigns: campaigns(report, currency),
        foreign: match collected.world.foreign() {
            0 => String::new(),
            foreign => format!(
                "Values are in {currency}: {} payments in other currencies are counted and not valued.",
                grouped(foreign)
            ),
        },
        worths: worths(collected),
        rules_plot: plots::rules(&report.rules),
        overlap: plots::overlap(figures, &report.rules),
        rules: shown.iter().map(|rule| rule_row(rule, collected)).collect(),
        rules_rest: rest,
        pace: plots::pace(figures),
        latency: plots::latency(figures),
        distribution: plots::latency_distribution(figures),
        percentiles: percentiles(collected),
        degradations: figures
            .degradations
            .iter()
            .map(|(reason, count)| (reason.clone(), grouped(*count)))
            .collect(),
        checks: checks(found),
        is_balanced: found.balanced,
        cut_at: found.made_at.to_string(),
        replay: replay(report, proof),
        identities: identities(collected),
        next: &report.next,
        last_seq: grouped(collected.last_seq),
        made_at: found.made_at.to_string(),
    }
}

fn lead(collected: &Collected) -> String {
    let total = grouped(collected.figures.total());
    let Some(span) = &collected.span else {
        return "No payment of this run was decided yet.".to_owned();
    };
    let (first, last) = (span.first_ts.date(), span.last_ts.date());
    let value = match collected.world.currency() {
        "" => String::new(),
        currency => format!(" of {}", money(collected.figures.amount_minor, currency)),
    };
    format!("{total} payments{value}, {first} to {last}")
}

fn tiles(collected: &Collected, report: &RunReport, proof: &Proof) -> Vec<Tile> {
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

fn replay(report: &RunReport, proof: &Proof) -> String {
    let (compared, differ) = (grouped(report.replay.compared), report.replay.mismatched);
    match (proof.is_replayed, differ) {
        (false, _) => "This profile keeps no archive, so nothing was recomputed.".to_owned(),
        (true, 0) => format!(
            "{compared} decisions, spread over the run, were decided again from the archive alone: every body came out equal, byte for byte."
        ),
        (true, differ) => format!(
            "{} of {compared} decisions came out differently when they were decided again from the archive. fraudplat replay decision shows which fields differ.",
            grouped(differ)
        ),
    }
}
