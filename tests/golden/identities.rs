//! The platform's identities against `identities.json`, whose values an independent program
//! computed from the same inputs. A vector is never edited: a changed one is a changed history.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::decision::{ChainLink, record_hash};
use fraudplat::contracts::envelope::{Around, envelope_hash, payload_hash};
use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::domain::canonical::Canon;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{
    ActionIntentId, CaseId, CaseTimelineEventId, CaseTriggerId, DecisionId, EventId, FactId,
    FlowId, LabelAssertionId, ListEntryId, ManifestFingerprint, PlatformRunId, ScenarioRunId,
    ShadowScoreId, TenantId,
};
use fraudplat::domain::keys::{CaseSubject, EventKey, FlowKey, JoinFrameKey, LabelSubject, Pins};
use fraudplat::domain::time::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{folder, hex, unhex};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    case: String,
    input: Value,
    id: Option<String>,
    preimage: Option<String>,
    cbor: Option<String>,
    micros: Option<i64>,
    is_canonical: Option<bool>,
}

impl Vector {
    fn input<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.input.clone())
            .unwrap_or_else(|cause| panic!("{}: {cause}", self.case))
    }

    /// One field of the input, read as its type.
    fn get<T: DeserializeOwned>(&self, field: &str) -> T {
        let value = self.input.get(field).cloned();
        serde_json::from_value(value.unwrap_or_else(|| panic!("{}: no {field}", self.case)))
            .unwrap_or_else(|cause| panic!("{}: {field}: {cause}", self.case))
    }

    fn text(&self, field: &str) -> String {
        self.get(field)
    }
}

