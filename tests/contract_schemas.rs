//! The committed contracts: the JSON Schemas and their index are those of the types, they are
//! strict, and they refuse what the types refuse.
//!
//! After a change of a type: `UPDATE_DOCS=1 cargo test --test contract_schemas`, then read the
//! difference as a producer would.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fraudplat::contracts::canonical;
use fraudplat::contracts::decision::{DecisionBody, DecisionEvidence};
use fraudplat::contracts::envelope::Envelope;
use fraudplat::contracts::payload::{AMOUNT_MINOR_MAX, Traffic};
use fraudplat::contracts::schema;
use fraudplat::domain::vocabulary::EventClass;
use serde_json::{Value, json};

const REGENERATE: &str = "UPDATE_DOCS=1 cargo test --test contract_schemas";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `docs/contracts` must hold beside the pages written by hand.
fn generated() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut index = String::from(
        "# Contracts\n\n\
         The shapes that cross a wire or rest in a store, as JSON Schemas (2020-12). They are generated from the types in `src/contracts`;\n\
         `tests/golden/<form>/` has samples of each. [identities.md](identities.md) defines every id and hash.\n\n\
         | form | what it is |\n|---|---|\n",
    );
    for form in schema::forms() {
        let mut text = serde_json::to_string_pretty(&form.schema).unwrap();
        text.push('\n');
        let name = form.name;
        writeln!(index, "| [{name}]({name}.json) | {} |", form.what).unwrap();
        files.insert(format!("{name}.json"), text);
    }
    index.push_str(&format!(
        "\nA form never changes under its name and version: an addition keeps every old sample loading, anything else is a new `schema_version`.\n\
         Unknown fields are refused. Numbers are integers of 64 bits. After a change of a type: `{REGENERATE}`.\n"
    ));
    files.insert("README.md".to_owned(), index);
    files
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let folder = root().join("docs/contracts");
    let updates = std::env::vars_os().any(|(name, _)| name == "UPDATE_DOCS");
    let generated = generated();
    let mut faults = Vec::new();
    for (name, text) in &generated {
        let path = folder.join(name);
        if updates {
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            faults.push(format!("docs/contracts/{name} is not what the types say"));
        }
    }
    for name in names_in(&folder) {
        if !generated.contains_key(&name) && name != "identities.md" {
            faults.push(format!("docs/contracts/{name} belongs to no form"));
        }
    }
    assert!(faults.is_empty(), "{}\nrun {REGENERATE}", faults.join("\n"));
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Every object is closed or says what its keys lead to, every integer has bounds.
#[test]
fn every_schema_is_strict() {
    for form in schema::forms() {
        let mut open = vec![(form.name.to_owned(), form.schema.as_value())];
        while let Some((at, value)) = open.pop() {
            if value.get("properties").is_some_and(Value::is_object) && value.get("type").is_some()
            {
                let closed = value.get("additionalProperties") == Some(&Value::Bool(false));
                assert!(closed, "{at} takes unknown fields");
            }
            let integers = [json!("integer"), json!(["integer", "null"])];
            if value.get("type").is_some_and(|it| integers.contains(it)) {
                let bounds = ["minimum", "maximum"].map(|it| value.get(it).and_then(Value::as_i64));
                assert!(!bounds.contains(&None), "{at} has no bounds: {value}");
            }
            match value {
                Value::Object(fields) => {
                    open.extend(fields.iter().map(|(key, it)| (format!("{at}/{key}"), it)));
                }
                Value::Array(items) => {
                    open.extend(
                        items
                            .iter()
                            .enumerate()
                            .map(|(n, it)| (format!("{at}/{n}"), it)),
                    );
                }
                _ => {}
            }
        }
    }
}

