//! What a feature reads off its window, once the window stands at the event.

use crate::contracts::decision::Value;
use crate::domain::time::MICROS_PER_SECOND;
use crate::engine::features::running::{Running, decayed, stddev};
use crate::engine::features::series::Series;
use crate::engine::features::texts::Texts;
use crate::engine::features::{Group, Output};

/// A window of one key, at one event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'r> {
    pub(crate) series: &'r Series,
    pub(crate) group: &'r Group,
    pub(crate) window: usize,
    pub(crate) texts: &'r Texts,
    /// The event's time.
    pub(crate) now: i64,
}

impl Reading<'_> {
    fn running(&self, at: usize) -> &Running {
        let first = self.group.windows[self.window].first_accumulator;
        self.series.running(first + at)
    }

    fn ends(&self) -> Option<(i64, i64)> {
        self.series.ends(self.group, self.window)
    }

    fn seconds_since(&self, ts: i64) -> Value {
        Value::Float((self.now - ts) as f64 / MICROS_PER_SECOND as f64)
    }

    fn value(&self, value: i64, is_text: bool) -> Value {
        match is_text {
            false => Value::Int(value),
            true => {
                let text = self.texts.get(value).and_then(|it| it.strip_prefix('t'));
                text.map_or(Value::Missing, |it| Value::Text(it.to_owned()))
            }
        }
    }
}

impl Output {
    /// `None` where the window holds nothing to tell. A sum beyond 64 bits is missing.
    pub(crate) fn read(self, of: &Reading<'_>) -> Option<Value> {
        let (series, count) = (of.series, of.series.count(of.window));
        match self {
            Output::Count => (count > 0).then(|| Value::Int(i64::from(count))),
            Output::First { column, is_text } => {
                let value = series.first(of.group, of.window, column)?;
                Some(of.value(value, is_text))
            }
            Output::Last { column, is_text } => {
                let value = series.last(of.group, of.window, column)?;
                Some(of.value(value, is_text))
            }
            Output::TimeSinceFirst => Some(of.seconds_since(of.ends()?.0)),
            Output::TimeSinceLast => Some(of.seconds_since(of.ends()?.1)),
            Output::Stddev { sum, squares } => match (of.running(sum), of.running(squares)) {
                (Running::Sum { sum, n }, Running::Squares { low, beyond }) => {
                    stddev(*sum, *n, *low, *beyond)
                }
                _ => None,
            },
            Output::Decayed { at, half_life } => match of.running(at) {
                Running::Decayed(periods) => decayed(periods, of.now, half_life),
                _ => None,
            },
            Output::Sum(at) => match of.running(at) {
                Running::Sum { sum, n } if *n > 0 => {
                    Some(i64::try_from(*sum).map_or(Value::Missing, Value::Int))
                }
                _ => None,
            },
            Output::Mean(at) => match of.running(at) {
                Running::Sum { sum, n } if *n > 0 => {
                    Some(Value::Float(*sum as f64 / f64::from(*n)))
                }
                _ => None,
            },
            Output::Min(at) | Output::Max(at) | Output::Distinct(at) => match of.running(at) {
                Running::Counted(values) => self.of_counted(values),
                _ => None,
            },
            Output::FraudShare(at) => match of.running(at) {
                Running::Fraud(n) if count > 0 => {
                    Some(Value::Float(f64::from(*n) / f64::from(count)))
                }
                _ => None,
            },
        }
    }

    fn of_counted(self, values: &std::collections::BTreeMap<i64, u32>) -> Option<Value> {
        let value = match self {
            Output::Min(_) => *values.first_key_value()?.0,
            Output::Max(_) => *values.last_key_value()?.0,
            _ if values.is_empty() => return None,
            _ => i64::try_from(values.len()).unwrap_or(i64::MAX),
        };
        Some(Value::Int(value))
    }
}
