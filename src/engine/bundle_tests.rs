//! Bundles of all parts: what is refused, who overrides whom, why a score is what it is.

use std::sync::Arc;

use crate::contracts::bundle::Bundle;
use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, ListHit, RuleResult};
use crate::contracts::feature_set::Entity;
use crate::contracts::payload::Traffic;
use crate::domain::digest::Digest;
use crate::domain::ids::{ListEntryId, ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::keys::Pins;
use crate::domain::vocabulary::{Channel, Outcome, Posture};
use crate::engine::bundle::FileNames;
use crate::engine::posture;
use crate::engine::{CompiledBundle, EventRecord, FeatureState, Given, JoinFrame, decide};

const FEATURES: &str = "feature_set: s\nversion: 1\nfeatures:\n\
    \x20 - {name: amount, type: int, expr: event.amount_minor}\n\
    \x20 - {name: ratio, type: float, expr: double(event.amount_minor) / 40.0}\n\
    \x20 - {name: device, type: text, expr: event.device_id}\n";
/// Adds 1 above an amount of 100 and another 2 above a ratio of 5.
const MODEL: &str = r#"{"form": "fraudplat/trees/v1", "features": ["ratio", "amount"], "base": -2.0, "link": "logistic", "split": "less_equal",
    "trees": [{"feature": [1, -1, -1], "threshold": [100.0, 0, 0], "missing_left": [true, true, true], "left": [1, 0, 0], "right": [2, 0, 0], "value": [0.25, 0.0, 1.0]},
              {"feature": [0, -1, -1], "threshold": [5.0, 0, 0], "missing_left": [true, true, true], "left": [1, 0, 0], "right": [2, 0, 0], "value": [0.5, 0.0, 2.0]}]}"#;
const MANIFEST: &str = "bundle: b\nversion: 1\nthresholds: {review: 0.3, decline: 0.7}\nreason_texts:\n\
    \x20 codes: {MODEL_DECLINE: 'The model is sure, at {amount}'}\n\
    \x20 features: {ratio: 'amount {value} times the mean'}\nprovenance: {by: test}\n";
const LISTS: &str = "lists:\n\
    \x20 - {name: blocked, kind: deny, entity: customer_id, reason_code: BLOCKED}\n\
    \x20 - {name: watched, kind: watch, entity: customer_id, reason_code: WATCHED}\n\
    \x20 - {name: vips, kind: allow, entity: merchant_id, reason_code: VIP}\n";

fn policy(lists: &str, rules: &[(&str, &str, i64)]) -> String {
    let rules = rules.iter().enumerate().map(|(at, (when, outcome, score))| {
        format!("  - {{id: R{}, owner: o, description: d, outcome: {outcome}, score: {score}, reason_code: RULE, when: {when:?}}}\n", at + 1)
    });
    let rules: String = rules.collect();
    let list = if rules.is_empty() { " []\n" } else { "\n" };
    format!(
        "policy: p\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\n{lists}rules:{list}{rules}"
    )
}

fn bundle(policy: &str, model: Option<&str>, manifest: Option<&str>) -> Bundle {
    Bundle {
        model: model.map(str::to_owned),
        manifest: manifest.map(str::to_owned),
        ..Bundle::new("b", FEATURES, policy)
    }
}

fn compile(bundle: &Bundle) -> Result<CompiledBundle, Vec<String>> {
    let files = FileNames {
        feature_set: "b/feature_set.yaml",
        policy: "b/policy.yaml",
    };
    CompiledBundle::compile(bundle, files).map_err(|found| {
        let shown = found.iter();
        let first = |it: String| it.lines().next().unwrap_or_default().to_owned();
        shown.map(|it| first(it.to_string())).collect()
    })
}

fn event(amount_minor: i64) -> EventRecord {
    let world = ManifestFingerprint::of_live(None, "shop");
    let pins = Pins {
        platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"s"), None, ""),
        scenario_run_id: ScenarioRunId::of(&world, "live"),
        manifest_fingerprint: world,
        tenant_id: None,
    };
    let traffic = Traffic {
        flow_id: "f1".to_owned(),
        customer_id: "c1".to_owned(),
        merchant_id: "m1".to_owned(),
        account_id: None,
        card_id: None,
        device_id: None,
        ip: None,
        terminal_id: None,
        beneficiary_id: None,
        amount_minor,
        currency: "EUR".to_owned(),
        channel: Channel::Pos,
        attributes: None,
    };
    let (id, hash) = ("e1".parse().unwrap(), Digest::of_bytes(b"e1"));
    EventRecord::of(
        pins,
        id,
        hash,
        "2026-01-01T00:00:00Z".parse().unwrap(),
        traffic,
    )
}

