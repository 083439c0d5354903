//! A registry in a folder over the executable: a tenant's bundle decides, another is promoted by an edit of the
//! file, one that is being edited never is, everything is retired, and all of it replays.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Port, Till, till};
use crate::home::{DONE, Home, LONG, REFUSED, until};

const FEATURES: &str = "feature_set: f\nversion: 1\nfeatures:\n\
    \x20 - {name: n, entity: [customer_id], agg: count, window: 1d}\n";
const OTHER_FEATURES: &str = "feature_set: g\nversion: 1\nfeatures:\n\
    \x20 - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 1d}\n";

/// A folder of bundles, and the digests of those in it.
struct Registry<'h> {
    home: &'h Home,
    dir: PathBuf,
    digests: Vec<(String, String)>,
}

impl<'h> Registry<'h> {
    fn new(home: &'h Home, dir: &Path) -> Registry<'h> {
        Registry {
            home,
            dir: dir.to_owned(),
            digests: Vec::new(),
        }
    }

    /// Writes a bundle whose only rule speaks for this outcome.
    fn bundle(&mut self, name: &str, features: &str, when: &str, outcome: &str) -> String {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("feature_set.yaml"), features).unwrap();
        let policy = format!(
            "policy: {name}\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n\
             \x20 - {{id: R1, owner: o, description: d, when: \"{when}\", outcome: {outcome}, reason_code: ALL}}\n"
        );
        std::fs::write(dir.join("policy.yaml"), policy).unwrap();
        let checked = self.home.json(&["bundle", "check", dir.to_str().unwrap()]);
        let digest = checked["bundle_digest"].as_str().unwrap().to_owned();
        self.digests.push((name.to_owned(), digest.clone()));
        digest
    }

    /// Puts bundles in force, at once, as a rename is.
    fn say(&self, rest: &str) {
        let named = self.digests.iter();
        let named: String = named
            .map(|(name, digest)| format!("  {name}: {{digest: {digest}}}\n"))
            .collect();
        let text =
            format!("registry: 1\nenvironment: local_parity\nmode: fraud\nbundles:\n{named}{rest}");
        let new = self.dir.join("registry.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.dir.join("registry.yaml")).unwrap();
    }
}

/// Pays in one run, each payment once.
struct Shop<'a> {
    port: &'a Port,
    till: &'a Till,
    paid: i64,
}

impl Shop<'_> {
    fn pay(&mut self) -> Value {
        self.paid += 1;
        let id = format!("p{}", self.paid);
        let mut events = self.till.payment(&id, self.paid, 100);
        for event in &mut events {
            event["tenant_id"] = "acme".into();
        }
        for verdict in self.port.send(&events) {
            assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
        }
        self.port.decision(&self.till.run, &id)
    }

    /// Pays until this bundle decides.
    fn pay_until(&mut self, digest: &str) -> Value {
        until("another bundle decides", LONG, || {
            let decision = self.pay();
            (decision["body"]["bundle_digest"] == digest).then_some(decision)
        })
    }
}

const SAFE: &str = "fallback:\n  - {slot: primary, bundle: safe}\n";

#[test]
fn a_registry_says_which_bundle_decides_and_all_of_it_replays() {
    let mut home = Home::new();
    let dir = home.dir().join("registry");
    let dir_text = dir.to_str().unwrap().to_owned();
    home.under(
        "embedded",
        &[
            ("FRAUDPLAT__DECISION__REGISTRY_DIR", &dir_text),
            ("FRAUDPLAT__SEMANTICS__TENANT_ID", "acme"),
        ],
    );
    let mut registry = Registry::new(&home, &dir);
    let base = registry.bundle("base", FEATURES, "event.amount_minor > 0", "STEP_UP");
    let acme_1 = registry.bundle("acme-1", FEATURES, "features.n > 0", "REVIEW");
    let acme_2 = registry.bundle("acme-2", OTHER_FEATURES, "features.sum > 0", "DECLINE");
    let safe = registry.bundle("safe", FEATURES, "features.n > 100", "REVIEW");
    let everybody = "active:\n  - {slot: primary, bundle: base}\n";
    let acme = |name: &str| {
        format!("{everybody}  - {{slot: primary, tenant: acme, bundle: {name}}}\n{SAFE}")
    };
    registry.say(&acme("acme-1"));

    let (all, port) = home.serve();
    let till = till(&home, "till");
    let mut shop = Shop {
        port: &port,
        till: &till,
        paid: 0,
    };
    let first = shop.pay();
    assert_eq!(first["body"]["bundle_digest"], *acme_1, "{first}");
    assert_eq!(first["body"]["outcome"], "REVIEW", "{first}");

    // What stands in the folder now has another digest: who is in force stays so.
    let policy = dir.join("acme-1/policy.yaml");
    let text = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, text.replace("REVIEW", "APPROVE")).unwrap();
    check_resolved(&home, &["--tenant", "acme"], "RESOLVED", &acme_1);
    check_resolved(&home, &[], "RESOLVED", &base);
    let elsewhere = check_resolved(&home, &["--slot", "shadow_a"], "NONE", "");
    assert_eq!(elsewhere["steps"][1]["result"], "ABSENT", "{elsewhere}");

    registry.say(&acme("acme-2"));
    let promoted = shop.pay_until(&acme_2);
    assert_eq!(promoted["body"]["outcome"], "DECLINE", "{promoted}");
    let sum = &promoted["body"]["features"]["sum"];
    assert_eq!(
        *sum,
        100 * shop.paid,
        "all payments of the run count: {promoted}"
    );

    // A file that is half written names nothing; what was named stays in force.
    std::fs::write(dir.join("registry.yaml"), "registry: 1\nenviron").unwrap();
    let broken = check_resolved(&home, &["--tenant", "acme"], "NONE", "");
    let why = broken["steps"][0]["why"].as_str().unwrap();
    assert!(why.contains("registry.yaml"), "{why}");
    assert_eq!(shop.pay()["body"]["bundle_digest"], *acme_2);

    registry.say(&format!("active: []\n{SAFE}"));
    let fallen = shop.pay_until(&safe);
    assert_eq!(fallen["body"]["posture"], "DEGRADED_1", "{fallen}");
    assert_eq!(
        fallen["evidence"]["posture_reason"], "BUNDLE_FALLBACK",
        "{fallen}"
    );

    registry.say(&format!(
        "{}retired: [base, acme-1, acme-2, safe]\n",
        acme("acme-2")
    ));
    check_closed(&home, &mut shop);
    check_facts(&home, &till.run);
    check_replays(&home, &port, &till.run, shop.paid);
    all.stop(Signal::TERM).expect(DONE);
}

