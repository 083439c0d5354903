//! The commands of a second shell, while every role runs: what they print, and how they end.

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{decision_id, till};
use crate::home::{DONE, Home, REFUSED, USAGE};
use crate::shop;

#[test]
fn a_second_shell_works_through_the_owner() {
    let home = Home::new();
    let (all, port) = home.serve();
    assert_eq!(home.json(&["run", "list"]), Value::Array(Vec::new()));
    let till = till(&home, "till");
    assert_eq!(home.json(&["sr", "run", "--live", "till"])["existed"], true);
    port.send(&till.payment("p1", 1, 1_200));
    port.decision(&till.run, "p1");

    let runs = home.json(&["run", "list"]);
    assert_eq!(runs[0]["platform_run_id"], till.run.as_str(), "{runs}");
    assert_eq!(runs[0]["decisions"], 1, "{runs}");
    let table = home.run(&["run", "list"]).expect(DONE).stdout;
    assert!(
        table.starts_with("RUN") || table.contains(" NAME"),
        "{table}"
    );
    assert!(table.contains(&till.run), "{table}");
    let shown = home.json(&["run", "show", &till.run]);
    assert_eq!(shown["decisions_count"], 1, "{shown}");
    let listed = home.json(&["dla", "list", "--run", &till.run]);
    assert_eq!(listed[0]["event_id"], "p1", "{listed}");
    let after = home.json(&["dla", "list", "--run", &till.run, "--after", "1"]);
    assert_eq!(after, Value::Array(Vec::new()));

    shop::check_balanced(&home, &till.run);
    let flush = port.post(&format!("/v1/runs/{}/flush", till.run), "", "");
    assert_eq!(flush.status, 202, "{flush:?}");
    let replayed = crate::home::until("the archive", crate::home::LONG, || {
        let id = decision_id(&till.run, "p1");
        let ended = home.run(&["--json", "replay", "decision", &id]);
        (!ended.stderr.contains("ARCHIVE_BEHIND")).then(|| ended.expect(DONE).json())
    });
    assert_eq!(replayed["mismatched"], 0, "{replayed}");
    let facts = home.json(&["gov", "facts", "--run", &till.run]);
    assert!(facts.is_array(), "{facts}");
    let shown = home.json(&["profile", "show"]);
    assert_eq!(shown["profile"]["profile"], "embedded", "{shown}");
    let pending = home.run(&["migrate", "--check"]).expect(DONE);
    assert!(pending.stdout.contains("up to date"), "{pending:?}");

    let second = home.run(&["--role", "all"]).expect(REFUSED);
    assert!(second.stderr.contains("DATA_DIR_BUSY"), "{second:?}");
    let cancelled = home.run(&["run", "cancel", &till.run]).expect(DONE);
    assert!(cancelled.stdout.contains("is cancelled"), "{cancelled:?}");

    let ended = all.stop(Signal::INT).expect(DONE);
    assert!(ended.stderr.contains("draining"), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(
        home.announced(),
        None,
        "the address of a process that has ended"
    );
    assert_eq!(home.postmaster(), None, "Postgres outlives its owner");
    // The next owner finds everything.
    let shown = home.json(&["run", "show", &till.run]);
    assert_eq!(shown["decisions_count"], 1, "{shown}");
    assert_eq!(shown["state"], "CANCELLED", "{shown}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_how_it_is_right() {
    let home = Home::new();
    for (args, hint) in [
        (&["fly"][..], "unrecognized subcommand 'fly'"),
        (&["run"], "Usage: fraudplat run"),
        (&["sr", "run"], "--live"),
        (&["sr", "run", "--dataset", "x.csv"], "--mapping"),
        (&["wsp", "stream"], "--run <RUN>"),
        (
            &["wsp", "stream", "--run", "r", "--concurrency", "many"],
            "invalid value 'many'",
        ),
        (&["replay", "decision"], "--run"),
        (
            &["--role", "gate"],
            "[possible values: all, ig, rtdl-inlet, decision]",
        ),
        (&["--json"], "--role all"),
        (&["--role", "all", "run", "list"], "takes no command"),
        (&["run", "lists"], "'list'"),
    ] {
        let ended = home.run(args).expect(USAGE);
        assert!(ended.stderr.contains(hint), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    assert!(!home.data().exists(), "wrong usage made a data directory");
    let help = home.run(&["--help"]).expect(DONE);
    assert!(help.stdout.contains("fraudplat demo"), "{}", help.stdout);
}

#[test]
fn refusals_end_with_3_and_a_code() {
    let home = Home::new();
    let _served = home.serve();
    let unknown = format!("run_{}", "0".repeat(64));
    let decision = decision_id(&unknown, "e1");
    for (args, code) in [
        (&["--role", "ig,decision"][..], "SHARED_SUBSTRATES_REQUIRED"),
        (&["--profile", "nowhere", "run", "list"], "PROFILE_INVALID"),
        (&["run", "show", &unknown], "RUN_UNKNOWN"),
        (&["run", "cancel", "17"], "RUN_UNKNOWN"),
        (&["wsp", "stream", "--run", &unknown], "RUN_UNKNOWN"),
        (&["reconcile", "run", "--run", &unknown], "RUN_UNKNOWN"),
        (&["dla", "verify", "--run", &unknown], "RUN_UNKNOWN"),
        (&["dla", "shadows", "--run", &unknown], "RUN_UNKNOWN"),
        (&["replay", "decision", &decision], "NOT_FOUND"),
        (
            &["sr", "run", "--dataset", "x.csv", "--mapping", "nowhere"],
            "MAPPING_INVALID",
        ),
    ] {
        let mut all = vec!["--json"];
        all.extend(args);
        let ended = home.run(&all).expect(REFUSED);
        let said = format!("refused: {code} ");
        assert!(ended.stderr.contains(&said), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn a_typo_in_a_file_is_shown_with_its_place_and_what_was_meant() {
    let home = Home::new();
    let policy = "policy: mine\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n  \
         - {id: R1, owner: me, description: \"High\", when: \"event.amount_minr > 5\", outcome: REVIEW, \
         score: 1, reason_code: HIGH}\n";
    let set = "feature_set: mine\nversion: 1\nfeatures:\n  \
         - {name: count_1d, entity: [custmer_id], agg: count, window: 1d}\n";
    for (kind, text, line, meant) in [
        ("policy", policy, 6, "amount_minor"),
        ("features", set, 4, "customer_id"),
    ] {
        let file = home.file(&format!("{kind}.yaml"), text);
        let file = file.to_str().unwrap();
        let ended = home.run(&["--json", kind, "check", file]).expect(REFUSED);
        let said = &ended.stderr;
        assert_eq!(ended.stdout, "");
        assert!(said.contains("refused: BUNDLE_INVALID"), "{said}");
        let (_, place) = said.split_once(&format!("{file}:")).unwrap();
        let mut numbers = place.split(':').map(|it| it.parse::<usize>());
        assert_eq!(numbers.next().unwrap(), Ok(line), "{said}");
        let column = numbers.next().unwrap().unwrap();
        let line = text.lines().nth(line - 1).unwrap();
        let wrong = ["amount_minr", "custmer_id"];
        let shown = wrong.iter().any(|it| line[column - 1..].contains(it));
        assert!(shown, "column {column} of {line}");
        let (_, help) = said.split_once("help: ").unwrap();
        assert!(help.contains(meant), "{said}");
    }
    let file = home.file("mine.yaml", "profile: mine\nhttpp: {bind: x}\n");
    let ended = home.run(&["--profile", file.to_str().unwrap(), "profile", "check"]);
    let ended = ended.expect(REFUSED);
    assert!(ended.stderr.contains("PROFILE_INVALID"), "{ended:?}");
    assert!(
        ended.stderr.contains("mine.yaml") && ended.stderr.contains("httpp"),
        "{ended:?}"
    );
}

#[test]
fn migrate_check_tells_and_changes_nothing() {
    let home = Home::new();
    for _ in 0..2 {
        let told = home
            .run(&["--json", "migrate", "--check"])
            .expect(REFUSED)
            .json();
        assert!(told.as_array().unwrap().len() > 1, "{told}");
    }
    home.run(&["migrate"]).expect(DONE);
    assert_eq!(home.json(&["migrate", "--check"]), Value::Array(Vec::new()));
}
