//! The value expressions of a mapping: a column, a template over columns, a constant, a moment, a
//! period. Written by hand, because one expression has more than one spelling.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::domain::time::MICROS_PER_SECOND;

/// A text made of a row: `COLUMN`, `"t{COLUMN}"`, `{col: COLUMN}`, `{col: COLUMN, map: {a: b}}` or
/// `{const: TEXT}`. A text without braces names a column; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Const(String),
    Column {
        name: String,
        /// Where the name stands, if not where the value does.
        at: Option<Location>,
        /// Where given, a value outside it is an error.
        map: Option<BTreeMap<String, String>>,
    },
    /// Absent where any of its columns is absent.
    Template(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Column(String),
}

impl Value {
    /// The columns that it reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let (column, parts) = match self {
            Value::Const(_) => (None, [].as_slice()),
            Value::Column { name, .. } => (Some(name.as_str()), [].as_slice()),
            Value::Template(parts) => (None, parts.as_slice()),
        };
        let of_parts = parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        });
        column.into_iter().chain(of_parts)
    }

    fn parse(text: &str) -> Result<Value, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '{' | '}' if rest.next_if_eq(&next).is_some() => literal.push(next),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(it) if it != '{' => name.push(it),
                            _ => {
                                return Err(format!(
                                    "`{text}` opens a brace and does not close it"
                                ));
                            }
                        }
                    }
                    if name.is_empty() {
                        return Err(format!(
                            "`{text}` has a pair of braces without a column name"
                        ));
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Column(name));
                }
                '}' => return Err(format!("`{text}` closes a brace that it did not open")),
                _ => literal.push(next),
            }
        }
        if parts.is_empty() {
            // No column in braces: the text itself is the column's name.
            return match literal.is_empty() {
                true => Err("an empty text names no column".to_owned()),
                false => Ok(Value::Column {
                    name: literal,
                    at: None,
                    map: None,
                }),
            };
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Value::Template(parts))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("COLUMN, \"text{COLUMN}\", {col: COLUMN} or {const: TEXT}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Value::parse(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut col, mut constant, mut words) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "col" => col = Some(map.next_value::<Spanned<String>>()?),
                "const" => constant = Some(map.next_value::<String>()?),
                "map" => words = Some(map.next_value::<BTreeMap<String, String>>()?),
                other => return Err(de::Error::unknown_field(other, &["col", "const", "map"])),
            }
        }
        match (col, constant, words) {
            (Some(col), None, map) => Ok(Value::Column {
                at: Some(col.referenced),
                name: col.value,
                map,
            }),
            (None, Some(text), None) => Ok(Value::Const(text)),
            _ => Err(de::Error::custom(
                "a value is {col: COLUMN}, {col: COLUMN, map: {…}} or {const: TEXT}",
            )),
        }
    }
}

/// A time made of a row: `COLUMN` or `{col: COLUMN, zone: UTC, format: F}`. A time without an
/// offset is in the zone, a date is its midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub col: String,
    /// Where the name stands, if not where the moment does.
    pub at: Option<Location>,
    pub format: MomentFormat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MomentFormat {
    /// A time or date column, or text in RFC 3339, where `T` may be a space and offset and time of
    /// day may be missing.
    Rfc3339,
    EpochS,
    EpochMs,
    EpochUs,
    /// A text with `%` fields, such as `%d.%m.%Y %H:%M`.
    Strptime(String),
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moment, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl<'de> Visitor<'de> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("COLUMN or {col: COLUMN, zone: UTC, format: FORMAT}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        Ok(Moment {
            col: text.to_owned(),
            at: None,
            format: MomentFormat::Rfc3339,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Moment, A::Error> {
        let (mut col, mut format) = (None, MomentFormat::Rfc3339);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "col" => col = Some(map.next_value::<Spanned<String>>()?),
                "zone" => {
                    let zone = map.next_value::<String>()?;
                    if zone != "UTC" {
                        return Err(de::Error::unknown_variant(&zone, &["UTC"]));
                    }
                }
                "format" => format = parse_format(map.next_value::<String>()?)?,
                other => return Err(de::Error::unknown_field(other, &["col", "zone", "format"])),
            }
        }
        let col = col.ok_or_else(|| de::Error::missing_field("col"))?;
        Ok(Moment {
            at: Some(col.referenced),
            col: col.value,
            format,
        })
    }
}

fn parse_format<E: de::Error>(text: String) -> Result<MomentFormat, E> {
    match text.as_str() {
        "rfc3339" => Ok(MomentFormat::Rfc3339),
        "epoch_s" => Ok(MomentFormat::EpochS),
        "epoch_ms" => Ok(MomentFormat::EpochMs),
        "epoch_us" => Ok(MomentFormat::EpochUs),
        fields if fields.contains('%') => Ok(MomentFormat::Strptime(text)),
        other => Err(E::unknown_variant(
            other,
            &[
                "rfc3339",
                "epoch_s",
                "epoch_ms",
                "epoch_us",
                "%Y-%m-%d %H:%M:%S",
            ],
        )),
    }
}

/// A length of time such as `7d`, `12h`, `30m`, `45s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub micros: i64,
}

/// Ten years: longer waits are typing errors.
const PERIOD_DAYS_MAX: i64 = 3_660;

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_period(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "`{text}` is no period: write a whole number and d, h, m or s, such as 7d, at most {PERIOD_DAYS_MAX}d"
            ))
        })
    }
}

fn parse_period(text: &str) -> Option<Period> {
    let unit_at = text.len().checked_sub(1)?;
    let (count, unit) = text.split_at_checked(unit_at)?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    let digits_only = count.bytes().all(|it| it.is_ascii_digit());
    let count: i64 = digits_only.then(|| count.parse().ok()).flatten()?;
    let seconds = count.checked_mul(seconds)?;
    (seconds <= PERIOD_DAYS_MAX * 86_400).then_some(Period {
        micros: seconds * MICROS_PER_SECOND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[Part]) {
        assert_eq!(Value::parse(text), Ok(Value::Template(expect.to_vec())));
    }

    #[test]
    fn a_template_is_text_and_columns() {
        let text = |it: &str| Part::Text(it.to_owned());
        let column = |it: &str| Part::Column(it.to_owned());
        check("t{TERMINAL_ID}", &[text("t"), column("TERMINAL_ID")]);
        check("{A}{b c}", &[column("A"), column("b c")]);
        check("{{x}}{A}}}", &[text("{x}"), column("A"), text("}")]);
        let bare = Value::Column {
            name: "ROW".to_owned(),
            at: None,
            map: None,
        };
        assert_eq!(Value::parse("ROW"), Ok(bare));
        for refused in ["", "t{", "t{}", "t}", "t{a{b}", "{a}}"] {
            assert!(Value::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_period_has_a_unit_and_a_limit() {
        let micros = |text: &str| parse_period(text).map(|it| it.micros);
        assert_eq!(micros("7d"), Some(7 * 86_400 * MICROS_PER_SECOND));
        assert_eq!(micros("0s"), Some(0));
        assert_eq!(micros("90m"), micros("5400s"));
        for refused in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "+1d",
            "1.5d",
            "3661d",
            "9999999999999999999s",
            "7é",
        ] {
            assert_eq!(micros(refused), None, "{refused}");
        }
    }
}
