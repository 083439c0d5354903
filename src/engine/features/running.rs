//! What is kept of the records in a window, so that one more or one less costs the same whatever
//! the window holds. All of it is whole numbers, so that a record that leaves takes exactly away
//! what it brought, and the order in which records came never shows.

use std::collections::BTreeMap;

use crate::contracts::chunks::Error;
use crate::contracts::decision::Value;
use crate::domain::canonical::{Canon, Reader};
use crate::engine::features::Accumulator;
use crate::engine::features::spill::{number, word};

#[derive(Debug, Clone)]
pub(crate) enum Running {
    Sum {
        sum: i128,
        n: u32,
    },
    /// Of the values: `beyond` times 2^128, and `low`.
    Squares {
        low: u128,
        beyond: u32,
    },
    Counted(BTreeMap<i64, u32>),
    Decayed(BTreeMap<i64, Decayed>),
    Fraud(u32),
}

/// What happened in one half-life, each value times the weight it has at the period's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decayed {
    sum: i128,
    n: u32,
}

/// Weights are whole multiples of 2^-30: 2^32 values of 63 bits, times 2^31, fit 127 bits.
const WEIGHT_BITS: i32 = 30;

impl Running {
    pub(crate) fn new(accumulator: &Accumulator) -> Running {
        match accumulator {
            Accumulator::Sum(_) => Running::Sum { sum: 0, n: 0 },
            Accumulator::Squares(_) => Running::Squares { low: 0, beyond: 0 },
            Accumulator::Counted(_) => Running::Counted(BTreeMap::new()),
            Accumulator::Decayed { .. } => Running::Decayed(BTreeMap::new()),
            Accumulator::Fraud => Running::Fraud(0),
        }
    }

    pub(crate) fn take(&mut self, value: i64, enters: bool) {
        match self {
            Running::Sum { sum, n } if enters => {
                *sum += i128::from(value);
                *n += 1;
            }
            Running::Sum { sum, n } => {
                *sum -= i128::from(value);
                *n -= 1;
            }
            Running::Squares { low, beyond } => {
                let square = u128::from(value.unsigned_abs()).pow(2);
                let (sum, wrapped) = match enters {
                    true => low.overflowing_add(square),
                    false => low.overflowing_sub(square),
                };
                *low = sum;
                match enters {
                    true => *beyond += u32::from(wrapped),
                    false => *beyond -= u32::from(wrapped),
                }
            }
            Running::Counted(values) if enters => *values.entry(value).or_default() += 1,
            Running::Counted(values) => {
                let count = values
                    .get_mut(&value)
                    .expect("what leaves a window was in it");
                *count -= 1;
                if *count == 0 {
                    values.remove(&value);
                }
            }
            Running::Decayed(_) | Running::Fraud(_) => {}
        }
    }

    /// Takes a value of time `ts` that loses half its weight every `half_life`.
    pub(crate) fn take_decaying(&mut self, value: i64, ts: i64, half_life: i64, enters: bool) {
        let Running::Decayed(periods) = self else {
            return;
        };
        let (period, into) = (ts.div_euclid(half_life), ts.rem_euclid(half_life));
        let grown = libm::exp2(into as f64 / half_life as f64);
        let weight = libm::round(libm::ldexp(grown, WEIGHT_BITS)) as i64;
        let weighed = i128::from(value) * i128::from(weight);
        let held = periods.entry(period).or_default();
        if enters {
            held.sum += weighed;
            held.n += 1;
        } else {
            held.sum -= weighed;
            held.n -= 1;
            if held.n == 0 {
                periods.remove(&period);
            }
        }
    }

    pub(crate) fn count_fraud(&mut self, by: u32, enters: bool) {
        match self {
            Running::Fraud(count) if enters => *count += by,
            Running::Fraud(count) => *count -= by,
            _ => {}
        }
    }

    /// Writes it to be put away.
    pub(crate) fn write(&self, canon: &mut Canon) {
        match self {
            Running::Sum { sum, n } => {
                write_wide(canon, sum.cast_unsigned());
                canon.int(i64::from(*n));
            }
            Running::Squares { low, beyond } => {
                write_wide(canon, *low);
                canon.int(i64::from(*beyond));
            }
            Running::Counted(values) => {
                canon.array(values.len());
                for (value, n) in values {
                    canon.int(*value).int(i64::from(*n));
                }
            }
            Running::Decayed(periods) => {
                canon.array(periods.len());
                for (period, held) in periods {
                    canon.int(*period).int(i64::from(held.n));
                    write_wide(canon, held.sum.cast_unsigned());
                }
            }
            Running::Fraud(n) => {
                canon.int(i64::from(*n));
            }
        }
    }

