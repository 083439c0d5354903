//! Malformed input over HTTP: each kind has its exact verdict, nothing of it is decided, and the
//! good event beside it in the same request is admitted.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{JSON, NDJSON, Port, Till, till, words};
use crate::home::{DONE, Home};
use crate::shop;

/// A test number of a card scheme; it is nobody's card.
const CARD: &str = "4111111111111111";

/// Each bad line of a body with its verdict.
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as its cases"
)]
fn lines(till: &Till) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = |id: &str| till.traffic(id, 100);
    let text = |id: &str| good(id).to_string();
    let with = |id: &str, pointer: &str, value: Value| {
        let mut event = good(id);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        event.to_string()
    };
    let amount = |id: &str, digits: &str| {
        text(id).replace(
            "\"amount_minor\":100",
            &format!("\"amount_minor\":{digits}"),
        )
    };
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    let long = json!({"note": "y".repeat(300_000)});
    let other_run = format!("run_{}", "0".repeat(64));
    let rows: Vec<(&str, String, &str)> = vec![
        (
            "bad JSON",
            "{\"event_id\": oops}".to_owned(),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "cut off",
            text("x01")[..80].to_owned(),
            "REJECTED ITEM_UNPARSABLE",
        ),
        ("no object", "17".to_owned(), "REJECTED ITEM_UNPARSABLE"),
        (
            "an empty object",
            "{}".to_owned(),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "more behind it",
            text("x02") + " x",
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "event_id with spaces",
            with("x03", "/event_id", json!("a b")),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "event_id beyond ASCII",
            with("x04", "/event_id", json!("é")),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "event_id too long",
            with("x05", "/event_id", json!("e".repeat(129))),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "a number as id",
            with("x06", "/event_id", json!(3)),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "a text as version",
            with("x07", "/schema_version", json!("1")),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "no time",
            with("x08", "/ts_utc", json!("yesterday")),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "an unknown field",
            with("x09", "/colour", json!("red")),
            "REJECTED ITEM_UNPARSABLE",
        ),
        (
            "nested too deep",
            with("x10", "/payload/attributes", json!({"x": deep})),
            "REJECTED ITEM_UNPARSABLE",
        ),
        ("NaN", amount("x11", "NaN"), "REJECTED ITEM_UNPARSABLE"),
        (
            "a float",
            amount("x12", "1.5"),
            "REJECTED NUMBER_NOT_INTEGER",
        ),
        (
            "an exponent",
            amount("x13", "1e2"),
            "REJECTED NUMBER_NOT_INTEGER",
        ),
        (
            "beyond 64 bits",
            amount("x14", "9223372036854775808"),
            "REJECTED NUMBER_NOT_INTEGER",
        ),
        (
            "a key twice",
            text("x15").replacen('{', "{\"producer\":\"a\",", 1),
            "REJECTED DUPLICATE_KEY",
        ),
        (
            "a key twice in the payload",
            text("x16").replace("\"channel\"", "\"currency\":\"EUR\",\"channel\""),
            "REJECTED DUPLICATE_KEY",
        ),
        (
            "huge",
            with("x17", "/payload/attributes", long),
            "REJECTED ITEM_TOO_LARGE",
        ),
        (
            "a wrong run",
            with("x18", "/platform_run_id", json!(other_run)),
            "REJECTED RUN_UNKNOWN",
        ),
        (
            "an unknown class",
            with("q01", "/event_class", json!("refund")),
            "QUARANTINED CLASS_UNKNOWN",
        ),
        (
            "a future version",
            with("q02", "/schema_version", json!(2)),
            "QUARANTINED SCHEMA_VERSION_UNSUPPORTED",
        ),
        (
            "a negative amount",
            amount("q03", "-1"),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "a text as amount",
            amount("q04", "\"100\""),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "no such currency",
            with("q05", "/payload/currency", json!("euro")),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "no such channel",
            with("q06", "/payload/channel", json!("fax")),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "null for a value",
            with("q07", "/payload/customer_id", json!(null)),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "an unknown payload field",
            with("q08", "/payload/pan", json!("x")),
            "QUARANTINED SCHEMA_INVALID",
        ),
        (
            "a pii map",
            with("q09", "/pii", json!({"name": "Ada"})),
            "QUARANTINED PII_UNSUPPORTED",
        ),
        (
            "wrong pins",
            with("q10", "/manifest_fingerprint", json!("0".repeat(64))),
            "QUARANTINED PINS_MISMATCH",
        ),
        (
            "a stranger's tenant",
            with("q11", "/tenant_id", json!("other")),
            "QUARANTINED PINS_MISMATCH",
        ),
        (
            "the year 2099",
            with("q12", "/ts_utc", json!("2099-01-01T00:00:00Z")),
            "QUARANTINED TS_OUT_OF_RANGE",
        ),
        (
            "the year 1999",
            with("q13", "/ts_utc", json!("1999-01-01T00:00:00Z")),
            "QUARANTINED TS_OUT_OF_RANGE",
        ),
    ];
    let bytes = |(what, text, verdict): (_, String, _)| (what, text.into_bytes(), verdict);
    rows.into_iter().map(bytes).collect()
}

