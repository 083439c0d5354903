//! The baseline bundle decides: what a body holds, on a whole frame and on less, and under each posture.

use std::sync::Arc;

use crate::contracts::bundle::{Bundle, SCHEMA_VERSION};
use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, Value};
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor};
use crate::domain::digest::Digest;
use crate::domain::vocabulary::{ArrivalKind, Outcome, Posture};
use crate::engine::bundle::FileNames;
use crate::engine::posture;
use crate::engine::tests::event;
use crate::engine::{CompiledBundle, FeatureState, FramePart, Given, JoinFrame, decide};

fn baseline() -> CompiledBundle {
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        name: "baseline".to_owned(),
        feature_set: include_str!("../../profiles/bundles/baseline/feature_set.yaml").to_owned(),
        policy: include_str!("../../profiles/bundles/baseline/policy.yaml").to_owned(),
        model: None,
        manifest: None,
    };
    let files = FileNames {
        feature_set: "baseline/feature_set.yaml",
        policy: "baseline/policy.yaml",
    };
    CompiledBundle::compile(&bundle, files).unwrap_or_else(|found| {
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("{}", shown.join("\n"))
    })
}

fn frame(customer_id: &str) -> JoinFrame {
    let merchant_id = "m1".to_owned();
    let arrival_event = ArrivalEvent {
        merchant_id: merchant_id.clone(),
        arrival_seq: 1,
        kind: ArrivalKind::Payment,
        mcc: Some("5411".to_owned()),
        country: None,
    };
    let arrival_entities = ArrivalEntities {
        merchant_id: merchant_id.clone(),
        arrival_seq: 1,
        customer_id: Some(customer_id.to_owned()),
        account_id: None,
        card_id: None,
        device_id: Some("d1".to_owned()),
        ip: None,
        terminal_id: None,
        beneficiary_id: None,
    };
    let flow_anchor = FlowAnchor {
        flow_id: "f-e1".to_owned(),
        merchant_id,
        arrival_seq: 1,
    };
    JoinFrame {
        arrival_event: Some(FramePart {
            payload_hash: Digest::of_bytes(b"ae"),
            payload: arrival_event,
        }),
        arrival_entities: Some(FramePart {
            payload_hash: Digest::of_bytes(b"an"),
            payload: arrival_entities,
        }),
        flow_anchor: Some(FramePart {
            payload_hash: Digest::of_bytes(b"fa"),
            payload: flow_anchor,
        }),
    }
}

fn decided(frame: &JoinFrame, amount_minor: i64) -> DecisionBody {
    decided_under(Posture::Normal, frame, amount_minor)
}

fn decided_under(posture: Posture, frame: &JoinFrame, amount_minor: i64) -> DecisionBody {
    let bundle = baseline();
    let event = event("e1", "2018-04-02T12:00:00Z", amount_minor);
    let mut state = FeatureState::new(Arc::clone(&bundle.feature_set));
    state.apply_event(&event).unwrap();
    let capabilities = posture::capabilities(posture);
    let set = &bundle.feature_set;
    let features = posture::features(set, &mut state, &event, &capabilities).unwrap();
    let given = Given {
        event: &event,
        frame,
        features: &features,
        lists: &[],
        posture,
        capabilities: &capabilities,
    };
    decide(&bundle, &given)
}

#[test]
fn the_baseline_decides_and_a_body_survives_its_bytes() {
    assert!(baseline().policy.warnings().is_empty());
    let body = decided(&frame("c1"), 22_001);
    assert_eq!((body.outcome, body.rule_score), (Outcome::Review, 40));
    assert_eq!(body.reasons, ["HIGH_AMOUNT"]);
    assert_eq!(
        (body.inputs.len(), body.degraded.len(), body.trace.len()),
        (4, 0, 11)
    );
    assert_eq!(body.features["customer_mean_30d"], Value::Float(22_001.0));
    let bytes = canonical::to_bytes(&body).unwrap();
    let read: DecisionBody = canonical::from_bytes("decision body", &bytes).unwrap();
    assert_eq!(canonical::to_bytes(&read).unwrap(), bytes);
    assert_eq!(
        canonical::to_bytes(&decided(&frame("c1"), 22_001)).unwrap(),
        bytes
    );
    assert_eq!(decided(&frame("c1"), 22_000).outcome, Outcome::Approve);
}

#[test]
fn what_the_frame_lacks_is_said() {
    let body = decided(&JoinFrame::default(), 16_000);
    let missing = [
        "MISSING_ARRIVAL_EVENT",
        "MISSING_ARRIVAL_ENTITIES",
        "MISSING_FLOW_ANCHOR",
    ];
    assert_eq!(body.degraded, missing);
    assert_eq!(body.reasons[0], "UNSEEN_CONTEXT");
    assert_eq!(body.reasons[1..], missing);
    assert_eq!(body.outcome, Outcome::StepUp);
    let body = decided(&frame("c2"), 100);
    assert_eq!(body.degraded, ["CONFLICTING_ARRIVAL_ENTITIES"]);
    assert_eq!((body.outcome, body.inputs.len()), (Outcome::Approve, 4));
}

#[test]
fn a_posture_is_told_and_fail_closed_leaves_nothing_on() {
    // The rules of event and windows stay, and a whole frame is not called incomplete.
    let body = decided_under(Posture::Degraded2, &frame("c1"), 22_001);
    assert_eq!((body.outcome, body.trace.len()), (Outcome::Review, 11));
    assert_eq!(body.reasons, ["HIGH_AMOUNT", "POSTURE_DEGRADED_2"]);
    assert_eq!(body.degraded, ["POSTURE_DEGRADED_2"]);
    assert_eq!(body.features, decided(&frame("c1"), 22_001).features);
    let body = decided_under(Posture::FailClosed, &frame("c1"), 100);
    assert_eq!(body.outcome, posture::FAIL_CLOSED_OUTCOME);
    assert_eq!(body.reasons, ["POSTURE_FAIL_CLOSED"]);
    assert!(body.trace.is_empty());
    assert!(!body.features.is_empty());
    assert!(body.features.values().all(|it| *it == Value::Missing));
}
