//! One value of a source table, whatever file format and width it came in.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array,
    Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow::error::ArrowError;

/// A value as the mapping sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Int(i64),
    Float(f64),
    /// Kept narrow: its shortest decimal form is not that of the same value as an f64.
    Float32(f32),
    Bool(bool),
    Text(&'a str),
    /// The value times 10^scale.
    Decimal(i128, i8),
    /// Since 1970 UTC.
    Micros(i64),
    Nanos(i64),
}

/// What a column can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Float,
    Bool,
    Text,
    Decimal,
    Time,
}

impl Kind {
    /// `None` for a column that no mapping can read.
    pub(crate) fn of(data_type: &DataType) -> Option<Kind> {
        match data_type {
            DataType::Dictionary(_, value) => Kind::of(value),
            DataType::Boolean => Some(Kind::Bool),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Text),
            DataType::Float32 | DataType::Float64 => Some(Kind::Float),
            DataType::UInt64 | DataType::Decimal128(_, _) => Some(Kind::Decimal),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Some(Kind::Time),
            other if other.is_integer() => Some(Kind::Int),
            _ => None,
        }
    }
}

/// A column of one batch in one of few types.
#[derive(Debug)]
pub(crate) enum Column {
    Int(Int64Array),
    Float(Float64Array),
    Float32(Float32Array),
    Bool(BooleanArray),
    Text(StringArray),
    Decimal(Decimal128Array),
    Micros(TimestampMicrosecondArray),
    Nanos(TimestampNanosecondArray),
}

impl Column {
    /// Widens what can be widened without loss.
    ///
    /// # Errors
    /// A value that does not fit, or a type that [`Kind::of`] refuses.
    pub(crate) fn new(array: &ArrayRef) -> Result<Column, ArrowError> {
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let cast = |to: &DataType| cast_with_options(array, to, &strict);
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        Ok(match array.data_type() {
            DataType::Dictionary(_, value) => Column::new(&cast(value)?)?,
            DataType::Boolean => Column::Bool(array.as_boolean().clone()),
            DataType::Float32 => Column::Float32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Column::Float(array.as_primitive::<Float64Type>().clone()),
            DataType::UInt64 => {
                Column::Decimal(cast(&DataType::Decimal128(20, 0))?.as_primitive().clone())
            }
            DataType::Decimal128(_, _) => Column::Decimal(array.as_primitive().clone()),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Column::Nanos(
                cast(&nanos)?
                    .as_primitive::<TimestampNanosecondType>()
                    .clone(),
            ),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Column::Micros(
                cast(&micros)?
                    .as_primitive::<TimestampMicrosecondType>()
                    .clone(),
            ),
            other if other.is_integer() => {
                Column::Int(cast(&DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            _ => Column::Text(cast(&DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    pub(crate) fn array(&self) -> &dyn Array {
        match self {
            Column::Int(it) => it,
            Column::Float(it) => it,
            Column::Float32(it) => it,
            Column::Bool(it) => it,
            Column::Text(it) => it,
            Column::Decimal(it) => it,
            Column::Micros(it) => it,
            Column::Nanos(it) => it,
        }
    }

    pub(crate) fn cell(&self, row: usize) -> Cell<'_> {
        if self.array().is_null(row) {
            return Cell::Null;
        }
        match self {
            Column::Int(it) => Cell::Int(it.value(row)),
            Column::Float(it) => Cell::Float(it.value(row)),
            Column::Float32(it) => Cell::Float32(it.value(row)),
            Column::Bool(it) => Cell::Bool(it.value(row)),
            Column::Text(it) => Cell::Text(it.value(row)),
            Column::Decimal(it) => Cell::Decimal(it.value(row), it.scale()),
            Column::Micros(it) => Cell::Micros(it.value(row)),
            Column::Nanos(it) => Cell::Nanos(it.value(row)),
        }
    }
}

impl Cell<'_> {
    /// Appends the value as text; `false` for what has no text of its own: an absent value, a time
    /// (which a mapping reads as a moment), a NaN or an infinity. A float is its shortest decimal
    /// form, so that an id column that became a float for its gaps still reads `17`.
    pub(crate) fn write(&self, text: &mut String) -> bool {
        use std::fmt::Write;
        let written = match self {
            Cell::Null | Cell::Micros(_) | Cell::Nanos(_) => return false,
            Cell::Float(value) if !value.is_finite() => return false,
            Cell::Float32(value) if !value.is_finite() => return false,
            Cell::Int(value) => write!(text, "{value}"),
            Cell::Float(value) => write!(text, "{}", value + 0.0),
            Cell::Float32(value) => write!(text, "{}", value + 0.0),
            Cell::Bool(value) => write!(text, "{value}"),
            Cell::Decimal(value, scale) => {
                text.push_str(&decimal_text(*value, *scale));
                return true;
            }
            Cell::Text(value) => write!(text, "{value}"),
        };
        written.is_ok()
    }

    /// The shape of the value, which gives nothing of it away.
    pub(crate) fn shape(&self) -> String {
        match self {
            Cell::Null => "nothing".to_owned(),
            Cell::Text(value) => format!("text of the shape `{}`", shape(value)),
            Cell::Micros(_) | Cell::Nanos(_) => "a time".to_owned(),
            Cell::Bool(_) => "a bool".to_owned(),
            _ => {
                let mut text = String::new();
                match self.write(&mut text) {
                    true => format!("a number of the shape `{}`", shape(&text)),
                    false => "NaN or an infinity".to_owned(),
                }
            }
        }
    }
}

fn decimal_text(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let Ok(scale) = usize::try_from(scale) else {
        return format!(
            "{sign}{digits}{}",
            "0".repeat(usize::from(scale.unsigned_abs()))
        );
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// Letters become `a`, digits `9`; at most 40 characters.
pub(crate) fn shape(text: &str) -> String {
    let mut shape: String = text
        .chars()
        .take(40)
        .map(|it| match it {
            it if it.is_numeric() => '9',
            it if it.is_alphabetic() => 'a',
            it if it.is_control() => '?',
            it => it,
        })
        .collect();
    if shape.len() < text.len() && text.chars().nth(40).is_some() {
        shape.push('…');
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: Cell<'_>, expect: Option<&str>) {
        let mut text = String::new();
        let written = cell.write(&mut text).then_some(text);
        assert_eq!(written.as_deref(), expect);
    }

    #[test]
    fn values_have_one_text() {
        check(Cell::Int(-7), Some("-7"));
        check(Cell::Float(17.0), Some("17"));
        check(Cell::Float(-0.0), Some("0"));
        check(Cell::Float(0.1), Some("0.1"));
        check(Cell::Float32(0.1), Some("0.1"));
        check(Cell::Float(f64::NAN), None);
        check(Cell::Decimal(-5, 2), Some("-0.05"));
        check(Cell::Decimal(1234, 2), Some("12.34"));
        check(Cell::Decimal(12, -2), Some("1200"));
        check(Cell::Bool(true), Some("true"));
        check(Cell::Null, None);
        check(Cell::Micros(0), None);
    }

    #[test]
    fn a_shape_gives_nothing_away() {
        assert_eq!(shape("Ann 17-é"), "aaa 99-a");
        assert_eq!(shape(&"x".repeat(41)).chars().count(), 41);
        assert_eq!(Cell::Float(-12.5).shape(), "a number of the shape `-99.9`");
    }
}
