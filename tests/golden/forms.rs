//! A sample of every stored or sent form, in `tests/golden/<form>/`.
//!
//! Rule 12: a form is for ever, and these samples stand for what is already stored. When a form
//! changes, add `v2.json` beside `v1.json`; never edit a sample until the test is green. An
//! addition that keeps old samples loading adds a sample too.

use std::collections::BTreeSet;
use std::fs;

use fraudplat::contracts::action_intent::ActionIntent;
use fraudplat::contracts::action_outcome::ActionOutcome;
use fraudplat::contracts::archive_row::ArchiveRow;
use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::canonical;
use fraudplat::contracts::case_message::CaseMessage;
use fraudplat::contracts::case_trigger::CaseTrigger;
use fraudplat::contracts::chain_anchor::ChainAnchor;
use fraudplat::contracts::control::ControlMessage;
use fraudplat::contracts::decision::{DecisionBody, DecisionEvidence};
use fraudplat::contracts::envelope::{AdmittedEvent, Envelope};
use fraudplat::contracts::fact::Fact;
use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor, Traffic};
use fraudplat::contracts::problem::Problem;
use fraudplat::contracts::progress::RunProgress;
use fraudplat::contracts::ready::{Ready, RunFacts};
use fraudplat::contracts::receipt::Receipt;
use fraudplat::contracts::reconciliation::Reconciliation;
use fraudplat::contracts::schema;
use fraudplat::contracts::verdict::IngestAnswer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{folder, hex, segments, snapshots, unhex};

/// A record as bytes and as JSON.
type Rewritten = (Vec<u8>, Value);

/// How a form is read and written, with its type forgotten.
struct Form {
    name: &'static str,
    /// Reads JSON and writes it again.
    json: fn(Value) -> Result<Value, String>,
    /// Reads canonical CBOR and writes it again.
    cbor: fn(&[u8]) -> Result<Rewritten, String>,
    /// Objects that may hold keys of the sender's own choosing.
    free: &'static [&'static str],
}

fn form<T: Serialize + DeserializeOwned>(
    name: &'static str,
    free: &'static [&'static str],
) -> Form {
    Form {
        name,
        json: |value| {
            let read: T = serde_json::from_value(value).map_err(|cause| cause.to_string())?;
            Ok(serde_json::to_value(read).unwrap())
        },
        cbor: |bytes| {
            let read: T = canonical::from_bytes("sample", bytes).map_err(|it| it.to_string())?;
            let again = canonical::to_bytes(&read).map_err(|it| it.to_string())?;
            Ok((again, serde_json::to_value(read).unwrap()))
        },
        free,
    }
}

fn forms() -> Vec<Form> {
    vec![
        form::<RunFacts>("run_facts", &[]),
        form::<Ready>("ready", &[]),
        form::<ControlMessage>("control_message", &[]),
        form::<Envelope>("envelope", &["/payload", "/payload/attributes", "/pii"]),
        form::<ArrivalEvent>("arrival_event", &[]),
        form::<ArrivalEntities>("arrival_entities", &[]),
        form::<FlowAnchor>("flow_anchor", &[]),
        form::<Traffic>("traffic", &["/attributes"]),
        form::<IngestAnswer>("ingest_answer", &[]),
        form::<Receipt>("receipt", &[]),
        form::<AdmittedEvent>(
            "admitted_event",
            &["/envelope/payload", "/envelope/payload/attributes"],
        ),
        form::<ArchiveRow>(
            "archive_row",
            &[
                "/event/envelope/payload",
                "/event/envelope/payload/attributes",
            ],
        ),
        form::<DecisionBody>("decision_body", &["/features"]),
        form::<DecisionEvidence>("decision_evidence", &[]),
        form::<ChainAnchor>("chain_anchor", &[]),
        form::<Bundle>("bundle", &[]),
        form::<CaseTrigger>("case_trigger", &[]),
        form::<CaseMessage>("case_message", &[]),
        form::<ActionIntent>("action_intent", &[]),
        form::<ActionOutcome>("action_outcome", &[]),
        form::<LabelAssertion>("label_assertion", &[]),
        form::<Fact>("fact", &[]),
        form::<RunProgress>("progress", &[]),
        form::<Reconciliation>("reconciliation", &[]),
        form::<Problem>("problem", &[]),
    ]
}

/// One file of a form's folder.
struct Sample {
    at: String,
    text: String,
    is_cbor: bool,
}

fn samples(form: &Form) -> Vec<Sample> {
    let entries = fs::read_dir(folder().join(form.name))
        .unwrap_or_else(|cause| panic!("{} has no folder of samples: {cause}", form.name));
    let mut samples: Vec<Sample> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                name.starts_with('v'),
                "{name}: a sample is named by its version"
            );
            Sample {
                at: format!("{}/{name}", form.name),
                text: fs::read_to_string(&path).unwrap(),
                is_cbor: name.ends_with(".cbor.hex"),
            }
        })
        .collect();
    samples.sort_by(|a, b| a.at.cmp(&b.at));
    assert!(!samples.is_empty(), "{} has no sample", form.name);
    samples
}

