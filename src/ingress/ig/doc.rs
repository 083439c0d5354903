//! What the gate's routes take and answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::contracts::permission::Corridor;
use crate::contracts::receipt::Receipt;
use crate::contracts::verdict::{IngestAnswer, Verdict};
use crate::ingress::ig::role::Options;
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";
const EVENT: &str = "till:1";

pub(super) fn events() -> Doc {
    let options = Options::default();
    Doc::new("events", "Send events; one verdict each, in order")
        .through(Corridor::IgIngest)
        .about(
            "One event, an array of events, or one event a line. An answer never says more than what is durable; \
             a repeat of an event is answered with its first receipt. With `wait=decision` the verdict on each \
             traffic event carries its decision, if it is made in time; the event is decided all the same.",
        )
        .word("wait", "Wait for the decisions on traffic events", "decision")
        .number(
            "timeout_ms",
            &format!(
                "How long to wait for decisions, from the end of the body; {} ms where it is not said",
                options.decision_wait_ms
            ),
            options.decision_wait_ms_max,
            2_000,
        )
        .takes_many::<Envelope>("Events", event())
        .answers::<IngestAnswer>(200, "Every event has its verdict", admitted())
        .answers::<IngestAnswer>(
            202,
            "As 200, but an event is PUBLISH_IN_FLIGHT, or a decision that was waited for was not made in time",
            late(),
        )
        .refuses(
            400,
            &[
                (Code::BodyUnreadable, "the body is empty"),
                (Code::QueryInvalid, "wait: the only thing to wait for is `decision`"),
            ],
        )
        .refuses(408, &[(Code::RequestTimeout, "the body did not end within 30000 ms")])
        .refuses(413, &[(Code::BodyTooLarge, "5001 events; events_per_request_max is 5000")])
        .refuses(
            415,
            &[(
                Code::EncodingUnsupported,
                "content-encoding: br; gzip, zstd are read, one at a time",
            )],
        )
        .refuses(429, &[(Code::Overloaded, "the gate's queue is full or too slow")])
        .refuses(
            503,
            &[
                (Code::Overloaded, "the gate is stopping"),
                (Code::SubstrateUnavailable, "the gate could not answer; what it took is safe"),
                (Code::EvidenceMissing, "the gate could not answer; what it took is safe"),
            ],
        )
}

pub(super) fn receipt() -> Doc {
    Doc::new("events", "The receipt of an admitted event")
        .through(Corridor::IgIngest)
        .part("run", "platform_run_id", RUN)
        .part("class", "event_class", "traffic")
        .part("event_id", "The producer's id", EVENT)
        .answers::<Receipt>(200, "The first receipt", a_receipt())
        .answers::<Verdict>(
            202,
            "Admitted, and not yet known to be on the log",
            json!({"result": "PUBLISH_IN_FLIGHT", "event_id": EVENT}),
        )
        .refuses(404, &[(Code::NotFound, "no such event was admitted")])
        .refuses(
            503,
            &[(
                Code::SubstrateUnavailable,
                "the gate could not answer; what it took is safe",
            )],
        )
}

fn event() -> Value {
    json!({
        "event_id": EVENT, "event_class": "traffic", "schema_version": 1,
        "ts_utc": "2025-01-31T12:00:00Z", "platform_run_id": RUN,
        "scenario_run_id": format!("sr_{}", "e".repeat(64)), "manifest_fingerprint": "4".repeat(64),
        "producer": "till", "payload": {
            "flow_id": "f1", "customer_id": "c1", "merchant_id": "m1", "terminal_id": "t1",
            "amount_minor": 25_000, "currency": "EUR", "channel": "pos",
        },
    })
}

fn a_receipt() -> Value {
    json!({
        "schema_version": 1, "platform_run_id": RUN, "event_class": "traffic", "event_id": EVENT,
        "result": "ADMITTED", "payload_hash": "a".repeat(64),
        "eb_ref": {"stream": "fp.bus.traffic.fraud.v1", "shard_id": "shard-000000", "sequence_number": "17"},
        "batch_id": 1, "admitted_at": "2025-01-31T12:00:00.473163Z",
        "stamps": {
            "service_release_id": "git:b2b6", "environment": "local_parity", "mode": "fraud",
            "policy_rev": "3".repeat(64), "run_config_digest": "6".repeat(64),
        },
    })
}

fn decision_id() -> String {
    format!("dec_{}", "2".repeat(64))
}

fn admitted() -> Value {
    json!({"results": [{
        "result": "ADMITTED", "event_id": EVENT, "receipt": a_receipt(),
        "decision": {
            "decision_id": decision_id(), "outcome": "REVIEW", "reasons": ["HIGH_AMOUNT"],
            "rule_score": 40, "degraded": [], "decided_at": "2025-01-31T12:00:00.502117Z",
        },
    }]})
}

fn late() -> Value {
    let detail = format!(
        "not decided within 2000 ms; ask GET /v1/decisions/{}, or send the same event again",
        decision_id()
    );
    json!({"results": [{
        "result": "ADMITTED", "event_id": EVENT, "detail": detail, "receipt": a_receipt(),
    }]})
}
