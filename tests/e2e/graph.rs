//! The entity graph as its users meet it: features of a live run with late links, before and after a
//! restart, recomputed from the archive; and the same links over HTTP and on the command line.

use jiff::{Timestamp, ToSpan as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Port, Till, till};
use crate::home::{DONE, FAILED, Home, LONG, REFUSED, until};

const FEATURES: &str = "
feature_set: graph
version: 1
features:
  - {name: device_customers, graph: degree, entity: [device_id]}
  - {name: customer_cards, graph: degree, entity: [customer_id], through: [card_id]}
  - {name: sharers, graph: shared_customers, entity: [customer_id], through: [device_id]}
  - {name: together, graph: component_size, entity: [customer_id]}
  - {name: tainted, graph: labelled_neighbours, entity: [customer_id], hops: 2}
";

const POLICY: &str = "
policy: graph
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: R1, owner: test, description: 'A device of several customers', when: 'features.sharers >= 2', outcome: REVIEW, score: 9, reason_code: SHARED}
";

/// A payment so many minutes ago.
fn payment(till: &Till, id: &str, customer: &str, card: &str, at: Timestamp) -> Value {
    let mut event = till.traffic(id, 100);
    event["ts_utc"] = json!(format!("{at:.6}"));
    event["payload"]["customer_id"] = json!(customer);
    event["payload"]["card_id"] = json!(card);
    event["payload"]["device_id"] = json!("d1");
    event
}

#[track_caller]
fn check(port: &Port, run: &str, id: &str, event: Value, expect: [i64; 5]) {
    let sent = port.send(&[event]);
    assert_eq!(sent[0]["result"], "ADMITTED", "{sent:?}");
    let decision = port.decision(run, id);
    let features = &decision["body"]["features"];
    let names = [
        "device_customers",
        "customer_cards",
        "sharers",
        "together",
        "tainted",
    ];
    let found = names.map(|it| features[it].as_i64().unwrap());
    assert_eq!(found, expect, "{id}: {features}");
    let outcome = if expect[2] >= 2 { "REVIEW" } else { "APPROVE" };
    assert_eq!(decision["body"]["outcome"], outcome, "{id}");
}

#[test]
fn graph_features_see_the_past_of_their_event_and_replay_recomputes_them() {
    let mut home = Home::new();
    let bundle = home.dir().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("feature_set.yaml"), FEATURES).unwrap();
    std::fs::write(bundle.join("policy.yaml"), POLICY).unwrap();
    let dir = bundle.to_str().unwrap().to_owned();
    home.under("embedded", &[("FRAUDPLAT__DECISION__BUNDLE_DIR", &dir)]);
    let now = Timestamp::now();
    let at = |minutes: i64| now - minutes.minutes();

    let (all, port) = home.serve();
    let till = till(&home, "graph");
    let run = till.run.as_str();
    check(
        &port,
        run,
        "a",
        payment(&till, "a", "c1", "k1", at(60)),
        [1, 1, 0, 3, 0],
    );
    check(
        &port,
        run,
        "b",
        payment(&till, "b", "c2", "k2", at(30)),
        [2, 1, 1, 5, 0],
    );
    drop(port);
    all.stop(Signal::TERM).expect(DONE);

    // The memory of before comes back from its snapshot. A late payment sees what was there then.
    let (all, port) = home.serve();
    check(
        &port,
        run,
        "late",
        payment(&till, "late", "c3", "k3", at(120)),
        [1, 1, 0, 3, 0],
    );
    // And those after it see it: on their device, with its card.
    check(
        &port,
        run,
        "c",
        payment(&till, "c", "c1", "k4", at(0)),
        [3, 2, 2, 8, 0],
    );
    // The link is older than was known: c1 had this card before.
    check(
        &port,
        run,
        "older",
        payment(&till, "older", "c1", "k4", at(45)),
        [2, 2, 1, 6, 0],
    );
    api(&port, run, now);
    drop(port);
    all.stop(Signal::TERM).expect(DONE);

    let replayed = home.json(&["replay", "range", "--run", run, "--from", "1", "--to", "5"]);
    assert_eq!(
        (&replayed["compared"], &replayed["mismatched"]),
        (&json!(5), &json!(0)),
        "{replayed}"
    );
    commands(&home, run, now);
}

