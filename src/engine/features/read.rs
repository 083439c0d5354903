//! What a feature reads off its window, once the window stands at the event.

use crate::contracts::chunks::Error;
use crate::contracts::decision::Value;
use crate::domain::time::MICROS_PER_SECOND;
use crate::engine::features::running::{Running, decayed, stddev};
use crate::engine::features::series::Series;
use crate::engine::features::shared::Shared;
use crate::engine::features::{Group, Output};

/// A window of one key, at one event.
#[derive(Debug)]
pub(crate) struct Reading<'r> {
    pub(crate) series: &'r mut Series,
    pub(crate) group: &'r Group,
    pub(crate) window: usize,
    pub(crate) shared: &'r mut Shared,
    /// The event's time.
    pub(crate) now: i64,
}

impl Reading<'_> {
    fn running(&self, at: usize) -> &Running {
        let first = self.group.windows[self.window].first_accumulator;
        self.series.running(first + at)
    }

    /// The times of the first record and the last.
    fn ends(&mut self) -> Result<Option<(i64, i64)>, Error> {
        let spill = &mut self.shared.spill;
        self.series.ends(self.group, spill, self.window)
    }

    fn seconds_since(&self, ts: i64) -> Value {
        Value::Float((self.now - ts) as f64 / MICROS_PER_SECOND as f64)
    }

    fn value(&self, value: i64, is_text: bool) -> Value {
        match is_text {
            false => Value::Int(value),
            true => {
                let text = self
                    .shared
                    .texts
                    .get(value)
                    .and_then(|it| it.strip_prefix('t'));
                text.map_or(Value::Missing, |it| Value::Text(it.to_owned()))
            }
        }
    }
}

impl Output {
    /// `None` where the window holds nothing to tell. A sum beyond 64 bits is missing.
    pub(crate) fn read(self, of: &mut Reading<'_>) -> Result<Option<Value>, Error> {
        match self {
            Output::First { column, is_text } => {
                let spill = &mut of.shared.spill;
                let value = of.series.first(of.group, spill, of.window, column)?;
                Ok(value.map(|it| of.value(it, is_text)))
            }
            Output::Last { column, is_text } => {
                let spill = &mut of.shared.spill;
                let value = of.series.last(of.group, spill, of.window, column)?;
                Ok(value.map(|it| of.value(it, is_text)))
            }
            Output::TimeSinceFirst => Ok(of.ends()?.map(|it| of.seconds_since(it.0))),
            Output::TimeSinceLast => Ok(of.ends()?.map(|it| of.seconds_since(it.1))),
            running => Ok(running.aggregate(of)),
        }
    }

    /// What the running aggregates tell.
    fn aggregate(self, of: &Reading<'_>) -> Option<Value> {
        let count = of.series.count(of.window);
        match self {
            Output::Count => (count > 0).then(|| Value::Int(i64::from(count))),
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
            Output::First { .. }
            | Output::Last { .. }
            | Output::TimeSinceFirst
            | Output::TimeSinceLast => None,
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
