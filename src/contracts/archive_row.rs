//! One record of the bus as the archive keeps it: enough to find it by offset and to prove it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::envelope::AdmittedEvent;
use crate::domain::digest::Digest;
use crate::domain::keys::Pins;
use crate::domain::offset::OriginOffset;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveRow {
    pub origin_offset: OriginOffset,
    pub payload_hash: Digest,
    pub pins: Pins,
    /// The record's bytes as the bus gave them, read.
    pub event: AdmittedEvent,
}
