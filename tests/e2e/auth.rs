//! Who may do what, over the real executable: every role at every route, against a table written by
//! hand; secrets that change while requests run; what an environment refuses to start with.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::events::{Answer, JSON, Port, decision_id, till};
use crate::home::{DONE, Home, LONG, REFUSED, until};

/// Every role that a key may give; `owner` is of the data directory's token alone.
const ROLES: [&str; 14] = [
    "producer",
    "svc:wsp",
    "svc:ig",
    "svc:rtdl-inlet",
    "svc:decision",
    "svc:cm",
    "svc:ls",
    "svc:ofs",
    "svc:mf",
    "svc:mpr",
    "svc:reconcile",
    "investigator",
    "auditor",
    "operator",
];

/// The table again, by hand: the routes there are, and who gets through each.
const ALLOWED: [(&str, &str, &[&str]); 15] = [
    ("POST", "/v1/events", INGEST),
    ("GET", "/v1/receipts/RUN/traffic/p1", INGEST),
    ("GET", "/v1/decisions?run=RUN", EVIDENCE),
    ("GET", "/v1/decisions/DECISION", EVIDENCE),
    ("GET", "/v1/decisions/DECISION/explain", EVIDENCE),
    ("POST", "/v1/actions/intents", &["svc:decision", "svc:cm"]),
    ("GET", "/v1/actions", EVIDENCE),
    ("GET", "/v1/actions/ACTION", EVIDENCE),
    ("GET", "/v1/runs/RUN/progress", RUNS),
    ("GET", "/v1/runs/RUN/report", RUNS),
    (
        "POST",
        "/v1/runs/RUN/flush",
        &["svc:wsp", "svc:reconcile", "operator"],
    ),
    ("GET", "/v1/posture", RUNS),
    ("POST", "/v1/posture/force", &["operator"]),
    ("POST", "/v1/posture/release", &["operator"]),
    ("POST", "/v1/commands", &[]),
];
const INGEST: &[&str] = &["producer", "svc:wsp", "svc:ig"];
const EVIDENCE: &[&str] = &[
    "svc:cm",
    "svc:ofs",
    "svc:mf",
    "svc:reconcile",
    "investigator",
    "auditor",
    "operator",
];
const RUNS: &[&str] = &[
    "svc:wsp",
    "svc:reconcile",
    "investigator",
    "auditor",
    "operator",
];

const OPEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/openapi.json"];

fn ask(port: &Port, method: &str, path: &str) -> Answer {
    match method {
        "POST" => port.post(path, JSON, ""),
        _ => port.get(path),
    }
}

/// A key of one role, as the file has it.
fn key(role: &str) -> (String, String) {
    let id = role.replace(':', "-");
    let key = format!("fpk_{id}_{}", blake3::hash(role.as_bytes()));
    let hash = blake3::hash(key.as_bytes());
    let entry = json!({
        "id": id, "hash": hash.to_string(), "actor_id": role, "source_type": "SYSTEM", "roles": [role],
    });
    (key, format!("  - {entry}\n"))
}

/// A file of these entries, in the place of what is there, all at once.
fn replace(path: &Path, text: &str) {
    let staged = path.with_extension("staged");
    std::fs::write(&staged, text).unwrap();
    std::fs::rename(&staged, path).unwrap();
}

fn facts(home: &Home, fact_type: &str) -> Vec<Value> {
    let listed = home.json(&["gov", "facts", "--type", fact_type, "--limit", "1000"]);
    listed.as_array().unwrap().clone()
}

