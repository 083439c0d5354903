//! Lines over time or another number; the first may be filled down to the axis.

use plotters::element::{PathElement, Polygon};
use plotters::style::Color;

use crate::app::charts::axis::Axis;
use crate::app::charts::ink::Ink;
use crate::app::charts::sheet::{Sheet, stroke};

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    name: String,
    ink: Ink,
    points: Vec<(f64, f64)>,
    is_filled: bool,
}

impl Line {
    /// A line through these points, in order of x.
    #[must_use]
    pub(crate) fn new(name: impl Into<String>, ink: Ink, points: Vec<(f64, f64)>) -> Line {
        Line {
            name: name.into(),
            ink,
            points,
            is_filled: false,
        }
    }

    /// Fills what is below the line.
    #[must_use]
    pub(crate) fn filled(mut self) -> Line {
        self.is_filled = true;
        self
    }
}

/// Draws lines over a common axis; the upright one begins at 0. A single line needs no legend.
#[must_use]
pub(crate) fn lines(sheet: &Sheet, x: &Axis, lines: &[Line]) -> String {
    let tops = lines.iter().flat_map(|line| &line.points).map(|it| it.1);
    let top = tops.fold(0.0, f64::max);
    lines_up_to(sheet, x, &Axis::up_to(top), lines)
}

pub(super) fn lines_up_to(sheet: &Sheet, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    if lines.iter().all(|line| line.points.is_empty()) {
        return sheet.empty();
    }
    let names: Vec<(&str, Ink)> = lines
        .iter()
        .map(|line| (line.name.as_str(), line.ink))
        .collect();
    let named = if names.len() > 1 { &names[..] } else { &[] };
    sheet.plot(x, y, named, |plot| {
        for line in lines.iter().filter(|line| !line.points.is_empty()) {
            let points = &line.points;
            if line.is_filled {
                let (first, last) = (points[0].0, points[points.len() - 1].0);
                let mut outline = points.clone();
                outline.extend([(last, y.from), (first, y.from)]);
                let fill = line.ink.colour().mix(0.18).filled();
                plot.draw_series(std::iter::once(Polygon::new(outline, fill)))?;
            }
            let drawn = PathElement::new(points.clone(), stroke(line.ink.colour(), 8));
            plot.draw_series(std::iter::once(drawn))?;
        }
        Ok(())
    })
}
