//! One field of an arrival, bound to the columns of a table: reads its text and checks it against
//! what the payload's schema allows.

use std::collections::BTreeMap;

use crate::domain::vocabulary::{Channel, LabelType};
use crate::ingress::world::cell::{Cell, shape};
use crate::ingress::world::table::Batch;

/// What a field's text must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Id,
    Ip,
    Currency,
    Channel,
    Mcc,
    Country,
    Attribute,
    /// A scenario's name: empty is none.
    Name,
    Label(LabelType),
}

impl Check {
    /// # Errors
    /// What the text should have been.
    pub(crate) fn text(self, text: &str) -> Result<(), String> {
        let all = |of: fn(&u8) -> bool| text.as_bytes().iter().all(of);
        let (holds, expected) = match self {
            Check::Id => (
                (1..=128).contains(&text.len()) && all(u8::is_ascii_graphic),
                "an id is 1 to 128 printable ASCII characters without spaces",
            ),
            Check::Ip => (
                text.parse::<std::net::IpAddr>().is_ok() && text.len() <= 45,
                "an ip is an IPv4 or IPv6 address",
            ),
            Check::Currency => (
                text.len() == 3 && all(u8::is_ascii_uppercase),
                "a currency is three capital letters (ISO 4217), such as EUR",
            ),
            Check::Mcc => (
                text.len() == 4 && all(u8::is_ascii_digit),
                "a merchant category is four digits (ISO 18245)",
            ),
            Check::Country => (
                text.len() == 2 && all(u8::is_ascii_uppercase),
                "a country is two capital letters (ISO 3166-1)",
            ),
            Check::Attribute => (
                text.chars().count() <= 256,
                "an attribute has at most 256 characters",
            ),
            Check::Name => (
                text.len() <= 128 && all(u8::is_ascii_graphic),
                "a scenario is at most 128 printable ASCII characters without spaces",
            ),
            Check::Channel => {
                let words: Vec<&str> = Channel::ALL.iter().map(|it| it.as_str()).collect();
                return one_of("a channel", text, &words);
            }
            Check::Label(label) => return one_of(label.as_str(), text, label.values()),
        };
        if holds {
            Ok(())
        } else {
            Err(expected.to_owned())
        }
    }
}

fn one_of(what: &str, text: &str, words: &[&str]) -> Result<(), String> {
    match words.contains(&text) {
        true => Ok(()),
        false => Err(format!(
            "{what} is one of {}; a map can translate",
            words.join(", ")
        )),
    }
}

/// Why a field of a row cannot be read; the row's place is added by who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) column: String,
    pub(crate) found: String,
    pub(crate) message: String,
    pub(crate) line: u64,
}

/// A bound value expression.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) check: Check,
    /// The line of the mapping.
    pub(crate) line: u64,
    pub(crate) source: FieldSource,
}

#[derive(Debug)]
pub(crate) enum FieldSource {
    /// Checked when it was bound.
    Const(String),
    Column {
        name: String,
        at: usize,
        map: Option<BTreeMap<String, String>>,
    },
    Template(Vec<Piece>),
}

#[derive(Debug)]
pub(crate) enum Piece {
    Text(String),
    Column { name: String, at: usize },
}

impl Field {
    /// The column, or the columns of a template.
    pub(crate) fn column(&self) -> String {
        match &self.source {
            FieldSource::Const(_) => "(constant)".to_owned(),
            FieldSource::Column { name, .. } => name.clone(),
            FieldSource::Template(pieces) => {
                let names = pieces.iter().filter_map(|piece| match piece {
                    Piece::Column { name, .. } => Some(name.as_str()),
                    Piece::Text(_) => None,
                });
                names.collect::<Vec<_>>().join(", ")
            }
        }
    }

    pub(crate) fn fault(&self, found: String, message: impl Into<String>) -> Fault {
        Fault {
            column: self.column(),
            found,
            message: message.into(),
            line: self.line,
        }
    }

    /// The cell itself, where the field is a plain column.
    pub(crate) fn cell<'b>(&self, batch: &'b Batch, row: usize) -> Option<Cell<'b>> {
        match &self.source {
            FieldSource::Column { at, map: None, .. } => Some(batch.cell(*at, row)),
            _ => None,
        }
    }

    /// The text of the field; absent where a column of it is.
    pub(crate) fn optional(&self, batch: &Batch, row: usize) -> Result<Option<String>, Fault> {
        let mut text = String::new();
        match &self.source {
            FieldSource::Const(constant) => return Ok(Some(constant.clone())),
            FieldSource::Column { at, map, .. } => {
                if !self.append(batch.cell(*at, row), &mut text)? {
                    return Ok(None);
                }
                if let Some(map) = map {
                    let Some(word) = map.get(&text) else {
                        let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                        let message = format!("the map has only {}", keys.join(", "));
                        return Err(self.fault(batch.cell(*at, row).shape(), message));
                    };
                    return Ok(Some(word.clone()));
                }
            }
            FieldSource::Template(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(literal) => text.push_str(literal),
                        Piece::Column { at, .. } => {
                            if !self.append(batch.cell(*at, row), &mut text)? {
                                return Ok(None);
                            }
                        }
                    }
                }
            }
        }
        match self.check.text(&text) {
            Ok(()) => Ok(Some(text)),
            Err(message) => {
                Err(self.fault(format!("text of the shape `{}`", shape(&text)), message))
            }
        }
    }

    pub(crate) fn required(&self, batch: &Batch, row: usize) -> Result<String, Fault> {
        let value = self.optional(batch, row)?;
        value.ok_or_else(|| self.fault(Cell::Null.shape(), "a value is needed"))
    }

    /// `false` for an absent cell.
    fn append(&self, cell: Cell<'_>, text: &mut String) -> Result<bool, Fault> {
        if cell == Cell::Null {
            return Ok(false);
        }
        if cell.write(text) {
            return Ok(true);
        }
        Err(self.fault(cell.shape(), "the value has no text form here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(check: Check, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check.text(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(check.text(text).is_err(), "{check:?} {text:?}");
        }
    }

    #[test]
    fn fields_have_the_shapes_of_the_payload_schema() {
        let long = "x".repeat(129);
        check(Check::Id, &["c1", "a|b:c"], &["", "a b", "é", &long]);
        check(Check::Ip, &["10.0.0.1", "::1"], &["10.0.0", "localhost"]);
        check(Check::Currency, &["EUR"], &["eur", "EURO", ""]);
        check(Check::Mcc, &["5411"], &["541", "54a1"]);
        check(Check::Country, &["DE"], &["de", "DEU"]);
        check(Check::Channel, &["pos", "ecom"], &["POS", ""]);
        check(
            Check::Label(LabelType::FraudDisposition),
            &["CONFIRMED_FRAUD"],
            &["1", "WON"],
        );
    }
}
