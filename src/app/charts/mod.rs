//! Charts: data in, an SVG text out, for the report and for pages of the documentation.
//!
//! Every function here is pure and total: no file, no clock, no font of the machine. Data that are
//! empty make a chart that says so. A chart is a light card with its own background, so that it can
//! be read on a light and on a dark page, and it carries its title as `<title>` for those who hear it.
//!
//! ```text
//! let sheet = Sheet::new("Decisions a second").labels("seconds", "decisions");
//! let svg = lines(&sheet, &Axis::linear(0.0, 60.0), &[Line::new("decided", Ink::Blue, points)]);
//! ```
//!
//! | to show | call |
//! |---|---|
//! | one or more lines over time or another number | [`lines`] |
//! | counts per bucket, split into parts | [`stacked_bars`] |
//! | how often which value, up to two data sets over one another | [`histogram`] |
//! | the share of values at or below each value | [`cumulative`] |
//! | named amounts, split into parts | [`named_bars`] |
//! | a number for each pair of two lists of names | [`matrix()`] |

mod axis;
mod bars;
mod distribution;
mod ink;
mod line;
mod matrix;
mod sheet;
mod stacked;
#[cfg(test)]
mod tests;

pub(crate) use crate::app::charts::axis::{Axis, seconds};
pub(crate) use crate::app::charts::bars::{Bar, named_bars};
pub(crate) use crate::app::charts::distribution::{Sample, cumulative, histogram};
pub(crate) use crate::app::charts::ink::Ink;
pub(crate) use crate::app::charts::line::{Line, lines};
pub(crate) use crate::app::charts::matrix::matrix;
pub(crate) use crate::app::charts::sheet::Sheet;
pub(crate) use crate::app::charts::stacked::{Part, stacked_bars};