fn vectors() -> BTreeMap<String, Vec<Vector>> {
    let text = fs::read_to_string(folder().join("identities.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_identity_is_what_the_independent_program_says() {
    for (section, cases) in vectors() {
        assert!(!cases.is_empty(), "{section} has no vector");
        for vector in cases {
            let at = format!("{section} / {}", vector.case);
            match section.as_str() {
                "canonical" => {
                    let mut canon = Canon::new();
                    canon.json(&vector.input).unwrap();
                    assert_eq!(Some(hex(canon.as_bytes())), vector.cbor, "{at}");
                }
                "canonical_float" => {
                    let bits = u64::from_str_radix(vector.input.as_str().unwrap(), 16).unwrap();
                    let mut canon = Canon::new();
                    canon.float(f64::from_bits(bits)).unwrap();
                    assert_eq!(Some(hex(canon.as_bytes())), vector.cbor, "{at}");
                }
                "time" => {
                    let time: Time = vector.input();
                    assert_eq!(Some(time.micros()), vector.micros, "{at}");
                }
                "record_hash" => {
                    let path = folder().join(vector.input.as_str().unwrap());
                    let stored = unhex(fs::read_to_string(path).unwrap().trim());
                    assert_eq!(Some(record_hash(&stored).to_string()), vector.id, "{at}");
                    assert_eq!(vector.is_canonical, Some(true), "{at}");
                }
                _ => {
                    assert_eq!(Some(identity(&section, &vector)), vector.id, "{at}");
                    // The preimage that the file shows is the one that was hashed.
                    let preimage = unhex(vector.preimage.as_deref().unwrap());
                    let digest = Digest::of_bytes(&preimage).to_string();
                    assert!(vector.id.unwrap().ends_with(&digest), "{at}");
                }
            }
        }
    }
}

/// The identity that the platform gives to a vector's inputs.
fn identity(section: &str, vector: &Vector) -> String {
    match section {
        "manifest_fingerprint" => world(vector).to_string(),
        "manifest_fingerprint_live" => {
            let tenant: Option<TenantId> = vector.get("tenant_id");
            ManifestFingerprint::of_live(tenant.as_ref(), &vector.text("name")).to_string()
        }
        "scenario_run_id" => {
            let world = vector.get("manifest_fingerprint");
            ScenarioRunId::of(&world, &vector.text("scenario")).to_string()
        }
        "platform_run_id" => {
            let tenant: Option<TenantId> = vector.get("tenant_id");
            let world = vector.get("manifest_fingerprint");
            let semantic_digest = vector.get("semantic_digest");
            let label = vector.text("label");
            PlatformRunId::of(&world, &semantic_digest, tenant.as_ref(), &label).to_string()
        }
        "flow_id" => {
            let (merchant, seq) = (vector.text("merchant_id"), vector.get("arrival_seq"));
            FlowId::of(&vector.get("manifest_fingerprint"), &merchant, seq).to_string()
        }
        "decision_id" => {
            let key = event_key(vector);
            DecisionId::of(&key.platform_run_id, key.event_class, &key.event_id).to_string()
        }
        "shadow_score_id" => {
            ShadowScoreId::of(&vector.get("decision_id"), &vector.text("bundle_slot")).to_string()
        }
        "list_entry_id" => {
            let text = |field: &str| vector.text(field);
            let (list, entity, value) = (text("list"), text("entity"), text("value"));
            ListEntryId::of(&list, &entity, &value, vector.get("nth")).to_string()
        }
        "event_key" => event_key(vector).digest().to_string(),
        "join_frame" => {
            let key = JoinFrameKey {
                platform_run_id: vector.get("platform_run_id"),
                merchant_id: vector.text("merchant_id"),
                arrival_seq: vector.get("arrival_seq"),
            };
            key.digest().to_string()
        }
        "flow_key" => {
            let key = FlowKey {
                platform_run_id: vector.get("platform_run_id"),
                flow_id: vector.text("flow_id"),
            };
            key.digest().to_string()
        }
        _ => case_or_record(section, vector),
    }
}

/// The identities of cases, labels, facts, bundles and the decision log.
fn case_or_record(section: &str, vector: &Vector) -> String {
    let reference = || vector.text("source_ref_id");
    match section {
        "payload_hash" => {
            let (class, version) = (vector.text("event_class"), vector.get("schema_version"));
            let payload: Value = vector.get("payload");
            let hash = payload_hash(&class, version, vector.get("ts_utc"), &payload);
            hash.unwrap().to_string()
        }
        "envelope_hash" => around(vector),
        "case_id" => CaseId::of(&vector.input::<CaseSubject>()).to_string(),
        "case_trigger_id" => {
            let (case, trigger) = (vector.get("case_id"), vector.get("trigger_type"));
            CaseTriggerId::of(&case, trigger, &reference()).to_string()
        }
        "case_timeline_event_id" => {
            let (case, kind) = (vector.get("case_id"), vector.get("timeline_event_type"));
            CaseTimelineEventId::of(&case, kind, &reference()).to_string()
        }
        "action_intent_id" => {
            let source: Option<CaseTimelineEventId> = vector.get("source_case_event_id");
            let (intent, subject) = (vector.text("intent_type"), vector.text("subject_key"));
            ActionIntentId::of(&vector.text("parent"), source.as_ref(), &intent, &subject)
                .to_string()
        }
        "label_assertion_id" => {
            let subject = LabelSubject {
                platform_run_id: vector.get("platform_run_id"),
                event_id: vector.get("event_id"),
            };
            let (label, source) = (vector.get("label_type"), vector.text("source"));
            LabelAssertionId::of(&subject, label, &source, &reference()).to_string()
        }
        "label_payload_hash" => vector.input::<LabelAssertion>().payload_hash().to_string(),
        "fact_id" => {
            let key: Vec<String> = vector.get("natural_key");
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            FactId::of(&vector.text("fact_type"), &key).to_string()
        }
        "bundle_digest" => bundle(vector, "name", "feature_set", "policy")
            .digest()
            .to_string(),
        "feature_set_digest" => bundle(vector, "", "feature_set", "")
            .feature_set_digest()
            .to_string(),
        "policy_digest" => bundle(vector, "", "", "policy").policy_digest().to_string(),
        "chain_genesis" => ChainLink::genesis(&vector.get("platform_run_id"))
            .link
            .to_string(),
        "chain_link" => {
            let seq: i64 = vector.get("seq");
            let prev = ChainLink {
                seq: seq - 1,
                link: vector.get("prev"),
            };
            let next = prev.next(&vector.get("body_hash"), &vector.get("evidence_hash"));
            assert_eq!(next.seq, seq);
            next.link.to_string()
        }
        unknown => {
            panic!("identities.json has a section `{unknown}` that this test cannot compute")
        }
    }
}

fn world(vector: &Vector) -> ManifestFingerprint {
    let scenario: Option<Digest> = vector.get("scenario_digest");
    let files: Vec<(String, Digest)> = vector.get("files");
    ManifestFingerprint::of_world(
        &vector.text("generator_or_mapping"),
        scenario.as_ref(),
        vector.get("seed"),
        &files,
        &vector.text("selection"),
    )
}

fn around(vector: &Vector) -> String {
    let pins = Pins {
        platform_run_id: vector.get("platform_run_id"),
        scenario_run_id: vector.get("scenario_run_id"),
        manifest_fingerprint: vector.get("manifest_fingerprint"),
        tenant_id: vector.get("tenant_id"),
    };
    let around = Around {
        pins: &pins,
        event_id: &vector.get("event_id"),
        producer: &vector.text("producer"),
    };
    let (hash, admitted_at) = (vector.get("payload_hash"), vector.get("admitted_at"));
    envelope_hash(&hash, &around, admitted_at, vector.get("batch_id")).to_string()
}

fn event_key(vector: &Vector) -> EventKey {
    EventKey {
        platform_run_id: vector.get("platform_run_id"),
        event_class: vector.get("event_class"),
        event_id: vector.get::<EventId>("event_id"),
    }
}

/// A bundle of the named fields of the input; an empty name gives an empty text.
fn bundle(vector: &Vector, name: &str, feature_set: &str, policy: &str) -> Bundle {
    let text = |field: &str| match field {
        "" => String::new(),
        field => vector.text(field),
    };
    let part = |field: &str| vector.input.get(field)?.as_str().map(str::to_owned);
    Bundle {
        schema_version: 1,
        name: text(name),
        feature_set: text(feature_set),
        policy: text(policy),
        model: part("model"),
        manifest: part("manifest"),
    }
}

/// Vectors that differ in their inputs differ in their ids, except where the case says that a
/// difference does not enter.
#[test]
fn distinct_inputs_make_distinct_identities() {
    let same_on_purpose = [
        "keys in another order",
        "their order does not matter",
        "another given id, same payload",
        "the name does not enter",
    ];
    let mut seen = BTreeMap::new();
    for (section, cases) in vectors() {
        for vector in cases.into_iter().filter(|it| it.id.is_some()) {
            if same_on_purpose.contains(&vector.case.as_str()) {
                continue;
            }
            let at = format!("{section} / {}", vector.case);
            if let Some(other) = seen.insert(vector.id, at.clone()) {
                panic!("{at} has the id of {other}");
            }
        }
    }
}

/// Runs the independent program where the machine has what it needs; the platform and its scripts
/// never depend on it.
#[test]
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was not tested"
)]
fn the_independent_program_agrees() {
    let python = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.args(arguments).current_dir(folder()).output()
    };
    let has_packages = python(&["-c", "import cbor2, blake3"]);
    if !has_packages.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: python3 with the packages cbor2 and blake3 is not on this machine");
        return;
    }
    let output = python(&["identities.py"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}
