//! A live run: a payment comes as four events over HTTP and is decided; what is missing degrades
//! its decision after the wait, and what does not exist is a problem document.

use serde_json::{Value, json};

use crate::events::{Answer, decision_id, till};
use crate::home::Home;

#[test]
fn payments_are_decided_as_they_come() {
    let home = Home::new();
    let (_all, port) = home.serve();
    let till = till(&home, "till");
    for verdict in port.send(&till.payment("whole", 1, 23_000)) {
        assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
    }
    let whole = port.decision(&till.run, "whole");
    let body = &whole["body"];
    assert_eq!(body["outcome"], "REVIEW", "{whole}");
    assert_eq!(body["reasons"][0], "HIGH_AMOUNT", "{whole}");
    assert_eq!(body["degraded"], json!([]), "{whole}");
    assert_eq!(body["features"]["customer_count_1d"], 1, "{whole}");
    let join = whole["evidence"]["join"].as_object().unwrap();
    assert!(join.values().all(|it| it == "PRESENT"), "{whole}");

    let path = format!("/v1/decisions/{}/explain", decision_id(&till.run, "whole"));
    let explained = port.get(&path);
    assert_eq!(explained.status, 200, "{explained:?}");
    let fired = explained.body["fired"].as_array().unwrap();
    assert_eq!(fired[0], "R001", "{explained:?}");
    let summary = explained.body["summary"].as_str().unwrap();
    assert!(summary.starts_with("REVIEW at "), "{summary}");
    assert!(summary.contains("HIGH_AMOUNT"), "{summary}");

    // Only the traffic: the context never comes.
    let sent = port.send(&[till.traffic("bare", 900)]);
    assert_eq!(sent[0]["result"], "ADMITTED", "{sent:?}");
    let bare = port.decision(&till.run, "bare");
    let degraded = bare["body"]["degraded"].as_array().unwrap();
    assert!(!degraded.is_empty(), "{bare}");
    assert_eq!(bare["evidence"]["join"]["flow_anchor"], "MISSING", "{bare}");
    let waited = moment(&bare["evidence"]["decided_at"]) - moment(&bare["evidence"]["admitted_at"]);
    assert!(
        waited >= 2_000,
        "decided after {waited} ms, before join_wait"
    );
    // It counts as a payment of its customer all the same.
    assert_eq!(bare["body"]["features"]["customer_count_1d"], 2, "{bare}");
}

/// Milliseconds.
fn moment(at: &Value) -> i64 {
    let at: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
    at.as_millisecond()
}

#[test]
fn what_does_not_exist_is_a_problem_document() {
    let home = Home::new();
    let (_all, port) = home.serve();
    let nothing = "0".repeat(64);
    for (path, code) in [
        ("/v1/nowhere".to_owned(), "NOT_FOUND"),
        (format!("/v1/decisions/dec_{nothing}"), "NOT_FOUND"),
        ("/v1/decisions/17".to_owned(), "NOT_FOUND"),
        ("/v1/decisions/17/explain".to_owned(), "NOT_FOUND"),
        (format!("/v1/runs/run_{nothing}/progress"), "RUN_UNKNOWN"),
        ("/v1/runs/17/progress".to_owned(), "RUN_UNKNOWN"),
        (
            format!("/v1/receipts/run_{nothing}/traffic/e1"),
            "NOT_FOUND",
        ),
        ("/v1/receipts/17/traffic/e1".to_owned(), "NOT_FOUND"),
    ] {
        check_problem(&port.get(&path), 404, code);
    }
    let stranger = port.with_key("").post(
        "/v1/commands",
        "application/json",
        r#"{"args":[],"cwd":"/"}"#,
    );
    check_problem(&stranger, 401, "UNAUTHENTICATED");
    assert_eq!(port.get("/healthz").status, 200);
    assert_eq!(port.get("/readyz").status, 200);
    let metrics = port.metrics();
    for asked in [
        "bus_put_requests",
        "bus_put_records",
        "object_puts",
        "db_flushes",
    ] {
        let line = format!("{asked}{{environment=\"local_parity\",mode=\"fraud\"}} ");
        assert!(metrics.contains(&line), "{asked}: {metrics}");
    }
    let count = metrics.lines().find_map(|it| it.strip_prefix("db_flushes"));
    let count = count.and_then(|it| it.split(' ').next_back()?.parse::<u64>().ok());
    assert!(count.is_some_and(|it| it > 0), "{metrics}");
}

#[track_caller]
fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.content_type, "application/problem+json",
        "{answer:?}"
    );
    assert_eq!(answer.body["status"], status, "{answer:?}");
    assert_eq!(answer.body["code"], code, "{answer:?}");
    assert_eq!(
        answer.body["type"],
        format!("/docs/errors/{code}"),
        "{answer:?}"
    );
    for member in ["title", "detail", "advice"] {
        let text = answer.body[member].as_str().unwrap();
        assert!(!text.is_empty(), "{answer:?}");
    }
}
