//! The Action Layer over the real executable: a declined payment is blocked by a signed call, asking twice is
//! asking once, a dead letter waits for an operator, an endpoint that is ill is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{JSON, Port, decision_id, till};

use crate::home::{DONE, Home, LONG, Process, REFUSED, until};
use crate::intents::{ask, case_management, challenge, id};
use crate::receiver::{Manner, Receiver};
use crate::shop;

const SECRET: &str = "whsec_0123456789abcdef";
const FEATURES: &str = include_str!("../../profiles/bundles/baseline/feature_set.yaml");
const POLICY: &str = r#"
policy: acting
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: R1, owner: fraud-ops, description: "Much", when: "event.amount_minor > 10000", outcome: REVIEW, score: 10, reason_code: MUCH}
  - {id: R2, owner: fraud-ops, description: "Too much", when: "event.amount_minor > 20000", outcome: DECLINE, score: 40, reason_code: TOO_MUCH}
actions:
  - {on: DECLINE, intent_type: block_payment, subject: payment}
  - {on: DECLINE, rule: R2, intent_type: watch_card, subject: card_id}
  - {on: DECLINE, intent_type: block_device, subject: device_id}
"#;

/// A platform whose policy acts and whose calls go to the receiver; impatient, so that tests are quick.
fn home(receiver: &Receiver, more: &[(&str, &str)]) -> Home {
    let mut home = Home::with(&[
        ("FRAUDPLAT__ACTIONS__ATTEMPTS_MAX", "3"),
        ("FRAUDPLAT__ACTIONS__BACKOFF_MS_FIRST", "20"),
        ("FRAUDPLAT__ACTIONS__BACKOFF_MS_MAX", "100"),
        // But no call fails because the machine stood still.
        ("FRAUDPLAT__ACTIONS__CALL_MS_MAX", "120000"),
        ("FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__URL", &receiver.url()),
        (
            "FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__INTENT_TYPES",
            "[block_payment, challenge_customer]",
        ),
    ]);
    let bundle = home.dir().join("acting");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("feature_set.yaml"), FEATURES).unwrap();
    std::fs::write(bundle.join("policy.yaml"), POLICY).unwrap();
    // Two lines: the secret in use, and the one before.
    let secrets = home.file("bank.secret", &format!("whsec_that_comes_next\n{SECRET}\n"));
    let mut env = vec![
        ("FRAUDPLAT__DECISION__BUNDLE_DIR", bundle.to_str().unwrap()),
        (
            "FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__SECRET_FILE",
            secrets.to_str().unwrap(),
        ),
    ];
    env.extend(more);
    home.under("embedded", &env);
    home
}

/// Waits until an action stands so.
#[track_caller]
fn stands(port: &Port, id: &str, state: &str) -> Value {
    until(state, LONG, || {
        let view = port.get(&format!("/v1/actions/{id}")).body;
        (view["state"] == state).then_some(view)
    })
}

