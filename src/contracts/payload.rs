//! The payloads of the four event classes, version 1.
//!
//! An optional field is absent or has a value. `null` is refused: it would mean what absence
//! means and hash to something else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::vocabulary::{ArrivalKind, Channel};

/// The largest amount: 10^15 minor units.
pub const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// An arrival at a merchant: a payment, or a mere link between entities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_null)]
pub struct ArrivalEvent {
    #[schemars(length(min = 1, max = 128))]
    pub merchant_id: String,
    /// 1-based and dense per merchant, in (ts, table, source row) order.
    #[schemars(range(min = 1))]
    pub arrival_seq: i64,
    pub kind: ArrivalKind,
    /// ISO 18245 merchant category.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(regex(pattern = "^[0-9]{4}$"))]
    pub mcc: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(regex(pattern = "^[A-Z]{2}$"))]
    pub country: Option<String>,
}

/// The entities that met in an arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_null)]
pub struct ArrivalEntities {
    #[schemars(length(min = 1, max = 128))]
    pub merchant_id: String,
    #[schemars(range(min = 1))]
    pub arrival_seq: i64,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub customer_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub account_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub card_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub device_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 45))]
    pub ip: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub terminal_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub beneficiary_id: Option<String>,
}

/// Binds a flow to its arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_null)]
pub struct FlowAnchor {
    #[schemars(length(min = 1, max = 128))]
    pub flow_id: String,
    #[schemars(length(min = 1, max = 128))]
    pub merchant_id: String,
    #[schemars(range(min = 1))]
    pub arrival_seq: i64,
}

/// An authorisation request: what is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = without_null)]
pub struct Traffic {
    #[schemars(length(min = 1, max = 128))]
    pub flow_id: String,
    #[schemars(length(min = 1, max = 128))]
    pub customer_id: String,
    #[schemars(length(min = 1, max = 128))]
    pub merchant_id: String,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub account_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub card_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub device_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 45))]
    pub ip: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub terminal_id: Option<String>,
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 128))]
    pub beneficiary_id: Option<String>,
    /// In minor units of the currency; 0 is legal.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000_i64))]
    pub amount_minor: i64,
    /// ISO 4217.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    pub channel: Channel,
    /// What a deployment adds; at most 64 keys.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("maxProperties" = 64, "propertyNames" = {"pattern": "^[a-z][a-z0-9_]{0,63}$"}))]
    pub attributes: Option<BTreeMap<String, AttributeValue>>,
}

/// Reads an optional field that is present, and so must have a value.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Says [`given`] in the schema: no property of a payload may be null.
fn without_null(schema: &mut schemars::Schema) {
    let properties = schema
        .get_mut("properties")
        .and_then(|it| it.as_object_mut());
    for property in properties.into_iter().flat_map(|it| it.values_mut()) {
        let Some(types) = property.get_mut("type") else {
            continue;
        };
        if let Some([value, null]) = types.as_array().map(Vec::as_slice)
            && null == "null"
        {
            *types = value.clone();
        }
    }
}

/// A value of a deployment's own attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl Serialize for AttributeValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AttributeValue::Text(value) => serializer.serialize_str(value),
            AttributeValue::Int(value) => serializer.serialize_i64(*value),
            AttributeValue::Bool(value) => serializer.serialize_bool(*value),
        }
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(value) => Ok(AttributeValue::Text(value)),
            serde_json::Value::Bool(value) => Ok(AttributeValue::Bool(value)),
            serde_json::Value::Number(value) => match value.as_i64() {
                Some(value) => Ok(AttributeValue::Int(value)),
                None => Err(serde::de::Error::custom(
                    "an attribute number is an i64 integer",
                )),
            },
            _ => Err(serde::de::Error::custom(
                "an attribute is a string, an integer or a bool",
            )),
        }
    }
}

impl JsonSchema for AttributeValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AttributeValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                {"type": "string", "maxLength": 256},
                {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
                {"type": "boolean"},
            ],
        })
    }
}
