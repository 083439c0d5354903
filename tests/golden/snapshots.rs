//! Samples of what a restart reads: the state of a feature set, and the snapshot of a run around
//! it. Both have their own canonical writers; other bytes than the sample's need another form.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::run_position::RunPosition;
use fraudplat::contracts::run_snapshot::RunSnapshot;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::offset::Basis;
use fraudplat::domain::time::Time;
use fraudplat::engine::features::SnapshotError;
use fraudplat::engine::{EventRecord, FeatureSet, FeatureState, LabelRecord};
use serde_json::json;

use super::{folder, hex, unhex};

/// The folders of samples that are tested here.
pub(crate) const FORMS: [&str; 2] = ["feature_state", "run_snapshot"];

const SET: &str = r#"
feature_set: sample
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 1d}
  - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 1d}
  - {name: devices, entity: [customer_id], agg: distinct, value: event.device_id, window: 1d}
  - {name: risk, entity: [terminal_id, merchant_id], agg: fraud_share, window: 7d, delay: 1d}
  - {name: large, entity: [merchant_id], agg: count, window: 1d, filter: "event.amount_minor > 500"}
"#;

/// With the graph behind the windows.
const GRAPH_SET: &str = r#"
feature_set: sample
version: 2
features:
  - {name: n, entity: [customer_id], agg: count, window: 1d}
  - {name: sharers, graph: shared_customers, entity: [device_id]}
  - {name: tainted, graph: labelled_neighbours, entity: [customer_id], hops: 2}
"#;

fn set() -> (Arc<FeatureSet>, Digest) {
    compiled(SET)
}

fn compiled(text: &str) -> (Arc<FeatureSet>, Digest) {
    let set = FeatureSet::compile("sample.yaml", text);
    let bundle = Bundle {
        schema_version: 1,
        name: "sample".to_owned(),
        feature_set: text.to_owned(),
        policy: String::new(),
        model: None,
        manifest: None,
    };
    (Arc::new(set.unwrap()), bundle.feature_set_digest())
}

/// Three payments of two customers, one labelled twice, and a label whose payment is not there.
fn state(set: &Arc<FeatureSet>) -> FeatureState {
    let mut state = FeatureState::new(Arc::clone(set));
    let pins = serde_json::from_value(json!({
        "platform_run_id": format!("run_{}", Digest::of_bytes(b"run")),
        "scenario_run_id": format!("sr_{}", Digest::of_bytes(b"scenario")),
        "manifest_fingerprint": Digest::of_bytes(b"world"),
    }));
    let pins: fraudplat::domain::keys::Pins = pins.unwrap();
    let payments = [
        ("e1", "c1", Some("d1"), Some("t1"), 700),
        ("e2", "c2", None, Some("t1"), 1),
        ("e3", "c1", Some("d2"), None, 80_000),
    ];
    for (nth, (id, customer, device, terminal, amount)) in payments.into_iter().enumerate() {
        let mut traffic = json!({
            "flow_id": id, "customer_id": customer, "merchant_id": "m",
            "amount_minor": amount, "currency": "EUR", "channel": "pos",
        });
        for (field, value) in [("device_id", device), ("terminal_id", terminal)] {
            if let Some(value) = value {
                traffic[field] = value.into();
            }
        }
        let traffic = serde_json::from_value(traffic).unwrap();
        let ts = Time::from_micros(1_700_000_000_000_000 + 60_000_000 * nth as i64);
        let (id, hash) = (id.parse().unwrap(), Digest::of_bytes(b"payload"));
        let event = EventRecord::of(pins.clone(), id, hash, ts, traffic);
        state.apply_event(&event).unwrap();
        state.compute(&event).unwrap();
    }
    for (nth, (event, is_fraud)) in [("e1", true), ("e1", false), ("e9", true)]
        .iter()
        .enumerate()
    {
        state
            .apply_label(&LabelRecord {
                event_id: event.parse().unwrap(),
                label_assertion_id: format!("la_{}", Digest::of_bytes(&[nth as u8]))
                    .parse()
                    .unwrap(),
                observed_time: Time::from_micros(1_700_000_500_000_000 + nth as i64),
                is_fraud: *is_fraud,
            })
            .unwrap();
    }
    state
}

