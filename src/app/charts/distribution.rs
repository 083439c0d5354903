//! How values are spread: a histogram, and the share of values at or below each value.

use plotters::element::{PathElement, Polygon};
use plotters::style::Color;

use crate::app::charts::axis::Axis;
use crate::app::charts::ink::Ink;
use crate::app::charts::line::{Line, lines_up_to};
use crate::app::charts::sheet::{Sheet, stroke};

/// A named set of values, each with its weight.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    name: String,
    ink: Ink,
    /// (value, how many of it), in any order.
    values: Vec<(f64, f64)>,
}

impl Sample {
    /// Values that count once each.
    #[must_use]
    pub(crate) fn new(
        name: impl Into<String>,
        ink: Ink,
        values: impl IntoIterator<Item = f64>,
    ) -> Sample {
        let once = values.into_iter().map(|value| (value, 1.0));
        Sample::counted(name, ink, once)
    }

    /// Values with how many of each there are, as a histogram at rest has them.
    #[must_use]
    pub(crate) fn counted(
        name: impl Into<String>,
        ink: Ink,
        values: impl IntoIterator<Item = (f64, f64)>,
    ) -> Sample {
        Sample {
            name: name.into(),
            ink,
            values: values.into_iter().filter(|it| it.0.is_finite()).collect(),
        }
    }

    fn total(&self) -> f64 {
        self.values.iter().map(|it| it.1).sum()
    }

    /// The least and the greatest of all.
    fn range(samples: &[Sample]) -> Option<(f64, f64)> {
        let values = samples.iter().flat_map(|sample| &sample.values);
        values.fold(None, |range, (value, _)| {
            let (low, high) = range.unwrap_or((*value, *value));
            Some((low.min(*value), high.max(*value)))
        })
    }
}

/// The share of a sample's values in each of `n_buckets` along the axis; samples of different sizes
/// can be laid over one another. `is_log`: buckets of equal ratio; values of 0 and below stand in the first.
#[must_use]
pub(crate) fn histogram(
    sheet: &Sheet,
    samples: &[Sample],
    n_buckets: usize,
    is_log: bool,
) -> String {
    let Some(x) = axis(samples, is_log) else {
        return sheet.empty();
    };
    let n_buckets = n_buckets.max(1);
    let shares: Vec<Vec<f64>> = samples
        .iter()
        .map(|sample| shares(sample, &x, n_buckets))
        .collect();
    let top = shares.iter().flatten().copied().fold(0.0, f64::max);
    let y = Axis::up_to(top * 100.0);
    let names: Vec<(&str, Ink)> = samples
        .iter()
        .map(|sample| (sample.name.as_str(), sample.ink))
        .collect();
    let named = if names.len() > 1 { &names[..] } else { &[] };
    let edge = |nth: usize| x.value_at(nth as f64 / n_buckets as f64);
    sheet.plot(&x, &y, named, |plot| {
        for (sample, shares) in samples.iter().zip(&shares) {
            let steps = shares.iter().enumerate().flat_map(|(at, share)| {
                let up = share * 100.0;
                [(edge(at), up), (edge(at + 1), up)]
            });
            let mut outline = vec![(x.from, y.from)];
            outline.extend(steps);
            outline.push((x.to, y.from));
            let fill = sample.ink.colour().mix(0.28).filled();
            plot.draw_series(std::iter::once(Polygon::new(outline.clone(), fill)))?;
            let line = PathElement::new(outline, stroke(sample.ink.colour(), 6));
            plot.draw_series(std::iter::once(line))?;
        }
        Ok(())
    })
}

/// For each value the share of the sample at or below it, in percent.
#[must_use]
pub(crate) fn cumulative(sheet: &Sheet, samples: &[Sample], is_log: bool) -> String {
    let Some(x) = axis(samples, is_log) else {
        return sheet.empty();
    };
    let drawn: Vec<Line> = samples
        .iter()
        .map(|sample| {
            let stairs = stairs(&corners(sample, &x), &x);
            Line::new(sample.name.clone(), sample.ink, stairs)
        })
        .collect();
    lines_up_to(sheet, &x, &Axis::up_to(100.0), &drawn)
}

fn axis(samples: &[Sample], is_log: bool) -> Option<Axis> {
    let (low, high) = Sample::range(samples)?;
    if !is_log {
        // From nothing on, so that the first step is seen to rise.
        return Some(Axis::linear(low.min(0.0), high));
    }
    let positive = samples.iter().flat_map(|sample| &sample.values);
    let positive = positive.map(|it| it.0).filter(|value| *value > 0.0);
    Some(Axis::log(positive.fold(f64::INFINITY, f64::min), high))
}

/// The share of the sample in each bucket.
pub(super) fn shares(sample: &Sample, x: &Axis, n_buckets: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n_buckets];
    let total = sample.total();
    for (value, weight) in &sample.values {
        // A hair further, so that a value on an edge does not fall below it by a rounding.
        let bucket = (x.share_of(*value) * n_buckets as f64 + 1e-9) as usize;
        counts[bucket.min(n_buckets - 1)] += weight / total.max(f64::MIN_POSITIVE);
    }
    counts
}

/// The corners of the sample's cumulative steps, at most a few hundred of them.
pub(super) fn corners(sample: &Sample, x: &Axis) -> Vec<(f64, f64)> {
    const CORNERS_MAX: f64 = 400.0;
    let mut values = sample.values.clone();
    values.sort_by(|left, right| left.0.total_cmp(&right.0));
    let total = sample.total().max(f64::MIN_POSITIVE);
    let apart = 1.0 / CORNERS_MAX;
    let (mut below, mut points) = (0.0, Vec::<(f64, f64)>::new());
    for (value, weight) in values {
        below += weight;
        let percent = 100.0 * below / total;
        match points.last_mut() {
            // Too close to be told apart: the corner moves up.
            Some(last) if x.share_of(value) - x.share_of(last.0) < apart => last.1 = percent,
            _ => points.push((value, percent)),
        }
    }
    points
}

/// The outline through those corners: from 0 it rises at each value and stays level between them, so
/// that a sample of one value is a step.
pub(super) fn stairs(corners: &[(f64, f64)], x: &Axis) -> Vec<(f64, f64)> {
    if corners.is_empty() {
        return Vec::new();
    }
    let mut below = 0.0;
    let mut outline = vec![(x.from, below)];
    for (value, percent) in corners {
        outline.extend([(*value, below), (*value, *percent)]);
        below = *percent;
    }
    outline.push((x.to, below));
    outline
}
