//! Malformed input over HTTP: each kind has its exact verdict, nothing of it is decided, and the
//! good event beside it in the same request is admitted.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{JSON, NDJSON, Port, Till, till, words};
use crate::home::{DONE, Home, LONG, until};
use crate::shop;

/// A test number of a card scheme; it is nobody's card.
const CARD: &str = "4111111111111111";

/// What is wrong, the line, its verdict.
type Row = (&'static str, String, &'static str);

/// Makes bad events of good ones.
struct Bad<'t>(&'t Till);

impl Bad<'_> {
    fn text(&self, id: &str) -> String {
        self.0.traffic(id, 100).to_string()
    }

    /// With another value, or one more.
    fn with(&self, id: &str, pointer: &str, value: Value) -> String {
        let mut event = self.0.traffic(id, 100);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[name] = value;
        event.to_string()
    }

    /// With these characters for the amount.
    fn amount(&self, id: &str, digits: &str) -> String {
        let amount = format!("\"amount_minor\":{digits}");
        self.text(id).replace("\"amount_minor\":100", &amount)
    }

    /// No JSON object, or not the fields of an envelope.
    fn unparsable(&self) -> Vec<Row> {
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        let deep = json!({"x": deep});
        let cut = self.text("x01")[..80].to_owned();
        let rows = [
            ("bad JSON", "{\"event_id\": oops}".to_owned()),
            ("cut off", cut),
            ("no object", "17".to_owned()),
            ("an empty object", "{}".to_owned()),
            ("more behind it", self.text("x02") + " x"),
            (
                "spaces in the id",
                self.with("x03", "/event_id", json!("a b")),
            ),
            (
                "an id beyond ASCII",
                self.with("x04", "/event_id", json!("é")),
            ),
            (
                "an id too long",
                self.with("x05", "/event_id", json!("e".repeat(129))),
            ),
            ("a number as id", self.with("x06", "/event_id", json!(3))),
            (
                "a text as version",
                self.with("x07", "/schema_version", json!("1")),
            ),
            ("no time", self.with("x08", "/ts_utc", json!("yesterday"))),
            (
                "nanoseconds",
                self.with("x09", "/ts_utc", json!("2025-01-01T00:00:00.000000001Z")),
            ),
            (
                "an unknown field",
                self.with("x10", "/colour", json!("red")),
            ),
            ("too deep", self.with("x11", "/payload/attributes", deep)),
            ("NaN", self.amount("x12", "NaN")),
        ];
        let verdict = |(what, text)| (what, text, "REJECTED ITEM_UNPARSABLE");
        rows.map(verdict).into()
    }

    /// Readable, but of no single meaning here.
    fn rejected(&self) -> Vec<Row> {
        let (number, key) = ("REJECTED NUMBER_NOT_INTEGER", "REJECTED DUPLICATE_KEY");
        let twice = self.text("x15").replacen('{', "{\"producer\":\"a\",", 1);
        let inner = "\"currency\":\"EUR\",\"channel\"";
        let inner = self.text("x16").replace("\"channel\"", inner);
        let long = json!({"note": "y".repeat(300_000)});
        let long = self.with("x17", "/payload/attributes", long);
        let run = json!(format!("run_{}", "0".repeat(64)));
        let run = self.with("x18", "/platform_run_id", run);
        vec![
            ("a float", self.amount("x12", "1.5"), number),
            ("an exponent", self.amount("x13", "1e2"), number),
            (
                "past 64 bits",
                self.amount("x14", "9223372036854775808"),
                number,
            ),
            ("a key twice", twice, key),
            ("a key twice below", inner, key),
            ("huge", long, "REJECTED ITEM_TOO_LARGE"),
            ("a wrong run", run, "REJECTED RUN_UNKNOWN"),
        ]
    }

    /// Parsed, received, and kept aside.
    fn quarantined(&self) -> Vec<Row> {
        let (schema, pins) = ("QUARANTINED SCHEMA_INVALID", "QUARANTINED PINS_MISMATCH");
        let (class, version) = (
            "QUARANTINED CLASS_UNKNOWN",
            "QUARANTINED SCHEMA_VERSION_UNSUPPORTED",
        );
        let (pii, time) = ("QUARANTINED PII_UNSUPPORTED", "QUARANTINED TS_OUT_OF_RANGE");
        let on = |id: &str, field: &str, value: Value| self.with(id, field, value);
        let null = json!(null);
        let world = json!("0".repeat(64));
        vec![
            (
                "an unknown class",
                on("q01", "/event_class", json!("refund")),
                class,
            ),
            (
                "a future version",
                on("q02", "/schema_version", json!(2)),
                version,
            ),
            ("a negative amount", self.amount("q03", "-1"), schema),
            ("a text as amount", self.amount("q04", "\"100\""), schema),
            (
                "no such currency",
                on("q05", "/payload/currency", json!("euro")),
                schema,
            ),
            (
                "no such channel",
                on("q06", "/payload/channel", json!("fax")),
                schema,
            ),
            (
                "null for a value",
                on("q07", "/payload/customer_id", null),
                schema,
            ),
            (
                "an unknown part",
                on("q08", "/payload/pan", json!("x")),
                schema,
            ),
            (
                "a payload of text",
                on("q09", "/payload", json!("x")),
                schema,
            ),
            ("a pii map", on("q10", "/pii", json!({"name": "Ada"})), pii),
            (
                "wrong pins",
                on("q11", "/manifest_fingerprint", world),
                pins,
            ),
            (
                "a wrong tenant",
                on("q12", "/tenant_id", json!("other")),
                pins,
            ),
            (
                "the year 2099",
                on("q13", "/ts_utc", json!("2099-01-01T00:00:00Z")),
                time,
            ),
            (
                "the year 1999",
                on("q14", "/ts_utc", json!("1999-01-01T00:00:00Z")),
                time,
            ),
        ]
    }
}

#[test]
fn every_kind_of_malformed_input_has_its_verdict() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    let bad = Bad(&till);
    let quarantined = bad.quarantined().len();
    let table = [bad.unparsable(), bad.rejected(), bad.quarantined()].concat();
    for (n, (what, bad, verdict)) in table.iter().enumerate() {
        let good = till.traffic(&format!("good{n}"), 100).to_string();
        let body = format!("{good}\n{bad}");
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
        listed["results"].as_array().unwrap().len(),
        quarantined + 1,
        "{listed}"
    );
    shop::check_balanced(&home, &till.run);
    all.stop(Signal::TERM).expect(DONE);
    let shown = home.json(&["run", "show", &till.run]);
    assert_eq!(shown["decisions_count"], table.len() + cards, "{shown}");
    shop::check_balanced(&home, &till.run);
    let found = files_with(&home.data(), CARD.as_bytes());
    assert!(found.is_empty(), "card numbers in clear: {found:?}");
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
        // The gate reads on for two seconds at most: who sends its nine megabytes more slowly hears nothing.
        let answer = until(what, LONG, || {
            port.try_post("/v1/events", content_type, body.clone())
        });
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
    let rows = listed["results"].as_array().unwrap();
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
