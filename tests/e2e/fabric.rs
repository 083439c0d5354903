//! A bundle of all parts over the executable: a model imported from LightGBM, words for its
//! reasons, a list that changes between payments, and replays that need none of it.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Port, Till, decision_id, till};
use crate::home::{DONE, Home, LONG, REFUSED, until};

const FEATURES: &str = "feature_set: risk\nversion: 1\nfeatures:\n\
    \x20 - {name: amount, type: int, expr: event.amount_minor}\n\
    \x20 - {name: payments_1d, entity: [card_id], agg: count, window: 1d}\n";
const POLICY: &str = "policy: risk\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nlists:\n\
    \x20 - {name: stolen_cards, kind: deny, entity: card_id, reason_code: CARD_STOLEN}\n\
    rules:\n\
    \x20 - {id: R1, owner: risk, description: Unsure, when: model.score > thresholds.unsure, outcome: STEP_UP, reason_code: UNSURE}\n";
const MANIFEST: &str = "bundle: risk\nversion: 1\nthresholds: {unsure: 0.6, review: 0.9}\nreason_texts:\n\
    \x20 features: {amount: 'an amount of {value}'}\n\
    \x20 codes: {CARD_STOLEN: The card is reported stolen}\n\
    provenance: {trained_by: risk}\n";
/// A raw score of -2 up to 1000, and of 1 above.
const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nobjective=binary sigmoid:1\n\
feature_names=Column_0\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=1000\ndecision_type=2\n\
left_child=-1\nright_child=-2\nleaf_value=-2 1\nleaf_count=3 1\nis_linear=0\nshrinkage=1\n\nend of trees\n";

#[test]
fn a_bundle_with_model_and_list_decides_and_replays() {
    let mut home = Home::new();
    let (dir, checked) = make_bundle(&home);
    let dir_text = dir.to_str().unwrap();
    home.under("embedded", &[("FRAUDPLAT__DECISION__BUNDLE_DIR", dir_text)]);
    let (all, port) = home.serve();
    let till = till(&home, "till");
    let small = pay(&port, &till, 1, 900);
    assert_eq!(small["outcome"], "APPROVE", "{small}");
    assert_eq!(small["bundle_digest"], checked["bundle_digest"], "{small}");
    let large = pay(&port, &till, 2, 1_100);
    assert_eq!(large["outcome"], "STEP_UP", "{large}");
    assert_eq!(
        large["reason_texts"][0], "an amount of 1100 (+2.25)",
        "{large}"
    );
    assert_eq!(large["contributions"]["raw"], 1.0, "{large}");

    let add = [
        "list",
        "add",
        "stolen_cards",
        "card_id",
        "k1",
        "--reason",
        "reported",
        "--for",
        "1h",
    ];
    home.run(&add).expect(DONE);
    let stolen = pay(&port, &till, 3, 900);
    assert_eq!(stolen["outcome"], "DECLINE", "{stolen}");
    assert_eq!(
        stolen["reason_texts"][0], "The card is reported stolen",
        "{stolen}"
    );
    let shown = home.json(&["list", "show"]);
    assert_eq!(shown[0]["value"], "k1", "{shown}");
    let remove = [
        "list",
        "remove",
        "stolen_cards",
        "card_id",
        "k1",
        "--reason",
        "found",
    ];
    home.run(&remove).expect(DONE);
    assert_eq!(home.json(&["list", "show"]), Value::Array(Vec::new()));
    assert_eq!(pay(&port, &till, 4, 900)["outcome"], "APPROVE");
    check_refusals(&home);
    check_replays(&home, &port, &till);
    all.stop(Signal::TERM).expect(DONE);
}

/// The body of the decision on a payment.
fn pay(port: &Port, till: &Till, seq: i64, amount_minor: i64) -> Value {
    let id = format!("p{seq}");
    port.send(&till.payment(&id, seq, amount_minor));
    port.decision(&till.run, &id)["body"].clone()
}

/// The folder, with its model imported and checked, and what the check said.
fn make_bundle(home: &Home) -> (PathBuf, Value) {
    let dir = home.dir().join("risk");
    std::fs::create_dir(&dir).unwrap();
    for (name, text) in [
        ("feature_set.yaml", FEATURES),
        ("policy.yaml", POLICY),
        ("bundle.yaml", MANIFEST),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let dir_text = dir.to_str().unwrap();
    let early = home.run(&["bundle", "check", dir_text]).expect(REFUSED);
    assert!(early.stderr.contains("bundle.yaml:3"), "{early:?}");
    assert!(early.stderr.contains("no model"), "{early:?}");
    let model = home.file("lightgbm.txt", LIGHTGBM);
    let out = dir.join("model.json");
    let import = [
        "bundle",
        "import",
        model.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let renamed = [&import[..], &["--rename", "Column_0=amount"]].concat();
    home.run(&renamed).expect(DONE);
    let checked = home.json(&["bundle", "check", dir_text]);
    assert_eq!(checked["has_model"], true, "{checked}");
    (dir, checked)
}

fn check_refusals(home: &Home) {
    for (args, says) in [
        (
            ["Stolen", "card_id", "k1", "--reason", "x"],
            "no list's name",
        ),
        (["stolen", "card", "k1", "--reason", "x"], "no entity"),
        (["stolen", "card_id", "k1", "--reason", ""], "--reason"),
    ] {
        let refused = home
            .run(&[&["list", "add"], &args[..]].concat())
            .expect(REFUSED);
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
}

fn check_replays(home: &Home, port: &Port, till: &Till) {
    let flush = port.post(&format!("/v1/runs/{}/flush", till.run), "", "");
    assert_eq!(flush.status, 202, "{flush:?}");
    for event in ["p1", "p2", "p3", "p4"] {
        let replayed = until("the archive", LONG, || {
            let id = decision_id(&till.run, event);
            let ended = home.run(&["--json", "replay", "decision", &id]);
            (!ended.stderr.contains("ARCHIVE_BEHIND")).then(|| ended.expect(DONE).json())
        });
        assert_eq!(replayed["mismatched"], 0, "{replayed}");
    }
}
