//! What the routes of the decision log answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::domain::vocabulary::Outcome;
use crate::rtdl::audit::http::DecisionView;
use crate::rtdl::audit::{DecisionPage, Explanation, PAGE_MAX};
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";

fn id() -> String {
    format!("dec_{}", "2".repeat(64))
}

pub(super) fn list() -> Doc {
    let page = json!({
        "results": [{
            "seq": 1, "decision_id": id(), "event_id": "till:1", "ts_utc": "2025-01-31T12:00:00Z",
            "outcome": "REVIEW", "rule_score": 40, "reasons": ["HIGH_AMOUNT"], "rules": ["R001"], "degraded": [],
            "posture": "NORMAL", "bundle_digest": "c".repeat(64), "body_hash": "4".repeat(64),
        }],
        "next": "1",
    });
    let outcomes: Vec<&str> = Outcome::ALL.iter().map(|it| it.as_str()).collect();
    Doc::new("decisions", "The decisions of a run, in order of its chain")
        .about(
            "All that is said must hold. A page looks through a bounded part of the log, so one that is not full, or \
             empty, may have a `next`. Decisions of days that have left are found in their segments, at most 16 a page.",
        )
        .needs("run", "The run", "^run_[0-9a-f]{64}$", RUN)
        .text("event_id", "The decision on this event", "till:1")
        .text("entity", "Only where the event names this entity: its kind, a colon, its id", "customer_id:c1")
        .word("outcome", "Only this outcome", &outcomes)
        .text("rule", "Only where this rule fired", "R001")
        .text("from", "Only events of this day or time, or later", "2025-01-31T00:00:00Z")
        .text("to", "Only events before this day or time", "2025-02-01")
        .word("degraded", "Only decisions on less than the whole frame, or only the others", &["true", "false"])
        .text("after", "What the page before gave as `next`", "1")
        .number("limit", "Results on a page, from 1; 100 where it is not said", 1..=PAGE_MAX as u64, 100)
        .answers::<DecisionPage>(200, "A page; without `next` it is the last", page)
        .through(Corridor::EvidenceResolve)
        .refuses(400, &[(Code::QueryInvalid, "limit: a whole number from 1 to 1000")])
        .refuses(404, &[(Code::RunUnknown, "there is no such run")])
        .refuses(500, &altered())
        .refuses(503, &[(Code::SubstrateUnavailable, "the database did not answer")])
}

pub(super) fn show() -> Doc {
    refusals(
        Doc::new(
            "decisions",
            "A decision: body, evidence, place in the chain",
        )
        .about("The id is a hash of run, class and event id; docs/contracts/identities.md has it.")
        .part("decision_id", "decision_id", &id())
        .answers::<DecisionView>(200, "The decision", decision()),
    )
}

pub(super) fn explain() -> Doc {
    refusals(
        Doc::new("decisions", "Why a decision is what it is: rules, features and inputs, for people")
            .about(
                "Every feature with its definition and every rule with its text, from the bundle that decided, under \
                 its digest; what a rule's operands were; inputs by reference and hash. What is no part of the log is \
                 shown as far as it is there, and `notes` says what is not: the event's own fields need the archive.",
            )
            .part("decision_id", "decision_id", &id())
            .answers::<Explanation>(
                200,
                "The decision, and why",
                explanation(),
            ),
    )
}

fn explanation() -> Value {
    let decision = decision();
    let traffic = &decision["evidence"]["inputs"]["traffic"];
    json!({
        "decision_id": id(), "outcome": "REVIEW",
        "summary": "REVIEW at 2025-01-31T12:00:00Z: R001 fired; reasons HIGH_AMOUNT",
        "fired": ["R001"], "missing": [], "rule_score": 40, "score": null, "contributions": null,
        "reasons": [{"code": "HIGH_AMOUNT", "text": "High amount"}],
        "inputs": [{
            "part": "traffic", "state": "PRESENT", "payload_hash": traffic["payload_hash"],
            "origin_offset": traffic["origin_offset"],
        }],
        "features": [{
            "name": "customer_count_1d", "value": 1, "what": "count by customer_id over 1d",
            "definition": {"name": "customer_count_1d", "entity": ["customer_id"], "agg": "count", "window": "1d"},
        }],
        "rules": [{
            "rule_id": "R001", "result": "FIRED", "operands": {"event.amount_minor": 25_000},
            "rule": {
                "id": "R001", "owner": "fraud-ops", "description": "High amount",
                "when": "event.amount_minor > 22000", "outcome": "REVIEW", "score": 40, "reason_code": "HIGH_AMOUNT",
            },
        }],
        "bundle": {
            "slot": "primary", "name": "baseline", "bundle_digest": "c".repeat(64),
            "feature_set_digest": "6".repeat(64), "policy_rev": "3".repeat(64),
        },
        "posture": {"posture": "NORMAL", "reason": "no degradation is in force", "capabilities": ["features", "policy"]},
        "notes": [], "decision": decision,
    })
}

fn refusals(doc: Doc) -> Doc {
    doc.through(Corridor::EvidenceResolve)
        .refuses(404, &[(Code::NotFound, "there is no decision of this id")])
        .refuses(500, &altered())
        .refuses(
            503,
            &[(Code::SubstrateUnavailable, "the database did not answer")],
        )
}

fn altered() -> [(Code, &'static str); 2] {
    [
        (
            Code::ChainBroken,
            "the body of decision dec_2222… was altered: it does not hash to what the row says",
        ),
        (
            Code::EvidenceMissing,
            "decision body is missing or is not what its name says",
        ),
    ]
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
        "shadows": [{
            "shadow_score_id": format!("shd_{}", hash("7")), "bundle_slot": "shadow_1", "outcome": "APPROVE",
            "score": null, "rule_score": 0, "reasons": [], "bundle_digest": hash("d"),
            "feature_set_digest": hash("6"), "body_hash": hash("8"),
        }],
    })
}