#[test]
fn a_declined_payment_is_blocked_by_a_signed_call() {
    let receiver = Receiver::open(SECRET, |_| Manner::Take);
    let home = home(&receiver, &[]);
    let (all, port) = home.serve();
    let till = till(&home, "till");
    for (seq, id, amount) in [
        (1, "small", 1_200),
        (2, "much", 12_000),
        (3, "most", 25_000),
    ] {
        let mut events = till.payment(id, seq, amount);
        // What no text column takes, a payment may have all the same.
        events[1]["payload"]["card_id"] = json!("k\0");
        events[3]["payload"]["card_id"] = json!("k\0");
        port.send(&events);
    }
    assert_eq!(
        port.decision(&till.run, "most")["body"]["outcome"],
        "DECLINE"
    );
    assert_eq!(
        port.decision(&till.run, "much")["body"]["outcome"],
        "REVIEW"
    );
    let path = format!("/v1/actions?run={}", till.run);
    let listed = until("two actions that are done", LONG, || {
        let listed = port.get(&path).body["results"].as_array().unwrap().clone();
        let is_done = listed.iter().all(|it| it["state"] == "SUCCEEDED");
        (is_done && listed.len() == 2).then_some(listed)
    });
    // The device is not known, so nothing is asked of it.
    let types: std::collections::BTreeSet<&str> = listed
        .iter()
        .map(|it| it["intent_type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["block_payment", "watch_card"].into());

    let block = listed
        .iter()
        .find(|it| it["intent_type"] == "block_payment")
        .unwrap();
    assert_eq!(
        block["subject"],
        json!({"subject_type": "payment", "subject_id": "most"})
    );
    let watch = listed
        .iter()
        .find(|it| it["intent_type"] == "watch_card")
        .unwrap();
    assert_eq!(watch["subject"]["subject_id"], "k\u{fffd}");
    let view = port.get(&format!("/v1/actions/{}", id(watch))).body;
    assert_eq!(view["intent"]["subject"]["subject_id"], "k\0");
    the_call_is_true(&port, &receiver, &till.run, id(block));
    // Who counts does so after the commit that the list told of.
    for counter in ["action_requested", "action_success"] {
        until(counter, LONG, || {
            let metrics = port.metrics();
            let mut lines = metrics.lines();
            let line = lines.find(|it| it.starts_with(&format!("{counter}{{")));
            line.is_some_and(|it| it.ends_with(" 2")).then_some(())
        });
    }
    pages(&port, &listed);
    assert!(
        !home.said().join("").contains("whsec_"),
        "a secret was said"
    );
    shop::check_balanced(&home, &till.run);
    all.stop(Signal::TERM).expect(DONE);
}

/// What was sent is what stands in the record, once.
fn the_call_is_true(port: &Port, receiver: &Receiver, run: &str, id: &str) {
    let view = port.get(&format!("/v1/actions/{id}")).body;
    assert_eq!(view["requested_by"]["actor_id"], "svc:decision", "{view}");
    assert_eq!(view["attempts"][0]["http_status"], 200, "{view}");
    assert_eq!(view["outcome"]["executor"], "bank", "{view}");
    let decision = decision_id(run, "most");
    assert_eq!(
        view["intent"]["source"]["decision_id"],
        decision.as_str(),
        "{view}"
    );
    receiver.seen(|seen| {
        assert_eq!(seen.faults, Vec::<String>::new());
        assert_eq!(seen.applied.keys().collect::<Vec<_>>(), [id]);
        let sent: Value = serde_json::from_slice(&seen.applied[id]).unwrap();
        assert_eq!(sent, view["intent"]);
    });
}

/// One a page, the newest first, and a place that is none.
fn pages(port: &Port, listed: &[Value]) {
    let mut path = "/v1/actions?limit=1&state=SUCCEEDED".to_owned();
    for row in listed {
        let page = port.get(&path).body;
        assert_eq!(page["results"], json!([row]), "{page}");
        let next = page["next"].as_str().unwrap_or_default().to_owned();
        path = format!("/v1/actions?limit=1&state=SUCCEEDED&after={next}");
    }
    assert_eq!(
        port.get("/v1/actions?state=DEAD").body,
        json!({"results": []})
    );
    for query in ["after=", "limit=0", "state=done", "sate=DEAD", "run=x"] {
        let refused = port.get(&format!("/v1/actions?{query}"));
        assert_eq!(
            refused.body["code"], "QUERY_INVALID",
            "{query}: {refused:?}"
        );
    }
}

#[test]
fn asking_again_is_asking_once_and_another_payload_is_an_anomaly() {
    let receiver = Receiver::open(SECRET, |_| Manner::Take);
    let home = home(&receiver, &[]);
    let (_all, port) = home.serve();
    let till = till(&home, "till");
    let cm = case_management(&home, &port);
    let [one, two, three] = [1, 2, 3].map(|n| challenge(&till, "p1", n));
    let (status, first) = ask(&cm, &one);
    assert_eq!(
        (status, &first["results"][0]["result"]),
        (200, &json!("ACCEPTED")),
        "{first}"
    );
    assert_eq!(ask(&cm, &one), (200, first.clone()));

    let first_id = id(&one);
    let mut other = one.clone();
    other["evidence_refs"] = json!([{"ref_type": "EXTERNAL_REF", "ref_id": "another"}]);
    let (status, refused) = ask(&cm, &other);
    assert_eq!(
        (status, &refused["code"]),
        (409, &json!("PAYLOAD_HASH_MISMATCH")),
        "{refused}"
    );
    let facts = home.json(&["gov", "facts", "--type", "PAYLOAD_HASH_MISMATCH"]);
    assert_eq!(facts.as_array().unwrap().len(), 1, "{facts}");
    assert_eq!(facts[0]["natural_key"][2], first_id, "{facts}");
    assert_eq!(facts[0]["actor"]["actor_id"], "svc:cm", "{facts}");

    each_is_judged_alone(&cm, &three, [&one, &other, &two], &first);
    let none = port.get(&format!("/v1/actions/act_{}", "0".repeat(64)));
    assert_eq!(
        (none.status, &none.body["code"]),
        (404, &json!("NOT_FOUND")),
        "{none:?}"
    );
    for intent in [&one, &two] {
        stands(&port, id(intent), "SUCCEEDED");
    }
    receiver.seen(|seen| {
        assert_eq!((seen.faults.len(), seen.applied.len()), (0, 2), "{seen:?}");
        assert_eq!(
            serde_json::from_slice::<Value>(&seen.applied[first_id]).unwrap(),
            one
        );
    });
}

/// A batch is answered item by item; a body that is none is refused whole.
fn each_is_judged_alone(cm: &Port, three: &Value, known: [&Value; 3], first: &Value) {
    let [one, other, two] = known;
    let mut forged = three.clone();
    forged["subject"]["subject_id"] = json!("c2");
    let mut stray = three.clone();
    stray["pins"]["manifest_fingerprint"] = json!("0".repeat(64));
    let batch = json!([two, one, other, forged, {"a": 1}, two, stray, 7]);
    let (status, answer) = ask(cm, &batch);
    let words: Vec<String> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(crate::events::words)
        .collect();
    assert_eq!(
        (status, words.iter().map(String::as_str).collect::<Vec<_>>()),
        (
            200,
            vec![
                "ACCEPTED",
                "ACCEPTED",
                "CONFLICT PAYLOAD_HASH_MISMATCH",
                "REJECTED INTENT_INVALID",
                "REJECTED INTENT_INVALID",
                "ACCEPTED",
                "REJECTED PINS_MISMATCH",
                "REJECTED INTENT_INVALID",
            ]
        ),
        "{answer}"
    );
    assert_eq!(answer["results"][1], first["results"][0]);
    for (body, code) in [
        ("", "BODY_UNREADABLE"),
        ("[{}", "BODY_UNREADABLE"),
        ("{}", "INTENT_INVALID"),
    ] {
        let refused = cm.post("/v1/actions/intents", JSON, body);
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (400, &json!(code)),
            "{refused:?}"
        );
    }
}

#[test]
fn a_dead_letter_waits_for_an_operator() {
    // Refuses one and fails at the other, until it is told otherwise.
    let is_mended = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&is_mended);
    let receiver = Receiver::open(SECRET, move |call| match told.load(Ordering::SeqCst) {
        0 if call.body["source"]["event"]["event_id"] == "refused" => Manner::Answer(422),
        0 => Manner::Answer(500),
        _ => Manner::Take,
    });
    let home = home(
        &receiver,
        &[("FRAUDPLAT__ACTIONS__BREAKER_FAILURES_MAX", "100")],
    );
    let (_all, port) = home.serve();
    let till = till(&home, "till");
    let cm = case_management(&home, &port);
    let [refused, failing] = ["refused", "failing"].map(|id| challenge(&till, id, 1));
    assert_eq!(ask(&cm, &json!([refused, failing])).0, 200);
    let [refused, failing] = [&refused, &failing].map(id);
    // A refusal is not tried again; what fails is, so often.
    let view = stands(&port, refused, "DEAD");
    assert_eq!(
        (
            view["attempts"].as_array().unwrap().len(),
            &view["attempts"][0]["result"]
        ),
        (1, &json!("REFUSED")),
        "{view}"
    );
    let view = stands(&port, failing, "DEAD");
    assert_eq!(view["attempts"].as_array().unwrap().len(), 3, "{view}");
    assert!(view.get("outcome").is_none(), "{view}");
    let dead = home.json(&["actions", "list", "--state", "DEAD", "--run", &till.run]);
    assert_eq!(dead["results"].as_array().unwrap().len(), 2, "{dead}");
    let table = home.run(&["actions", "list"]).expect(DONE).stdout;
    assert!(
        table.contains("challenge_customer") && table.contains(failing),
        "{table}"
    );

    is_mended.store(1, Ordering::SeqCst);
    an_operator_decides(&home, &port, failing, refused);
    receiver.seen(|seen| {
        assert_eq!(seen.applied.keys().collect::<Vec<_>>(), [failing]);
        assert_eq!(seen.calls, 5, "1 refused, 3 failed, 1 taken");
    });
    shop::check_balanced(&home, &till.run);
}

