//! What an operator does when something went wrong: requeues what was refused, resolves what is open,
//! replays a range, provisions.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Till, till, words};
use crate::home::{DONE, FAILED, Home, REFUSED, USAGE};
use crate::shop;

/// The quarantined events of a run, newest first, as id and code.
fn quarantined(home: &Home, till: &Till) -> Vec<(String, String)> {
    let listed = home.json(&["ig", "quarantine", "list", "--run", &till.run]);
    let rows = listed["results"].as_array().unwrap().iter();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.map(|row| (text(row, "quarantine_id"), text(row, "code")))
        .collect()
}

#[test]
fn a_quarantined_event_is_admitted_once_its_cause_is_gone() {
    let home = Home::new();
    // A gate that takes nothing from the future, not even a few minutes.
    let strict = [("FRAUDPLAT__SEMANTICS__FUTURE_TOLERANCE_MS", "0")];
    let mut all = home.start_with(&["--role", "all"], &strict);
    let port = home.port(&all.listening());
    let till = till(&home, "till");
    let mut ahead = till.traffic("ahead", 1_200);
    // As far as the default tolerance lets it be: it must be ahead until it was requeued in vain.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(295);
    ahead["ts_utc"] = json!(format!("{soon:.6}"));
    let verdicts = port.send(&[ahead.clone()]);
    assert_eq!(words(&verdicts[0]), "QUARANTINED TS_OUT_OF_RANGE");
    let [(id, _)] = quarantined(&home, &till).try_into().unwrap();
    let why = "its time has come";
    let requeue = [
        "--json",
        "ig",
        "quarantine",
        "requeue",
        &id,
        "--reason",
        why,
    ];
    // The cause is still there.
    let refused = home.run(&requeue).expect(REFUSED);
    assert!(refused.stderr.contains("TS_OUT_OF_RANGE"), "{refused:?}");
    assert_eq!(refused.json()["verdict"]["result"], "QUARANTINED");
    all.stop(Signal::TERM).expect(DONE);

    // Under the default tolerance it is gone. Nobody owns the directory: the command starts a gate.
    let admitted = home.run(&requeue).expect(DONE).json();
    assert_eq!(admitted["verdict"]["result"], "ADMITTED", "{admitted}");
    assert_eq!(admitted["verdict"]["event_id"], "ahead", "{admitted}");
    let again = home.run(&requeue).expect(DONE).json();
    assert_eq!(again["verdict"]["result"], "DUPLICATE", "{again}");
    let shown = home.json(&["ig", "quarantine", "show", &id]);
    assert_eq!(shown["code"], "TS_OUT_OF_RANGE", "the first record stands");
    let tries = shown["requeued"].as_array().unwrap();
    let results: Vec<&Value> = tries.iter().map(|it| &it["result"]).collect();
    assert_eq!(results, ["QUARANTINED", "ADMITTED", "DUPLICATE"], "{shown}");
    assert!(
        tries
            .iter()
            .all(|it| it["actor_id"] == "human:cli" && it["reason"] == why),
        "{shown}"
    );
    shop::check_balanced(&home, &till.run);

    // Another payload under an admitted id never becomes the event.
    let (_all, port) = home.serve();
    ahead["payload"]["amount_minor"] = json!(1);
    assert_eq!(
        words(&port.send(&[ahead])[0]),
        "QUARANTINED PAYLOAD_HASH_MISMATCH"
    );
    let listed = quarantined(&home, &till);
    let (other, _) = listed
        .iter()
        .find(|it| it.1 == "PAYLOAD_HASH_MISMATCH")
        .unwrap();
    let refused = home
        .run(&["ig", "quarantine", "requeue", other, "--reason", why])
        .expect(REFUSED);
    assert!(refused.stderr.contains("an id of its own"), "{refused:?}");
    let nothing = "0".repeat(64);
    let unknown = home
        .run(&["ig", "quarantine", "requeue", &nothing, "--reason", why])
        .expect(REFUSED);
    assert!(unknown.stderr.contains("NOT_FOUND"), "{unknown:?}");
    let unread = home
        .run(&["ig", "quarantine", "requeue", "17", "--reason", why])
        .expect(FAILED);
    assert!(unread.stderr.contains("quarantine list"), "{unread:?}");

    let resolved = home.json(&["ig", "ambiguous", "resolve"]);
    assert_eq!(resolved["resolved"], 0, "{resolved}");
    assert_eq!(home.json(&["ig", "ambiguous", "list"]), json!([]));
}

