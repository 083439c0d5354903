//! The charts of a world, or of two over one another.

use std::collections::BTreeMap;

use crate::app::charts::{
    Axis, Bar, Ink, Line, Sample, Sheet, cumulative, histogram, lines, named_bars,
};
use crate::app::commands::describe::Sitter;
use crate::app::commands::table::grouped;
use crate::ingress::world::portrait::quantile;

/// Points of a curve: more would not be seen.
const POINTS: usize = 300;
const INKS: [Ink; 2] = [Ink::Blue, Ink::Orange];

/// File names with their SVG.
pub(crate) fn charts(sitters: &[Sitter]) -> Vec<(&'static str, String)> {
    vec![
        ("amounts", amounts(sitters)),
        ("gaps", gaps(sitters)),
        ("hours", hours(sitters)),
        ("fraud-share", fraud_share(sitters)),
        ("delays", delays(sitters)),
        ("campaigns", campaigns(sitters)),
    ]
}

fn sheet(title: &str, x: &str, y: &str) -> Sheet {
    Sheet::new(title).labels(x, y).headed()
}

fn inked(sitters: &[Sitter]) -> impl Iterator<Item = (&Sitter, Ink)> {
    sitters.iter().zip(INKS)
}

fn amounts(sitters: &[Sitter]) -> String {
    let samples: Vec<Sample> = inked(sitters)
        .map(|(it, ink)| {
            let mut counts: BTreeMap<i64, f64> = BTreeMap::new();
            for amount in it.portrait.amounts.iter().filter(|it| 0 < **it) {
                *counts.entry(*amount).or_default() += 1.0;
            }
            let counted = counts.into_iter();
            Sample::counted(&it.name, ink, counted.map(|(it, n)| (it as f64 / 100.0, n)))
        })
        .collect();
    let sheet = sheet("Amounts", "amount, main units", "% of payments");
    histogram(&sheet, &samples, 60, true)
}

fn gaps(sitters: &[Sitter]) -> String {
    let of = |it: &Sitter| -> Vec<f64> {
        let hours = thinned(&it.portrait.gaps_s).into_iter();
        hours.map(|it| (it / 3_600.0).max(1e-3)).collect()
    };
    let sheet = sheet(
        "Time between a customer's payments",
        "hours",
        "% of payments at or below",
    );
    cumulative(&sheet, &samples(sitters, of), true)
}

fn delays(sitters: &[Sitter]) -> String {
    let of = |it: &Sitter| thinned(&it.portrait.delays_days());
    let sheet = sheet(
        "How late fraud becomes known",
        "days after the payment",
        "% of what becomes known",
    );
    cumulative(&sheet, &samples(sitters, of), false)
}

fn samples(sitters: &[Sitter], of: impl Fn(&Sitter) -> Vec<f64>) -> Vec<Sample> {
    inked(sitters)
        .map(|(it, ink)| Sample::new(&it.name, ink, of(it)))
        .collect()
}

/// Evenly spaced quantiles of sorted values.
fn thinned(sorted: &[f64]) -> Vec<f64> {
    if sorted.len() <= POINTS {
        return sorted.to_vec();
    }
    let at = |nth: usize| quantile(sorted, (nth as f64 + 0.5) / POINTS as f64);
    (0..POINTS).filter_map(at).collect()
}

fn hours(sitters: &[Sitter]) -> String {
    let of = |(it, ink): (&Sitter, Ink)| {
        let total = it.portrait.payments.max(1) as f64;
        let share = |(hour, count): (u32, &u64)| (f64::from(hour), *count as f64 / total * 100.0);
        let points = (0..).zip(&it.portrait.hours).map(share).collect();
        Line::new(&it.name, ink, points)
    };
    let drawn: Vec<Line> = inked(sitters).map(of).collect();
    let sheet = sheet("Hours of the day", "hour, UTC", "% of payments");
    lines(&sheet, &Axis::linear(0.0, 23.0), &drawn)
}

fn fraud_share(sitters: &[Sitter]) -> String {
    let longest = sitters.iter().map(|it| it.portrait.days.len()).max();
    let of = |(it, ink): (&Sitter, Ink)| {
        let share = |(day, (payments, frauds)): (u32, &(u64, u64))| {
            let share = *frauds as f64 / (*payments).max(1) as f64;
            (f64::from(day), share * 100.0)
        };
        let points = (0..).zip(&it.portrait.days).map(share).collect();
        Line::new(&it.name, ink, points)
    };
    let drawn: Vec<Line> = inked(sitters).map(of).collect();
    let sheet = sheet("Fraud share by day", "day of the world", "% of payments");
    let last = longest.unwrap_or(1).max(2) - 1;
    lines(&sheet, &Axis::linear(0.0, last as f64), &drawn)
}

/// Of the first world: what became of every campaign's frauds.
fn campaigns(sitters: &[Sitter]) -> String {
    let Some(sitter) = sitters.first() else {
        return named_bars(&Sheet::new("Campaigns"), &[], &[]);
    };
    let parts = [
        ("becomes known", Ink::Blue),
        ("known, label wrong", Ink::Violet),
        ("never learnt", Ink::Amber),
        ("stopped, no outcome", Ink::Grey),
    ];
    let bars: Vec<Bar> = sitter
        .portrait
        .campaigns
        .iter()
        .filter(|(_, it)| 0 < it.frauds)
        .map(|(name, it)| {
            let known = it.frauds - it.blocked - it.never;
            let wrong = it.wrong.min(known);
            Bar {
                name: name.clone(),
                values: [known - wrong, wrong, it.never, it.blocked]
                    .map(|it| it as f64)
                    .to_vec(),
                note: grouped(it.frauds.cast_signed()),
            }
        })
        .collect();
    let title = format!("Frauds of {}, and what becomes of them", sitter.name);
    named_bars(&Sheet::new(title).headed(), &parts, &bars)
}