/// One is tried again and done, the other given up; neither twice.
fn an_operator_decides(home: &Home, port: &Port, failing: &str, refused: &str) {
    let requeue =
        |id: &str| home.run(&["actions", "requeue", id, "--reason", "the bank is mended"]);
    requeue(failing).expect(DONE);
    let view = stands(port, failing, "SUCCEEDED");
    assert_eq!(
        view["requeued"][0]["actor"]["actor_id"], "human:cli",
        "{view}"
    );
    assert_eq!(
        view["requeued"][0]["reason"], "the bank is mended",
        "{view}"
    );
    assert_eq!(view["outcome"]["attempt_no"], 4, "{view}");
    let again = requeue(failing).expect(REFUSED);
    assert!(again.stderr.contains("ACTION_NOT_DEAD"), "{again:?}");
    let abandon = [
        "actions",
        "abandon",
        refused,
        "--reason",
        "the customer has left",
    ];
    home.run(&abandon).expect(DONE);
    let view = home.json(&["actions", "show", refused]);
    assert_eq!(
        (&view["state"], &view["outcome"]["result"]),
        (&json!("FAILED"), &json!("FAILED")),
        "{view}"
    );
    assert_eq!(view["outcome"]["actor"]["source_type"], "HUMAN", "{view}");
    home.run(&abandon).expect(REFUSED);
    requeue(refused).expect(REFUSED);
    let nobody = format!("act_{}", "0".repeat(64));
    assert!(
        requeue(&nobody)
            .expect(REFUSED)
            .stderr
            .contains("NOT_FOUND")
    );
}

