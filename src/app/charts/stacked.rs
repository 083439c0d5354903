//! Bars over buckets of a number or of time, each split into parts that lie on one another.

use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;

use crate::app::charts::axis::Axis;
use crate::app::charts::ink::Ink;
use crate::app::charts::sheet::{Sheet, stroke};

/// One part of every bar.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) ink: Ink,
    /// One number a bucket.
    pub(crate) values: Vec<f64>,
}

impl Part {
    #[must_use]
    pub(crate) fn new(name: impl Into<String>, ink: Ink, values: Vec<f64>) -> Part {
        Part {
            name: name.into(),
            ink,
            values,
        }
    }
}

/// Draws bars over the buckets that `edges` bound (one more edge than buckets, in values of the
/// axis). The first part lies at the bottom. `over` is drawn as a line of steps over the bars.
#[must_use]
pub(crate) fn stacked_bars(
    sheet: &Sheet,
    x: &Axis,
    edges: &[f64],
    parts: &[Part],
    over: Option<&Part>,
) -> String {
    let n_buckets = edges.len().saturating_sub(1);
    let value = |part: &Part, bucket: usize| part.values.get(bucket).copied().unwrap_or(0.0);
    let sums = (0..n_buckets).map(|at| parts.iter().map(|part| value(part, at)).sum::<f64>());
    let overs = over.into_iter().flat_map(|it| it.values.iter().copied());
    let top = sums.chain(overs).fold(0.0, f64::max);
    if top <= 0.0 {
        return sheet.empty();
    }
    let y = Axis::up_to(top);
    let parts_and_over = parts.iter().chain(over);
    let names: Vec<(&str, Ink)> = parts_and_over
        .map(|part| (part.name.as_str(), part.ink))
        .collect();
    let named = if names.len() > 1 { &names[..] } else { &[] };
    sheet.plot(x, &y, named, |plot| {
        for at in 0..n_buckets {
            let (left, right) = (edges[at], edges[at + 1]);
            // A hair of air between bars.
            let air = (right - left) * 0.08;
            let mut foot = 0.0;
            for part in parts {
                let head = foot + value(part, at);
                if head > foot {
                    let corners = [(left + air, foot), (right - air, head)];
                    let bar = Rectangle::new(corners, part.ink.colour().filled());
                    plot.draw_series(std::iter::once(bar))?;
                }
                foot = head;
            }
        }
        if let Some(part) = over {
            let steps = (0..n_buckets).flat_map(|at| {
                let up = value(part, at);
                [(edges[at], up), (edges[at + 1], up)]
            });
            let line = PathElement::new(steps.collect::<Vec<_>>(), stroke(part.ink.colour(), 7));
            plot.draw_series(std::iter::once(line))?;
        }
        Ok(())
    })
}