/// A golden sample as JSON.
fn sample(form: &str) -> Value {
    let folder = root().join("tests/golden").join(form);
    let stored = || {
        let text = fs::read_to_string(folder.join("v1.cbor.hex")).unwrap();
        let digits: Vec<u32> = text
            .trim()
            .chars()
            .map(|it| it.to_digit(16).unwrap())
            .collect();
        let pairs = digits.chunks(2);
        pairs
            .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap())
            .collect::<Vec<u8>>()
    };
    match form {
        "decision_body" => {
            let body: DecisionBody = canonical::from_bytes("body", &stored()).unwrap();
            serde_json::to_value(body).unwrap()
        }
        "decision_evidence" => {
            let evidence: DecisionEvidence = canonical::from_bytes("evidence", &stored()).unwrap();
            serde_json::to_value(evidence).unwrap()
        }
        _ => serde_json::from_str(&fs::read_to_string(folder.join("v1.json")).unwrap()).unwrap(),
    }
}

fn validator(form: &str) -> jsonschema::Validator {
    let forms = schema::forms();
    let form = forms.iter().find(|it| it.name == form).unwrap();
    jsonschema::validator_for(form.schema.as_value()).unwrap()
}

/// A sample with the value at `place` replaced, or removed by `None`.
fn altered(form: &str, place: &str, value: Option<Value>) -> Value {
    let mut altered = sample(form);
    let (parent, key) = place.rsplit_once('/').unwrap();
    let fields = altered.pointer_mut(parent).and_then(Value::as_object_mut);
    let fields = fields.unwrap_or_else(|| panic!("{form} has no {parent}"));
    match value {
        Some(value) => {
            fields.insert(key.to_owned(), value);
        }
        None => {
            let removed = fields.remove(key);
            assert!(removed.is_some(), "{form} has no {place}");
        }
    }
    altered
}

#[track_caller]
fn refused(form: &str, place: &str, value: Option<Value>) {
    let altered = altered(form, place, value);
    let is_valid = validator(form).is_valid(&altered);
    assert!(!is_valid, "{form}: {place} passes as {altered}");
}

#[track_caller]
fn accepted(form: &str, place: &str, value: Option<Value>) {
    let altered = altered(form, place, value);
    if let Err(cause) = validator(form).validate(&altered) {
        panic!("{form}: {cause} at {}", cause.instance_path());
    }
}

/// Replaces one value at a time in a good sample.
#[test]
fn a_payload_that_is_not_the_form_is_refused() {
    let long = "x".repeat(129);
    let too_many: BTreeMap<String, i64> = (0..65).map(|n| (format!("k{n}"), n)).collect();
    for (place, value) in [
        // The wrong type.
        ("/amount_minor", json!("5716")),
        ("/amount_minor", json!(true)),
        ("/customer_id", json!(596)),
        ("/attributes", json!([])),
        ("/attributes/nested", json!({"a": 1})),
        ("/attributes/list", json!([1])),
        // A float, and an integer beyond its bounds.
        ("/amount_minor", json!(57.16)),
        ("/attributes/score", json!(0.5)),
        ("/amount_minor", json!(-1)),
        ("/amount_minor", json!(AMOUNT_MINOR_MAX + 1)),
        ("/attributes/n", json!(u64::MAX)),
        // Absence is absence, not null.
        ("/card_id", json!(null)),
        ("/amount_minor", json!(null)),
        ("/attributes", json!(null)),
        ("/attributes/k", json!(null)),
        // Too short, too long, too many.
        ("/customer_id", json!("")),
        ("/customer_id", json!(long)),
        ("/ip", json!("1".repeat(46))),
        ("/attributes/k", json!("x".repeat(257))),
        ("/attributes", json!(too_many)),
        // A bad pattern, an unknown word, an unknown field.
        ("/currency", json!("eur")),
        ("/currency", json!("EURO")),
        ("/currency", json!("EUR\n")),
        ("/channel", json!("POS")),
        ("/attributes/Upper", json!(1)),
        ("/attributes/", json!(1)),
        ("/unknown_field", json!(1)),
    ] {
        refused("traffic", place, Some(value));
    }
    for place in [
        "/flow_id",
        "/customer_id",
        "/merchant_id",
        "/amount_minor",
        "/currency",
        "/channel",
    ] {
        refused("traffic", place, None);
    }
    for (form, place, value) in [
        ("arrival_event", "/arrival_seq", json!(0)),
        ("arrival_event", "/arrival_seq", json!(u64::MAX)),
        ("arrival_event", "/arrival_seq", json!(1.5)),
        ("arrival_event", "/kind", json!("refund")),
        ("arrival_event", "/mcc", json!("54a1")),
        ("arrival_event", "/mcc", json!("٥٤١١")),
        ("arrival_event", "/country", json!("che")),
        ("arrival_event", "/country", json!(null)),
        ("arrival_entities", "/arrival_seq", json!("1")),
        ("arrival_entities", "/ip", json!("")),
        ("arrival_entities", "/device_id", json!(null)),
        ("flow_anchor", "/flow_id", json!("")),
        ("flow_anchor", "/arrival_seq", json!(-1)),
    ] {
        refused(form, place, Some(value));
    }
}

