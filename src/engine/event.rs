//! What the engine knows of a traffic event and of a label: the typed view, made once per record.

use std::collections::BTreeMap;

use crate::contracts::envelope::AdmittedEvent;
use crate::contracts::feature_set::Entity;
use crate::contracts::label_assertion::LabelAssertion;
use crate::contracts::payload::{AttributeValue, Traffic};
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, LabelAssertionId, PlatformRunId};
use crate::domain::keys::Pins;
use crate::domain::time::Time;
use crate::domain::vocabulary::{Channel, EventClass, LabelType};

/// Why a record is no traffic event that this revision of the engine reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("event `{event_id}` is of class `{class}`, not traffic")]
    NotTraffic { event_id: EventId, class: String },
    #[error("event `{event_id}` has schema version {version}, which this engine does not read")]
    UnknownVersion { event_id: EventId, version: i64 },
    #[error("the payload of event `{event_id}` is no traffic payload")]
    Payload {
        event_id: EventId,
        #[source]
        cause: serde_json::Error,
    },
}

/// A traffic event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    pub pins: Pins,
    pub event_id: EventId,
    pub payload_hash: Digest,
    pub ts: Time,
    pub flow_id: String,
    pub customer_id: String,
    pub merchant_id: String,
    pub account_id: Option<String>,
    pub card_id: Option<String>,
    pub device_id: Option<String>,
    pub ip: Option<String>,
    pub terminal_id: Option<String>,
    pub beneficiary_id: Option<String>,
    /// 0 to [`crate::contracts::payload::AMOUNT_MINOR_MAX`].
    pub amount_minor: i64,
    pub currency: String,
    pub channel: Channel,
    pub attributes: BTreeMap<String, AttributeValue>,
}

impl EventRecord {
    /// Reads an admitted traffic event. Its pins and hash are taken as they are: the consumer's
    /// guard has checked them.
    ///
    /// # Errors
    /// Another class, another schema version, or a payload of another shape.
    pub fn parse(admitted: &AdmittedEvent) -> Result<EventRecord, Error> {
        let envelope = &admitted.envelope;
        let event_id = envelope.event_id.clone();
        if envelope.event_class != EventClass::Traffic.as_str() {
            return Err(Error::NotTraffic {
                event_id,
                class: envelope.event_class.clone(),
            });
        }
        if envelope.schema_version != EventClass::Traffic.schema_version() {
            return Err(Error::UnknownVersion {
                event_id,
                version: envelope.schema_version,
            });
        }
        match serde::Deserialize::deserialize(&envelope.payload) {
            Ok(traffic) => Ok(EventRecord::of(
                envelope.pins(),
                event_id,
                admitted.payload_hash,
                envelope.ts_utc,
                traffic,
            )),
            Err(cause) => Err(Error::Payload { event_id, cause }),
        }
    }

    #[must_use]
    pub fn of(
        pins: Pins,
        event_id: EventId,
        payload_hash: Digest,
        ts: Time,
        traffic: Traffic,
    ) -> EventRecord {
        EventRecord {
            pins,
            event_id,
            payload_hash,
            ts,
            flow_id: traffic.flow_id,
            customer_id: traffic.customer_id,
            merchant_id: traffic.merchant_id,
            account_id: traffic.account_id,
            card_id: traffic.card_id,
            device_id: traffic.device_id,
            ip: traffic.ip,
            terminal_id: traffic.terminal_id,
            beneficiary_id: traffic.beneficiary_id,
            amount_minor: traffic.amount_minor,
            currency: traffic.currency,
            channel: traffic.channel,
            attributes: traffic.attributes.unwrap_or_default(),
        }
    }

    /// The entity, where the event names one.
    #[must_use]
    pub fn entity(&self, entity: Entity) -> Option<&str> {
        match entity {
            Entity::CustomerId => Some(&self.customer_id),
            Entity::MerchantId => Some(&self.merchant_id),
            Entity::AccountId => self.account_id.as_deref(),
            Entity::CardId => self.card_id.as_deref(),
            Entity::DeviceId => self.device_id.as_deref(),
            Entity::Ip => self.ip.as_deref(),
            Entity::TerminalId => self.terminal_id.as_deref(),
            Entity::BeneficiaryId => self.beneficiary_id.as_deref(),
        }
    }
}

/// A label as the features see it: only `fraud_disposition` counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRecord {
    pub event_id: EventId,
    pub label_assertion_id: LabelAssertionId,
    /// Visible to an event from its own time on, and not before.
    pub observed_time: Time,
    pub is_fraud: bool,
}

impl LabelRecord {
    /// `None` for a label of another type.
    #[must_use]
    pub fn of(assertion: &LabelAssertion) -> Option<LabelRecord> {
        (assertion.label_type == LabelType::FraudDisposition).then(|| LabelRecord {
            event_id: assertion.subject.event_id.clone(),
            label_assertion_id: assertion.label_assertion_id.clone(),
            observed_time: assertion.observed_time,
            is_fraud: assertion.value == "CONFIRMED_FRAUD",
        })
    }

    /// What a record of the labels' stream says of a payment, and of which run; `None` for a label of another
    /// type, and for what is none: the Label Store is who refuses it.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<(PlatformRunId, LabelRecord)> {
        let assertion: LabelAssertion = serde_json::from_slice(data).ok()?;
        let label = LabelRecord::of(&assertion)?;
        Some((assertion.subject.platform_run_id, label))
    }
}
