//! Every kind of bad event has its exact verdict, and the good events beside it are admitted.

use fraudplat::contracts::ready::{PinnedObject, WorldFacts};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::ManifestFingerprint;
use fraudplat::domain::ids::PlatformRunId;
use fraudplat::domain::vocabulary::{EventClass, FactType};
use fraudplat::governance::facts;
use fraudplat::ingress::sr::{self, NewRun};
use serde_json::{Value, json};

use crate::gate::{Counts, JSON, Lab, NDJSON, event, lab, words};

fn with(mut event: Value, pointer: &str, value: Value) -> String {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event.to_string()
}

/// Each bad item with its verdict and the start of its detail.
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as its cases"
)]
fn table(lab: &Lab) -> Vec<(String, &'static str, &'static str)> {
    let good = |id: &str| lab.traffic(id, 1);
    let text = |id: &str| good(id).to_string();
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    let unknown_run = PlatformRunId::from_digest(Digest::of_bytes(b"no such run"));
    vec![
        (
            "{\"event_id\": oops}".to_owned(),
            "REJECTED ITEM_UNPARSABLE",
            "expected value",
        ),
        (
            "17".to_owned(),
            "REJECTED ITEM_UNPARSABLE",
            "not a JSON object",
        ),
        (
            "{}".to_owned(),
            "REJECTED ITEM_UNPARSABLE",
            "event_class: missing",
        ),
        (
            text("b01") + "}",
            "REJECTED ITEM_UNPARSABLE",
            "trailing characters",
        ),
        (
            with(good("b02"), "/event_id", json!("")),
            "REJECTED ITEM_UNPARSABLE",
            "event_id: not 1 to 128",
        ),
        (
            with(good("b03"), "/event_id", json!(3)),
            "REJECTED ITEM_UNPARSABLE",
            "event_id: not a string",
        ),
        (
            with(good("b04"), "/ts_utc", json!("yesterday")),
            "REJECTED ITEM_UNPARSABLE",
            "ts_utc: not an RFC 3339",
        ),
        (
            with(good("b05"), "/platform_run_id", json!("run_1")),
            "REJECTED ITEM_UNPARSABLE",
            "platform_run_id: not an id",
        ),
        (
            with(good("b06"), "/extra", json!(1)),
            "REJECTED ITEM_UNPARSABLE",
            "extra: not a field",
        ),
        (
            with(good("b07"), "/payload/attributes", json!({"x": deep})),
            "REJECTED ITEM_UNPARSABLE",
            "payload.attributes.x",
        ),
        (
            text("b08").replacen('{', "{\"producer\":\"a\",", 1),
            "REJECTED DUPLICATE_KEY",
            "producer",
        ),
        (
            text("b09").replace("\"channel\"", "\"currency\":\"EUR\",\"channel\""),
            "REJECTED DUPLICATE_KEY",
            "payload.currency",
        ),
        (
            text("b10").replace("\"amount_minor\":1", "\"amount_minor\":1.5"),
            "REJECTED NUMBER_NOT_INTEGER",
            "payload.amount_minor",
        ),
        (
            text("b11").replace("\"amount_minor\":1", "\"amount_minor\":9223372036854775808"),
            "REJECTED NUMBER_NOT_INTEGER",
            "payload.amount_minor",
        ),
        (
            text("b12").replace("\"amount_minor\":1", "\"amount_minor\":NaN"),
            "REJECTED ITEM_UNPARSABLE",
            "expected value",
        ),
        (
            with(
                good("b13"),
                "/payload/attributes",
                json!({"x": "y".repeat(300_000)}),
            ),
            "REJECTED ITEM_TOO_LARGE",
            "300",
        ),
        (
            with(good("b14"), "/platform_run_id", json!(unknown_run)),
            "REJECTED RUN_UNKNOWN",
            "platform_run_id",
        ),
        (
            with(good("q01"), "/event_class", json!("refund")),
            "QUARANTINED CLASS_UNKNOWN",
            "event_class",
        ),
        (
            with(good("q02"), "/schema_version", json!(2)),
            "QUARANTINED SCHEMA_VERSION_UNSUPPORTED",
            "schema_version",
        ),
        (
            with(good("q03"), "/payload", json!("text")),
            "QUARANTINED SCHEMA_INVALID",
            "payload: breaks /type",
        ),
        (
            with(good("q04"), "/payload/amount_minor", json!(-1)),
            "QUARANTINED SCHEMA_INVALID",
            "payload/amount_minor",
        ),
        (
            with(good("q05"), "/payload/currency", json!("euro")),
            "QUARANTINED SCHEMA_INVALID",
            "payload/currency",
        ),
        (
            with(good("q06"), "/payload/customer_id", json!(null)),
            "QUARANTINED SCHEMA_INVALID",
            "payload/customer_id",
        ),
        (
            with(good("q07"), "/payload/pan", json!("x")),
            "QUARANTINED SCHEMA_INVALID",
            "payload: breaks",
        ),
        (
            with(good("q08"), "/pii", json!({"name": "Ada"})),
            "QUARANTINED PII_UNSUPPORTED",
            "pii",
        ),
        (
            with(good("q09"), "/tenant_id", json!("other")),
            "QUARANTINED PINS_MISMATCH",
            "tenant_id",
        ),
        (
            with(good("q10"), "/manifest_fingerprint", json!("0".repeat(64))),
            "QUARANTINED PINS_MISMATCH",
            "manifest_fingerprint",
        ),
        (
            with(good("q11"), "/ts_utc", json!("2099-01-01T00:00:00Z")),
            "QUARANTINED TS_OUT_OF_RANGE",
            "ts_utc",
        ),
        (
            with(good("q12"), "/ts_utc", json!("1999-01-01T00:00:00Z")),
            "QUARANTINED TS_OUT_OF_RANGE",
            "ts_utc",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_its_verdict_and_its_neighbours_are_admitted() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let table = table(&lab);
    let mut body = String::new();
    for (n, (bad, _, _)) in table.iter().enumerate() {
        let good = lab.traffic(&format!("good{n}"), 1);
        body.push_str(&format!("{good}\n{bad}\n"));
    }
    let answer = gate.post(NDJSON, body).await;
    assert_eq!(answer.status, 200);
    let results = answer.results();
    assert_eq!(results.len(), 2 * table.len());
    let found = words(&results);
    for (n, (bad, verdict, detail)) in table.iter().enumerate() {
        assert_eq!(found[2 * n], "ADMITTED", "beside {bad:.200}");
        assert_eq!(found[2 * n + 1], *verdict, "{bad:.200}");
        let said = results[2 * n + 1]["detail"].as_str().unwrap();
        assert!(said.starts_with(detail), "{said} for {bad:.200}");
    }
    // In an array too, where the syntax of the whole is good.
    let array = format!(
        "[{}, {}, 17]",
        lab.traffic("in an array".replace(' ', "-").as_str(), 1),
        with(lab.traffic("q13", 1), "/schema_version", json!(9))
    );
    let answer = gate.post(JSON, array).await;
    assert_eq!(
        words(&answer.results()),
        [
            "ADMITTED",
            "QUARANTINED SCHEMA_VERSION_UNSUPPORTED",
            "REJECTED ITEM_UNPARSABLE"
        ]
    );
    gate.drain().await;
    let n = i64::try_from(table.len()).unwrap() + 1;
    let counts = Counts {
        received: n + 13,
        admitted: n,
        duplicate: 0,
        quarantined: 13,
    };
    assert_eq!(lab.balance().await, counts);
    let run = Some(lab.run.platform_run_id);
    let told = facts::list(&lab.client().await, run, Some(FactType::SchemaInvalid), 100).await;
    assert_eq!(told.unwrap().len(), 13);
    // The pii map rests nowhere.
    for (path, bytes) in crate::cards::files(lab.dir.path()) {
        let found = bytes.windows(3).any(|it| it == b"Ada");
        assert!(!found, "{path:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_run_takes_its_range_until_its_end_and_repeats_after_it() {
    let lab = lab().await;
    let object = PinnedObject {
        key: "worlds/x".to_owned(),
        digest: Digest::of_bytes(b""),
        rows: 1,
    };
    let new = NewRun {
        manifest_fingerprint: ManifestFingerprint::of_live(None, "world"),
        name: "world".to_owned(),
        label: String::new(),
        tenant_id: None,
        semantic_digest: Digest::of_bytes(b"semantics"),
        world: Some(WorldFacts {
            arrivals: vec![object.clone()],
            truth: object,
            arrivals_count: 1,
            payments_count: 1,
            first_ts: "2018-04-01T00:00:00Z".parse().unwrap(),
            last_ts: "2018-04-30T00:00:00Z".parse().unwrap(),
        }),
    };
    let run = sr::create(&lab.ground, &new).await.unwrap().facts.pins;
    let gate = lab.gate().await;
    let at = |id: &str, ts: &str| {
        let mut it = event(&run, EventClass::Traffic, id, 1);
        it["ts_utc"] = json!(ts);
        it
    };
    let inside = at("a", "2018-04-30T00:00:00Z");
    let verdicts = gate
        .send(&[inside.clone(), at("b", "2018-04-30T00:00:00.000001Z")])
        .await;
    assert_eq!(
        words(&verdicts),
        ["ADMITTED", "QUARANTINED TS_OUT_OF_RANGE"]
    );

    let mut client = lab.ground.db.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let id = run.platform_run_id;
    let ended = lab
        .ground
        .fact(FactType::RunEnded, &[&id.to_string()], Some(id));
    facts::append(&tx, &[ended]).await.unwrap();
    tx.commit().await.unwrap();
    drop(client);
    // The end is noticed within a second or so.
    let mut n = 0;
    loop {
        n += 1;
        let verdict = gate
            .send(&[at(&format!("late{n}"), "2018-04-02T00:00:00Z")])
            .await;
        if words(&verdict) == ["QUARANTINED RUN_CLOSED"] {
            break;
        }
        assert_eq!(words(&verdict), ["ADMITTED"]);
        assert!(n < 10_000, "the end was never noticed");
    }
    let repeat = gate.send(&[inside]).await;
    assert_eq!(words(&repeat), ["DUPLICATE"]);
    assert_eq!(repeat[0]["receipt"], verdicts[0]["receipt"]);
    gate.drain().await;
    lab.balance().await;
}
