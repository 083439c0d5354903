//! A world streamed three times, each time in another order: one admission and one decision an
//! event, and every later verdict is DUPLICATE with the first receipt. Another payload under a known
//! id is quarantined, a fact says so, and what was decided stays.

use std::collections::HashMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Port, decision_id, words};
use crate::home::{DONE, Home};
use crate::payments::{events, key, shuffle};
use crate::shop::{self, Shop};

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

    let mut events = events(&shop, payments);
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
    let codes: Vec<&Value> = listed["results"]
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