#[test]
fn the_bounds_themselves_are_legal() {
    for value in [json!(0), json!(AMOUNT_MINOR_MAX)] {
        accepted("traffic", "/amount_minor", Some(value));
    }
    for value in [json!(i64::MIN), json!(i64::MAX), json!("x".repeat(256))] {
        accepted("traffic", "/attributes/k", Some(value));
    }
    accepted("traffic", "/card_id", None);
    accepted("traffic", "/attributes", None);
    accepted("arrival_event", "/arrival_seq", Some(json!(i64::MAX)));
    accepted("envelope", "/schema_version", Some(json!(i64::MIN)));
}

#[test]
fn another_form_is_refused_too() {
    for (form, place, value) in [
        ("envelope", "/event_id", json!("with space")),
        ("envelope", "/event_id", json!("x".repeat(129))),
        ("envelope", "/event_class", json!("")),
        ("envelope", "/ts_utc", json!("2018-04-01 00:00:31Z")),
        ("envelope", "/ts_utc", json!("2018-04-01T00:00:31.0000001Z")),
        ("envelope", "/ts_utc", json!("2018-04-01T00:00:60Z")),
        ("envelope", "/ts_utc", json!(1_522_540_831)),
        (
            "envelope",
            "/platform_run_id",
            json!(format!("run_{}", "A".repeat(64))),
        ),
        ("envelope", "/schema_version", json!(u64::MAX)),
        ("receipt", "/eb_ref/sequence_number", json!("017")),
        ("receipt", "/eb_ref/stream", json!("traffic")),
        ("receipt", "/stamps/unknown_field", json!(1)),
        ("label_assertion", "/label_type", json!("fraud")),
        ("decision_body", "/outcome", json!("ALLOW")),
        ("decision_body", "/features/list", json!([1])),
        ("decision_body", "/inputs/label", json!("0".repeat(64))),
        ("decision_evidence", "/engine_rev", json!(1.5)),
        ("problem", "/status", json!(70_000)),
        ("problem", "/code", json!("NO_SUCH_CODE")),
    ] {
        refused(form, place, Some(value));
    }
    for (form, place) in [
        ("envelope", "/payload"),
        ("receipt", "/payload_hash"),
        ("decision_body", "/bundle_digest"),
        ("decision_evidence", "/stamps"),
        ("fact", "/actor"),
        ("ready", "/tips"),
    ] {
        refused(form, place, None);
    }
}

/// JSON Schema counts 1.0 among the integers, so the canonical form must refuse it: a gate that
/// trusted the schema alone would admit a float.
#[test]
fn a_whole_float_is_refused_by_the_canonical_form() {
    let altered = altered("traffic", "/amount_minor", Some(json!(5716.0)));
    assert!(validator("traffic").is_valid(&altered));
    assert!(serde_json::from_value::<Traffic>(altered.clone()).is_err());
    let mut envelope: Envelope = serde_json::from_value(sample("envelope")).unwrap();
    envelope.payload = altered;
    assert!(envelope.payload_hash().is_err());
}

#[test]
fn every_class_has_the_schema_of_its_payload() {
    for class in EventClass::ALL {
        let schema = schema::payload(*class);
        let schema = jsonschema::validator_for(schema.as_value()).unwrap();
        for other in EventClass::ALL {
            let is_own = schema.is_valid(&sample(other.as_str()));
            assert_eq!(is_own, class == other, "{class} {other}");
        }
    }
}
