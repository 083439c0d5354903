//! Properties that hold for every value: canonical bytes, orders, and texts that read back.

use fraudplat::contracts::canonical;
use fraudplat::domain::canonical::Canon;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{
    CaseId, DecisionId, EventId, ManifestFingerprint, PlatformRunId, ScenarioRunId,
};
use fraudplat::domain::offset::{Position, SequenceNumber};
use fraudplat::domain::time::Time;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// JSON as an event may hold it: no float, any nesting, any text.
fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-300_i64..300).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-zé😀]{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let field = ("[a-z0-9é]{0,30}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..30).prop_map(Value::from),
            prop::collection::vec(field, 0..30)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn canon(value: &Value) -> Vec<u8> {
    let mut canon = Canon::new();
    canon.json(value).expect("the strategy makes no float");
    canon.into_bytes()
}

/// The same value in ciborium's terms, its maps in the given order.
fn in_ciborium(value: &Value, is_reversed: bool) -> ciborium::Value {
    match value {
        Value::Object(fields) => {
            let convert = |(key, it): (&String, &Value)| {
                (
                    ciborium::Value::from(key.clone()),
                    in_ciborium(it, is_reversed),
                )
            };
            let mut entries: Vec<_> = fields.iter().map(convert).collect();
            if is_reversed {
                entries.reverse();
            }
            ciborium::Value::Map(entries)
        }
        Value::Array(items) => items
            .iter()
            .map(|it| in_ciborium(it, is_reversed))
            .collect::<Vec<_>>()
            .into(),
        scalar => ciborium::Value::serialized(scalar).expect("a scalar has a CBOR form"),
    }
}

/// Whether the keys of every map ascend by their encoding.
fn is_sorted(value: &ciborium::Value) -> bool {
    match value {
        ciborium::Value::Map(entries) => {
            let keys = entries.iter().map(|(key, _)| {
                let mut bytes = Vec::new();
                ciborium::into_writer(key, &mut bytes).expect("memory takes every write");
                bytes
            });
            let keys: Vec<_> = keys.collect();
            keys.is_sorted_by(|a, b| a < b) && entries.iter().all(|(_, it)| is_sorted(it))
        }
        ciborium::Value::Array(items) => items.iter().all(is_sorted),
        _ => true,
    }
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn sequence_number() -> impl Strategy<Value = SequenceNumber> {
    prop_oneof!["0", "[1-9][0-9]{0,3}", "[1-9][0-9]{0,127}"]
        .prop_map(|text| text.parse().expect("the pattern is the form"))
}

/// Numbers as people compare them: digit by digit from the right end.
fn numeric_order(a: &SequenceNumber, b: &SequenceNumber) -> std::cmp::Ordering {
    let padded = |number: &SequenceNumber| format!("{:0>128}", number.as_str());
    padded(a).cmp(&padded(b))
}

proptest! {
    #[test]
    fn canonical_bytes_decode_to_the_same_value(value in payload()) {
        let bytes = canon(&value);
        let decoded: Value = ciborium::from_reader(&bytes[..]).unwrap();
        prop_assert_eq!(&decoded, &value);
        // A second encoding finds nothing to change.
        prop_assert_eq!(canon(&decoded), bytes);
    }

    #[test]
    fn canonical_bytes_are_the_shortest_and_sorted(value in payload()) {
        let bytes = canon(&value);
        let decoded: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
        prop_assert!(is_sorted(&decoded));
        // ciborium keeps the order and writes shortest forms, so it must write the same bytes.
        let mut again = Vec::new();
        ciborium::into_writer(&decoded, &mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn the_order_of_insertion_does_not_matter(value in payload()) {
        let forwards = canonical::to_bytes(&in_ciborium(&value, false)).unwrap();
        let backwards = canonical::to_bytes(&in_ciborium(&value, true)).unwrap();
        prop_assert_eq!(&forwards, &backwards);
        // Both writers of canonical bytes agree.
        prop_assert_eq!(forwards, canon(&value));
    }

    #[test]
    fn different_payloads_have_different_bytes(a in payload(), b in payload()) {
        prop_assert_eq!(a == b, canon(&a) == canon(&b));
    }

    #[test]
    fn a_float_keeps_its_value(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let written = canonical::to_bytes(&value);
        prop_assert_eq!(written.is_ok(), value.is_finite());
        if let Ok(bytes) = written {
            let back: f64 = canonical::from_bytes("float", &bytes).unwrap();
            // Equal bits, except that minus zero became zero.
            prop_assert_eq!(back.to_bits(), if value == 0.0 { 0 } else { bits });
        }
    }

    #[test]
    fn a_float_of_fewer_bits_takes_fewer_bytes(value in any::<f32>()) {
        if value.is_finite() {
            let bytes = canonical::to_bytes(&f64::from(value)).unwrap();
            prop_assert!(bytes.len() <= 5);
        }
    }

    #[test]
    fn sequence_numbers_order_as_numbers(a in sequence_number(), b in sequence_number()) {
        prop_assert_eq!(a.cmp(&b), numeric_order(&a, &b));
        prop_assert_eq!(a == b, a.as_str() == b.as_str());
    }

    #[test]
    fn sequence_numbers_of_64_bits_order_as_integers(a in any::<u64>(), b in any::<u64>()) {
        let (left, right) = (SequenceNumber::from_u64(a), SequenceNumber::from_u64(b));
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert_eq!(Position::After(right).covers(&left), a <= b);
    }

    #[test]
    fn a_time_reads_back(micros in -62_167_219_200_000_000_i64..=253_402_207_200_999_999) {
        // The years 0000 to 9999, as far as RFC 3339 goes.
        let time = Time::from_micros(micros);
        prop_assert_eq!(time.to_string().parse(), Ok(time));
        prop_assert_eq!(time.to_string().len(), 27);
        let json = serde_json::to_string(&time).unwrap();
        prop_assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        let bytes = canonical::to_bytes(&time).unwrap();
        prop_assert_eq!(&bytes, &canonical::to_bytes(&micros).unwrap());
        prop_assert_eq!(canonical::from_bytes::<Time>("time", &bytes).unwrap(), time);
    }

    #[test]
    fn times_order_as_their_texts(a in 0_i64..253_402_207_200_999_999, b in 0_i64..253_402_207_200_999_999) {
        let (a, b) = (Time::from_micros(a), Time::from_micros(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.start_of_day().date(), a.date());
    }

    #[test]
    fn a_text_is_a_time_as_it_stands_or_refused(
        text in "[0-9]{4}-(0[1-9]|1[0-3])-[0-3][0-9]T[0-2][0-9]:?[0-6][0-9](:?[0-6][0-9])?([.,][0-9]{0,7})?[Zz]",
    ) {
        if let Ok(time) = text.parse::<Time>() {
            let (moment, zone) = text.split_at(text.len() - 1);
            prop_assert_eq!(zone, "Z");
            prop_assert!(time.to_string().starts_with(moment), "{} became {}", text, time);
        }
    }

    #[test]
    fn ids_read_back_and_keep_apart(bytes in digest()) {
        let run = PlatformRunId::from_digest(bytes);
        prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
        prop_assert_eq!(run.to_string().parse(), Ok(run));
        prop_assert_eq!(DecisionId::from_digest(bytes).to_string().parse(), Ok(DecisionId::from_digest(bytes)));
        prop_assert_eq!(CaseId::from_digest(bytes).to_string().parse(), Ok(CaseId::from_digest(bytes)));
        prop_assert_eq!(bytes.to_string().parse(), Ok(ManifestFingerprint::from_digest(bytes)));
        prop_assert!(run.to_string().parse::<ScenarioRunId>().is_err());
        prop_assert!(run.to_string().parse::<ManifestFingerprint>().is_err());
        prop_assert!(run.to_string().to_uppercase().parse::<PlatformRunId>().is_err());
        let json = serde_json::to_string(&run).unwrap();
        prop_assert_eq!(serde_json::from_str::<PlatformRunId>(&json).unwrap(), run);
    }

    #[test]
    fn an_event_id_is_taken_as_it_is_or_refused(text in any::<String>(), legal in "[!-~]{1,128}") {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|it| (b'!'..=b'~').contains(&it));
        prop_assert_eq!(text.parse::<EventId>().map(|it| it.to_string()).ok(), fits.then_some(text));
        let id: EventId = legal.parse().unwrap();
        prop_assert_eq!(id.as_str(), legal);
    }

    #[test]
    fn what_is_no_sequence_number_is_refused(text in "[0-9a-f-]{0,6}") {
        let is_number = text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        prop_assert_eq!(text.parse::<SequenceNumber>().is_ok(), is_number);
    }
}