fn decided(bundle: &CompiledBundle, amount_minor: i64, on: &[&str]) -> DecisionBody {
    let event = event(amount_minor);
    let mut state = FeatureState::new(Arc::clone(&bundle.feature_set));
    state.apply_event(&event).unwrap();
    let features = state.compute(&event).unwrap();
    let hit = |list: &&str| ListHit {
        list: (*list).to_owned(),
        entity: match *list {
            "vips" => Entity::MerchantId,
            _ => Entity::CustomerId,
        },
        entry_id: ListEntryId::of(list, "customer_id", "c1", 1),
        expires_at: None,
    };
    let lists: Vec<ListHit> = on.iter().map(hit).collect();
    let given = Given {
        event: &event,
        frame: &JoinFrame::default(),
        features: &features,
        lists: &lists,
        posture: Posture::Normal,
        capabilities: &posture::capabilities(Posture::Normal),
    };
    decide(bundle, &given)
}

/// deny > allow > the strictest of watch, rules, thresholds > default; what spoke is in the trace.
#[test]
fn precedence_is_a_table() {
    use Outcome::{Approve, Decline, Review, StepUp};
    let rules = [
        ("event.amount_minor == 50", "STEP_UP", 1),
        ("event.amount_minor == 60", "DECLINE", 1),
    ];
    let text = policy(LISTS, &rules);
    let compiled = compile(&bundle(&text, Some(MODEL), Some(MANIFEST))).unwrap();
    // Amounts: 10 nothing, 50 and 60 a rule, 150 a score of 0.27, 300 of 0.73.
    let table: [(i64, &[&str], Outcome); 14] = [
        (10, &[], Approve),
        (50, &[], StepUp),
        (60, &[], Decline),
        (150, &[], Approve),
        (300, &[], Decline),
        (10, &["watched"], Review),
        (50, &["watched"], Review),
        (300, &["watched"], Decline),
        (60, &["vips"], Approve),
        (300, &["vips", "watched"], Approve),
        (10, &["blocked"], Decline),
        (10, &["blocked", "vips"], Decline),
        (300, &["vips"], Approve),
        (60, &["watched", "vips", "blocked"], Decline),
    ];
    for (amount, on, outcome) in table {
        let body = decided(&compiled, amount, on);
        assert_eq!(body.outcome, outcome, "{amount} {on:?}");
        let ids: Vec<&str> = body.trace.iter().map(|it| it.rule_id.as_str()).collect();
        let all = [
            "list:blocked",
            "list:watched",
            "list:vips",
            "R1",
            "R2",
            "model:decline",
            "model:review",
        ];
        assert_eq!(ids, all);
        for list in on {
            let traced = body
                .trace
                .iter()
                .find(|it| it.rule_id == format!("list:{list}"));
            assert_eq!(traced.unwrap().result, RuleResult::Fired);
        }
    }
}

#[test]
fn a_hit_counts_for_its_own_list_and_entity_alone() {
    let text = policy(LISTS, &[("lists.blocked", "STEP_UP", 1)]);
    let compiled = compile(&bundle(&text, None, None)).unwrap();
    let event = event(10);
    let features = FeatureState::new(Arc::clone(&compiled.feature_set))
        .compute(&event)
        .unwrap();
    let hit = ListHit {
        list: "blocked".to_owned(),
        entity: Entity::MerchantId,
        entry_id: ListEntryId::of("blocked", "merchant_id", "c1", 1),
        expires_at: None,
    };
    let given = Given {
        event: &event,
        frame: &JoinFrame::default(),
        features: &features,
        lists: &[hit],
        posture: Posture::Normal,
        capabilities: &posture::capabilities(Posture::Normal),
    };
    assert_eq!(decide(&compiled, &given).outcome, Outcome::Approve);
    let body = decided(&compiled, 10, &["blocked"]);
    assert_eq!((body.outcome, body.rule_score), (Outcome::Decline, 1));
}

