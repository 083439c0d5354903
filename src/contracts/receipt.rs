//! The receipt of one admitted event: proof of what was taken and where it stands on the bus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::stamps::Stamps;
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::offset::OriginOffset;
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, IngestResult};

pub const SCHEMA_VERSION: i64 = 1;

/// A duplicate returns the first receipt, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub schema_version: i64,
    pub platform_run_id: PlatformRunId,
    pub event_class: EventClass,
    pub event_id: EventId,
    /// Always ADMITTED: what was not admitted has a verdict and a quarantine row, no receipt.
    pub result: IngestResult,
    pub payload_hash: Digest,
    pub eb_ref: OriginOffset,
    pub batch_id: i64,
    pub admitted_at: Time,
    /// Why, where the result is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<crate::contracts::code::Code>,
    pub stamps: Stamps,
}
