//! Events for the gate: traffic of about a kilobyte, ready to be sent before the clock runs.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::keys::Pins;
use crate::domain::time::Time;

/// Bodies of `per_request` events, one a line; `round` keeps their ids apart.
pub(crate) fn bodies(
    pins: &Pins,
    now: Time,
    round: usize,
    events: usize,
    per_request: usize,
) -> Vec<Bytes> {
    let numbers: Vec<usize> = (0..events).collect();
    let body = |numbers: &[usize]| {
        let lines = numbers
            .iter()
            .map(|n| event(pins, now, round, *n).to_string());
        Bytes::from(lines.collect::<Vec<_>>().join("\n"))
    };
    numbers.chunks(per_request.max(1)).map(body).collect()
}

fn event(pins: &Pins, now: Time, round: usize, n: usize) -> Value {
    let id = format!("bench:{round}-{n}");
    let (customer, terminal) = (n % 5_000, n % 500);
    json!({
        "event_id": id, "event_class": "traffic", "schema_version": 1, "ts_utc": now,
        "platform_run_id": pins.platform_run_id, "scenario_run_id": pins.scenario_run_id,
        "manifest_fingerprint": pins.manifest_fingerprint, "producer": "bench",
        "payload": {
            "flow_id": format!("flow-{id}"), "customer_id": format!("c{customer}"),
            "merchant_id": format!("m{terminal}"), "terminal_id": format!("t{terminal}"),
            "card_id": format!("k{customer}"), "amount_minor": 1_000 + n % 50_000,
            "currency": "EUR", "channel": "pos",
            "attributes": {"note": "x".repeat(250), "till": format!("till {terminal}"), "items": n % 40},
        },
    })
}
