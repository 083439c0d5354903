//! What the gate's routes take and answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::contracts::code::Code;
use crate::contracts::envelope::Envelope;
use crate::contracts::payload_schemas::PayloadSchemas;
use crate::contracts::permission::Corridor;
use crate::contracts::receipt::Receipt;
use crate::contracts::verdict::{IngestAnswer, Verdict};
use crate::domain::vocabulary::EventClass;
use crate::ingress::ig::listing::{PAGE_MAX, ReceiptPage};
use crate::ingress::ig::lists::QuarantinedView;
use crate::ingress::ig::quarantine::QuarantinePage;
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
        .word("wait", "Wait for the decisions on traffic events", &["decision"])
        .number(
            "timeout_ms",
            &format!(
                "How long to wait for decisions, from the end of the body; {} ms where it is not said",
                options.decision_wait_ms
            ),
            0..=options.decision_wait_ms_max,
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
        .refuses(
            429,
            &[
                (Code::Overloaded, "the gate has as much in hand as it may hold"),
                (
                    Code::RateLimited,
                    "more than 20000 events a second of one producer: producer_events_per_s",
                ),
            ],
        )
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
        .day("day", "The UTC day of its admission: an old receipt is found faster", "2025-01-31")
        .answers::<Receipt>(200, "The first receipt", a_receipt())
        .answers::<Verdict>(
            202,
            "Admitted, and not yet known to be on the log",
            json!({"result": "PUBLISH_IN_FLIGHT", "event_id": EVENT}),
        )
        .refuses(
            400,
            &[(
                Code::QueryInvalid,
                "day: not among the newest 2000 receipt segments of the run; name the day of its admission",
            )],
        )
        .refuses(404, &[(Code::NotFound, "no such event was admitted")])
        .refuses(503, &could_not_answer())
}

pub(super) fn receipts() -> Doc {
    let page = json!({
        "results": [{"result": "ADMITTED", "event_id": EVENT, "receipt": a_receipt()}],
        "next": "2025-01-31.1.1",
    });
    Doc::new("events", "The receipts of a run, in order of admission").through(Corridor::EvidenceResolve)
        .about(
            "By UTC day, batch and place in the batch, a page at a time, as far back as the run goes: days that \
             retention has dropped are read from the receipt segments. Each result is what a single lookup answers. \
             Another gate may still add to the newest day before the end of a page.",
        )
        .part("run", "platform_run_id", RUN)
        .text("after", "What the page before gave as `next`", "2025-01-31.1.1")
        .number("limit", "Results on a page, from 1; 100 where it is not said", 1..=PAGE_MAX as u64, 100)
        .word("event_class", "Only this class", &words(EventClass::ALL, EventClass::as_str))
        .word("result", "Only such as are on the log, or only such as are not known to be", &["ADMITTED", "PUBLISH_IN_FLIGHT"])
        .answers::<ReceiptPage>(200, "A page; without `next` it is the last", page)
        .refuses(400, &[(Code::QueryInvalid, "limit: a whole number from 1 to 1000")])
        .refuses(404, &[(Code::RunUnknown, "there is no such run")])
        .refuses(503, &could_not_answer())
}

pub(super) fn quarantine() -> Doc {
    let page = json!({"results": [a_quarantined()], "next": "1738324800000000.1.1"});
    Doc::new("events", "The refused events of a run, the newest first")
        .through(Corridor::EvidenceResolve)
        .about(
            "As far back as retention keeps rows; the ledger of a dropped day has the older ones.",
        )
        .part("run", "platform_run_id", RUN)
        .text(
            "after",
            "What the page before gave as `next`",
            "1738324800000000.1.1",
        )
        .number(
            "limit",
            "Results on a page, from 1; 100 where it is not said",
            1..=PAGE_MAX as u64,
            100,
        )
        .word("code", "Only this code", &words(Code::ALL, Code::as_str))
        .answers::<QuarantinePage>(200, "A page; without `next` it is the last", page)
        .refuses(
            400,
            &[(Code::QueryInvalid, "limit: a whole number from 1 to 1000")],
        )
        .refuses(404, &[(Code::RunUnknown, "there is no such run")])
        .refuses(503, &could_not_answer())
}

pub(super) fn quarantined() -> Doc {
    let view = json!({
        "quarantined": a_quarantined(), "envelope": event(),
        "requeued": [{
            "requeued_at": "2025-01-31T13:00:00Z", "result": "ADMITTED", "actor_id": "human:cli",
            "reason": "the class is known since the upgrade",
        }],
    });
    Doc::new(
        "events",
        "A refused event with what was sent, and what became of it since",
    )
    .through(Corridor::EvidenceResolve)
    .part("run", "platform_run_id", RUN)
    .part(
        "quarantine_id",
        "Its id, as the list gives it",
        &"5".repeat(64),
    )
    .answers::<QuarantinedView>(200, "The event", view)
    .refuses(
        404,
        &[
            (Code::RunUnknown, "there is no such run"),
            (
                Code::NotFound,
                "nothing of this run is quarantined under this id",
            ),
        ],
    )
    .refuses(503, &could_not_answer())
}

fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|it| word(*it)).collect()
}

fn could_not_answer() -> [(Code, &'static str); 2] {
    let detail = "the gate could not answer; what it took is safe";
    [
        (Code::SubstrateUnavailable, detail),
        (Code::EvidenceMissing, detail),
    ]
}

fn a_quarantined() -> Value {
    json!({
        "quarantine_id": "5".repeat(64), "batch_id": 1, "item": 1, "platform_run_id": RUN, "event_class": "traffic",
        "event_id": EVENT, "payload_hash": "a".repeat(64), "code": "SCHEMA_INVALID",
        "detail": "payload/currency: breaks /properties/currency/pattern",
        "object_key": format!("{RUN}/ig/quarantine/2025-01-31/gate-0-1-{}.ndjson", "6".repeat(64)),
        "quarantined_at": "2025-01-31T12:00:00Z",
    })
}

pub(super) fn schemas() -> Doc {
    Doc::new("events", "The payload schemas, by class and version")
        .through(Corridor::IgIngest)
        .answers::<PayloadSchemas>(
            200,
            "Every class with its versions",
            json!({"schemas": [{
                "event_class": "traffic", "schema_version": 1, "path": "/v1/schemas/traffic/1",
            }]}),
        )
}

pub(super) fn schema() -> Doc {
    Doc::new("events", "The JSON Schema of a payload")
        .through(Corridor::IgIngest)
        .about("With the attributes that this deployment declares.")
        .part("class", "event_class", "traffic")
        .part("version", "schema_version", "1")
        .answers_object(200, "A JSON Schema")
        .refuses(
            404,
            &[(
                Code::NotFound,
                "no such class and version; GET /v1/schemas lists them",
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
