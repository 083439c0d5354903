//! What a deployment adds to payments: the names of its attributes and their types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::contracts::feature_set::ValueType;

/// Declared attributes of `traffic`, by name: a closed list. A payment may leave any of them out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(pub BTreeMap<String, AttributeType>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeType {
    /// At most 256 characters.
    Text,
    /// 64 bits.
    Int,
    Bool,
}

impl AttributeType {
    #[must_use]
    pub const fn value_type(self) -> ValueType {
        match self {
            AttributeType::Text => ValueType::Text,
            AttributeType::Int => ValueType::Int,
            AttributeType::Bool => ValueType::Bool,
        }
    }

    fn schema(self) -> Value {
        match self {
            AttributeType::Text => json!({"type": "string", "maxLength": 256}),
            AttributeType::Int => {
                json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX})
            }
            AttributeType::Bool => json!({"type": "boolean"}),
        }
    }
}

impl Attributes {
    /// Of `payload.attributes`.
    #[must_use]
    pub fn schema(&self) -> Value {
        let property = |(name, kind): (&String, &AttributeType)| (name.clone(), kind.schema());
        let properties: serde_json::Map<String, Value> = self.0.iter().map(property).collect();
        json!({"type": "object", "additionalProperties": false, "properties": properties})
    }

    /// A name that no payment could carry.
    #[must_use]
    pub fn illegal_name(&self) -> Option<&str> {
        let is_legal = |name: &str| {
            name.len() <= 64
                && name.starts_with(|it: char| it.is_ascii_lowercase())
                && name
                    .bytes()
                    .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        };
        self.0.keys().map(String::as_str).find(|it| !is_legal(it))
    }
}
