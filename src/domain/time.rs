//! A moment as microseconds since 1970 UTC; on the wire RFC 3339 with `Z` and six decimals.

use std::fmt;
use std::str::FromStr;

use crate::domain::digest::ParseError;

/// Microseconds since 1970-01-01T00:00:00Z. Never read from a clock here (L12).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

impl Time {
    #[must_use]
    pub const fn from_micros(micros: i64) -> Time {
        Time(micros)
    }

    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Time {
        Time(self.0.saturating_add(micros))
    }

    #[must_use]
    pub const fn minus_micros(self, micros: i64) -> Time {
        Time(self.0.saturating_sub(micros))
    }

    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Time {
        self.plus_micros((ms as i64).saturating_mul(1_000))
    }

    #[must_use]
    pub const fn minus_ms(self, ms: u64) -> Time {
        self.minus_micros((ms as i64).saturating_mul(1_000))
    }

    /// Days since 1970-01-01, rounded towards the past.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(MICROS_PER_DAY)
    }

    /// Midnight at the start of this day.
    #[must_use]
    pub const fn start_of_day(self) -> Time {
        Time(self.day() * MICROS_PER_DAY)
    }

    /// `YYYY-MM-DD`.
    #[must_use]
    pub fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// 0 (Sunday) … 6 (Saturday), in UTC.
    #[must_use]
    pub const fn day_of_week(self) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.day() + 4).rem_euclid(7)
    }

    /// 0…23, in UTC.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.rem_euclid(MICROS_PER_DAY) / (3_600 * MICROS_PER_SECOND)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PRINTER: jiff::fmt::temporal::DateTimePrinter =
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(6));
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => f.write_str(&PRINTER.timestamp_to_string(&timestamp)),
            // Outside the years -9999…9999, which no boundary lets in.
            Err(_) => write!(f, "@{}us", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = ParseError;

    /// Takes RFC 3339 with `Z` and at most six decimals: a seventh would be lost silently.
    fn from_str(text: &str) -> Result<Time, ParseError> {
        let refused = || ParseError {
            found: text.chars().take(80).collect(),
            expected: "an RFC 3339 time in UTC with at most microseconds, such as 2025-01-31T12:00:00.000000Z",
        };
        let shape_is_right = text.is_ascii()
            && text.len() <= 27
            && text.as_bytes().get(10) == Some(&b'T')
            && text.ends_with('Z');
        if !shape_is_right {
            return Err(refused());
        }
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| refused())?;
        Ok(Time(timestamp.as_microsecond()))
    }
}

crate::domain::ids::text_serde!(
    Time,
    "an RFC 3339 time in UTC",
    r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_has_six_decimals() {
        let time: Time = "2018-04-01T00:00:31Z".parse().unwrap();
        assert_eq!(time.to_string(), "2018-04-01T00:00:31.000000Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!((time.day_of_week(), time.hour()), (0, 0));
        assert_eq!(time.date(), "2018-04-01");
    }

    #[test]
    fn what_is_not_utc_or_too_fine_is_refused() {
        for text in [
            "2018-04-01T00:00:31+00:00",
            "2018-04-01T00:00:31.0000001Z",
            "2018-04-01 00:00:31Z",
            "2018-04-01",
            "2018-02-30T00:00:00Z",
            "",
            "é018-04-01T00:00:31Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_round_towards_the_past() {
        let before: Time = "1969-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(
            (before.day(), before.day_of_week(), before.hour()),
            (-1, 3, 23)
        );
    }
}
