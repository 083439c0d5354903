//! A source's time as microseconds since 1970 UTC. What has no offset is UTC, a date is its
//! midnight, and a time finer than a microsecond is refused rather than cut.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::Offset;

use crate::contracts::mapping::MomentFormat;
use crate::domain::time::{MICROS_PER_DAY, Time};
use crate::ingress::world::cell::{Cell, Kind};

/// A world lies in 1970..=2199: beyond it an epoch was read in the wrong unit.
const TIME_MICROS_MAX: i64 = 84_006 * MICROS_PER_DAY;

/// What is wrong with using a column of this kind as a moment, and what to write instead.
pub(crate) fn misfit(format: &MomentFormat, kind: Kind) -> Option<&'static str> {
    use MomentFormat::{EpochMs, EpochS, EpochUs, Rfc3339, Strptime};
    match (format, kind) {
        (Rfc3339, Kind::Text | Kind::Time) | (Strptime(_), Kind::Text) => None,
        (EpochS | EpochMs | EpochUs, Kind::Int | Kind::Text) => None,
        (Rfc3339, Kind::Int) => {
            Some("the column holds integers: say format: epoch_s, epoch_ms or epoch_us")
        }
        (_, Kind::Time) => Some("the column holds times already: leave format out"),
        (Strptime(_), _) => Some("a format of fields reads text"),
        (_, Kind::Float | Kind::Bool | Kind::Decimal) => {
            Some("a moment is a time or date column, text, or an integer epoch")
        }
    }
}

