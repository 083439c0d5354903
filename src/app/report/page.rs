//! The page: what the template shows, in words and plots, and the file that it becomes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use askama::Template;

use crate::app::commands::table::grouped;
use crate::app::report::collect::Collected;
use crate::app::report::money::money;
use crate::app::report::plots::{self, RULES_MAX, campaign_name};
use crate::app::report::timeline::{ms, place};
use crate::app::report::worth::Worth;
use crate::contracts::reconciliation::Reconciliation;
use crate::contracts::run_report::{RuleFigures, RunReport};
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::Outcome;

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

struct OutcomeRow {
    name: &'static str,
    colour: String,
    cells: Vec<String>,
}

struct WorthTable {
    title: &'static str,
    rows: Vec<WorthRow>,
}

struct WorthRow {
    amount: String,
    outcome: &'static str,
    rules: String,
    campaign: String,
    time: String,
    event_id: String,
    decision_id: String,
}

struct RuleRow {
    id: String,
    outcome: String,
    description: String,
    cells: Vec<String>,
    precision: f64,
}

struct CheckRow {
    name: String,
    left: String,
    right: String,
    balances: bool,
    example: String,
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

/// A share in words; a dash of nothing.
fn percent(part: i64, all: i64) -> String {
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

fn outcomes(collected: &Collected) -> Vec<OutcomeRow> {
    let figures = &collected.figures;
    let row = |outcome: &Outcome| {
        let (decided, frauds) = (figures.of(*outcome), figures.frauds_in[place(*outcome)]);
        let mut cells = vec![grouped(decided), percent(decided, figures.total())];
        if collected.has_truth() {
            cells.extend([grouped(frauds), percent(frauds, decided)]);
        }
        OutcomeRow {
            name: outcome.as_str(),
            colour: plots::ink(*outcome).css(),
            cells,
        }
    };
    Outcome::ALL.iter().map(row).collect()
}

fn campaigns(report: &RunReport, currency: &str) -> Vec<Vec<String>> {
    let row = |it: &crate::contracts::run_report::Campaign| {
        vec![
            campaign_name(&it.name),
            grouped(it.count),
            percent(it.caught, it.count),
            money(it.amount_minor, currency),
            percent(it.caught_minor, it.amount_minor),
            money(it.amount_minor - it.caught_minor, currency),
        ]
    };
    report.campaigns.iter().map(row).collect()
}

fn worths(collected: &Collected) -> Vec<WorthTable> {
    let worths = &collected.figures.worths;
    let row = |it: &Worth| WorthRow {
        amount: money(it.amount_minor, collected.world.currency()),
        outcome: it.outcome.as_str(),
        rules: match it.fired.as_slice() {
            [] => "none".to_owned(),
            fired => fired.join(", "),
        },
        campaign: match it.campaign {
            0 => "–".to_owned(),
            campaign => campaign_name(collected.world.campaigns.name(campaign)),
        },
        time: it.ts.chars().take(16).collect::<String>().replace('T', " "),
        event_id: it.event_id.clone(),
        decision_id: it.decision_id.to_string(),
    };
    [
        ("Largest fraud missed", &worths.missed),
        ("Largest fraud caught", &worths.caught),
        ("Largest false alarms", &worths.alarms),
    ]
    .into_iter()
    .filter(|(_, list)| !list.is_empty())
    .map(|(title, list)| WorthTable {
        title,
        rows: list.iter().map(row).collect(),
    })
    .collect()
}

/// The rules that are shown, and a sentence about the rest.
fn shown_rules(rules: &[RuleFigures]) -> (Vec<&RuleFigures>, String) {
    let (fired, silent): (Vec<_>, Vec<_>) = rules.iter().partition(|it| it.fired > 0);
    let more = fired.len().saturating_sub(RULES_MAX);
    let mut rest = Vec::new();
    if more > 0 {
        rest.push(format!("{more} more rules fired."));
    }
    if !silent.is_empty() {
        let names: Vec<&str> = silent
            .iter()
            .take(20)
            .map(|it| it.rule_id.as_str())
            .collect();
        rest.push(format!("Never fired: {}.", names.join(", ")));
    }
    (fired.into_iter().take(RULES_MAX).collect(), rest.join(" "))
}

fn rule_row(rule: &RuleFigures, collected: &Collected) -> RuleRow {
    let written = collected.written.iter().find(|it| it.0 == rule.rule_id);
    let written = written.map(|it| &it.1);
    let mut cells = vec![grouped(rule.fired)];
    if collected.has_truth() {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        cells.extend([
            grouped(rule.frauds),
            percent(rule.precision),
            percent(rule.recall),
            money(rule.caught_minor, collected.world.currency()),
            grouped(rule.alone),
        ]);
    }
    cells.push(grouped(rule.blind));
    RuleRow {
        id: rule.rule_id.clone(),
        outcome: written.map_or_else(String::new, |it| it.outcome.to_string()),
        description: written.map_or_else(String::new, |it| {
            format!("{} ({})", it.description, it.reason_code)
        }),
        cells,
        precision: (rule.precision * 100.0).round(),
    }
}

fn percentiles(collected: &Collected) -> Vec<(String, String)> {
    let of = &collected.figures.latency_us;
    let row = |(name, quantile): (&str, f64)| {
        let value = ms(of, quantile);
        (
            name.to_owned(),
            format!("{} ms", grouped(value.round() as i64)),
        )
    };
    let rows = [
        ("p50", 0.5),
        ("p90", 0.9),
        ("p95", 0.95),
        ("p99", 0.99),
        ("p99.9", 0.999),
        ("max", 1.0),
    ];
    rows.into_iter().map(row).collect()
}

fn checks(found: &Reconciliation) -> Vec<CheckRow> {
    let row = |check: &crate::contracts::reconciliation::Check| CheckRow {
        name: check.name.replace('_', " "),
        left: grouped(check.left),
        right: grouped(check.right),
        balances: check.balances(),
        example: check.examples.first().cloned().unwrap_or_default(),
    };
    found.checks.iter().map(row).collect()
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

fn identities(collected: &Collected) -> Vec<(String, String)> {
    let facts = &collected.facts;
    let mut rows = vec![
        ("run", facts.pins.platform_run_id.to_string()),
        ("scenario run", facts.pins.scenario_run_id.to_string()),
        (
            "manifest fingerprint",
            facts.pins.manifest_fingerprint.to_string(),
        ),
        ("semantic digest", facts.semantic_digest.to_string()),
        (
            "made",
            format!("{} by {}", facts.created_at, facts.actor.actor_id),
        ),
    ];
    if !facts.label.is_empty() {
        rows.push(("label", facts.label.clone()));
    }
    rows.push(("rules of", collected.bundle_name.clone()));
    let mut rows: Vec<(String, String)> = rows
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (name, values) in &collected.figures.identities {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        rows.push(((*name).to_owned(), values.join(", ")));
    }
    rows
}
