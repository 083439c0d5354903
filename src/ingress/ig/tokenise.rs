//! Replaces card numbers by keyed tokens, before anything is hashed, logged or stored. Pure.
//!
//! A field that may hold one is every field but those known to hold something else: a field that
//! no schema knows will be quarantined, and the quarantine keeps no card number either.

use serde_json::{Map, Value};

use crate::contracts::envelope::Envelope;
use crate::domain::card::is_card_number;

/// Fields of the four payloads that hold something else, and may by chance look like a card.
const OTHER_FIELDS: [&str; 12] = [
    "merchant_id",
    "arrival_seq",
    "kind",
    "mcc",
    "country",
    "customer_id",
    "device_id",
    "ip",
    "terminal_id",
    "flow_id",
    "amount_minor",
    "currency",
];

/// Holds the key; it is never shown.
pub(super) struct Tokeniser {
    key: [u8; 32],
}

impl Tokeniser {
    pub(super) fn new(key: [u8; 32]) -> Tokeniser {
        Tokeniser { key }
    }

    /// Replaces every card number in place; says whether there was one.
    pub(super) fn envelope(&self, envelope: &mut Envelope) -> bool {
        let mut found = self.text(&mut envelope.event_class);
        found |= self.text(&mut envelope.producer);
        match &mut envelope.payload {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    let other = OTHER_FIELDS.contains(&name.as_str());
                    let nested = value.is_object() || value.is_array();
                    if nested || !other {
                        found |= self.value(value);
                    }
                }
                found |= self.keys(fields);
            }
            other => found |= self.value(other),
        }
        found
    }

    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) => {
                let mut digits = number.to_string();
                let found = self.text(&mut digits);
                if found {
                    *value = Value::String(digits);
                }
                found
            }
            Value::Array(items) => items
                .iter_mut()
                .fold(false, |found, item| self.value(item) | found),
            Value::Object(fields) => {
                let found = fields
                    .values_mut()
                    .fold(false, |found, value| self.value(value) | found);
                self.keys(fields) | found
            }
            Value::Null | Value::Bool(_) => false,
        }
    }

    fn keys(&self, fields: &mut Map<String, Value>) -> bool {
        if !fields.keys().any(|key| is_card_number(key)) {
            return false;
        }
        let renamed = std::mem::take(fields).into_iter().map(|(mut key, value)| {
            self.text(&mut key);
            (key, value)
        });
        *fields = renamed.collect();
        true
    }

    fn text(&self, text: &mut String) -> bool {
        let found = is_card_number(text);
        if found {
            *text = self.token(text);
        }
        found
    }

    /// `tok_` and 32 hex digits of a keyed hash of the digits alone: spacing makes no other token.
    fn token(&self, card: &str) -> String {
        let digits: Vec<u8> = card.bytes().filter(u8::is_ascii_digit).collect();
        let hash = blake3::keyed_hash(&self.key, &digits).to_hex();
        format!("tok_{}", &hash.as_str()[..32])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CARD: &str = "4111111111111111";

    fn envelope(payload: Value) -> Envelope {
        let hex = "0".repeat(64);
        serde_json::from_value(json!({
            "event_id": "s:1", "event_class": "traffic", "schema_version": 1,
            "ts_utc": "2025-01-01T00:00:00Z", "platform_run_id": format!("run_{hex}"),
            "scenario_run_id": format!("sr_{hex}"), "manifest_fingerprint": hex,
            "producer": "p", "payload": payload,
        }))
        .unwrap()
    }

    #[test]
    fn no_card_number_is_left_in_a_field_that_may_hold_one() {
        let tokeniser = Tokeniser::new([7; 32]);
        for payload in [
            json!({"card_id": CARD}),
            json!({"card_id": "4111-1111 1111 1111"}),
            json!({"card_id": 4_111_111_111_111_111_i64}),
            json!({"beneficiary_id": CARD, "account_id": CARD}),
            json!({"attributes": {"note": CARD, "number": 4_111_111_111_111_111_i64}}),
            json!({"attributes": {CARD: 1}}),
            json!({"unknown": [{"deep": CARD}]}),
            json!({"customer_id": [CARD]}),
            json!([CARD]),
            json!(CARD),
            json!({CARD: 1}),
        ] {
            let mut envelope = envelope(payload);
            assert!(tokeniser.envelope(&mut envelope), "{envelope:?}");
            let text = envelope.payload.to_string();
            assert!(!text.contains("4111") && text.contains("tok_"), "{text}");
        }
    }

    #[test]
    fn what_is_no_card_number_stays() {
        let payload = json!({"customer_id": CARD, "amount_minor": 4_111_111_111_111_111_i64, "card_id": "k1"});
        let mut envelope = envelope(payload.clone());
        assert!(!Tokeniser::new([7; 32]).envelope(&mut envelope));
        assert_eq!(envelope.payload, payload);
    }

    #[test]
    fn a_token_depends_on_key_and_digits_only() {
        let token = |key: u8, card: &str| Tokeniser::new([key; 32]).token(card);
        assert_eq!(token(7, CARD), token(7, "4111 1111 1111 1111"));
        assert_ne!(token(7, CARD), token(8, CARD));
        assert_eq!(token(7, CARD).len(), 36);
    }
}
