//! Errors over HTTP: RFC 9457 problem documents with a stable code and what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::code::Code;

pub const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// A reference to the page of the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    pub code: Code,
    pub detail: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    #[must_use]
    pub fn new(status: u16, code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            type_uri: format!("/docs/errors/{code}"),
            title: code.as_str().to_lowercase().replace('_', " "),
            status,
            code,
            detail: detail.into(),
            advice: code.advice().to_owned(),
        }
    }
}