/// From the next second on everything is declined.
fn check_closed(home: &Home, shop: &mut Shop<'_>) {
    let closed = check_resolved(home, &["--tenant", "acme"], "NONE", "");
    let digest = closed["bundle_digest"].as_str().unwrap();
    let declined = shop.pay_until(digest);
    assert_eq!(declined["body"]["outcome"], "DECLINE", "{declined}");
    assert_eq!(declined["body"]["posture"], "FAIL_CLOSED", "{declined}");
    assert_eq!(
        declined["evidence"]["posture_reason"], "BUNDLE_NONE",
        "{declined}"
    );
}

/// What `mpr resolve` says; an empty digest is any.
#[track_caller]
fn check_resolved(home: &Home, args: &[&str], state: &str, digest: &str) -> Value {
    let resolved = home.json(&[&["mpr", "resolve"], args].concat());
    assert_eq!(resolved["bundle_state"], state, "{resolved}");
    assert!(
        digest.is_empty() || resolved["bundle_digest"] == digest,
        "{resolved}"
    );
    assert_eq!(resolved["steps"].as_array().unwrap().len(), 3, "{resolved}");
    let shown = home.run(&[&["mpr", "resolve"], args].concat()).expect(DONE);
    for word in ["TENANT", "GLOBAL", "FALLBACK"] {
        assert!(shown.stdout.contains(word), "{shown:?}");
    }
    resolved
}

/// One for the fallback, one for nothing.
fn check_facts(home: &Home, run: &str) {
    let kind = "INCOMPATIBLE_BUNDLE_RESOLUTION";
    let facts = home.json(&["gov", "facts", "--run", run, "--type", kind]);
    let facts = facts.as_array().unwrap();
    let states: Vec<&str> = facts
        .iter()
        .map(|it| it["details"]["bundle_state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["NONE", "FALLBACK"], "{facts:?}");
    let details = &facts[0]["details"];
    assert_eq!(details["tenant_id"], "acme", "{details}");
    for step in ["TENANT", "GLOBAL", "FALLBACK"] {
        assert!(
            details[step].as_str().unwrap().starts_with("RETIRED "),
            "{details}"
        );
    }
}

fn check_replays(home: &Home, port: &Port, run: &str, paid: i64) {
    let flush = port.post(&format!("/v1/runs/{run}/flush"), "", "");
    assert_eq!(flush.status, 202, "{flush:?}");
    let replayed = until("the archive", LONG, || {
        let ended = home.run(&["--json", "replay", "range", "--run", run]);
        (!ended.stderr.contains("ARCHIVE_BEHIND")).then(|| ended.expect(DONE).json())
    });
    assert_eq!(replayed["compared"], paid, "{replayed}");
    assert_eq!(replayed["mismatched"], 0, "{replayed}");
}

#[test]
fn a_bundle_and_a_registry_are_not_both_named() {
    let home = Home::with(&[
        ("FRAUDPLAT__DECISION__REGISTRY_DIR", "a"),
        ("FRAUDPLAT__DECISION__BUNDLE_DIR", "b"),
    ]);
    let refused = home.run(&["--role", "all"]).expect(REFUSED);
    assert!(refused.stderr.contains("one of the two"), "{refused:?}");
}