#[test]
fn every_role_gets_through_the_corridors_of_the_table_and_no_other() {
    let home = Home::new();
    let (all, port) = home.serve();
    let till = till(&home, "till");
    for verdict in port.send(&till.payment("p1", 1, 1_200)) {
        assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
    }
    port.decision(&till.run, "p1");
    let keys_path = home.data().join("auth/keys.yaml");
    let mut file = std::fs::read_to_string(&keys_path).unwrap();
    ROLES.iter().for_each(|role| file.push_str(&key(role).1));
    replace(&keys_path, &file);
    let last = port.with_key(&key("operator").0);
    let path = format!("/v1/runs/{}/progress", till.run);
    until("the keys", LONG, || {
        (last.get(&path).status == 200).then_some(())
    });

    let decision = decision_id(&till.run, "p1");
    let mut denied = 0;
    for role in ROLES {
        let port = port.with_key(&key(role).0);
        for (method, path, allowed) in ALLOWED {
            let path = path
                .replace("RUN", &till.run)
                .replace("DECISION", &decision);
            let answer = ask(&port, method, &path);
            let is_through = !matches!(answer.status, 401 | 403);
            assert_eq!(
                is_through,
                allowed.contains(&role),
                "{role} {method} {path}: {answer:?}"
            );
            if !is_through {
                assert_eq!(answer.body["code"], "FORBIDDEN", "{answer:?}");
                denied += 1;
            }
        }
    }
    assert!(denied > 60, "{denied}");
    nobody_gets_through(&port, &till.run, &decision);
    let metrics = port.metrics();
    let counted: u64 = metrics
        .lines()
        .filter(|it| it.starts_with("corridor_denied{"))
        .map(|it| it.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert!(counted >= denied + 16, "{counted} of {denied}: {metrics}");
    denials_are_facts(&home);
    all.stop(Signal::TERM).expect(DONE);
}

/// Without a key, and with one that nobody has, only the open routes answer.
fn nobody_gets_through(port: &Port, run: &str, decision: &str) {
    for key in ["", "fpk_producer_0000", "x"] {
        let port = port.with_key(key);
        for (method, path, _) in ALLOWED {
            let path = path.replace("RUN", run).replace("DECISION", decision);
            let answer = ask(&port, method, &path);
            assert_eq!(answer.status, 401, "{key} {method} {path}: {answer:?}");
            assert_eq!(answer.body["code"], "UNAUTHENTICATED", "{answer:?}");
            assert!(
                answer.challenges.iter().any(|it| it.starts_with("Basic ")),
                "{answer:?}"
            );
        }
        for path in OPEN {
            assert_eq!(port.get(path).status, 200, "{path}");
        }
        assert_eq!(port.get("/v1/nowhere").status, 404);
    }
}

/// One of each kind, however often somebody knocked.
fn denials_are_facts(home: &Home) {
    let of_kind = |fact_type: &str, expected: &[(&str, &str)]| {
        let count = |facts: &[Value], (who, corridor): (&str, &str)| {
            let is_it = |it: &&Value| {
                it["details"]["caller"] == who && it["details"]["corridor"] == corridor
            };
            facts.iter().filter(is_it).count()
        };
        // They are written behind the answers.
        let facts = until("the facts of the denials", LONG, || {
            let facts = facts(home, fact_type);
            let is_there = expected.iter().all(|it| count(&facts, *it) > 0);
            is_there.then_some(facts)
        });
        for it in expected {
            // Two where an hour of UTC ended meanwhile.
            assert!(count(&facts, *it) <= 2, "{it:?}: {facts:?}");
        }
        facts
    };
    let other = of_kind(
        "CORRIDOR_DENIED",
        &[
            ("operator", "IG_INGEST"),
            ("svc:mpr", "COMMANDS"),
            ("anonymous/nothing/missing", "IG_INGEST"),
            ("anonymous/api_key/unknown", "RUN_READ"),
            ("anonymous/api_key/malformed", "RUN_OPERATE"),
        ],
    );
    let evidence = of_kind(
        "REF_ACCESS_DENIED",
        &[
            ("producer", "EVIDENCE_RESOLVE"),
            ("anonymous/nothing/missing", "EVIDENCE_RESOLVE"),
        ],
    );
    let secret = home.key("local");
    assert!(!format!("{other:?}{evidence:?}").contains(&secret));
}

#[test]
fn keys_come_and_go_while_requests_run() {
    let home = Home::new();
    let (mut all, port) = home.serve();
    let till = till(&home, "till");
    let create = [
        "auth", "key", "create", "--id", "till-1", "--role", "producer",
    ];
    let created = home.json(&create);
    let first = created["key"].as_str().unwrap().to_owned();
    let with_first = port.with_key(&first);
    let status = |port: &Port, id: &str| {
        let body = till.traffic(id, 900).to_string();
        port.post("/v1/events", JSON, body).status
    };
    until("the new key", LONG, || {
        (status(&with_first, "a") == 200).then_some(())
    });
    let again = home.run(&create).expect(REFUSED);
    assert!(again.stderr.contains("KEY_REFUSED"), "{again:?}");
    let listed = home.run(&["--json", "auth", "key", "list"]).expect(DONE);
    assert!(listed.stdout.contains("till-1") && !listed.stdout.contains(&first));
    home.run(&["auth", "key", "create", "--id", "x", "--role", "king"])
        .expect(REFUSED);

    // The next key is there before the first one goes; a request that runs is not touched.
    let next = home.json(&[
        "auth", "key", "create", "--id", "till-2", "--role", "producer",
    ]);
    let with_next = port.with_key(next["key"].as_str().unwrap());
    let waits = with_first.again();
    let body = till.traffic("slow", 900).to_string();
    let waiting = std::thread::spawn(move || {
        waits
            .post("/v1/events?wait=decision&timeout_ms=30000", JSON, body)
            .status
    });
    home.run(&["auth", "key", "revoke", "till-1"]).expect(DONE);
    let begun = Instant::now();
    until("the end of the first key", LONG, || {
        (status(&with_first, "b") == 401).then_some(())
    });
    // A second, and what a machine that stands still makes of it.
    assert!(begun.elapsed() < Duration::from_secs(90));
    assert_eq!(status(&with_next, "b"), 200);
    let waited = waiting.join().unwrap();
    assert!([200, 401].contains(&waited), "{waited}");

    let said = |facts: &[Value], name: &str, id: &str| {
        let ids = |it: &Value| it["details"][name].as_str().unwrap().to_owned();
        facts.iter().any(|it| ids(it).split(' ').any(|it| it == id))
    };
    // Changes within one second are one.
    let rotations = until("the facts of the rotations", LONG, || {
        let facts = facts(&home, "SECRET_ROTATED");
        said(&facts, "removed", "till-1").then_some(facts)
    });
    assert!(said(&rotations, "added", "till-1"), "{rotations:?}");
    assert!(said(&rotations, "added", "till-2"), "{rotations:?}");
    assert!(!format!("{rotations:?}").contains(&first));

    // A file that means nothing changes nothing.
    let path = home.data().join("auth/keys.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    replace(&path, "keys: [{");
    until("the warning", LONG, || {
        all.said().contains("is not understood").then_some(())
    });
    assert_eq!(status(&with_next, "c"), 200);
    replace(&path, &good);
    assert!(all.is_running());
    all.signal(Signal::HUP);
    assert_eq!(status(&with_next, "d"), 200);
    all.stop(Signal::TERM).expect(DONE);

    // Without a platform: the command leaves the fact itself.
    home.run(&["auth", "key", "revoke", "till-2"]).expect(DONE);
    assert!(said(&facts(&home, "SECRET_ROTATED"), "removed", "till-2"));
}

#[test]
fn a_browser_reads_with_a_key_as_its_password_and_changes_nothing() {
    let home = Home::new();
    let (_all, port) = home.serve();
    let run = till(&home, "till").run;
    let viewer = home.key("viewer");
    let progress = format!("/v1/runs/{run}/progress");
    let nobody = port.with_key("");
    let basic = |method: &str, path: &str, password: &str| nobody.basic(method, path, password);
    assert_eq!(basic("GET", &progress, &viewer), 200);
    assert_eq!(basic("GET", &progress, "guessed"), 401);
    let operator = home.key("local");
    assert_eq!(basic("GET", &progress, &operator), 200);
    // A page of somebody else may have a browser send this; it is not taken.
    let flush = format!("/v1/runs/{run}/flush");
    assert_eq!(basic("POST", &flush, &operator), 401);
    assert_eq!(port.post(&flush, JSON, "").status, 202);
    // Nor may its name lead here.
    for (host, status) in [("evil.test", 421), ("localhost:7070", 200), ("[::1]", 200)] {
        assert_eq!(nobody.get_as(host, "/healthz"), status, "{host}");
    }
    let printed = home.run(&["auth", "key", "print", "viewer"]).expect(DONE);
    assert_eq!(printed.stdout.trim(), viewer);
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = home.data().join("auth").join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for name in [
        "",
        "keys.yaml",
        "local.key",
        "wsp.key",
        "viewer.key",
        "ig.key",
    ] {
        assert_eq!(mode(name) & 0o077, 0, "{name}");
    }
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Refused before anything is made; the rules themselves are tested where they stand.
#[test]
fn an_environment_refuses_to_start_without_what_it_demands() {
    let home = Home::new();
    let token = home.file("callers.yaml", "callers: []\n");
    let token = token.to_str().unwrap();
    let tokens = [
        ("FRAUDPLAT__AUTH__MODE", "service_token"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__JWKS_FILE", token),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__CALLERS_FILE", token),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__ISSUER", "https://id.test"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__AUDIENCE", "fraudplat"),
        ("FRAUDPLAT__AUTH__SERVICE_TOKEN__SKEW_S", "30"),
    ];
    let dev = ("FRAUDPLAT__ENVIRONMENT", "dev");
    let prod = ("FRAUDPLAT__ENVIRONMENT", "prod");
    let scheduled = ("FRAUDPLAT__RECONCILE__SCHEDULE", "0 3 * * *");
    let image = ("FRAUDPLAT_IMAGE_DIGEST", DIGEST);
    let mutable = ("FRAUDPLAT_IMAGE_DIGEST", "fraudplat:latest");
    let no_archive = ("FRAUDPLAT__ARCHIVE__ENABLED", "false");
    let everywhere = ("FRAUDPLAT__HTTP__BIND", "0.0.0.0:0");
    let mtls = ("FRAUDPLAT__AUTH__MODE", "mtls");
    type Settings<'s> = Vec<(&'s str, &'s str)>;
    let with = |more: &[(&'static str, &'static str)]| -> Settings<'_> {
        tokens.iter().copied().chain(more.iter().copied()).collect()
    };
    for (env, code) in [
        (vec![dev, scheduled], "AUTH_MODE_REFUSED"),
        (vec![prod, scheduled, image], "AUTH_MODE_REFUSED"),
        (
            with(&[prod, scheduled, image, no_archive]),
            "ARCHIVE_REQUIRED",
        ),
        (with(&[prod, scheduled, mutable]), "RELEASE_MUTABLE"),
        (with(&[dev]), "SCHEDULE_REQUIRED"),
        (with(&[prod, image]), "SCHEDULE_REQUIRED"),
        (vec![everywhere], "TLS_REQUIRED"),
        (with(&[everywhere]), "TLS_REQUIRED"),
        (vec![mtls], "PROFILE_INVALID"),
        (
            vec![("FRAUDPLAT__AUTH__CREDENTIAL__CERT_FILE", "x")],
            "PROFILE_INVALID",
        ),
        (
            vec![("FRAUDPLAT__RECONCILE__SCHEDULE", "daily")],
            "PROFILE_INVALID",
        ),
    ] {
        let refused = home
            .start_with(&["--role", "all"], &env)
            .wait()
            .expect(REFUSED);
        assert!(refused.stderr.contains(code), "{env:?}: {refused:?}");
        assert!(!home.data().exists(), "{env:?}");
        let checked = home
            .start_with(&["profile", "check"], &env)
            .wait()
            .expect(REFUSED);
        assert!(checked.stderr.contains(code), "{env:?}: {checked:?}");
    }
    // What is demanded is there, but no key of the issuer: then nobody could call.
    let env = with(&[prod, scheduled, image]);
    let refused = home
        .start_with(&["--role", "all"], &env)
        .wait()
        .expect(REFUSED);
    assert!(refused.stderr.contains("SECRET_UNREADABLE"), "{refused:?}");
}