#[test]
fn a_score_says_why_in_words() {
    let compiled = compile(&bundle(&policy("", &[]), Some(MODEL), Some(MANIFEST))).unwrap();
    let body = decided(&compiled, 300, &[]);
    let parts = body.contributions.clone().unwrap();
    assert_eq!((parts.raw, parts.expected), (1.0, -1.25));
    let added = parts
        .parts
        .iter()
        .fold(parts.expected, |sum, it| sum + it.value);
    assert_eq!(added, parts.raw);
    assert_eq!(body.score, Some(1.0 / (1.0 + libm::exp(-1.0))));
    assert_eq!(body.reasons[0], "MODEL_DECLINE");
    assert_eq!(
        body.reason_texts,
        [
            "The model is sure, at 300",
            "amount 7.5 times the mean (+1.50)",
            "amount is 300 (+0.75)",
        ]
    );
    let bytes = canonical::to_bytes(&body).unwrap();
    let read: DecisionBody = canonical::from_bytes("decision body", &bytes).unwrap();
    assert_eq!(canonical::to_bytes(&read).unwrap(), bytes);
    // What lowers a score is no reason.
    assert_eq!(decided(&compiled, 10, &[]).reason_texts, [""; 0]);
}

#[test]
fn a_bundle_of_two_texts_decides_as_it_always_did() {
    let compiled = compile(&bundle(&policy("", &[("true", "REVIEW", 1)]), None, None)).unwrap();
    let body = decided(&compiled, 300, &[]);
    let json = serde_json::to_value(&body).unwrap();
    for grown in ["score", "contributions", "reason_texts"] {
        assert!(json.get(grown).is_none(), "{grown}");
    }
}

#[track_caller]
fn refused(bundle: &Bundle, expect: &[&str]) {
    assert_eq!(compile(bundle).expect_err("it must be refused"), expect);
}

#[test]
fn faults_of_every_part_are_named_with_their_place() {
    let empty = policy("", &[]);
    let manifest = |text: &str| bundle(&empty, Some(MODEL), Some(text));
    refused(
        &manifest("bundle: b\nversion: 0\nthresholds: {step_up: 0.5, review: 0.4, decline: 1.5}\n"),
        &[
            "b/bundle.yaml:2:10: error: versions count from 1",
            "b/bundle.yaml:3:36: error: `review` is below `step_up`, which is milder: 0.4 < 0.5",
            "b/bundle.yaml:3:50: error: threshold 1.5 is out of range: the score is from 0 to 1",
        ],
    );
    refused(
        &manifest("bundle: b\nversion: 1\ntresholds: {}\n"),
        &["b/bundle.yaml:3:1: error: unknown key `tresholds`"],
    );
    refused(
        &manifest(
            "bundle: b\nversion: 1\nreason_texts: {features: {device: x, ratio: '{amuont}'}, codes: {X: '{value}', Y: '{'}}\n",
        ),
        &[
            "b/bundle.yaml:3:35: error: the model reads no `device`",
            "b/bundle.yaml:3:45: error: no feature is called `amuont`",
            "b/bundle.yaml:3:69: error: no feature is called `value`",
            "b/bundle.yaml:3:83: error: a `{` has no `}`",
        ],
    );
    let digest = bundle(&empty, None, None).feature_set_digest();
    let other = Digest::of_bytes(b"other");
    refused(
        &manifest(&format!(
            "bundle: b\nversion: 1\ncompatibility: {{engine_rev: 2, feature_set_digest: {other}}}\n"
        )),
        &[
            "b/bundle.yaml:3:29: error: it needs engine revision 2; this one is 1",
            &format!(
                "b/bundle.yaml:3:52: error: it was made for another feature set; this one is {digest}"
            ),
        ],
    );
    let text = format!(
        "bundle: b\nversion: 1\ncompatibility: {{engine_rev: 1, feature_set_digest: {digest}}}\n"
    );
    assert!(compile(&manifest(&text)).is_ok());
    refused(
        &bundle(
            &empty,
            None,
            Some("bundle: b\nversion: 1\nthresholds: {review: 0.4, mine: 7.5}\n"),
        ),
        &[
            "b/bundle.yaml:3:22: error: `review` acts on a model's score, and the bundle has no model",
        ],
    );
    refused(
        &bundle(&empty, Some(&MODEL.replace("ratio", "rato")), None),
        &["b/model.json:1:1: error: feature `rato` is not in the feature set"],
    );
}

