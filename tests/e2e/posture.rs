//! An operator's word on the posture, over HTTP and from the command line: decisions follow it, name it, and are
//! recomputed byte for byte.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Answer, JSON, Port, till};
use crate::home::{DONE, Home};

#[test]
fn what_is_forced_is_decided_until_it_is_released() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    let decided = |event_id: &str, seq: i64| {
        let path = "/v1/events?wait=decision&timeout_ms=30000";
        let body = Value::from(till.payment(event_id, seq, 900)).to_string();
        let answer = port.post(path, JSON, body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["results"][3]["decision"].clone()
    };
    let normal = decided("before", 1);
    assert_eq!(
        (&normal["outcome"], &normal["posture"]),
        (&json!("APPROVE"), &Value::Null)
    );

    let asked = json!({"platform_run_id": till.run, "posture": "FAIL_CLOSED", "reason": "drill"});
    let forced = port.post("/v1/posture/force", JSON, asked.to_string());
    assert_eq!(forced.status, 200, "{forced:?}");
    let closed = decided("during", 2);
    assert_eq!(closed["outcome"], "DECLINE", "{closed}");
    assert_eq!(closed["posture"], "FAIL_CLOSED", "{closed}");
    assert_eq!(
        closed["reasons"],
        json!(["POSTURE_FAIL_CLOSED"]),
        "{closed}"
    );
    let stored = port.decision(&till.run, "during");
    let by = &stored["evidence"]["posture_signals"]["forced"];
    assert_eq!(by["force_id"], forced.body["force_id"], "{stored}");
    assert_eq!(by["actor_id"], forced.body["actor"]["actor_id"], "{stored}");
    let shown = port.get("/v1/posture").body;
    assert_eq!(shown["forces"], json!([forced.body]), "{shown}");
    assert_eq!(shown["runs"][0]["posture"], "FAIL_CLOSED", "{shown}");
    assert_eq!(shown["runs"][0]["since_seq"], 2, "{shown}");

    let release = [
        "decision", "posture", "release", "--run", &till.run, "--reason", "over",
    ];
    let released = home.json(&release);
    assert_eq!(released["actor"]["actor_id"], "human:cli", "{released}");
    assert_eq!(decided("after", 3)["posture"], Value::Null);
    let shown = home.json(&["decision", "posture", "show"]);
    assert_eq!(shown["forces"], json!([]), "{shown}");
    assert_eq!(shown["runs"][0]["posture"], "NORMAL", "{shown}");

    check_refusals(&home, &port);

    home.run(&["run", "cancel", &till.run]).expect(0);
    all.stop(Signal::TERM).expect(DONE);
    let replayed = home.json(&[
        "replay", "range", "--run", &till.run, "--from", "1", "--to", "3",
    ]);
    assert_eq!(
        (&replayed["compared"], &replayed["mismatched"]),
        (&json!(3), &json!(0))
    );
}

/// A word that is none, without a reason or of no run is refused with its code.
fn check_refusals(home: &Home, port: &Port) {
    let refused = |body: Value, status: u16, code: &str| {
        let answer: Answer = port.post("/v1/posture/force", JSON, body.to_string());
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.body["code"], code, "{answer:?}");
    };
    let nowhere = format!("run_{}", "0".repeat(64));
    refused(
        json!({"posture": "NORMAL", "reason": " "}),
        400,
        "POSTURE_REFUSED",
    );
    refused(
        json!({"posture": "NORMAL", "reason": "a\u{0}b"}),
        400,
        "POSTURE_REFUSED",
    );
    refused(
        json!({"posture": "NORMALISH", "reason": "x"}),
        400,
        "BODY_UNREADABLE",
    );
    refused(
        json!({"posture": "NORMAL", "reason": "x", "platform_run_id": nowhere}),
        404,
        "RUN_UNKNOWN",
    );
    let none = ["decision", "posture", "force", "DEGRADED_1", "--reason", ""];
    home.run(&none).expect(3);
}
