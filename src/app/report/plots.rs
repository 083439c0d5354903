//! The plots of the page: figures in, SVG out.

use crate::app::charts::{
    Axis, Bar, Ink, Line, Part, Sample, Sheet, cumulative, histogram, lines, matrix, named_bars,
    stacked_bars,
};
use crate::app::report::collect::Collected;
use crate::app::report::figures::Figures;
use crate::app::report::money::{major, money};
use crate::app::report::timeline::{Grid, Volume};
use crate::contracts::run_report::{Campaign, RuleFigures};
use crate::domain::time::Time;
use crate::domain::vocabulary::Outcome;

/// Rules that a plot or a table of rules shows.
pub(super) const RULES_MAX: usize = 12;
const CAMPAIGNS_MAX: usize = 12;
const AMOUNT_BUCKETS: i32 = 28;
/// Half the page and all of it, in pixels.
const HALF: u32 = 580;
const WHOLE: u32 = 1_180;

pub(super) const fn ink(outcome: Outcome) -> Ink {
    match outcome {
        Outcome::Approve => Ink::Blue,
        Outcome::StepUp => Ink::Amber,
        Outcome::Review => Ink::Violet,
        Outcome::Decline => Ink::Red,
    }
}

fn half(title: &str) -> Sheet {
    Sheet::new(title).size(HALF, 270).headed()
}

fn event_axis(grid: &Grid) -> Axis {
    let moment = |at: f64| Time::from_micros((at * 1e6).round() as i64);
    Axis::time(moment(grid.edges[0]), moment(grid.edges[grid.n_buckets()]))
}

fn per(what: &str, grid: &Grid) -> String {
    format!("{what} per {}", grid.width())
}

pub(super) fn volume(figures: &Figures) -> String {
    let grid = &figures.by_event_time;
    let values = figures.volumes.iter().map(|it| it.total() as f64);
    let all = Part::new("payments", Ink::Blue, values.collect());
    let sheet = half("Payments over event time").labels("event time (UTC)", per("payments", grid));
    stacked_bars(&sheet, &event_axis(grid), &grid.edges, &[all], None)
}

/// Payments that were not approved, with the fraud there was.
pub(super) fn interventions(figures: &Figures, has_truth: bool) -> String {
    let grid = &figures.by_event_time;
    let values = |of: &dyn Fn(&Volume) -> i64| -> Vec<f64> {
        figures.volumes.iter().map(|it| of(it) as f64).collect()
    };
    let stopped = Outcome::ALL.iter().filter(|it| **it != Outcome::Approve);
    let parts: Vec<Part> = stopped
        .map(|outcome| {
            let values = values(&|it| it.of(*outcome));
            Part::new(outcome.as_str(), ink(*outcome), values)
        })
        .collect();
    let fraud = Part::new("fraud there was", Ink::Dark, values(&|it| it.frauds));
    let sheet = half("Payments not approved over event time")
        .labels("event time (UTC)", per("payments", grid));
    let over = has_truth.then_some(&fraud);
    stacked_bars(&sheet, &event_axis(grid), &grid.edges, &parts, over)
}

pub(super) fn fraud_value(collected: &Collected) -> String {
    let (figures, currency) = (&collected.figures, collected.world.currency());
    let grid = &figures.by_event_time;
    let values = |of: &dyn Fn(&Volume) -> i64| -> Vec<f64> {
        let volumes = figures.volumes.iter();
        volumes.map(|it| major(of(it) as f64, currency)).collect()
    };
    let parts = [
        Part::new("caught", Ink::Teal, values(&|it| it.caught_minor)),
        Part::new("missed", Ink::Red, values(&|it| it.missed_minor)),
    ];
    let sheet =
        half("Value of fraud over event time").labels("event time (UTC)", per(currency, grid));
    stacked_bars(&sheet, &event_axis(grid), &grid.edges, &parts, None)
}

/// The amounts of fraud and of all else, each as shares of its own.
pub(super) fn amounts(collected: &Collected) -> String {
    let currency = collected.world.currency();
    let [genuine, fraud] = collected.figures.frauds.spread();
    let sample = |name: &str, ink, counted: Vec<(f64, f64)>| {
        let counted = counted.into_iter();
        Sample::counted(name, ink, counted.map(|it| (major(it.0, currency), it.1)))
    };
    let samples = [
        sample("genuine", Ink::Blue, genuine),
        sample("fraud", Ink::Red, fraud),
    ];
    let sheet = half("Amounts of fraud and of genuine payments")
        .labels(format!("amount ({currency})"), "percent of payments");
    histogram(&sheet, &samples, 40, true)
}

/// How many frauds of which amount were caught and missed.
pub(super) fn fraud_amounts(collected: &Collected) -> String {
    let (frauds, currency) = (&collected.figures.frauds, collected.world.currency());
    let sheet = half("Frauds by amount").labels(format!("amount ({currency})"), "payments");
    let Some((low, high)) = frauds.amounts() else {
        return stacked_bars(&sheet, &Axis::linear(0.0, 1.0), &[], &[], None);
    };
    // A little room, so that one amount alone has a width too.
    let (low, high) = (low * 0.95, high * 1.05);
    let ratio = high / low;
    let edges: Vec<f64> = (0..=AMOUNT_BUCKETS)
        .map(|nth| low * ratio.powf(f64::from(nth) / f64::from(AMOUNT_BUCKETS)))
        .collect();
    let buckets = frauds.between(&edges);
    let parts = [
        Part::new(
            "caught",
            Ink::Teal,
            buckets.iter().map(|it| it.caught).collect(),
        ),
        Part::new(
            "missed",
            Ink::Red,
            buckets.iter().map(|it| it.missed).collect(),
        ),
    ];
    let edges: Vec<f64> = edges.iter().map(|it| major(*it, currency)).collect();
    let axis = Axis::log(major(low, currency), major(high, currency));
    stacked_bars(&sheet, &axis, &edges, &parts, None)
}

