//! Natural keys that several parts share, and the pins that tie an event to its run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{EventId, ManifestFingerprint, PlatformRunId, ScenarioRunId, TenantId};
use crate::domain::vocabulary::EventClass;

/// The run fields of an envelope: which run, which scenario, which world, whose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    pub platform_run_id: PlatformRunId,
    pub scenario_run_id: ScenarioRunId,
    pub manifest_fingerprint: ManifestFingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
}

/// One event of one run: the key of admission, dedupe and cases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    pub platform_run_id: PlatformRunId,
    pub event_class: EventClass,
    pub event_id: EventId,
}

impl EventKey {
    /// The 32 bytes that key the tables of admission; the natural columns stand beside them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let tagged = Tagged::new("event_key").display(self.platform_run_id);
        tagged
            .display(self.event_class)
            .display(&self.event_id)
            .digest()
    }
}

/// The subject of a case: the event that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseSubject {
    pub platform_run_id: PlatformRunId,
    pub event_class: EventClass,
    pub event_id: EventId,
}

/// The subject of a label: a traffic event.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct LabelSubject {
    pub platform_run_id: PlatformRunId,
    pub event_id: EventId,
}

/// The arrival that contexts and traffic of one payment meet in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinFrameKey {
    pub platform_run_id: PlatformRunId,
    pub merchant_id: String,
    pub arrival_seq: i64,
}

impl JoinFrameKey {
    #[must_use]
    pub fn digest(&self) -> Digest {
        let tagged = Tagged::new("join_frame").display(self.platform_run_id);
        tagged
            .text(&self.merchant_id)
            .int(self.arrival_seq)
            .digest()
    }
}

/// The flow that binds a traffic event to its arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    pub platform_run_id: PlatformRunId,
    pub flow_id: String,
}

impl FlowKey {
    #[must_use]
    pub fn digest(&self) -> Digest {
        Tagged::new("flow_key")
            .display(self.platform_run_id)
            .text(&self.flow_id)
            .digest()
    }
}
