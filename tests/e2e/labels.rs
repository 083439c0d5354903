//! Labels on the stream, put there by somebody else, and decisions that know them: gate, inlet and decision as processes
//! of their own on Kinesis, S3 and a Postgres by URL; one decision process is killed, the next knows what it knew.

use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::events::{JSON, Port, Till};
use crate::home::{Home, LONG, until};
use crate::labeller::Labeller;
use crate::servers;

const FEATURES: &str = "
feature_set: labelled
version: 1
features:
  - {name: near, graph: labelled_neighbours, entity: [customer_id]}
  - {name: share, entity: [merchant_id], agg: fraud_share, window: 1d}
";
const POLICY: &str = r#"
policy: labelled
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: NEAR, owner: t, description: "Shares with a fraudster", when: "features.near > 0", outcome: REVIEW, score: 9, reason_code: NEAR_FRAUD}
"#;

/// Says now that a payment was fraud.
fn say(labeller: &Labeller, event_id: &str) {
    assert!(labeller.frauds(&[(event_id.to_owned(), SystemClock.now())]));
}

/// A payment of this customer, all on one device.
fn pay(gate: &Port, till: &Till, seq: i64, customer: &str) {
    let mut payment = till.payment(&format!("p{seq}"), seq, 900);
    for part in [1, 3] {
        payment[part]["payload"]["customer_id"] = customer.into();
        payment[part]["payload"]["card_id"] = format!("k-{customer}").into();
        payment[part]["payload"]["device_id"] = "d1".into();
    }
    gate.send(&payment);
}

/// Waits until the decisions of the run have read all labels there are.
fn until_heard(port: &Port, till: &Till) {
    let path = format!("/v1/runs/{}/progress", till.run);
    until("labels are heard", LONG, || {
        let groups = port.get(&path).body["groups"].as_array()?.clone();
        let is_it =
            |it: &&Value| it["group"] == "decision" && it["stream"] == Stream::Labels.as_str();
        let of_labels: Vec<&Value> = groups.iter().filter(is_it).collect();
        assert_eq!(of_labels.len(), 1, "{groups:?}");
        (of_labels[0]["position"] == of_labels[0]["tip"]).then_some(())
    });
}

/// Outcome, share and neighbours as they were decided; the basis names the labels.
#[track_caller]
fn check(port: &Port, till: &Till, seq: i64, expect: (&str, f64, i64)) {
    let decided = port.decision(&till.run, &format!("p{seq}"));
    let (body, basis) = (&decided["body"], &decided["evidence"]["basis"]);
    let features = &body["features"];
    let (outcome, share, near) = expect;
    assert_eq!(body["outcome"], outcome, "{decided}");
    assert_eq!(features["share"], share, "{decided}");
    assert_eq!(features["near"], near, "{decided}");
    let mut shards = basis.as_object().unwrap().keys();
    assert!(
        shards.any(|it| it.starts_with("fp.bus.labels.v1/")),
        "{basis}"
    );
}

#[test]
fn decisions_know_the_labels_that_were_there() {
    let mut home = Home::new();
    let dir = home.dir().join("bundle");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("feature_set.yaml"), FEATURES).unwrap();
    std::fs::write(dir.join("policy.yaml"), POLICY).unwrap();
    let dir = dir.to_str().unwrap().to_owned();
    let bundle = ("FRAUDPLAT__DECISION__BUNDLE_DIR", dir.as_str());
    let (servers, key) = servers::provisioned(&mut home, &[bundle]);
    let role = |name: &str, role: &str| {
        let mut process = home.start_at(name, &["--role", role], &[]);
        let port = Port::at(&process.listening(), &key);
        (process, port)
    };
    let (_gate, gate) = role("ig", "ig");
    let (_inlet, inlet) = role("inlet", "rtdl-inlet");
    let (decision, port) = role("decision", "decision");
    let till = crate::events::till(&home, "labels");
    let labeller = Labeller::of(&servers, &till.run);

    pay(&gate, &till, 1, "c1");
    pay(&gate, &till, 2, "c2");
    check(&port, &till, 2, ("APPROVE", 0.0, 0));
    say(&labeller, "p1");
    // Of a payment that is yet to come.
    say(&labeller, "p4");
    until_heard(&port, &till);
    pay(&gate, &till, 3, "c2");
    check(&port, &till, 3, ("REVIEW", 1.0 / 3.0, 1));

    // Said while nobody decides; heard by whoever has the lease next.
    decision.kill_all();
    say(&labeller, "p2");
    let (_decision, port) = role("successor", "decision");
    until_heard(&port, &till);
    pay(&gate, &till, 4, "c1");
    check(&port, &till, 4, ("REVIEW", 3.0 / 4.0, 1));
    pay(&gate, &till, 5, "c9");
    check(&port, &till, 5, ("REVIEW", 3.0 / 5.0, 2));

    let range = ["--json", "replay", "range", "--run", &till.run];
    let replayed = until("the archive", LONG, || {
        let path = format!("/v1/runs/{}/flush", till.run);
        inlet.try_post(&path, JSON, "");
        let ended = home.run(&range);
        (!ended.stderr.contains("ARCHIVE_BEHIND")).then_some(ended)
    });
    let replayed = replayed.json();
    assert_eq!(
        (&replayed["compared"], &replayed["mismatched"]),
        (&5.into(), &0.into()),
        "{replayed}"
    );
}
