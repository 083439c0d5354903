//! Decimals to integer minor units, exactly: half-even on the decimal digits. A float is taken by
//! its shortest decimal form, which is what its writer meant: 57.16 is stored as
//! 57.159999999999996589…, and truncating that loses a cent.

use std::cmp::Ordering;

use crate::contracts::payload::AMOUNT_MINOR_MAX;
use crate::ingress::world::cell::Cell;

/// Why a value is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Absent,
    NotDecimal,
    Negative,
    TooLarge,
}

impl Refused {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Refused::Absent => "an amount is needed",
            Refused::NotDecimal => "an amount is a decimal such as 57.16",
            Refused::Negative => "an amount is not negative",
            Refused::TooLarge => "an amount is at most 10^15 minor units",
        }
    }
}

/// The value times 10^scale, half-even.
pub(crate) fn minor(cell: Cell<'_>, scale: u8) -> Result<i64, Refused> {
    match cell {
        Cell::Null => Err(Refused::Absent),
        Cell::Int(value) => of_decimal(i128::from(value), 0, scale),
        Cell::Decimal(value, from) => of_decimal(value, from, scale),
        Cell::Float(value) if !value.is_finite() => Err(Refused::NotDecimal),
        Cell::Float32(value) if !value.is_finite() => Err(Refused::NotDecimal),
        // Display never writes an exponent, and writes no more digits than tell the float apart.
        Cell::Float(value) => of_text(&value.to_string(), scale),
        Cell::Float32(value) => of_text(&value.to_string(), scale),
        Cell::Text(text) => of_text(text, scale),
        Cell::Bool(_) | Cell::Micros(_) | Cell::Nanos(_) => Err(Refused::NotDecimal),
    }
}

fn of_decimal(value: i128, from: i8, scale: u8) -> Result<i64, Refused> {
    let up = i32::from(scale) - i32::from(from);
    let Some(power) = 10_i128.checked_pow(up.unsigned_abs()) else {
        return if value == 0 {
            Ok(0)
        } else {
            Err(Refused::TooLarge)
        };
    };
    if value < 0 {
        return Err(Refused::Negative);
    }
    if 0 <= up {
        return bounded(value.checked_mul(power).ok_or(Refused::TooLarge)?);
    }
    let (kept, rest) = (value / power, value % power);
    bounded(half_even(kept, rest.cmp(&(power - rest))))
}

fn of_text(text: &str, scale: u8) -> Result<i64, Refused> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(Refused::NotDecimal),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(Refused::NotDecimal);
    }
    if negative && digits.bytes().any(|it| matches!(it, b'1'..=b'9')) {
        return Err(Refused::Negative);
    }
    let scale = usize::from(scale);
    let (kept, rest) = fraction.split_at(scale.min(fraction.len()));
    let zeros = std::iter::repeat_n(b'0', scale - kept.len());
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(kept.bytes()).chain(zeros) {
        value = value * 10 + i128::from(digit - b'0');
        if i128::from(AMOUNT_MINOR_MAX) < value {
            return Err(Refused::TooLarge);
        }
    }
    let to_half = match rest.as_bytes() {
        [] => Ordering::Less,
        [b'5', more @ ..] if more.iter().all(|it| *it == b'0') => Ordering::Equal,
        [first, ..] => first.cmp(&b'5').then(Ordering::Greater),
    };
    bounded(half_even(value, to_half))
}

/// `to_half` says how what was cut off compares with one half.
fn half_even(kept: i128, to_half: Ordering) -> i128 {
    match to_half {
        Ordering::Less => kept,
        Ordering::Greater => kept + 1,
        Ordering::Equal => kept + (kept & 1),
    }
}

fn bounded(value: i128) -> Result<i64, Refused> {
    match i64::try_from(value) {
        Ok(value) if value <= AMOUNT_MINOR_MAX => Ok(value),
        _ => Err(Refused::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: Cell<'_>, scale: u8, expect: Result<i64, Refused>) {
        assert_eq!(minor(cell, scale), expect, "{cell:?}");
    }

    #[test]
    fn floats_are_rounded_by_their_decimal_digits() {
        for (float, cents) in [
            (57.16, 5716), // truncation gives 5715
            (0.285, 28),   // a tie in decimal; in binary it is 0.284999…
            (0.275, 28),   // a tie to the even 28; in binary it is 0.275000…02
            (0.005, 0),
            (0.015, 2),
            (0.025, 2),
            (1.005, 100),
            (2.675, 268),
            (0.2850001, 29),
            (0.2849999, 28),
            (0.0, 0),
            (-0.0, 0),
            (1e-300, 0),
            (0.1 + 0.2, 30),
            (999_999.995, 100_000_000),
        ] {
            check(Cell::Float(float), 2, Ok(cents));
        }
        check(Cell::Float32(57.16), 2, Ok(5716));
        check(Cell::Float(1234.0), 0, Ok(1234));
        check(Cell::Float(0.5), 0, Ok(0));
        check(Cell::Float(1.5), 0, Ok(2));
    }

    #[test]
    fn text_decimals_and_integers_agree() {
        check(Cell::Text("57.16"), 2, Ok(5716));
        check(Cell::Text("57"), 2, Ok(5700));
        check(
            Cell::Text("0.28500000000000000000000000000000000001"),
            2,
            Ok(29),
        );
        check(Cell::Text("00012.3"), 2, Ok(1230));
        check(Cell::Text("-0.00"), 2, Ok(0));
        check(Cell::Int(57), 2, Ok(5700));
        check(Cell::Decimal(5716, 2), 2, Ok(5716));
        check(Cell::Decimal(285, 3), 2, Ok(28));
        check(Cell::Decimal(275, 3), 2, Ok(28));
        check(Cell::Decimal(286, 3), 2, Ok(29));
        check(Cell::Decimal(3, -2), 2, Ok(30_000));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "", "-", ".5", "5.", "1e3", "1,5", " 1", "+1", "1.2.3", "NaN", "٣",
        ] {
            check(Cell::Text(text), 2, Err(Refused::NotDecimal));
        }
        check(Cell::Float(f64::NAN), 2, Err(Refused::NotDecimal));
        check(Cell::Float(-0.001), 2, Err(Refused::Negative));
        check(Cell::Int(-1), 2, Err(Refused::Negative));
        check(Cell::Decimal(-1, 9), 2, Err(Refused::Negative));
        check(Cell::Float(1e300), 2, Err(Refused::TooLarge));
        check(Cell::Text("10000000000000.01"), 2, Err(Refused::TooLarge));
        check(Cell::Text("10000000000000.00"), 2, Ok(AMOUNT_MINOR_MAX));
        check(Cell::Decimal(i128::MAX, 0), 9, Err(Refused::TooLarge));
        check(Cell::Null, 2, Err(Refused::Absent));
        check(Cell::Bool(true), 2, Err(Refused::NotDecimal));
    }
}
