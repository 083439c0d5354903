//! A world streamed three times, each time in another order: one admission and one decision an
//! event, and every later verdict is DUPLICATE with the first receipt. Another payload under a known
//! id is quarantined, a fact says so, and what was decided stays.

use std::collections::HashMap;

use fraudplat::domain::ids::FlowId;
use rustix::process::Signal;
use serde_json::{Map, Value, json};

use crate::events::{Port, decision_id, words};
use crate::home::{DONE, Home};
use crate::shop::{self, Payment, Shop};

const PAYMENTS: u64 = 1_000;
const EVENTS_PER_REQUEST: usize = 400;

#[test]
fn the_third_stream_of_a_world_changes_nothing() {
    let home = Home::new();
    let (all, port) = home.serve();
    // One more than is sent: the run stays open.
    let shop = shop::open(&home, PAYMENTS + 1);
    let limit = PAYMENTS.to_string();
    let sent = home.json(&["wsp", "stream", "--run", &shop.run, "--limit", &limit]);
    assert_eq!(sent["arrivals"], PAYMENTS, "{sent}");
    let payments = &shop.read()[..PAYMENTS as usize];
    port.until_decided(&shop.run, PAYMENTS);
    let before = decisions(&home, &shop);
    assert_eq!(before.len() as u64, PAYMENTS);

    let mut events = events(&home, &shop, payments);
    assert_eq!(events.len() as u64, 4 * PAYMENTS);
    shuffle(&mut events, 1);
    let receipts = repeat(&port, &events, &HashMap::new());
    let one = &events[0];
    let path = format!(
        "/v1/receipts/{}/{}/{}",
        shop.run,
        one["event_class"].as_str().unwrap(),
        one["event_id"].as_str().unwrap()
    );
    assert_eq!(port.get(&path).body, receipts[&key(one)]);
    // Another process remembers, too.
    all.stop(Signal::TERM).expect(DONE);
    let (all, port) = home.serve();
    shuffle(&mut events, 2);
    assert_eq!(repeat(&port, &events, &receipts), receipts);

    changed_payloads(&home, &port, &shop, &events, &receipts);
    assert_eq!(decisions(&home, &shop), before);
    shop::check_balanced(&home, &shop.run);
    all.stop(Signal::TERM).expect(DONE);
    assert_eq!(decisions(&home, &shop), before);
    shop::check_balanced(&home, &shop.run);
}

/// Sends known events: each is a duplicate with its first receipt, where that is known.
fn repeat(port: &Port, events: &[Value], known: &HashMap<String, Value>) -> HashMap<String, Value> {
    let mut receipts = HashMap::new();
    for request in events.chunks(EVENTS_PER_REQUEST) {
        for (event, verdict) in request.iter().zip(port.send(request)) {
            assert_eq!(words(&verdict), "DUPLICATE", "{event} {verdict}");
            let receipt = verdict["receipt"].clone();
            assert_eq!(receipt["result"], "ADMITTED", "{verdict}");
            assert_eq!(receipt["event_id"], event["event_id"]);
            if let Some(first) = known.get(&key(event)) {
                assert_eq!(&receipt, first);
            }
            receipts.insert(key(event), receipt);
        }
    }
    receipts
}

/// Another payload under a known id: later, and twice in one request.
fn changed_payloads(
    home: &Home,
    port: &Port,
    shop: &Shop,
    events: &[Value],
    receipts: &HashMap<String, Value>,
) {
    let is_traffic = |it: &&Value| it["event_class"] == "traffic";
    let known = events.iter().find(is_traffic).unwrap();
    let mut changed = known.clone();
    let amount = known["payload"]["amount_minor"].as_i64().unwrap();
    changed["payload"]["amount_minor"] = json!(amount + 1);
    let mut again = known.clone();
    again["payload"]["amount_minor"] = json!(amount + 2);
    let verdicts = port.send(&[changed, known.clone(), again]);
    let found: Vec<String> = verdicts.iter().map(words).collect();
    let mismatch = "QUARANTINED PAYLOAD_HASH_MISMATCH";
    assert_eq!(found, [mismatch, "DUPLICATE", mismatch], "{verdicts:?}");
    assert_eq!(verdicts[1]["receipt"], receipts[&key(known)]);

    let facts = home.json(&[
        "gov",
        "facts",
        "--run",
        &shop.run,
        "--type",
        "PAYLOAD_HASH_MISMATCH",
    ]);
    let facts = facts.as_array().unwrap();
    let id = known["event_id"].as_str().unwrap();
    let named = facts
        .iter()
        .filter(|it| it["natural_key"].to_string().contains(id));
    assert_eq!(named.count(), 2, "{facts:?}");
    assert_eq!(facts.len(), 2, "{facts:?}");
    let listed = home.json(&["ig", "quarantine", "list", "--run", &shop.run]);
    let codes: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["code"])
        .collect();
    assert_eq!(codes, ["PAYLOAD_HASH_MISMATCH"; 2], "{listed}");
    let decided = port.get(&format!("/v1/decisions/{}", decision_id(&shop.run, id)));
    let hash = &decided.body["evidence"]["inputs"]["traffic"]["payload_hash"];
    assert_eq!(*hash, receipts[&key(known)]["payload_hash"], "{decided:?}");
}

/// The decisions in order of the chain: all that the list says of them.
fn decisions(home: &Home, shop: &Shop) -> Vec<Value> {
    let listed = home.json(&["dla", "list", "--run", &shop.run, "--limit", "1000000"]);
    listed.as_array().unwrap().clone()
}

fn key(event: &Value) -> String {
    format!("{} {}", event["event_class"], event["event_id"])
}

/// The four events of each payment, made here of the file and the mapping's rules.
fn events(home: &Home, shop: &Shop, payments: &[Payment]) -> Vec<Value> {
    let shown = home.json(&[
        "sr",
        "run",
        "--dataset",
        shop.csv.to_str().unwrap(),
        "--mapping",
        shop.mapping.to_str().unwrap(),
    ]);
    assert_eq!(shown["platform_run_id"], shop.run.as_str());
    let mut seqs: HashMap<&str, i64> = HashMap::new();
    let mut events = Vec::new();
    for it in payments {
        let seq = seqs.entry(&it.merchant).or_insert(0);
        *seq += 1;
        for (class, payload) in payloads(it, *seq, &shown["manifest_fingerprint"]) {
            events.push(json!({
                "event_id": it.event_id, "event_class": class, "schema_version": 1,
                "ts_utc": it.time, "producer": "somebody else",
                "platform_run_id": shown["platform_run_id"],
                "scenario_run_id": shown["scenario_run_id"],
                "manifest_fingerprint": shown["manifest_fingerprint"],
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
fn shuffle(events: &mut [Value], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for at in (1..events.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (at as u64 + 1)).unwrap();
        events.swap(at, other);
    }
}
