//! Axes: where a value stands and which ticks are labelled. Three kinds: plain numbers, logarithms
//! of positive numbers, and moments.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::domain::time::{MICROS_PER_SECOND, Time};

/// A range of values with its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    /// Value and label.
    pub(super) ticks: Vec<(f64, String)>,
    is_log: bool,
}

const TICKS_MAX: f64 = 8.0;
/// Steps of ticks over time, in seconds: what clocks and calendars are divided into.
const TIME_STEPS_S: [i64; 21] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 432_000, 864_000,
];
const DAY_S: i64 = 86_400;

impl Axis {
    /// Plain numbers between two, with round ticks.
    #[must_use]
    pub(crate) fn linear(from: f64, to: f64) -> Axis {
        let (from, to) = widened(from, to);
        let step = round_step((to - from) / TICKS_MAX);
        let first = (from / step).ceil() as i64;
        let last = (to / step).floor() as i64;
        let ticks = (first..=last).map(|nth| nth as f64 * step);
        Axis {
            from,
            to,
            ticks: ticks.map(|value| (value, short(value))).collect(),
            is_log: false,
        }
    }

    /// Numbers from 0 to a little above `top`: the upright axis of counts and amounts.
    #[must_use]
    pub(crate) fn up_to(top: f64) -> Axis {
        let top = if top.is_finite() && top > 0.0 {
            top
        } else {
            1.0
        };
        let step = round_step(top / 5.0);
        let steps = (top / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as i64).map(|nth| nth as f64 * step);
        Axis {
            from: 0.0,
            to: steps * step,
            ticks: ticks.map(|value| (value, short(value))).collect(),
            is_log: false,
        }
    }

    /// Positive numbers by their logarithm; `from` is lifted above 0.
    #[must_use]
    pub(crate) fn log(from: f64, to: f64) -> Axis {
        let from = if from.is_finite() && from > 0.0 {
            from
        } else {
            1e-3
        };
        let to = if to.is_finite() && to > from {
            to
        } else {
            from * 10.0
        };
        let (low, high) = (from.log10(), to.log10());
        let marks: &[f64] = match high - low {
            decades if decades < 2.5 => &[1.0, 2.0, 5.0],
            decades if decades < 4.5 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let decades = low.floor() as i32..=high.ceil() as i32;
        let values = decades
            .flat_map(|decade| marks.iter().map(move |mark| mark * 10f64.powi(decade)))
            .filter(|value| (low - 1e-9..=high + 1e-9).contains(&value.log10()));
        Axis {
            from,
            to,
            ticks: values.map(|value| (value, short(value))).collect(),
            is_log: true,
        }
    }

    /// Moments, in UTC.
    #[must_use]
    pub(crate) fn time(from: Time, to: Time) -> Axis {
        let (from_s, to_s) = (seconds(from), seconds(to).max(seconds(from) + 1.0));
        let span_s = to_s - from_s;
        let fits = |step: &&i64| span_s / (**step as f64) <= TICKS_MAX;
        let step = TIME_STEPS_S.iter().find(fits).copied();
        // Longer than any list: so many whole days that the ticks fit.
        let step =
            step.unwrap_or_else(|| (span_s / TICKS_MAX / DAY_S as f64).ceil() as i64 * DAY_S);
        // Steps of days count from the first midnight: nobody knows how 1970 divides by five.
        let unit = step.min(DAY_S);
        let first_s = (from_s / unit as f64).ceil() as i64 * unit;
        let crosses_days = span_s > DAY_S as f64;
        let ticks = (0..)
            .map(|nth| first_s + nth * step)
            .take_while(|at_s| *at_s as f64 <= to_s)
            .map(|at_s| (at_s as f64, moment(at_s, step, crosses_days)));
        Axis {
            from: from_s,
            to: to_s,
            ticks: ticks.collect(),
            is_log: false,
        }
    }

    /// How far along the axis a value stands, 0 to 1; those beyond it stand at its ends.
    #[must_use]
    pub(super) fn share_of(&self, value: f64) -> f64 {
        let share = match self.is_log {
            true => (value / self.from).log10() / (self.to / self.from).log10(),
            false => (value - self.from) / (self.to - self.from),
        };
        // Such as the logarithm of a negative number.
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    /// The value at a share of the way along the axis.
    #[must_use]
    pub(super) fn value_at(&self, share: f64) -> f64 {
        match self.is_log {
            true => self.from * (self.to / self.from).powf(share),
            false => self.from + (self.to - self.from) * share,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        first + (f64::from(last - first) * self.share_of(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // All ticks are bold ones; there is no finer grid.
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.iter().map(|(value, _)| *value).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == value);
        tick.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// A moment as a value of an axis: seconds since 1970.
#[must_use]
pub(crate) fn seconds(at: Time) -> f64 {
    at.micros() as f64 / MICROS_PER_SECOND as f64
}

fn widened(from: f64, to: f64) -> (f64, f64) {
    if from.is_finite() && to.is_finite() && from < to {
        return (from, to);
    }
    let from = if from.is_finite() { from } else { 0.0 };
    (from, from + 1.0)
}

/// The next of 1, 2, 5, 10, … times a power of ten.
fn round_step(at_least: f64) -> f64 {
    let power = 10f64.powf(at_least.log10().floor());
    let marks = [1.0, 2.0, 5.0, 10.0].map(|mark| mark * power);
    let fitting = marks
        .into_iter()
        .find(|step| *step >= at_least * (1.0 - 1e-9));
    fitting.unwrap_or(10.0 * power)
}

fn moment(at_s: i64, step_s: i64, crosses_days: bool) -> String {
    let text = Time::from_micros(at_s * MICROS_PER_SECOND).to_string();
    // 2025-01-31T12:00:00.000000Z
    let (date, clock) = (&text[5..10], &text[11..16]);
    match (step_s, crosses_days) {
        (step, _) if step >= DAY_S => date.to_owned(),
        (_, true) if at_s % DAY_S == 0 => date.to_owned(),
        (step, _) if step >= 60 => clock.to_owned(),
        _ => text[11..19].to_owned(),
    }
}

/// A number in few characters: `1.2k`, `15M`, `0.05`.
#[must_use]
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        size if size == 0.0 || size >= 100.0 || (size - size.round()).abs() < 1e-9 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{scaled:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}
