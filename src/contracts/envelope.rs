//! The envelope of an event: as a producer sends it, and as the gate publishes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::canonical::{self, Canon};
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{EventId, ManifestFingerprint, PlatformRunId, ScenarioRunId, TenantId};
use crate::domain::keys::{EventKey, Pins};
use crate::domain::time::Time;
use crate::domain::vocabulary::EventClass;

/// What a producer sends. `event_class` is text here, so that an unknown class is received and
/// quarantined instead of vanishing as unparsable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    pub event_id: EventId,
    #[schemars(length(min = 1, max = 64))]
    pub event_class: String,
    pub schema_version: i64,
    pub ts_utc: Time,
    pub platform_run_id: PlatformRunId,
    pub scenario_run_id: ScenarioRunId,
    pub manifest_fingerprint: ManifestFingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[schemars(length(min = 1, max = 128))]
    pub producer: String,
    /// An object; its schema is that of the class and version.
    pub payload: Value,
    /// Fields to be encrypted per subject. Refused until the encryption exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii: Option<Value>,
}

impl Envelope {
    #[must_use]
    pub fn pins(&self) -> Pins {
        Pins {
            platform_run_id: self.platform_run_id,
            scenario_run_id: self.scenario_run_id,
            manifest_fingerprint: self.manifest_fingerprint,
            tenant_id: self.tenant_id.clone(),
        }
    }

    #[must_use]
    pub fn key(&self, class: EventClass) -> EventKey {
        EventKey {
            platform_run_id: self.platform_run_id,
            event_class: class,
            event_id: self.event_id.clone(),
        }
    }

    /// The hash that makes two sends of one id the same event or an anomaly (L3). Taken after
    /// tokenisation, so it is unkeyed and can be verified offline.
    ///
    /// # Errors
    /// When the payload holds a number that is no i64.
    pub fn payload_hash(&self) -> Result<Digest, canonical::Error> {
        payload_hash(
            &self.event_class,
            self.schema_version,
            self.ts_utc,
            &self.payload,
        )
    }
}

/// Hash of (event_class, schema_version, ts_utc, payload).
///
/// # Errors
/// When the payload holds a number that is no i64.
pub fn payload_hash(
    event_class: &str,
    schema_version: i64,
    ts_utc: Time,
    payload: &Value,
) -> Result<Digest, canonical::Error> {
    let mut canon = Canon::new();
    canon.json(payload)?;
    let tagged = Tagged::new("payload")
        .text(event_class)
        .int(schema_version)
        .time(ts_utc);
    Ok(tagged.raw(&canon).digest())
}

/// What stands on the bus and in the archive: the envelope and what the gate adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmittedEvent {
    pub payload_hash: Digest,
    /// Of all that `payload_hash` leaves out: see [`AdmittedEvent::proof`]. Absent from what older releases wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_hash: Option<Digest>,
    /// When the gate took it, by the gate's clock.
    pub admitted_at: Time,
    /// The batch that admitted it, unique per platform.
    pub batch_id: i64,
    pub envelope: Envelope,
}

impl AdmittedEvent {
    /// What `envelope_hash` must be.
    #[must_use]
    pub fn proof(&self) -> Digest {
        let envelope = &self.envelope;
        let around = Around {
            pins: &envelope.pins(),
            event_id: &envelope.event_id,
            producer: &envelope.producer,
        };
        envelope_hash(&self.payload_hash, &around, self.admitted_at, self.batch_id)
    }
}

/// What of an envelope its `payload_hash` leaves out.
pub struct Around<'a> {
    pub pins: &'a Pins,
    pub event_id: &'a EventId,
    pub producer: &'a str,
}

/// Hash of (payload_hash, event_id, platform_run_id, scenario_run_id, manifest_fingerprint, tenant_id, producer,
/// admitted_at, batch_id): with `payload_hash` in it, of every field of an [`AdmittedEvent`].
#[must_use]
pub fn envelope_hash(
    payload_hash: &Digest,
    around: &Around<'_>,
    admitted_at: Time,
    batch_id: i64,
) -> Digest {
    let pins = around.pins;
    Tagged::new("envelope")
        .display(payload_hash)
        .text(around.event_id.as_str())
        .display(pins.platform_run_id)
        .display(pins.scenario_run_id)
        .display(pins.manifest_fingerprint)
        .opt_text(pins.tenant_id.as_ref().map(TenantId::as_str))
        .text(around.producer)
        .time(admitted_at)
        .int(batch_id)
        .digest()
}
