//! What the routes of the decision log answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::rtdl::audit::http::{DecisionView, Explanation};
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";

fn id() -> String {
    format!("dec_{}", "2".repeat(64))
}

pub(super) fn show() -> Doc {
    refusals(
        Doc::new("decisions", "A decision: body, evidence, place in the chain")
            .about("The id is a hash of run, class and event id; docs/contracts/identities.md has it. There is no list over HTTP: `fraudplat dla list` is one.")
            .part("decision_id", "decision_id", &id())
            .answers::<DecisionView>(200, "The decision", decision()),
    )
}

pub(super) fn explain() -> Doc {
    refusals(
        Doc::new("decisions", "A decision with a summary for people")
            .part("decision_id", "decision_id", &id())
            .answers::<Explanation>(
                200,
                "The decision, which rules fired, which lacked an operand",
                json!({
                    "decision_id": id(), "outcome": "REVIEW",
                    "summary": "REVIEW at 2025-01-31T12:00:00.000000Z: R001 fired; reasons HIGH_AMOUNT",
                    "fired": ["R001"], "missing": [], "decision": decision(),
                }),
            ),
    )
}

fn refusals(doc: Doc) -> Doc {
    doc.through(Corridor::EvidenceResolve)
        .refuses(404, &[(Code::NotFound, "there is no decision of this id")])
        .refuses(
            500,
            &[
                (
                    Code::ChainBroken,
                    "the body of decision dec_2222… was altered: it does not hash to what the row says",
                ),
                (
                    Code::EvidenceMissing,
                    "decision body is missing or is not what its name says",
                ),
            ],
        )
        .refuses(503, &[(Code::SubstrateUnavailable, "the database did not answer")])
}

fn decision() -> Value {
    let hash = |digit: &str| digit.repeat(64);
    let input = json!({
        "origin_offset": {"stream": "fp.bus.traffic.fraud.v1", "shard_id": "shard-000000", "sequence_number": "17"},
        "payload_hash": hash("a"),
    });
    json!({
        "seq": 1, "link": hash("e"), "body_hash": hash("4"), "evidence_hash": hash("b"),
        "body": {
            "schema_version": 1, "decision_id": id(),
            "pins": {"platform_run_id": RUN, "scenario_run_id": format!("sr_{}", hash("e")), "manifest_fingerprint": hash("4")},
            "event_class": "traffic", "event_id": "till:1", "ts_utc": "2025-01-31T12:00:00Z",
            "inputs": {"traffic": hash("a")}, "features": {"customer_count_1d": 1, "customer_mean_1d": 25_000.5},
            "rule_score": 40, "outcome": "REVIEW", "reasons": ["HIGH_AMOUNT"],
            "trace": [{"rule_id": "R001", "result": "FIRED"}], "degraded": [], "posture": "NORMAL",
            "bundle_slot": "primary", "bundle_digest": hash("c"), "feature_set_digest": hash("6"),
        },
        "evidence": {
            "schema_version": 1, "decision_id": id(), "inputs": {"traffic": input},
            "basis": {"fp.bus.traffic.fraud.v1/shard-000000": {"after": "17"}}, "join": {"traffic": "PRESENT"},
            "posture": "NORMAL", "posture_reason": "CALM",
            "capabilities": ["features", "graph", "model", "policy", "shadow"],
            "posture_signals": {"recent": 17, "missing": 0, "store_errors": 0, "own_lag_ms": 28, "bundle": "RESOLVED"},
            "admitted_at": "2025-01-31T12:00:00.473163Z", "decided_at": "2025-01-31T12:00:00.502117Z", "engine_rev": 1,
            "stamps": {
                "service_release_id": "git:b2b6", "environment": "local_parity", "mode": "fraud",
                "policy_rev": hash("3"), "run_config_digest": hash("6"), "bundle_slot": "primary",
            },
        },
    })
}
