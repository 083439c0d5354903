//! The events of a shop's payments, made of its file and the mapping's rules, as any producer that
//! is not the streamer would send them.

use std::collections::HashMap;

use fraudplat::domain::ids::FlowId;
use serde_json::{Map, Value, json};

use crate::shop::{Payment, Shop};

pub(crate) fn key(event: &Value) -> String {
    format!("{} {}", event["event_class"], event["event_id"])
}

/// The four events of each payment, made here of the file and the mapping's rules.
pub(crate) fn events(shop: &Shop, payments: &[Payment]) -> Vec<Value> {
    let pins = &shop.pins;
    let mut seqs: HashMap<&str, i64> = HashMap::new();
    let mut events = Vec::new();
    for it in payments {
        let seq = seqs.entry(&it.merchant).or_insert(0);
        *seq += 1;
        for (class, payload) in payloads(it, *seq, &pins["manifest_fingerprint"]) {
            events.push(json!({
                "event_id": it.event_id, "event_class": class, "schema_version": 1,
                "ts_utc": it.time, "producer": "somebody else",
                "platform_run_id": pins["platform_run_id"],
                "scenario_run_id": pins["scenario_run_id"],
                "manifest_fingerprint": pins["manifest_fingerprint"],
                "payload": payload,
            }));
        }
    }
    events
}

fn payloads(it: &Payment, seq: i64, world: &Value) -> [(&'static str, Value); 4] {
    let world = world.as_str().unwrap().parse().unwrap();
    let flow_id = FlowId::of(&world, &it.merchant, seq).to_string();
    let place = json!({"merchant_id": it.merchant, "arrival_seq": seq});
    let card = format!("k{}", it.customer);
    let entities = json!({"customer_id": it.customer, "card_id": card});
    let mut here = json!({});
    for (name, value) in [("device_id", &it.device), ("terminal_id", &it.terminal)] {
        if !value.is_empty() {
            here[name] = json!(value);
        }
    }
    let arrival = json!({"kind": "payment", "mcc": it.mcc, "country": it.country});
    let payment = json!({
        "flow_id": flow_id, "merchant_id": it.merchant, "amount_minor": it.amount_minor,
        "currency": "EUR", "channel": it.channel,
    });
    [
        ("arrival_event", merged(&[&place, &arrival])),
        ("arrival_entities", merged(&[&place, &entities, &here])),
        (
            "flow_anchor",
            merged(&[&place, &json!({"flow_id": flow_id})]),
        ),
        ("traffic", merged(&[&payment, &entities, &here])),
    ]
}

fn merged(parts: &[&Value]) -> Value {
    let fields = parts.iter().flat_map(|it| it.as_object().unwrap());
    let fields = fields.map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Another order for another seed (Fisher and Yates, xorshift).
pub(crate) fn shuffle(events: &mut [Value], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for at in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).unwrap();
        events.swap(at, other);
    }
}