#[test]
fn an_endpoint_that_is_ill_is_left_alone_until_it_is_well() {
    const ILL: u64 = 6;
    let receiver = Receiver::open(SECRET, |call| match call.no {
        1..=ILL => Manner::Answer(503),
        _ => Manner::Take,
    });
    let home = home(
        &receiver,
        &[
            ("FRAUDPLAT__ACTIONS__ATTEMPTS_MAX", "100"),
            ("FRAUDPLAT__ACTIONS__CALLS_MAX", "1"),
            ("FRAUDPLAT__ACTIONS__BREAKER_FAILURES_MAX", "3"),
            ("FRAUDPLAT__ACTIONS__BREAKER_OPEN_MS", "100"),
        ],
    );
    let (mut all, port) = home.serve();
    let till = till(&home, "till");
    let cm = case_management(&home, &port);
    let intents: Vec<Value> = (1..=20).map(|n| challenge(&till, "p1", n)).collect();
    assert_eq!(ask(&cm, &json!(intents)).0, 200);
    for intent in &intents {
        stands(&port, id(intent), "SUCCEEDED");
    }
    // Three in a row open it; each probe that fails keeps it open: not one call more.
    receiver.seen(|seen| {
        assert_eq!(seen.calls, 20 + ILL, "{seen:?}");
        assert_eq!(seen.faults, Vec::<String>::new());
    });
    said(&mut all, "its breaker opens");
    said(&mut all, "its breaker closes");
}

fn said(process: &mut Process<'_>, words: &str) {
    until(words, LONG, || process.said().contains(words).then_some(()));
}