#[test]
fn every_kind_of_malformed_input_has_its_verdict() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    let table = lines(&till);
    assert!(table.len() >= 20);
    let quarantined = table
        .iter()
        .filter(|row| row.2.starts_with("QUARANTINED"))
        .count();
    for (n, (what, bad, verdict)) in table.iter().enumerate() {
        let good = till.traffic(&format!("good{n}"), 100).to_string();
        let body = [good.as_bytes(), b"\n", bad].concat();
        let answer = port.post("/v1/events", NDJSON, body);
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let results = answer.body["results"].as_array().unwrap();
        let found: Vec<String> = results.iter().map(words).collect();
        assert_eq!(found, ["ADMITTED", verdict], "{what}: {answer:?}");
        assert!(results[1]["receipt"].is_null(), "{what}: {answer:?}");
        let detail = results[1]["detail"].as_str().unwrap();
        assert!(
            !detail.is_empty() && !detail.contains("Ada"),
            "{what}: {detail}"
        );
    }
    whole_bodies(&port, &till);
    let cards = card_numbers(&home, &port, &till);

    let last = format!("good{}", table.len() - 1);
    port.decision(&till.run, &last);
    let listed = home.json(&[
        "ig",
        "quarantine",
        "list",
        "--run",
        &till.run,
        "--limit",
        "1000",
    ]);
    assert_eq!(
        listed.as_array().unwrap().len(),
        quarantined + 1,
        "{listed}"
    );
    shop::check_balanced(&home, &till.run);
    all.stop(Signal::TERM).expect(DONE);
    let shown = home.json(&["run", "show", &till.run]);
    assert_eq!(shown["decisions_count"], table.len() + cards, "{shown}");
    shop::check_balanced(&home, &till.run);
    let found = files_with(&home.data(), CARD.as_bytes());
    assert!(found.is_empty(), "a card number in clear: {found:?}");
}

/// A body that is unreadable as a whole is an HTTP error, and nothing of it is taken.
fn whole_bodies(port: &Port, till: &Till) {
    let good = till.traffic("lost", 100).to_string();
    let not_utf8 = [good.as_bytes(), b"\n\"\xff\""].concat();
    let many = "{}\n".repeat(5_001);
    let cases: [(&str, &str, Vec<u8>, u16, &str); 7] = [
        ("empty", NDJSON, Vec::new(), 400, "BODY_UNREADABLE"),
        (
            "blank lines",
            NDJSON,
            b"\n \n".to_vec(),
            400,
            "BODY_UNREADABLE",
        ),
        ("non-UTF-8", NDJSON, not_utf8, 400, "BODY_UNREADABLE"),
        (
            "half an array",
            JSON,
            format!("[{good},").into(),
            400,
            "BODY_UNREADABLE",
        ),
        (
            "half an object",
            JSON,
            good.as_bytes()[..40].into(),
            400,
            "BODY_UNREADABLE",
        ),
        (
            "too many events",
            NDJSON,
            many.into(),
            413,
            "BODY_TOO_LARGE",
        ),
        (
            "too many bytes",
            NDJSON,
            vec![b'\n'; 9 << 20],
            413,
            "BODY_TOO_LARGE",
        ),
    ];
    for (what, content_type, body, status, code) in cases {
        let answer = port.post("/v1/events", content_type, body);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.body["code"], code, "{what}: {answer:?}");
        assert_eq!(answer.content_type, "application/problem+json", "{what}");
    }
    let path = format!("/v1/receipts/{}/traffic/lost", till.run);
    assert_eq!(port.get(&path).status, 404);
}

/// A card number in clear is replaced by a token, where it is admitted and where it is not; returns
/// how many payments were admitted.
fn card_numbers(home: &Home, port: &Port, till: &Till) -> usize {
    let with_card = |id: &str, amount: i64| {
        let mut event = till.traffic(id, amount);
        event["payload"]["card_id"] = json!(CARD);
        event
    };
    let good = with_card("card", 100);
    let sent = port.send(&[good.clone(), with_card("bad-card", -1)]);
    assert_eq!(words(&sent[0]), "ADMITTED", "{sent:?}");
    assert_eq!(words(&sent[1]), "QUARANTINED SCHEMA_INVALID", "{sent:?}");
    // The same card has the same token, so a repeat is a repeat.
    assert_eq!(words(&port.send(&[good])[0]), "DUPLICATE");
    let listed = home.json(&["ig", "quarantine", "list", "--run", &till.run]);
    let rows = listed.as_array().unwrap();
    let row = rows.iter().find(|it| it["event_id"] == "bad-card").unwrap();
    let id = row["quarantine_id"].as_str().unwrap();
    let shown = home.json(&["ig", "quarantine", "show", id]);
    let token = shown["envelope"]["payload"]["card_id"].as_str().unwrap();
    assert!(!token.contains(CARD) && token.len() > 8, "{shown}");
    1
}

/// Files below `dir` that hold these bytes.
fn files_with(dir: &std::path::Path, wanted: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(wanted.len()).any(|it| it == wanted))
        {
            found.push(path);
        }
    }
    found
}