pub(super) fn campaigns(campaigns: &[Campaign], currency: &str) -> String {
    let bars: Vec<Bar> = campaigns
        .iter()
        .take(CAMPAIGNS_MAX)
        .map(|it| Bar {
            name: campaign_name(&it.name),
            values: vec![
                it.caught_minor as f64,
                (it.amount_minor - it.caught_minor) as f64,
            ],
            note: format!(
                "{} of {}",
                money(it.caught_minor, currency),
                money(it.amount_minor, currency)
            ),
        })
        .collect();
    let sheet = Sheet::new("Fraud caught and missed by campaign, by value")
        .size(WHOLE, 100)
        .headed();
    named_bars(
        &sheet,
        &[("caught", Ink::Teal), ("missed", Ink::Red)],
        &bars,
    )
}

/// A campaign in words.
pub(super) fn campaign_name(name: &str) -> String {
    if name.is_empty() {
        return "no campaign".to_owned();
    }
    name.replace('_', " ")
}

/// How often each rule fired, on fraud and not.
pub(super) fn rules(rules: &[RuleFigures]) -> String {
    let bars: Vec<Bar> = fired(rules)
        .map(|rule| Bar {
            name: rule.rule_id.clone(),
            values: vec![rule.frauds as f64, (rule.fired - rule.frauds) as f64],
            note: format!("{:.0} %", rule.precision * 100.0),
        })
        .collect();
    let sheet = Sheet::new("Rules: fired on fraud and on other payments")
        .size(HALF, 100)
        .headed();
    let parts = [("on fraud", Ink::Teal), ("on other payments", Ink::Grey)];
    named_bars(&sheet, &parts, &bars)
}

/// Of the payments that the rule of the row fired on, the part that the rule of the column did too.
pub(super) fn overlap(figures: &Figures, rules: &[RuleFigures]) -> String {
    let ids: Vec<String> = fired(rules).map(|it| it.rule_id.clone()).collect();
    let cells: Vec<Vec<Option<f64>>> = ids
        .iter()
        .map(|row| {
            ids.iter()
                .map(|column| figures.rules.overlap(row, column))
                .collect()
        })
        .collect();
    let sheet = Sheet::new("Rules: overlap in percent")
        .size(HALF, 100)
        .headed();
    matrix(&sheet, &ids, &ids, &cells)
}

fn fired(rules: &[RuleFigures]) -> impl Iterator<Item = &RuleFigures> {
    rules.iter().filter(|it| it.fired > 0).take(RULES_MAX)
}

fn clock(figures: &Figures) -> (Axis, Vec<f64>) {
    let edges = &figures.by_clock.edges;
    let since = |at: &f64| at - edges[0];
    let middles: Vec<f64> = edges
        .windows(2)
        .map(|it| (since(&it[0]) + since(&it[1])) / 2.0)
        .collect();
    (Axis::linear(0.0, since(&edges[edges.len() - 1])), middles)
}

pub(super) fn pace(figures: &Figures) -> String {
    let (axis, middles) = clock(figures);
    let width_s = figures.by_clock.width_s;
    let rates = figures.paces.iter().map(|it| it.decided() as f64 / width_s);
    let line = Line::new(
        "decided",
        Ink::Blue,
        middles.into_iter().zip(rates).collect(),
    );
    let sheet =
        half("Decisions a second").labels("seconds of the wall clock", "decisions a second");
    lines(&sheet, &axis, &[line.filled()])
}

pub(super) fn latency(figures: &Figures) -> String {
    let (axis, middles) = clock(figures);
    let quantile = |name: &str, ink, quantile: f64| {
        let decided = middles
            .iter()
            .zip(&figures.paces)
            .filter(|it| it.1.decided() > 0);
        let points = decided.map(|(at, pace)| (*at, pace.ms(quantile)));
        Line::new(name, ink, points.collect())
    };
    let drawn = [
        quantile("p50", Ink::Blue, 0.5),
        quantile("p95", Ink::Orange, 0.95),
        quantile("p99", Ink::Red, 0.99),
    ];
    let sheet = half("Latency over the wall clock").labels("seconds of the wall clock", "ms");
    lines(&sheet, &axis, &drawn)
}

pub(super) fn latency_distribution(figures: &Figures) -> String {
    let recorded = figures.latency_us.iter_recorded();
    let counted = recorded.map(|it| {
        let ms = (it.value_iterated_to() as f64 / 1_000.0).max(0.001);
        (ms, it.count_at_value() as f64)
    });
    let sample = Sample::counted("decisions", Ink::Blue, counted);
    let sheet =
        half("Latency: share of decisions at or below").labels("ms", "percent of decisions");
    cumulative(&sheet, &[sample], true)
}
