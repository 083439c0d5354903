//! The tables of the page, in words.

use crate::app::commands::table::grouped;
use crate::app::report::collect::Collected;
use crate::app::report::money::money;
use crate::app::report::plots::{self, RULES_MAX, campaign_name};
use crate::app::report::timeline::{ms, place};
use crate::app::report::worth::Worth;
use crate::contracts::reconciliation::{Check, Reconciliation};
use crate::contracts::run_report::{Campaign, RuleFigures, RunReport};
use crate::domain::vocabulary::Outcome;

pub(super) struct OutcomeRow {
    pub(super) name: &'static str,
    pub(super) colour: String,
    pub(super) cells: Vec<String>,
}

pub(super) struct WorthTable {
    pub(super) title: &'static str,
    pub(super) rows: Vec<WorthRow>,
}

pub(super) struct WorthRow {
    pub(super) amount: String,
    pub(super) outcome: &'static str,
    pub(super) rules: String,
    pub(super) campaign: String,
    pub(super) time: String,
    pub(super) event_id: String,
    pub(super) decision_id: String,
}

pub(super) struct RuleRow {
    pub(super) id: String,
    pub(super) outcome: String,
    pub(super) description: String,
    pub(super) cells: Vec<String>,
    pub(super) precision: f64,
}

pub(super) struct CheckRow {
    pub(super) name: String,
    pub(super) left: String,
    pub(super) right: String,
    pub(super) balances: bool,
    pub(super) example: String,
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

pub(super) fn outcomes(collected: &Collected) -> Vec<OutcomeRow> {
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

pub(super) fn campaigns(report: &RunReport, currency: &str) -> Vec<Vec<String>> {
    let row = |it: &Campaign| {
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

pub(super) fn worths(collected: &Collected) -> Vec<WorthTable> {
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
pub(super) fn shown_rules(rules: &[RuleFigures]) -> (Vec<&RuleFigures>, String) {
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

pub(super) fn rule_row(rule: &RuleFigures, collected: &Collected) -> RuleRow {
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

pub(super) fn percentiles(collected: &Collected) -> Vec<(String, String)> {
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

pub(super) fn checks(found: &Reconciliation) -> Vec<CheckRow> {
    let row = |check: &Check| CheckRow {
        name: check.name.replace('_', " "),
        left: grouped(check.left),
        right: grouped(check.right),
        balances: check.balances(),
        example: check.examples.first().cloned().unwrap_or_default(),
    };
    found.checks.iter().map(row).collect()
}

pub(super) fn identities(collected: &Collected) -> Vec<(String, String)> {
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
