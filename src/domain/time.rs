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

    /// Whole milliseconds until `later`; 0 when it is not later.
    #[must_use]
    pub const fn ms_until(self, later: Time) -> u64 {
        let micros = later.micros().saturating_sub(self.micros());
        if micros < 0 {
            return 0;
        }
        micros.unsigned_abs() / 1_000
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

    /// Takes RFC 3339 with `Z`, whole seconds below 60 and at most six decimals. The parser below
    /// knows more spellings of ISO 8601, and it would lose a leap second or a seventh decimal
    /// silently; a time that is hashed has no second spelling.
    fn from_str(text: &str) -> Result<Time, ParseError> {
        let refused = || ParseError {
            found: text.chars().take(80).collect(),
            expected: "an RFC 3339 time in UTC with at most microseconds, such as 2025-01-31T12:00:00.000000Z",
        };
        if !has_wire_shape(text.as_bytes()) {
            return Err(refused());
        }
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| refused())?;
        Ok(Time(timestamp.as_microsecond()))
    }
}

/// Whether the bytes are `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`, with a second below 60.
fn has_wire_shape(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00T00:00:00";
    let Some((moment, fraction)) = text.split_at_checked(SHAPE.len()) else {
        return false;
    };
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    };
    let fraction_fits = match fraction {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => {
            (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    moment.iter().zip(SHAPE).all(fits) && moment[17] < b'6' && fraction_fits
}

/// RFC 3339 where people read (JSON, YAML), i64 microseconds in canonical CBOR.
impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            let micros = i64::deserialize(deserializer)?;
            let has_text = jiff::Timestamp::from_microsecond(micros).is_ok();
            has_text
                .then_some(Time(micros))
                .ok_or_else(|| serde::de::Error::custom("a time outside the years of RFC 3339"))
        }
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "an RFC 3339 time in UTC with at most microseconds",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z$",
        })
    }
}

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
            "2018-04-01T00:00Z",
            "2018-04-01T00Z",
            "2018-04-01T000031Z",
            "2018-04-01T00:00:31,5Z",
            "2018-04-01T00:00:31.Z",
            "2016-12-31T23:59:60Z",
            "2018-04-01T24:00:00Z",
            "2018-04-01T00:00:31z",
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
