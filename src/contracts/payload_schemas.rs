//! Which payload schemas a gate validates with: the answer of `GET /v1/schemas`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::vocabulary::EventClass;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadSchemas {
    pub schemas: Vec<PayloadSchema>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PayloadSchema {
    pub event_class: EventClass,
    #[schemars(range(min = 1))]
    pub schema_version: i64,
    /// Where the schema itself is.
    pub path: String,
}