/// Whether `format` is one that [`read`] can use; the message says why not.
pub(crate) fn check_format(format: &MomentFormat) -> Result<(), String> {
    let MomentFormat::Strptime(fields) = format else {
        return Ok(());
    };
    let example = Date::constant(2025, 1, 31).at(12, 0, 0, 0);
    let zoned = Offset::UTC
        .to_timestamp(example)
        .map(|it| it.to_zoned(Offset::UTC.to_time_zone()));
    let zoned = zoned.map_err(|error| error.to_string())?;
    let text = strtime::format(fields, &zoned).map_err(|error| error.to_string())?;
    match read(Cell::Text(&text), format) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{fields}` does not name a whole date")),
    }
}

/// # Errors
/// A message without the value.
pub(crate) fn read(cell: Cell<'_>, format: &MomentFormat) -> Result<Time, &'static str> {
    let micros = match (cell, format) {
        (Cell::Null, _) => return Err("a time is needed"),
        (Cell::Micros(micros), MomentFormat::Rfc3339) => micros,
        (Cell::Nanos(nanos), MomentFormat::Rfc3339) => micros_of(i128::from(nanos))?,
        (Cell::Text(text), MomentFormat::Rfc3339) => of_text(text)?,
        (Cell::Text(text), MomentFormat::Strptime(fields)) => of_fields(text, fields)?,
        (Cell::Int(count), _) => of_epoch(count, format)?,
        (Cell::Text(text), _) => {
            let count = text.parse().map_err(|_| "an epoch is an integer")?;
            of_epoch(count, format)?
        }
        _ => return Err("a moment is a time, a text or an integer epoch"),
    };
    if !(0..TIME_MICROS_MAX).contains(&micros) {
        return Err("a time lies in the years 1970 to 2199");
    }
    Ok(Time::from_micros(micros))
}

fn of_epoch(count: i64, format: &MomentFormat) -> Result<i64, &'static str> {
    let unit = match format {
        MomentFormat::EpochS => 1_000_000,
        MomentFormat::EpochMs => 1_000,
        MomentFormat::EpochUs => 1,
        MomentFormat::Rfc3339 | MomentFormat::Strptime(_) => {
            return Err("an integer is no time in this format");
        }
    };
    Ok(count.saturating_mul(unit))
}

fn micros_of(nanos: i128) -> Result<i64, &'static str> {
    if nanos % 1_000 != 0 {
        return Err("a time is at most as fine as a microsecond; round the column first");
    }
    i64::try_from(nanos / 1_000).map_err(|_| "a time lies in the years 1970 to 2199")
}

const NO_TIME: &str =
    "a time is RFC 3339 such as 2025-01-31T12:00:00Z, 2025-01-31 12:00:00 or 2025-01-31";

/// jiff reads more than this (week dates, zone names in brackets); the guard keeps to the shape.
fn of_text(text: &str) -> Result<i64, &'static str> {
    let bytes = text.as_bytes();
    let legal = |it: &u8| it.is_ascii_digit() || b"-:.+TZtz ".contains(it);
    let date_shaped = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    if !date_shaped || !bytes.iter().all(legal) {
        return Err(NO_TIME);
    }
    if bytes.len() == 10 {
        let date: Date = text.parse().map_err(|_| NO_TIME)?;
        return civil(date.to_datetime(jiff::civil::Time::midnight()));
    }
    let clock = bytes.get(11..).unwrap_or_default();
    if clock.iter().any(|it| b"Zz+-".contains(it)) {
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| NO_TIME)?;
        return micros_of(timestamp.as_nanosecond());
    }
    civil(text.parse().map_err(|_| NO_TIME)?)
}

fn of_fields(text: &str, fields: &str) -> Result<i64, &'static str> {
    const NO_FIT: &str = "the text does not fit the format of the mapping";
    let parsed = strtime::parse(fields, text).map_err(|_| NO_FIT)?;
    if parsed.offset().is_some() {
        let timestamp = parsed.to_timestamp().map_err(|_| NO_FIT)?;
        return micros_of(timestamp.as_nanosecond());
    }
    let date = parsed.to_date().map_err(|_| NO_FIT)?;
    // A format of a date alone has no time of day: midnight.
    let time = match parsed.hour() {
        Some(_) => parsed.to_time().map_err(|_| NO_FIT)?,
        None => jiff::civil::Time::midnight(),
    };
    civil(date.to_datetime(time))
}

fn civil(datetime: DateTime) -> Result<i64, &'static str> {
    let timestamp = Offset::UTC.to_timestamp(datetime).map_err(|_| NO_TIME)?;
    micros_of(timestamp.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: Cell<'_>, format: &MomentFormat, expect: Option<&str>) {
        let found = read(cell, format).map(|it| it.to_string());
        assert_eq!(found.ok().as_deref(), expect, "{cell:?}");
    }

    #[test]
    fn times_come_in_many_spellings() {
        let noon = Some("2025-01-31T12:00:00.000000Z");
        let fields = |text: &str| MomentFormat::Strptime(text.to_owned());
        for text in [
            "2025-01-31T12:00:00Z",
            "2025-01-31 12:00:00",
            "2025-01-31T12:00:00.000000",
            "2025-01-31T13:30:00+01:30",
            "2025-01-31 07:00:00-05:00",
        ] {
            check(Cell::Text(text), &MomentFormat::Rfc3339, noon);
        }
        check(
            Cell::Text("2025-01-31"),
            &MomentFormat::Rfc3339,
            Some("2025-01-31T00:00:00.000000Z"),
        );
        check(
            Cell::Text("31.01.2025 12:00"),
            &fields("%d.%m.%Y %H:%M"),
            noon,
        );
        check(
            Cell::Text("1/31/2025"),
            &fields("%m/%d/%Y"),
            Some("2025-01-31T00:00:00.000000Z"),
        );
        check(
            Cell::Text("2025-01-31 14:00:00 +0200"),
            &fields("%Y-%m-%d %H:%M:%S %z"),
            noon,
        );
        check(Cell::Int(1_738_324_800), &MomentFormat::EpochS, noon);
        check(Cell::Text("1738324800000"), &MomentFormat::EpochMs, noon);
        check(
            Cell::Micros(1_738_324_800_000_000),
            &MomentFormat::Rfc3339,
            noon,
        );
        check(
            Cell::Nanos(1_738_324_800_000_000_000),
            &MomentFormat::Rfc3339,
            noon,
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2025",
            "2025-02-30",
            "2025-01-31T25:00:00",
            "2025-01-31T12:00:00.0000001Z",
            "2025-01-31T12:00[Europe/Berlin]",
            "2025-W05-5",
            "1969-12-31",
            "2200-01-01",
            "20250131T120000Z",
            "é025-01-31",
        ] {
            check(Cell::Text(text), &MomentFormat::Rfc3339, None);
        }
        check(Cell::Int(1), &MomentFormat::Rfc3339, None);
        check(Cell::Int(1_738_324_800_000), &MomentFormat::EpochS, None);
        check(Cell::Int(i64::MAX), &MomentFormat::EpochS, None);
        check(Cell::Nanos(1), &MomentFormat::Rfc3339, None);
        check(Cell::Null, &MomentFormat::Rfc3339, None);
        check(Cell::Float(1.0), &MomentFormat::EpochS, None);
    }

    #[test]
    fn a_format_is_checked_before_a_row_is_read() {
        let check = |text: &str| check_format(&MomentFormat::Strptime(text.to_owned()));
        assert!(check("%Y-%m-%d %H:%M:%S").is_ok());
        assert!(check("%d.%m.%Y").is_ok());
        assert!(check("%H:%M").is_err());
        assert!(check("%Q!").is_err());
    }
}
