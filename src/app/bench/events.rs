//! Events for the gate: traffic of about a kilobyte. Every body is the same text with other numbers in it,
//! so that making one costs the generator next to nothing.

use bytes::Bytes;
use serde_json::json;

use crate::domain::keys::Pins;
use crate::domain::time::Time;

/// What stands in the text where the event's number comes; one of 5,000 customers; one of 500 terminals.
const MARKS: [(u8, u64); 3] = [(b'@', u64::MAX), (b'~', 5_000), (b'^', 500)];

/// A body of some events, one a line.
pub(crate) struct Template {
    text: Vec<u8>,
    digits: Vec<Digits>,
    pub(crate) events: u64,
}

/// Where digits of an event's number stand.
struct Digits {
    /// Which event of the body.
    nth: u64,
    start: usize,
    end: usize,
    modulus: u64,
}

impl Template {
    /// `series` keeps the ids of two templates of one run apart.
    pub(crate) fn new(pins: &Pins, now: Time, series: &str, events: u64) -> Template {
        let (mut text, mut digits) = (Vec::new(), Vec::new());
        for nth in 0..events {
            let start = text.len();
            text.extend_from_slice(event(pins, now, series).as_bytes());
            text.push(b'\n');
            digits.extend(marked(&text, start, nth));
        }
        Template {
            text,
            digits,
            events,
        }
    }

    /// The body whose first event has this number, counted in bodies.
    pub(crate) fn body(&self, nth: u64) -> Bytes {
        let mut text = self.text.clone();
        for place in &self.digits {
            let mut number = (nth * self.events + place.nth) % place.modulus;
            for digit in text[place.start..place.end].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        text.into()
    }
}

/// The runs of marks from `start` on.
fn marked(text: &[u8], start: usize, nth: u64) -> Vec<Digits> {
    let mut found = Vec::new();
    for (mark, modulus) in MARKS {
        let mut at = start;
        while let Some(offset) = text[at..].iter().position(|it| *it == mark) {
            let start = at + offset;
            let length = text[start..].iter().take_while(|it| **it == mark).count();
            at = start + length;
            found.push(Digits {
                nth,
                start,
                end: at,
                modulus,
            });
        }
    }
    found
}

fn event(pins: &Pins, now: Time, series: &str) -> String {
    let id = format!("bench:{series}-@@@@@@@@@@");
    let event = json!({
        "event_id": id, "event_class": "traffic", "schema_version": 1, "ts_utc": now,
        "platform_run_id": pins.platform_run_id, "scenario_run_id": pins.scenario_run_id,
        "manifest_fingerprint": pins.manifest_fingerprint, "producer": "bench",
        "payload": {
            "flow_id": format!("flow-{id}"), "customer_id": "c~~~~",
            "merchant_id": "m^^^", "terminal_id": "t^^^",
            "card_id": "k~~~~", "amount_minor": 5_716,
            "currency": "EUR", "channel": "pos",
            "attributes": {"note": "x".repeat(250), "till": "till ^^^", "items": 7},
        },
    });
    event.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};

    #[test]
    fn no_two_events_of_a_series_have_one_id() {
        let world = ManifestFingerprint::of_live(None, "bench");
        let pins = Pins {
            platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b""), None, ""),
            scenario_run_id: ScenarioRunId::of(&world, "bench"),
            manifest_fingerprint: world,
            tenant_id: None,
        };
        let template = Template::new(&pins, Time::default(), "a", 3);
        let mut found = Vec::new();
        for nth in [0, 1, 1_700] {
            let body = template.body(nth);
            for line in std::str::from_utf8(&body).unwrap().lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
                let payload = &event["payload"];
                found.push([
                    text(&event["event_id"]),
                    text(&payload["customer_id"]),
                    text(&payload["merchant_id"]),
                ]);
            }
        }
        let of = |n: u64| {
            let id = format!("bench:a-{n:010}");
            [id, format!("c{:04}", n % 5_000), format!("m{:03}", n % 500)]
        };
        let expect = [0, 1, 2, 3, 4, 5, 5_100, 5_101, 5_102].map(of);
        assert_eq!(found, expect);
    }
}