    /// Makes a new one what was written of its kind.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let length = |it: &mut Reader<'_>| it.array().map_err(|_| Error::Damaged);
        match self {
            Running::Sum { sum, n } => {
                *sum = read_wide(reader)?.cast_signed();
                *n = number(reader)?;
            }
            Running::Squares { low, beyond } => {
                *low = read_wide(reader)?;
                *beyond = number(reader)?;
            }
            Running::Counted(values) => {
                for _ in 0..length(reader)? {
                    values.insert(word(reader)?, number(reader)?);
                }
            }
            Running::Decayed(periods) => {
                for _ in 0..length(reader)? {
                    let (period, n) = (word(reader)?, number(reader)?);
                    let sum = read_wide(reader)?.cast_signed();
                    periods.insert(period, Decayed { sum, n });
                }
            }
            Running::Fraud(n) => *n = number(reader)?,
        }
        Ok(())
    }

    /// Memory beside the value itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Running::Counted(values) => values.len() * 24,
            Running::Decayed(periods) => periods.len() * (16 + size_of::<Decayed>()),
            _ => 0,
        }
    }
}

fn write_wide(canon: &mut Canon, value: u128) {
    let (high, low) = ((value >> 64) as u64, value as u64);
    canon.int(high.cast_signed()).int(low.cast_signed());
}

fn read_wide(reader: &mut Reader<'_>) -> Result<u128, Error> {
    let (high, low) = (word(reader)?, word(reader)?);
    let wide = |it: i64| u128::from(it.cast_unsigned());
    Ok(wide(high) << 64 | wide(low))
}

/// The standard deviation of a sample, from exact sums: one division, one root. `None` of fewer
/// than two values; missing where `n` times the sum of squares leaves 127 bits.
pub(crate) fn stddev(sum: i128, n: u32, low: u128, beyond: u32) -> Option<Value> {
    if n < 2 {
        return None;
    }
    let n = i128::from(n);
    let spread = || {
        let squares = i128::try_from(low).ok().filter(|_| beyond == 0)?;
        // No more than the left side, for which there was room.
        Some(squares.checked_mul(n)? - sum.checked_mul(sum)?)
    };
    let variance = |it: i128| it as f64 / (n * (n - 1)) as f64;
    Some(spread().map_or(Value::Missing, |it| Value::Float(libm::sqrt(variance(it)))))
}

/// What the values weigh at `now`: periods are added up from the oldest, always in this order.
/// `None` where there is none.
pub(crate) fn decayed(periods: &BTreeMap<i64, Decayed>, now: i64, half_life: i64) -> Option<Value> {
    let (mut weighed, mut at) = (0.0, *periods.first_key_value()?.0);
    for (period, held) in periods {
        weighed = halved(weighed, period - at) + held.sum as f64;
        at = *period;
    }
    let (period, into) = (now.div_euclid(half_life), now.rem_euclid(half_life));
    let weighed = halved(weighed, period - at) * libm::exp2(-(into as f64 / half_life as f64));
    Some(Value::Float(libm::ldexp(weighed, -WEIGHT_BITS) + 0.0))
}

fn halved(value: f64, times: i64) -> f64 {
    libm::ldexp(value, i32::try_from(-times).unwrap_or(i32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_is_exact_or_missing() {
        let of = |values: &[i64]| {
            let mut squares = Running::Squares { low: 0, beyond: 0 };
            values.iter().for_each(|it| squares.take(*it, true));
            let sum = values.iter().map(|it| i128::from(*it)).sum();
            let n = u32::try_from(values.len()).unwrap();
            let Running::Squares { low, beyond } = squares else {
                unreachable!()
            };
            stddev(sum, n, low, beyond)
        };
        assert_eq!(of(&[7]), None);
        assert_eq!(of(&[7, 7, 7]), Some(Value::Float(0.0)));
        // Welford would lose the last digits beside so large a mean.
        let large = 1_000_000_000_000;
        let near = [large + 2, large + 4, large + 4, large + 4, large + 6];
        assert_eq!(of(&near), Some(Value::Float(libm::sqrt(2.0))));
        assert_eq!(of(&[i64::MIN, i64::MAX]), Some(Value::Missing));
    }

    #[test]
    fn squares_beyond_128_bits_come_back() {
        let mut squares = Running::Squares { low: 0, beyond: 0 };
        for enters in [true, false] {
            (0..9).for_each(|_| squares.take(i64::MIN, enters));
            if enters {
                assert!(matches!(squares, Running::Squares { beyond: 2, .. }));
            }
        }
        assert!(matches!(squares, Running::Squares { low: 0, beyond: 0 }));
    }

    #[test]
    fn decay_is_the_exponential_to_nine_digits() {
        let half_life = 21_600_000_000;
        let values = [(3, -5), (10_000_000_000, 700), (99_000_000_000, 1_000_000)];
        let now = 123_456_789_012;
        let mut running = Running::Decayed(BTreeMap::new());
        for (ts, value) in values {
            running.take_decaying(value, ts, half_life, true);
        }
        let Running::Decayed(periods) = &running else {
            unreachable!()
        };
        let Some(Value::Float(found)) = decayed(periods, now, half_life) else {
            panic!("nothing was found")
        };
        let weigh = |ts: i64| (-((now - ts) as f64) / half_life as f64).exp2();
        let expect: f64 = values.iter().map(|(ts, it)| *it as f64 * weigh(*ts)).sum();
        assert!((found / expect - 1.0).abs() < 1e-9, "{found} {expect}");
        for (ts, value) in values {
            running.take_decaying(value, ts, half_life, false);
        }
        assert!(matches!(&running, Running::Decayed(it) if it.is_empty()));
    }
}
