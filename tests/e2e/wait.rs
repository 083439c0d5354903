//! `POST /v1/events?wait=decision`: the answer carries the decision, if it is made in time; else it
//! says what to do, and the event is decided all the same.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Answer, NDJSON, Port, Till, decision_id, till};
use crate::home::{DONE, Home, until};

/// Of the profile.
const JOIN_WAIT: Duration = Duration::from_millis(2_000);

fn send(port: &Port, query: &str, events: &[Value]) -> Answer {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    port.post(&format!("/v1/events{query}"), NDJSON, lines.join("\n"))
}

#[test]
fn a_caller_waits_for_the_decision() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    decided(&port, &till);
    degraded(&port, &till);
    timed_out(&port, &till);
    refused(&port, &till);
    drained(&home, &till, &port);
    let ended = all.wait().expect(DONE);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

fn decided(port: &Port, till: &Till) {
    let payment = till.payment("whole", 1, 23_000);
    let answer = send(port, "?wait=decision&timeout_ms=30000", &payment);
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.body["results"].as_array().unwrap();
    for context in &results[..3] {
        assert_eq!(context["result"], "ADMITTED", "{context}");
        // Only traffic is decided.
        assert_eq!(context["decision"], Value::Null, "{context}");
    }
    let told = &results[3]["decision"];
    let stored = port.decision(&till.run, "whole");
    for field in [
        "decision_id",
        "outcome",
        "reasons",
        "rule_score",
        "degraded",
    ] {
        assert_eq!(told[field], stored["body"][field], "{field}: {told}");
    }
    assert_eq!(told["outcome"], "REVIEW", "{told}");
    assert_eq!(told["decided_at"], stored["evidence"]["decided_at"]);

    // A repeat of what is decided: looked up, at once.
    let began = Instant::now();
    let again = send(port, "?wait=decision&timeout_ms=30000", &payment);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.body["results"][3]["result"], "DUPLICATE", "{again:?}");
    assert_eq!(&again.body["results"][3]["decision"], told);
    assert!(began.elapsed() < Duration::from_secs(20), "not at once");
    // Without being asked for, there is none.
    let plain = send(port, "", &payment);
    assert_eq!(plain.body["results"][3]["decision"], Value::Null);
}

fn degraded(port: &Port, till: &Till) {
    let bare = till.traffic("bare", 900);
    // Twice in one body: one event, one decision, two verdicts.
    let twice = [bare.clone(), bare];
    let answer = send(port, "?wait=decision&timeout_ms=30000", &twice);
    assert_eq!(answer.status, 200, "{answer:?}");
    for verdict in answer.body["results"].as_array().unwrap() {
        let degraded = verdict["decision"]["degraded"].as_array().unwrap();
        assert!(
            degraded.contains(&json!("MISSING_FLOW_ANCHOR")),
            "{verdict}"
        );
    }
}

fn timed_out(port: &Port, till: &Till) {
    let (id, late, answer, began) = given_up(port, till);
    let verdict = &answer.body["results"][0];
    assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
    assert_eq!(verdict["receipt"]["event_id"], id.as_str(), "{verdict}");
    assert_eq!(verdict["decision"], Value::Null, "{verdict}");
    let advice = verdict["detail"].as_str().unwrap();
    let path = format!("GET /v1/decisions/{}", decision_id(&till.run, &id));
    assert!(
        advice.contains("100 ms") && advice.contains(&path),
        "{advice}"
    );
    assert!(began.elapsed() < Duration::from_secs(20), "waited too long");
    // A repeat while it is still undecided waits for the same decision.
    let again = send(port, "?wait=decision&timeout_ms=30000", &[late]);
    assert_eq!(again.status, 200, "{again:?}");
    let verdict = &again.body["results"][0];
    assert_eq!(verdict["result"], "DUPLICATE", "{verdict}");
    assert_eq!(
        verdict["decision"]["outcome"],
        port.decision(&till.run, &id)["body"]["outcome"]
    );
}

/// A payment whose context never comes, so that its decision takes at least `join_wait_ms`, and the answer that
/// did not wait so long: on a machine where the admission alone took longer, of another payment.
fn given_up(port: &Port, till: &Till) -> (String, Value, Answer, Instant) {
    for nth in 0.. {
        let id = format!("late{nth}");
        let late = till.traffic(&id, 900);
        let began = Instant::now();
        let query = "?wait=decision&timeout_ms=100";
        let answer = send(port, query, std::slice::from_ref(&late));
        if answer.status == 202 {
            return (id, late, answer, began);
        }
        assert!(began.elapsed() >= JOIN_WAIT, "{answer:?}");
    }
    unreachable!("there is always another payment");
}

fn refused(port: &Port, till: &Till) {
    let never = [till.traffic("never", 1)];
    for query in [
        "?wait=receipt",
        "?wait=decision&timeout_ms=99999999",
        "?wiat=decision",
    ] {
        let answer = send(port, query, &never);
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("QUERY_INVALID"))
        );
    }
    // What is not admitted is not decided: nobody waits for it.
    let mut broken = till.traffic("broken", 1);
    broken["payload"]["currency"] = json!("euro");
    let began = Instant::now();
    let answer = send(
        port,
        "?wait=decision&timeout_ms=30000",
        &[broken, json!({"a": 1})],
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["results"][0]["result"], "QUARANTINED");
    assert_eq!(answer.body["results"][1]["result"], "REJECTED");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "waited for nothing"
    );
}

/// Whoever waits when the platform is told to stop is answered with the decision.
fn drained(home: &Home, till: &Till, port: &Port) {
    let (waits, last) = (port.again(), till.traffic("last", 900));
    let waiting =
        std::thread::spawn(move || send(&waits, "?wait=decision&timeout_ms=30000", &[last]));
    let receipt = format!("/v1/receipts/{}/traffic/last", till.run);
    until("the admission of the last", Duration::from_secs(60), || {
        (port.get(&receipt).status == 200).then_some(())
    });
    home.signal_owner(Signal::TERM);
    let answer = waiting.join().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let degraded = &answer.body["results"][0]["decision"]["degraded"];
    assert!(
        degraded.as_array().is_some_and(|it| !it.is_empty()),
        "{answer:?}"
    );
}
