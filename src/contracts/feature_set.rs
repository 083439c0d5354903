//! A feature set as its author writes it in YAML. The engine compiles it; the digest is that of
//! the text, so nothing here is ever rewritten.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::decision::Value;
use crate::domain::digest::ParseError;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSet {
    pub feature_set: String,
    #[schemars(range(min = 1))]
    pub version: i64,
    pub features: Vec<Feature>,
}

/// One feature: an aggregation over a window (`entity`, `agg`, `window`, …), a count in the entity
/// graph (`entity`, `graph`, …), or an expression over the event and the features above it
/// (`type`, `expr`). One of the three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub name: String,
    /// The key: an event that lacks one of these has no such feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Vec<Entity>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agg: Option<Aggregation>,
    /// What is aggregated: `event.amount_minor`, `event.device_id`, `event.attributes.x`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Length of the window `(t - delay - window, t - delay]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// Of `decayed_count` and `decayed_sum`: a record this old weighs one half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life: Option<Span>,
    /// Whether the event itself counts where its time lies in the window. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_current: Option<bool>,
    /// A Bool expression over the event: only records for which it is true take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What an empty window gives. Default: 0 for count, sum, distinct and the decayed two; missing
    /// for the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Value>,
    /// What is asked of the entity graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphMeasure>,
    /// Of `graph`: the kinds that are counted or walked through besides customers. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Vec<Entity>>,
    /// Of `labelled_neighbours`: how many links away, 1 or 2. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2))]
    pub hops: Option<i64>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ValueType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
}

/// What a window may be keyed by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    CustomerId,
    AccountId,
    CardId,
    DeviceId,
    Ip,
    MerchantId,
    TerminalId,
    BeneficiaryId,
}

impl Entity {
    pub const ALL: [Entity; 8] = [
        Entity::CustomerId,
        Entity::AccountId,
        Entity::CardId,
        Entity::DeviceId,
        Entity::Ip,
        Entity::MerchantId,
        Entity::TerminalId,
        Entity::BeneficiaryId,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Entity::CustomerId => "customer_id",
            Entity::AccountId => "account_id",
            Entity::CardId => "card_id",
            Entity::DeviceId => "device_id",
            Entity::Ip => "ip",
            Entity::MerchantId => "merchant_id",
            Entity::TerminalId => "terminal_id",
            Entity::BeneficiaryId => "beneficiary_id",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aggregation {
    Count,
    Sum,
    Mean,
    /// Of a sample (divided by n - 1); of fewer than two values it is as of none.
    Stddev,
    Min,
    Max,
    /// How many different values.
    Distinct,
    /// The value of the earliest record that has one, by `(t, event_id)`.
    First,
    /// The value of the latest record that has one, by `(t, event_id)`.
    Last,
    /// Seconds from the earliest record to the event.
    TimeSinceFirst,
    /// Seconds from the latest record to the event.
    TimeSinceLast,
    /// Records, each weighing `2^(-age / half_life)`.
    DecayedCount,
    /// Values, each weighing `2^(-age / half_life)`.
    DecayedSum,
    /// The part of the records that is labelled as fraud, as known at the event's time.
    FraudShare,
}

/// What the entity graph is asked about one entity, as of the event's time (`engine::graph`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GraphMeasure {
    /// How many entities it is linked with.
    Degree,
    /// How many other customers there are within two links.
    SharedCustomers,
    /// How many entities hang together with it, itself included; at most 1,000.
    ComponentSize,
    /// How many other customers within `hops` links are known for fraud.
    LabelledNeighbours,
}

/// The type of a feature or an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    Bool,
    Int,
    Float,
    Text,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueType::Bool => "bool",
            ValueType::Int => "int",
            ValueType::Float => "float",
            ValueType::Text => "text",
        })
    }
}

/// A length of time: `90s`, `15m`, `6h`, `7d`; at most ten years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    count: i64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

/// Ten years, so that no window arithmetic comes near 64 bits.
const SPAN_MICROS_MAX: i64 = 3_653 * MICROS_PER_DAY;

impl Span {
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.count * self.unit.micros()
    }
}

impl Unit {
    const fn micros(self) -> i64 {
        match self {
            Unit::Second => MICROS_PER_SECOND,
            Unit::Minute => 60 * MICROS_PER_SECOND,
            Unit::Hour => 3_600 * MICROS_PER_SECOND,
            Unit::Day => MICROS_PER_DAY,
        }
    }

    const fn letter(self) -> char {
        match self {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
            Unit::Day => 'd',
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Span {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Span, ParseError> {
        let refused = || ParseError {
            found: text.chars().take(80).collect(),
            expected: "a length of time such as 90s, 15m, 6h or 7d, up to ten years",
        };
        let unit = match text.chars().last() {
            Some('s') => Unit::Second,
            Some('m') => Unit::Minute,
            Some('h') => Unit::Hour,
            Some('d') => Unit::Day,
            _ => return Err(refused()),
        };
        let digits = &text[..text.len() - 1];
        let legal =
            (1..=10).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
        let count: i64 = digits.parse().map_err(|_| refused())?;
        let in_range = count
            .checked_mul(unit.micros())
            .is_some_and(|it| it <= SPAN_MICROS_MAX);
        if !legal || !in_range {
            return Err(refused());
        }
        Ok(Span { count, unit })
    }
}

crate::domain::ids::text_serde!(
    Span,
    "a length of time: a count and one of s, m, h, d",
    "^[0-9]{1,10}[smhd]$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_their_four_units() {
        let micros = |text: &str| text.parse::<Span>().map(Span::micros).ok();
        assert_eq!(micros("90s"), Some(90_000_000));
        assert_eq!(micros("15m"), Some(900_000_000));
        assert_eq!(micros("6h"), Some(6 * 3_600_000_000));
        assert_eq!(micros("7d"), Some(7 * 86_400_000_000));
        for text in [
            "", "d", "7", "7 d", "-7d", "+7d", "7w", "1.5d", "99999d", "7é",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