#[test]
fn a_requeue_says_why() {
    let home = Home::new();
    let id = "0".repeat(64);
    let unsaid = ["ig", "quarantine", "requeue", &id];
    home.run(&unsaid).expect(USAGE);
    let empty = [&unsaid[..], &["--reason", " "]].concat();
    let refused = home.run(&empty).expect(REFUSED);
    assert!(refused.stderr.contains("QUERY_INVALID"), "{refused:?}");
}

#[test]
fn receipts_are_listed_and_maintenance_tells_what_it_would_do() {
    let home = Home::new();
    let shop = shop::open(&home, 20);
    home.json(&["wsp", "stream", "--run", &shop.run]);
    let list = ["ig", "receipts", "list", "--run", &shop.run];
    let first = home.json(&[&list[..], &["--limit", "50"]].concat());
    assert_eq!(first["results"].as_array().unwrap().len(), 50, "{first}");
    let next = first["next"].as_str().unwrap();
    let rest = home.json(&[&list[..], &["--limit", "50", "--after", next]].concat());
    assert_eq!(rest["results"].as_array().unwrap().len(), 30, "{rest}");
    assert!(rest["next"].is_null(), "{rest}");
    let traffic = home.json(&[&list[..], &["--class", "traffic"]].concat());
    assert_eq!(
        traffic["results"].as_array().unwrap().len(),
        20,
        "{traffic}"
    );
    let one = &traffic["results"][7]["receipt"];
    let id = one["event_id"].as_str().unwrap();
    let show = ["ig", "receipts", "show", "--run", &shop.run, id];
    assert_eq!(home.json(&show), *one);
    let unknown = ["ig", "receipts", "show", "--run", &shop.run, "nobody"];
    assert!(
        home.run(&unknown)
            .expect(REFUSED)
            .stderr
            .contains("NOT_FOUND")
    );
    let filled = home.json(&["ig", "receipts", "backfill", "--run", &shop.run]);
    assert_eq!(
        (&filled["segments"], &filled["waiting"]),
        (&json!(0), &json!(0)),
        "{filled}"
    );

    let dry = home.json(&["maintenance", "run", "--dry-run"]);
    assert_eq!(
        (&dry["days"], &dry["dedupe_rows"]),
        (&json!([]), &json!(0)),
        "{dry}"
    );
    let early = home
        .run(&["maintenance", "run", "--as-of", "2999-01-01"])
        .expect(REFUSED);
    assert!(early.stderr.contains("RETENTION_REFUSED"), "{early:?}");
    let wrong = home
        .run(&["maintenance", "run", "--as-of", "monday"])
        .expect(REFUSED);
    assert!(wrong.stderr.contains("no day"), "{wrong:?}");
    shop::check_balanced(&home, &shop.run);
}

#[test]
fn provisioning_is_idempotent_and_a_range_is_replayed() {
    let home = Home::new();
    let first = home.json(&["provision"]);
    assert_eq!(first["pending"], json!([]), "{first}");
    assert_eq!(first["streams"].as_array().unwrap().len(), 7, "{first}");
    assert_eq!(home.json(&["provision"]), first);

    let shop = shop::open(&home, 300);
    home.json(&["wsp", "stream", "--run", &shop.run]);
    let replay = |from: &str, to: &str| {
        let range = ["--from", from, "--to", to];
        let args = [
            &["--json", "replay", "range", "--run", &shop.run][..],
            &range,
        ]
        .concat();
        home.run(&args)
    };
    let replayed = replay("101", "300").expect(DONE).json();
    assert_eq!(replayed["compared"], 200, "{replayed}");
    assert_eq!(replayed["mismatched"], 0, "{replayed}");
    let beyond = replay("290", "301").expect(REFUSED);
    assert!(beyond.stderr.contains("it ends at 300"), "{beyond:?}");
    let turned = replay("5", "4").expect(FAILED);
    assert!(
        turned.stderr.contains("--from not after --to"),
        "{turned:?}"
    );
    let behind = replay("301", "301").expect(REFUSED);
    assert!(behind.stderr.contains("it ends before"), "{behind:?}");
    // Several passes over the archive say what one does.
    let passes = ["replay", "range", "--run", &shop.run, "--at-a-time", "70"];
    let whole = home.json(&passes[..4]);
    assert_eq!(whole["compared"], 300, "{whole}");
    assert_eq!(home.json(&passes), whole);
    let unknown = format!("run_{}", "0".repeat(64));
    let args = [
        "replay", "range", "--run", &unknown, "--from", "1", "--to", "1",
    ];
    let unknown = home.run(&args).expect(REFUSED);
    assert!(unknown.stderr.contains("RUN_UNKNOWN"), "{unknown:?}");
}
