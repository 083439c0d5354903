//! A shadow of another feature set over the executable: it comes when the run is half way, the process is killed while
//! its features are warmed up, and in the end it has said what a what-if says of the same decisions.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Port, Till, till};
use crate::home::{DONE, Home, LONG, until};

const PRIMARY: [&str; 2] = [
    "feature_set: small\nversion: 1\nfeatures:\n  - {name: n, entity: [customer_id], agg: count, window: 1h}\n",
    "policy: small\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules: []\n",
];
/// Ten customers take turns: the rule fires by what they paid before the shadow was there.
const SHADOW: [&str; 2] = [
    "feature_set: next\nversion: 1\nfeatures:\n\
     \x20 - {name: n, entity: [customer_id], agg: count, window: 2d}\n\
     \x20 - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 2d}\n",
    "policy: next\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n\
     \x20 - {id: R1, owner: risk, description: Many, when: features.n > 25, outcome: REVIEW, score: 7, reason_code: MANY}\n",
];
const BEFORE: u64 = 200;
const AFTER: u64 = 100;

fn bundle(home: &Home, name: &str, [features, policy]: [&str; 2]) -> PathBuf {
    let dir = home.dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("feature_set.yaml"), features).unwrap();
    std::fs::write(dir.join("policy.yaml"), policy).unwrap();
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Pays so many more, and waits until all are decided.
fn pay(port: &Port, till: &Till, paid: &mut u64, n: u64) {
    for seq in *paid + 1..=*paid + n {
        let mut payment = till.payment(&format!("p{seq}"), seq.cast_signed(), 100);
        let customer = format!("c{}", seq % 10);
        for part in [1, 3] {
            payment[part]["payload"]["customer_id"] = customer.as_str().into();
        }
        port.send(&payment);
    }
    *paid += n;
    port.until_decided(&till.run, *paid);
}

/// What the progress says of the shadow's features, if anything.
fn features(port: &Port, till: &Till) -> Option<Value> {
    let progress = port.try_get(&format!("/v1/runs/{}/progress", till.run))?;
    let sets = progress.body["feature_sets"].as_array()?.clone();
    let is_shadows = |it: &Value| it["slots"] == serde_json::json!(["shadow_1"]);
    sets.into_iter().find(is_shadows)
}

#[test]
fn a_shadow_that_comes_later_says_what_a_what_if_says() {
    let mut home = Home::new();
    let primary = bundle(&home, "small", PRIMARY);
    let shadow = bundle(&home, "next", SHADOW);
    let acting = ("FRAUDPLAT__DECISION__BUNDLE_DIR", text(&primary));
    home.under("embedded", &[acting]);
    let mut paid = 0;
    let (all, port) = home.serve();
    let till = till(&home, "till");
    pay(&port, &till, &mut paid, BEFORE);
    assert_eq!(features(&port, &till), None, "there is no shadow yet");
    all.stop(Signal::TERM).expect(DONE);

    let beside = ("FRAUDPLAT__DECISION__SHADOWS__SHADOW_1", text(&shadow));
    let broken = ("FRAUDPLAT__DECISION__SHADOWS__SHADOW_2", "/nowhere");
    home.under("embedded", &[acting, beside, broken]);
    let (mut all, port) = home.serve();
    assert!(
        all.said().contains("its slot stays empty"),
        "{}",
        all.said()
    );
    assert!(all.is_running());
    pay(&port, &till, &mut paid, 1);
    until("the warm-up", LONG, || features(&port, &till));
    all.kill_all();

    let (all, port) = home.serve();
    pay(&port, &till, &mut paid, 1);
    until("warm features", LONG, || {
        features(&port, &till).filter(|it| it["state"] == "WARM")
    });
    pay(&port, &till, &mut paid, AFTER);
    let last = port.decision(&till.run, &format!("p{paid}"));
    assert_eq!(last["body"]["outcome"], "APPROVE", "{last}");
    let said = &last["shadows"][0];
    assert_eq!(
        (&said["outcome"], &said["rule_score"]),
        (&"REVIEW".into(), &7.into()),
        "{last}"
    );
    let metrics = port.metrics();
    assert!(metrics.contains("shadow_scored{"), "{metrics}");
    flush(&home, &port, &till);
    agree(&home, &till, &shadow, paid);
    all.stop(Signal::TERM).expect(DONE);
}

fn flush(home: &Home, port: &Port, till: &Till) {
    let flush = port.post(&format!("/v1/runs/{}/flush", till.run), "", "");
    assert_eq!(flush.status, 202, "{flush:?}");
    let replayed = until("the archive", LONG, || {
        let ended = home.run(&["--json", "replay", "range", "--run", &till.run]);
        (!ended.stderr.contains("ARCHIVE_BEHIND")).then(|| ended.expect(DONE).json())
    });
    assert_eq!(replayed["mismatched"], 0, "{replayed}");
    assert_eq!(replayed["shadows"]["mismatched"], 0, "{replayed}");
    assert_eq!(replayed["shadows"]["compared"], AFTER, "{replayed}");
}

/// Outcome by outcome, of the decisions that the shadow scored.
fn agree(home: &Home, till: &Till, shadow: &Path, paid: u64) {
    let slots = home.json(&["dla", "shadows", "--run", &till.run]);
    let [slot] = slots["slots"].as_array().unwrap().as_slice() else {
        panic!("{slots}");
    };
    assert_eq!(slot["compared"], AFTER, "{slots}");
    let from = (paid - AFTER + 1).to_string();
    let range = ["replay", "range", "--run", &till.run, "--from", &from];
    let what_if = home.json(&[&range[..], &["--bundle", text(shadow)]].concat());
    let pairs = |list: &Value, names: [&str; 2]| -> Vec<(String, String, u64)> {
        let word = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
        let pair = |it: &Value| {
            (
                word(it, names[0]),
                word(it, names[1]),
                it["decisions"].as_u64().unwrap(),
            )
        };
        list.as_array().unwrap().iter().map(pair).collect()
    };
    let said = pairs(&slot["outcomes"], ["primary", "shadow"]);
    assert_eq!(
        said,
        pairs(&what_if["outcomes"], ["from", "to"]),
        "{slots}\n{what_if}"
    );
    assert_eq!(said.len(), 2, "both outcomes occur: {said:?}");
    let shown = home.run(&["dla", "shadows", "--run", &till.run, "--slot", "shadow_1"]);
    let shown = shown.expect(DONE).stdout;
    assert!(shown.starts_with("shadow_1: "), "{shown}");
    assert!(
        shown.contains("PRIMARY") && shown.contains("P99"),
        "{shown}"
    );
}