#[test]
fn names_of_a_policy_are_checked_against_its_bundle() {
    let rules = [
        ("model.score > 0.5", "REVIEW", 1),
        ("thresholds.reveiw > 0.5", "REVIEW", 1),
        ("lists.vipz", "REVIEW", 1),
        ("model.scor > 0.5", "REVIEW", 1),
    ];
    let text = policy(LISTS, &rules);
    let at = |line: usize, message: &str| format!("b/policy.yaml:{line}:93: error: {message}");
    let expect = [
        at(10, "the bundle has no model, so there is no `model.score`"),
        at(11, "unknown name `thresholds.reveiw`"),
        at(12, "unknown name `lists.vipz`"),
        at(13, "unknown name `model.scor`"),
    ];
    let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
    refused(&bundle(&text, None, None), &expect);
    let found = compile(&bundle(&text, Some(MODEL), Some(MANIFEST))).unwrap_err();
    assert_eq!(found.len(), 3, "{found:?}");
    let features =
        "feature_set: s\nversion: 1\nfeatures:\n  - {name: a, type: float, expr: model.score}\n";
    let reads = Bundle::new("b", features, &policy("", &[]));
    refused(
        &reads,
        &[
            "b/feature_set.yaml:4:34: error: `model` is read by rules alone: features depend on records",
        ],
    );
    let twice = "lists:\n  - {name: a, kind: deny, entity: ip, reason_code: x}\n  - {name: a, kind: allow, entity: ip, reason_code: X}\n";
    refused(
        &bundle(&policy(twice, &[]), None, None),
        &[
            "b/policy.yaml:6:52: error: a reason code is capitals, digits and `_`, led by a capital",
            "b/policy.yaml:7:12: error: a list `a` stands above already",
        ],
    );
}

#[test]
fn rules_that_cannot_be_meant_are_warned_of() {
    #[track_caller]
    fn check(rules: &[(&str, &str, i64)], expect: &[&str]) {
        let compiled = compile(&bundle(&policy("", rules), None, None)).unwrap();
        let said = compiled
            .policy
            .warnings()
            .iter()
            .map(|it| it.message.clone());
        assert_eq!(said.collect::<Vec<_>>(), expect, "{rules:?}");
    }
    let never = "rule `R1` never fires: its conditions exclude one another";
    for when in [
        "event.amount_minor > 100 && event.amount_minor < 100",
        "event.amount_minor > 100 && 50 >= event.amount_minor",
        "event.amount_minor == 5 && event.amount_minor > 5.5",
        "event.channel == 'pos' && event.channel == 'ecom'",
        "event.channel in ['pos', 'atm'] && event.channel in ['ecom']",
        "event.degraded && !event.degraded",
        "(event.amount_minor > 9 || features.ratio > 3.0) && event.amount_minor < 2 && features.ratio < 1.0",
    ] {
        check(&[(when, "REVIEW", 1)], &[never]);
    }
    for when in [
        "event.amount_minor >= 100 && event.amount_minor <= 100",
        "event.amount_minor > 100 && features.ratio < 1.0",
        "event.channel in ['pos', 'atm'] && event.channel == 'atm'",
        "(event.amount_minor > 9 || features.ratio > 3.0) && event.amount_minor < 2",
    ] {
        check(&[(when, "REVIEW", 1)], &[]);
    }
    check(
        &[
            ("event.amount_minor > 1", "REVIEW", 1),
            ("event.amount_minor > 1", "DECLINE", 1),
        ],
        &["rule `R2` contradicts `R1` (line 6): one condition, DECLINE and REVIEW"],
    );
    check(
        &[
            (
                "event.amount_minor > 200 && event.channel == 'pos'",
                "REVIEW",
                1,
            ),
            ("event.amount_minor >= 200", "DECLINE", 1),
        ],
        &["rule `R1` never decides: whenever it fires, `R2` (line 7) says DECLINE"],
    );
    check(
        &[
            ("event.amount_minor > 200", "REVIEW", 1),
            ("event.amount_minor > 200.5", "DECLINE", 1),
            (
                "event.amount_minor > 100 && event.channel != 'pos'",
                "DECLINE",
                1,
            ),
            ("event.amount_minor > 300", "REVIEW", 1),
        ],
        &["rule `R4` never decides: whenever it fires, `R2` (line 7) says DECLINE"],
    );
}
