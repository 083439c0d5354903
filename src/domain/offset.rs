//! Where a record stands on the bus, and how far a reader has come.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::ParseError;
use crate::domain::vocabulary::Stream;

/// An opaque decimal number, ordered by length, then text: Kinesis numbers pass 128 bits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(String);

impl SequenceNumber {
    #[must_use]
    pub fn from_u64(number: u64) -> SequenceNumber {
        SequenceNumber(number.to_string())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &SequenceNumber) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &SequenceNumber) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SequenceNumber {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<SequenceNumber, ParseError> {
        let legal = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if !legal {
            return Err(ParseError {
                found: text.chars().take(80).collect(),
                expected: "a decimal sequence number without leading zeros",
            });
        }
        Ok(SequenceNumber(text.to_owned()))
    }
}

crate::domain::ids::text_serde!(
    SequenceNumber,
    "an opaque decimal number, ordered by length, then text",
    "^(0|[1-9][0-9]{0,127})$"
);

/// A shard of a stream, as the bus names it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ShardId(pub String);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One shard of one stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardRef {
    pub stream: Stream,
    pub shard_id: ShardId,
}

impl fmt::Display for ShardRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.shard_id)
    }
}

/// Where one record stands: how evidence names its inputs (L6).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct OriginOffset {
    pub stream: Stream,
    pub shard_id: ShardId,
    pub sequence_number: SequenceNumber,
}

/// How far a reader has come in one shard: everything up to and including `After`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Nothing read: the oldest record kept is next.
    Start,
    /// The record after this one is next.
    After(SequenceNumber),
}

impl Position {
    /// Whether a record with this number has been read.
    #[must_use]
    pub fn covers(&self, number: &SequenceNumber) -> bool {
        match self {
            Position::Start => false,
            Position::After(read) => number <= read,
        }
    }

    /// Whether everything that `other` covers is covered here.
    #[must_use]
    pub fn reaches(&self, other: &Position) -> bool {
        match other {
            Position::Start => true,
            Position::After(number) => self.covers(number),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Start => f.write_str("start"),
            Position::After(number) => fmt::Display::fmt(number, f),
        }
    }
}

impl FromStr for Position {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Position, ParseError> {
        match text {
            "start" => Ok(Position::Start),
            number => Ok(Position::After(number.parse()?)),
        }
    }
}

/// The position in every shard that enters a computation, by `stream/shard`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Basis(pub BTreeMap<String, Position>);

impl Basis {
    #[must_use]
    pub fn position(&self, shard: &ShardRef) -> &Position {
        self.0.get(&shard.to_string()).unwrap_or(&Position::Start)
    }

    pub fn advance(&mut self, shard: &ShardRef, to: Position) {
        self.0.insert(shard.to_string(), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_order_by_length_then_text() {
        let number = |text: &str| text.parse::<SequenceNumber>().unwrap();
        assert!(number("9") < number("10"));
        assert!(number("49590338271490256608559692538361571095921575989136588898") > number("10"));
        for text in ["", "01", "-1", "1.0", "x"] {
            assert!(text.parse::<SequenceNumber>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_position_covers_what_was_read() {
        let after: Position = "10".parse().unwrap();
        assert!(after.covers(&SequenceNumber::from_u64(10)));
        assert!(!after.covers(&SequenceNumber::from_u64(11)));
        assert!(after.reaches(&Position::Start) && !Position::Start.reaches(&after));
        assert_eq!(after.to_string().parse(), Ok(after));
    }
}