/// The projection is of another consumer: it comes when it comes.
fn api(port: &Port, run: &str, now: Timestamp) {
    let graph = format!("/v1/graph/{run}");
    let at = |minutes: i64| format!("{:.6}", now - minutes.minutes());
    let of = |minutes| {
        format!(
            "{graph}/neighbours?entity=device_id:d1&as_of={}",
            at(minutes)
        )
    };
    let whole = until("links", LONG, || {
        let answer = port.get(&format!(
            "{graph}/path?from=customer_id:c1&to=card_id:k4&as_of={}",
            at(45)
        ));
        let answer = (answer.status == 200).then_some(answer.body)?;
        (answer["steps"].as_array()?.len() == 2).then_some(answer)
    });
    assert_eq!(whole["is_whole"], true, "{whole}");
    let entities = |answer: &Value| {
        let found = answer["neighbours"].as_array().unwrap().iter();
        found
            .map(|it| it["entity"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (then, before) = (port.get(&of(60)).body, port.get(&of(121)).body);
    assert_eq!(
        entities(&then),
        ["customer_id:c1", "customer_id:c3"],
        "{then}"
    );
    assert_eq!(entities(&before), [""; 0]);
    assert_eq!(
        then["graph"]["graph_version"],
        before["graph"]["graph_version"]
    );
    assert_eq!(then["graph"]["as_of"], at(60));
    let component = port.get(&format!(
        "{graph}/component?entity=card_id:k2&limit=3&as_of={}",
        at(0)
    ));
    assert_eq!(component.body["is_whole"], false, "{component:?}");
    let stranger = port.with_key("").get(&of(0));
    assert_eq!(
        (stranger.status, &stranger.body["code"]),
        (401, &json!("UNAUTHENTICATED"))
    );
    problems(port, &graph);
}

fn problems(port: &Port, graph: &str) {
    for (path, status, code) in [
        (format!("{graph}/neighbours"), 400, "QUERY_INVALID"),
        (
            format!("{graph}/neighbours?entity=merchant_id:m1"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("{graph}/neighbours?entity=ip:a%00b"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("{graph}/neighbours?entity=ip:a&limit=1001"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("{graph}/neighbours?entity=ip:a&as_of=yesterday"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("{graph}/shared?kind=customer_id"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("{graph}/shared?kind=card_id&colour=red"),
            400,
            "QUERY_INVALID",
        ),
        (
            format!("/v1/graph/run_{}/shared?kind=card_id", "0".repeat(64)),
            404,
            "RUN_UNKNOWN",
        ),
        (
            "/v1/graph/17/shared?kind=card_id".to_owned(),
            404,
            "RUN_UNKNOWN",
        ),
    ] {
        let answer = port.get(&path);
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (status, &json!(code)),
            "{path}: {answer:?}"
        );
    }
}

fn commands(home: &Home, run: &str, now: Timestamp) {
    let as_of = format!("{now:.6}");
    let graph = |words: &[&'static str]| graph_of(run, &as_of, words);
    let shared = home.json(&graph(&["shared", "--kind", "device_id"]));
    assert_eq!(shared["shared"][0]["customers_count"], 3, "{shared}");
    let table = home
        .run(&graph(&["neighbours", "customer_id:c1"]))
        .expect(DONE)
        .stdout;
    for line in [
        "ENTITY",
        "card_id:k1",
        "card_id:k4",
        "device_id:d1",
        "graph version",
    ] {
        assert!(table.contains(line), "{table}");
    }
    let path = home.json(&graph(&["path", "card_id:k2", "card_id:k3"]));
    let steps = path["steps"].as_array().unwrap().iter();
    let steps: Vec<&str> = steps.map(|it| it["entity"].as_str().unwrap()).collect();
    let way = [
        "card_id:k2",
        "customer_id:c2",
        "device_id:d1",
        "customer_id:c3",
        "card_id:k3",
    ];
    assert_eq!(steps, way);
    let none = home
        .run(&graph(&["path", "card_id:k2", "ip:nowhere"]))
        .expect(FAILED);
    assert!(none.stdout.contains("no way"), "{}", none.stdout);
    let before = home.json(&graph(&["component", "customer_id:c1"]));
    let rebuilt = home.json(&["graph", "rebuild", "--run", run]);
    assert_eq!(
        (&rebuilt["links_before"], &rebuilt["links_after"]),
        (&json!(7), &json!(7)),
        "{rebuilt}"
    );
    assert_eq!(home.json(&graph(&["component", "customer_id:c1"])), before);
    let unknown = format!("run_{}", "0".repeat(64));
    let refused = home
        .run(&["graph", "rebuild", "--run", &unknown])
        .expect(REFUSED);
    assert!(refused.stderr.contains("RUN_UNKNOWN"), "{}", refused.stderr);
}

/// A command line of `graph`.
fn graph_of<'a>(run: &'a str, as_of: &'a str, words: &[&'static str]) -> Vec<&'a str> {
    let mut args = vec!["graph"];
    args.extend(words);
    args.extend(["--run", run, "--as-of", as_of]);
    args
}