/// The JSON of a sample, whatever it rests in.
fn json_of(form: &Form, sample: &Sample) -> Value {
    if sample.is_cbor {
        let (_, json) = (form.cbor)(&unhex(sample.text.trim())).unwrap();
        json
    } else {
        serde_json::from_str(&sample.text).unwrap()
    }
}

#[test]
fn every_sample_loads_and_is_written_alike() {
    for form in forms() {
        for sample in samples(&form) {
            if sample.is_cbor {
                let (again, _) = (form.cbor)(&unhex(sample.text.trim()))
                    .unwrap_or_else(|cause| panic!("{}: {cause}", sample.at));
                assert_eq!(hex(&again), sample.text.trim(), "{}", sample.at);
            }
            let json = json_of(&form, &sample);
            let again =
                (form.json)(json.clone()).unwrap_or_else(|cause| panic!("{}: {cause}", sample.at));
            assert_eq!(again, json, "{}", sample.at);
        }
    }
}

#[test]
fn every_form_has_samples_and_every_folder_a_form() {
    let tested: BTreeSet<String> = forms().iter().map(|it| it.name.to_owned()).collect();
    let declared: BTreeSet<String> = schema::forms()
        .iter()
        .map(|it| it.name.to_owned())
        .collect();
    let folders: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // Histories are whole runs; `rtdl::histories` reads them.
        .filter(|path| {
            path.is_dir() && !path.ends_with("__pycache__") && !path.ends_with("histories")
        })
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(tested, declared);
    // What is canonical bytes alone has samples, too, but no schema.
    let own = snapshots::FORMS.iter().chain(&segments::FORMS);
    let own = own.map(|it| (*it).to_owned());
    let tested: BTreeSet<String> = tested.into_iter().chain(own).collect();
    assert_eq!(tested, folders);
}

#[test]
fn an_unknown_field_is_refused_at_every_depth() {
    for form in forms() {
        for sample in samples(&form) {
            let json = json_of(&form, &sample);
            for place in objects(&json) {
                if form.free.contains(&place.as_str()) {
                    continue;
                }
                let mut widened = json.clone();
                let object = widened.pointer_mut(&place).and_then(Value::as_object_mut);
                object.unwrap().insert("unknown_field".to_owned(), 1.into());
                let read = (form.json)(widened);
                assert!(
                    read.is_err(),
                    "{}: `{place}` takes an unknown field",
                    sample.at
                );
            }
        }
    }
}

/// The JSON pointers of every object in a value.
fn objects(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Object(fields) => {
                let step = |key: &str| key.replace('~', "~0").replace('/', "~1");
                open.extend(
                    fields
                        .iter()
                        .map(|(key, it)| (format!("{at}/{}", step(key)), it)),
                );
                found.push(at);
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
    found
}

#[test]
fn every_sample_is_valid_by_its_schema() {
    for form in forms() {
        let declared = schema::forms();
        let declared = declared.iter().find(|it| it.name == form.name).unwrap();
        let schema = jsonschema::validator_for(declared.schema.as_value()).unwrap();
        for sample in samples(&form) {
            if let Err(cause) = schema.validate(&json_of(&form, &sample)) {
                panic!("{}: {cause} at `{}`", sample.at, cause.instance_path());
            }
        }
    }
}

/// What stands on the bus proves itself: the stored hashes are those of the stored envelope.
#[test]
fn the_samples_on_the_bus_hash_to_what_they_say() {
    let form = form::<AdmittedEvent>("admitted_event", &[]);
    for sample in samples(&form) {
        let event: AdmittedEvent = serde_json::from_str(&sample.text).unwrap();
        let hash = event.envelope.payload_hash().unwrap();
        assert_eq!(hash, event.payload_hash, "{}", sample.at);
        let said = event.envelope_hash;
        assert!(said.is_none_or(|it| it == event.proof()), "{}", sample.at);
    }
}

#[test]
fn a_record_with_a_tail_or_a_time_out_of_range_is_refused() {
    let form = form::<DecisionBody>("decision_body", &[]);
    for sample in samples(&form) {
        let mut bytes = unhex(sample.text.trim());
        bytes.push(0);
        assert!((form.cbor)(&bytes).is_err(), "{}", sample.at);
    }
    let read = |micros: i64| {
        let bytes = canonical::to_bytes(&micros).unwrap();
        canonical::from_bytes::<fraudplat::domain::time::Time>("time", &bytes)
    };
    assert!(read(0).is_ok() && read(i64::MAX).is_err() && read(i64::MIN).is_err());
}
