//! The events of an arrival: a payment is four, a link is two, contexts before traffic.

use serde::Serialize;
use serde_json::Value;

use crate::contracts::envelope::Envelope;
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor, Traffic};
use crate::contracts::world::{Arrival, Payment};
use crate::domain::ids::FlowId;
use crate::domain::keys::Pins;
use crate::domain::vocabulary::EventClass;

/// The events of an arrival in the order in which they are sent: arrival_event, arrival_entities,
/// and for a payment flow_anchor and traffic.
#[must_use]
pub fn events_of(arrival: &Arrival, pins: &Pins, producer: &str) -> Vec<(EventClass, Envelope)> {
    let envelope = |class: EventClass, payload: Value| {
        let envelope = Envelope {
            event_id: arrival.event_id.clone(),
            event_class: class.as_str().to_owned(),
            schema_version: class.schema_version(),
            ts_utc: arrival.ts_utc,
            platform_run_id: pins.platform_run_id,
            scenario_run_id: pins.scenario_run_id,
            manifest_fingerprint: pins.manifest_fingerprint,
            tenant_id: pins.tenant_id.clone(),
            producer: producer.to_owned(),
            payload,
            pii: None,
        };
        (class, envelope)
    };
    let mut events = vec![
        envelope(EventClass::ArrivalEvent, value(&arrival_event(arrival))),
        envelope(
            EventClass::ArrivalEntities,
            value(&arrival_entities(arrival)),
        ),
    ];
    if let Some(payment) = &arrival.payment {
        let (merchant_id, arrival_seq) = (&arrival.merchant_id, arrival.arrival_seq);
        let flow_id = FlowId::of(&pins.manifest_fingerprint, merchant_id, arrival_seq).to_string();
        let anchor = FlowAnchor {
            flow_id: flow_id.clone(),
            merchant_id: merchant_id.clone(),
            arrival_seq,
        };
        events.push(envelope(EventClass::FlowAnchor, value(&anchor)));
        events.push(envelope(
            EventClass::Traffic,
            value(&traffic(arrival, payment, flow_id)),
        ));
    }
    events
}

fn value(payload: &impl Serialize) -> Value {
    serde_json::to_value(payload)
        .expect("a payload is a struct of texts, integers and a map with text keys")
}

fn arrival_event(arrival: &Arrival) -> ArrivalEvent {
    ArrivalEvent {
        merchant_id: arrival.merchant_id.clone(),
        arrival_seq: arrival.arrival_seq,
        kind: arrival.kind,
        mcc: arrival.mcc.clone(),
        country: arrival.country.clone(),
    }
}

fn arrival_entities(arrival: &Arrival) -> ArrivalEntities {
    let entities = arrival.entities.clone();
    ArrivalEntities {
        merchant_id: arrival.merchant_id.clone(),
        arrival_seq: arrival.arrival_seq,
        customer_id: entities.customer_id,
        account_id: entities.account_id,
        card_id: entities.card_id,
        device_id: entities.device_id,
        ip: entities.ip,
        terminal_id: entities.terminal_id,
        beneficiary_id: entities.beneficiary_id,
    }
}

fn traffic(arrival: &Arrival, payment: &Payment, flow_id: String) -> Traffic {
    let entities = arrival.entities.clone();
    let attributes = Some(payment.attributes.clone()).filter(|it| !it.is_empty());
    Traffic {
        flow_id,
        // Every payment of a world has one; without, the gate says so.
        customer_id: entities.customer_id.unwrap_or_default(),
        merchant_id: arrival.merchant_id.clone(),
        account_id: entities.account_id,
        card_id: entities.card_id,
        device_id: entities.device_id,
        ip: entities.ip,
        terminal_id: entities.terminal_id,
        beneficiary_id: entities.beneficiary_id,
        amount_minor: payment.amount_minor,
        currency: payment.currency.clone(),
        channel: payment.channel,
        attributes,
    }
}