fn snapshot(features: Vec<u8>) -> RunSnapshot {
    let basis =
        r#"{"fp.bus.traffic.fraud.v1/0":{"after":"17"},"fp.bus.traffic.fraud.v1/1":"start"}"#;
    let basis: Basis = serde_json::from_str(basis).unwrap();
    let run = format!("run_{}", Digest::of_bytes(b"run"));
    RunSnapshot {
        run: run.parse().unwrap(),
        position: RunPosition {
            basis,
            seq: 3,
            link: Digest::of_bytes(b"link"),
        },
        met: vec![[1; 16], [2; 16], [3; 16]],
        features,
        further: BTreeMap::new(),
    }
}

#[track_caller]
fn check(name: &str, written: &[u8]) -> Vec<u8> {
    check_as(name, "v1", written)
}

#[track_caller]
fn check_as(name: &str, sample: &str, written: &[u8]) -> Vec<u8> {
    let path = folder().join(name).join(format!("{sample}.cbor.hex"));
    let sample = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(hex(written), sample.trim(), "{}", path.display());
    unhex(sample.trim())
}

#[test]
fn the_state_of_a_feature_set_is_written_and_read_alike() {
    let (set, digest) = set();
    let sample = check("feature_state", &state(&set).to_bytes(&digest).unwrap());
    let read = FeatureState::from_bytes(Arc::clone(&set), &digest, &sample).unwrap();
    assert_eq!(read.to_bytes(&digest).unwrap(), sample);
    assert_eq!(read.n_waiting_labels(), 1);

    let other = Digest::of_bytes(b"another feature set");
    let refused = FeatureState::from_bytes(Arc::clone(&set), &other, &sample);
    assert_eq!(refused.err(), Some(SnapshotError::FeatureSet));
    // The revision stands behind the head of the list and the name of the form.
    let at = 1 + 2 + "fraudplat/feature_state/v1".len();
    let mut later = sample.clone();
    later[at] += 1;
    let refused = FeatureState::from_bytes(Arc::clone(&set), &digest, &later).err();
    assert!(
        matches!(refused, Some(SnapshotError::Revision { .. })),
        "{refused:?}"
    );
    for cut in 0..sample.len() {
        let refused = FeatureState::from_bytes(Arc::clone(&set), &digest, &sample[..cut]);
        assert!(refused.is_err(), "cut at {cut}");
    }
}

#[test]
fn the_snapshot_of_a_run_is_written_and_read_alike() {
    let (set, digest) = set();
    let whole = snapshot(state(&set).to_bytes(&digest).unwrap());
    let sample = check("run_snapshot", &whole.to_bytes());
    assert_eq!(RunSnapshot::from_bytes(&sample).unwrap(), whole);
}

#[test]
fn a_snapshot_with_further_states_is_written_and_read_alike() {
    let (first, second) = (set(), compiled(GRAPH_SET));
    let mut whole = snapshot(state(&first.0).to_bytes(&first.1).unwrap());
    let further = state(&second.0).to_bytes(&second.1).unwrap();
    whole.further = BTreeMap::from([(second.1, further)]);
    let sample = check_as("run_snapshot", "v2_further", &whole.to_bytes());
    assert_eq!(RunSnapshot::from_bytes(&sample).unwrap(), whole);
}

#[test]
fn a_state_with_a_graph_is_written_and_read_alike() {
    let (set, digest) = compiled(GRAPH_SET);
    let sample = check_as(
        "feature_state",
        "v1_graph",
        &state(&set).to_bytes(&digest).unwrap(),
    );
    let read = FeatureState::from_bytes(Arc::clone(&set), &digest, &sample).unwrap();
    assert_eq!(read.to_bytes(&digest).unwrap(), sample);
    // Every byte counts: cut anywhere, it is none.
    for at in 0..sample.len() {
        assert!(FeatureState::from_bytes(Arc::clone(&set), &digest, &sample[..at]).is_err());
    }
}
