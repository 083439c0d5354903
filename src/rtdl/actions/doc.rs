//! What the routes of the Action Layer take and answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::action_intent::ActionIntent;
use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::rtdl::actions::intake::{INTENTS_MAX, IntentsAnswer};
use crate::rtdl::actions::list::{ActionPage, ActionState, PAGE_MAX};
use crate::rtdl::actions::show::ActionView;
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";
const ID: &str = "act_00a86ae65e3dc2f7bc40cf5ea7f5ac34dc21ba95a13cf8a2f8da9a1b7a7e5c55";
const AT: &str = "2025-01-31T12:00:00.502117Z";

pub(super) fn intents() -> Doc {
    Doc::new("actions", "Ask for actions")
        .about(&format!(
            "One intent, or an array of at most {INTENTS_MAX}; the verdicts are in the order of the intents. Asking \
             again is answered as the first time. Of an array each intent is judged alone and the answer is 200; a \
             single one that is not accepted is a problem document."
        ))
        .through(Corridor::AlExecute)
        .takes_either::<ActionIntent>("An intent, or an array of them", intent())
        .answers::<IntentsAnswer>(
            200,
            "A verdict an intent",
            json!({"results": [{"action_intent_id": ID, "result": "ACCEPTED", "requested_at": AT, "payload_hash": "a".repeat(64)}]}),
        )
        .refuses(
            400,
            &[
                (Code::BodyUnreadable, "the body is one JSON object, or an array of objects"),
                (Code::IntentInvalid, "source names a decision or a case: exactly one"),
                (Code::PinsMismatch, "pins are not those of run_c0f5…"),
            ],
        )
        .refuses(404, &[(Code::RunUnknown, "there is no run run_c0f5…")])
        .refuses(409, &[(Code::PayloadHashMismatch, "act_00a8… is known with another payload, which hashes to aaaa…")])
        .refuses(413, &[(Code::BodyTooLarge, "1001 intents; 1000 are taken at once")])
        .refuses(503, &[(Code::SubstrateUnavailable, "the database did not answer")])
}

pub(super) fn list() -> Doc {
    let states: Vec<&str> = ActionState::ALL.iter().map(|it| it.as_str()).collect();
    let row = json!({
        "action_intent_id": ID, "requested_at": AT, "intent_type": "block_payment", "subject": subject(),
        "state": "SUCCEEDED", "attempt_no": 1,
    });
    Doc::new("actions", "The actions, the newest first")
        .through(Corridor::EvidenceResolve)
        .text("run", "only those of this run", RUN)
        .word("state", "only those that stand so", &states)
        .text("intent_type", "only those of this type", "block_payment")
        .text(
            "after",
            "what the page before gave as `next`",
            &format!("1738324800502117.{ID}"),
        )
        .number(
            "limit",
            "how many at most; 100 where it is not said",
            1..=PAGE_MAX as u64,
            100,
        )
        .answers::<ActionPage>(200, "A page", json!({"results": [row]}))
        .refuses(
            400,
            &[(Code::QueryInvalid, "limit: a whole number from 1 to 1000")],
        )
        .refuses(
            503,
            &[(Code::SubstrateUnavailable, "the database did not answer")],
        )
}

pub(super) fn show() -> Doc {
    let view = json!({
        "state": "SUCCEEDED", "intent": intent(), "payload_hash": "a".repeat(64), "requested_at": AT,
        "requested_by": {"actor_id": "svc:decision", "source_type": "SYSTEM"}, "attempt_no": 1,
        "attempts": [{"attempt_no": 1, "executor": "issuer", "result": "DONE", "http_status": 200,
            "detail": "the receiver took it", "started_at": AT, "ended_at": AT}],
        "requeued": [],
    });
    Doc::new(
        "actions",
        "An action: what was asked for, every attempt, how it ended",
    )
    .part("action_intent_id", "action_intent_id", ID)
    .through(Corridor::EvidenceResolve)
    .answers::<ActionView>(200, "The action", view)
    .refuses(
        404,
        &[(
            Code::NotFound,
            "nobody asked for act_00a8…, or it was so long ago that its day has left",
        )],
    )
    .refuses(
        503,
        &[(Code::SubstrateUnavailable, "the database did not answer")],
    )
}

fn subject() -> Value {
    json!({"subject_type": "payment", "subject_id": "till:1"})
}

fn intent() -> Value {
    let event = json!({"platform_run_id": RUN, "event_class": "traffic", "event_id": "till:1"});
    let decision = format!("dec_{}", "2".repeat(64));
    json!({
        "schema_version": 1, "action_intent_id": ID,
        "pins": {"platform_run_id": RUN, "scenario_run_id": format!("sr_{}", "e".repeat(64)), "manifest_fingerprint": "4".repeat(64)},
        "intent_type": "block_payment", "subject": subject(),
        "source": {"event": event, "decision_id": decision},
        "evidence_refs": [{"ref_type": "DECISION", "ref_id": decision}],
    })
}
