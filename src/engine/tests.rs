//! The engine from the outside: files in, diagnostics or decisions out.

use std::sync::Arc;

use crate::contracts::bundle::{Bundle, SCHEMA_VERSION};
use crate::contracts::decision::{RuleResult, Value};
use crate::contracts::envelope::{AdmittedEvent, Envelope};
use crate::domain::digest::Digest;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::time::Time;
use crate::engine::bundle::FileNames;
use crate::engine::policy::{Inputs, Policy};
use crate::engine::{CompiledBundle, EventRecord, FeatureSet, FeatureState, LabelRecord};

pub(in crate::engine) fn event(id: &str, ts: &str, amount_minor: i64) -> EventRecord {
    let world = ManifestFingerprint::of_live(None, "shop");
    let admitted = AdmittedEvent {
        payload_hash: Digest::of_bytes(id.as_bytes()),
        envelope_hash: None,
        admitted_at: Time::from_micros(0),
        batch_id: 1,
        envelope: Envelope {
            event_id: id.parse().unwrap(),
            event_class: "traffic".to_owned(),
            schema_version: 1,
            ts_utc: ts.parse().unwrap(),
            platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"s"), None, ""),
            scenario_run_id: ScenarioRunId::of(&world, "live"),
            manifest_fingerprint: world,
            tenant_id: None,
            producer: "test".to_owned(),
            payload: serde_json::json!({
                "flow_id": format!("f-{id}"), "customer_id": "c1", "merchant_id": "m1", "terminal_id": "t1",
                "amount_minor": amount_minor, "currency": "EUR", "channel": "pos",
                "attributes": {"vip": true, "points": 7, "tier": "gold"},
            }),
            pii: None,
        },
    };
    EventRecord::parse(&admitted).unwrap()
}

fn rule(when: &str) -> String {
    format!(
        "policy: p\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n  - {{id: R1, owner: o, description: d, outcome: REVIEW, score: 5, reason_code: X, when: {when:?}}}\n"
    )
}

const NO_FEATURES: &str = "feature_set: none\nversion: 1\nfeatures:\n  - {name: absent, entity: [device_id], agg: count, window: 1d}\n  - {name: share, type: float, expr: '0.5'}\n";

/// Runs one rule on a payment of 100 on Sunday 2018-04-01 at 06:30:31, without context.
#[track_caller]
fn check(when: &str, expect: RuleResult, operand: Option<&str>) {
    let set = FeatureSet::compile("f.yaml", NO_FEATURES).unwrap();
    let policy = Policy::compile("p.yaml", &rule(when), &set)
        .unwrap_or_else(|found| panic!("{when}: {}", found[0]));
    let event = event("e1", "2018-04-01T06:30:31Z", 100);
    let features = FeatureState::new(Arc::new(set)).compute(&event).unwrap();
    let result = policy.evaluate(&Inputs {
        event: &event,
        arrival: None,
        degraded: true,
        features: &features.values,
        score: None,
        lists: &[],
    });
    let traced = &result.trace[0];
    assert_eq!(
        (traced.result, traced.operand.as_deref()),
        (expect, operand),
        "{when}"
    );
    assert_eq!(
        result.reasons.len(),
        usize::from(expect == RuleResult::Fired)
    );
}

#[test]
fn rules_that_fire() {
    for when in [
        "event.amount_minor == 100 && event.amount_minor == 100.0 && event.amount_minor < 100.5",
        "9007199254740993 > 9007199254740992.0",
        "event.ts.getDayOfWeek() == 0 && event.ts.getHours() == 6 && event.ts.getMinutes() == 30",
        "event.ts.getDate() == 1 && event.ts.getDayOfMonth() == 0 && event.ts.getMonth() == 3 && event.ts.getFullYear() == 2018",
        "event.channel in ['pos', 'atm'] && !(event.currency in ['USD'])",
        "event.customer_id.startsWith('c') && event.customer_id.endsWith('1') && size('é') == 1 && event.customer_id.contains('c1')",
        "-7 / 2 == -3 && -7 % 2 == -1 && 7.0 / 2 == 3.5 && abs(-3) == 3 && min(1, 2) == 1 && max(1, 2.5) == 2.5",
        "int(2.9) == 2 && int(-2.9) == -2 && double(1) / 2 == 0.5",
        "event.attributes.vip && event.attributes.points > 6 && event.attributes.tier == 'gold' && int(event.attributes.points) + 1 == 8",
        "has(event.terminal_id) && !has(event.device_id) && has(event.attributes.vip) && !has(event.attributes.x)",
        "!has(features.absent) && features.share == 0.5 && event.degraded",
        "(event.amount_minor > 50 ? 1 : 2) == 1",
        "zscore(event.amount_minor, 90, 2.5) == 4.0 && distance_km(1, 2, 1, 2) == 0.0",
        "true || event.mcc == '1'",
        "event.mcc == '1' || true",
        "!(false && event.mcc == '1') && !(event.mcc == '1' && false)",
    ] {
        check(when, RuleResult::Fired, None);
    }
}

#[test]
fn what_is_missing_or_undefined_is_named() {
    use RuleResult::{Missing, NotFired, Undefined};
    check("event.mcc == '5411'", Missing, Some("event.mcc"));
    check("!(event.mcc == '5411')", Missing, Some("event.mcc"));
    check(
        "features.absent > 1 && event.amount_minor > 1",
        Missing,
        Some("features.absent"),
    );
    check(
        "event.amount_minor > 1 && features.absent > 1",
        Missing,
        Some("features.absent"),
    );
    check(
        "event.device_id == 'd' || event.mcc == '1'",
        Missing,
        Some("event.device_id"),
    );
    check(
        "event.amount_minor < 1 && features.absent > 1",
        NotFired,
        None,
    );
    check(
        "event.attributes.tier == 7",
        Missing,
        Some("event.attributes.tier"),
    );
    check(
        "event.attributes.nope",
        Missing,
        Some("event.attributes.nope"),
    );
    check(
        "1 / (event.amount_minor - 100) > 0",
        Undefined,
        Some("1 / (event.amount_minor - 100)"),
    );
    check(
        "1.0 / (event.amount_minor - 100) > 0.0",
        Undefined,
        Some("1.0 / (event.amount_minor - 100)"),
    );
    for undefined in [
        "zscore(1, event.amount_minor, 0)",
        "distance_km(0, 0, 0, 200000000)",
    ] {
        check(&format!("{undefined} > 0.0"), Undefined, Some(undefined));
    }
    let most = "event.amount_minor + 9223372036854775807";
    check(&format!("{most} > 0"), Undefined, Some(most));
    check(
        "int(1e300 * event.amount_minor) > 0",
        Undefined,
        Some("int(1e300 * event.amount_minor)"),
    );
    check(
        "event.amount_minor % 0 == 0 || event.amount_minor == 100",
        RuleResult::Fired,
        None,
    );
}

#[track_caller]
fn refused(when: &str, column: usize, says: &str, help: &str) {
    let set = FeatureSet::compile("f.yaml", NO_FEATURES).unwrap();
    let found = Policy::compile("p.yaml", &rule(when), &set).expect_err(when);
    let first = &found[0];
    let line = rule(when).lines().nth(5).unwrap().to_owned();
    let start = line[..line.find("when: ").unwrap()].chars().count() + 8;
    assert_eq!((first.line, first.column), (6, start + column), "{first}");
    assert!(first.message.contains(says), "{first}");
    assert!(
        first.suggestion.as_deref().unwrap_or("").contains(help),
        "{first}"
    );
}

#[test]
fn faults_of_an_expression_point_into_it() {
    refused(
        "event.amont_minor > 1",
        0,
        "unknown name",
        "event.amount_minor",
    );
    refused(
        "'é' == 'é' && features.shar > 1.0",
        14,
        "unknown name",
        "features.share",
    );
    refused("amount_minor > 1", 0, "unknown name", "event.amount_minor");
    refused("event.amount_minor", 0, "expected bool, found int", "");
    refused("event.amount_minor > '1'", 0, "compare int with text", "");
    refused("event.ts > 1", 0, "parts", "");
    refused("event.ts.getHour() > 1", 0, "getHour", "getHours");
    refused(
        "event.attributes.x == event.attributes.y",
        0,
        "two attributes",
        "",
    );
    refused(
        "event.attributes.x + 1 > 2",
        0,
        "no declared type",
        "int(event.attributes.x)",
    );
    refused("1.5 % 2 == 0", 0, "two ints", "");
    refused("event.channel in event.currency", 17, "list", "");
    refused("event.channel in ['a', 1]", 23, "expected text", "");
    refused("true < false", 0, "no order", "");
    refused("lenght('a') == 1", 0, "unknown function", "");
    refused("1 < 2 &&", 8, "syntax", "");
    refused("[1, 2].all(x, x > 1)", 10, "comprehensions", "");
}

#[test]
fn every_fault_of_both_files_is_found_in_order() {
    let feature_set = "feature_set: f\nversion: 1\nfeatures:\n\
        \x20 - {name: a, entity: [custmer_id], agg: count, window: 1d}\n\
        \x20 - {name: b, entity: [customer_id], agg: cuont, window: 1d}\n\
        \x20 - {name: c, entity: [customer_id], agg: sum, value: event.amount, window: 7x}\n\
        \x20 - {name: d, entity: [customer_id], agg: sum, value: event.currency, window: 7d}\n\
        \x20 - {name: e, type: int, expr: features.a + 1}\n\
        \x20 - {name: f, type: int, expr: features.z + 1}\n\
        \x20 - {name: f, entity: [], agg: count, windw: 1d}\n\
        \x20 - {name: g, type: bool, expr: event.mcc == '1'}\n\
        \x20 - {name: h, entity: [customer_id], agg: mean, window: 1d}\n";
    let policy = rule("event.amount_minor > 1 && features.a > 1")
        + "  - {id: R1, owner: o, description: d, outcome: REVIEW, reason_code: x, when: 'event.nope'}\n";
    let bundle = Bundle {
        schema_version: SCHEMA_VERSION,
        name: "b".to_owned(),
        feature_set: feature_set.to_owned(),
        policy,
        model: None,
        manifest: None,
    };
    let files = FileNames {
        feature_set: "f.yaml",
        policy: "p.yaml",
    };
    let found = CompiledBundle::compile(&bundle, files).unwrap_err();
    let places: Vec<_> = found.iter().map(|it| (it.file.as_str(), it.line)).collect();
    let lines: Vec<_> = [4, 5, 6, 7, 9, 10, 10, 11, 12]
        .map(|it| ("f.yaml", it))
        .into();
    let policy_lines = [7; 3].map(|it| ("p.yaml", it));
    let expect: Vec<_> = lines.into_iter().chain(policy_lines).collect();
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(places, expect, "{}", shown.join("\n"));
}

#[test]
fn constant_rules_are_warned_of() {
    let set = FeatureSet::compile("f.yaml", NO_FEATURES).unwrap();
    for (when, warns) in [
        ("event.amount_minor >= 0", true),
        ("event.amount_minor < 0", true),
        ("event.amount_minor > 0", false),
        ("1 < 2 || event.mcc == '1'", true),
        ("event.mcc == '1' && event.channel in []", true),
        ("event.channel == 'pos'", false),
    ] {
        let policy = Policy::compile("p.yaml", &rule(when), &set).unwrap();
        assert_eq!(policy.warnings().len(), usize::from(warns), "{when}");
    }
}

/// The value of the only feature at the last of the events, all applied before.
#[track_caller]
fn feature(spec: &str, events: &[(&str, i64, i64)], expect: Value) {
    let text = format!(
        "feature_set: f\nversion: 1\nfeatures:\n  - {{name: x, entity: [customer_id], {spec}}}\n"
    );
    let set = FeatureSet::compile("f.yaml", &text).unwrap_or_else(|it| panic!("{}", it[0]));
    let mut state = FeatureState::new(Arc::new(set));
    let records: Vec<_> = events
        .iter()
        .map(|(id, second, amount)| {
            let mut record = event(id, "2018-04-01T00:00:00Z", *amount);
            record.ts = record.ts.plus_micros(second * 1_000_000);
            record
        })
        .collect();
    for record in &records {
        state.apply_event(record).unwrap();
    }
    let last = records.last().unwrap();
    assert_eq!(
        state.compute(last).unwrap().values,
        [expect],
        "{spec} {events:?}"
    );
    assert!(state.apply_event(last).is_err(), "a repeat is refused");
}

#[test]
fn the_edges_of_a_window() {
    let count = "agg: count, window: 10s";
    feature(count, &[("a", 0, 1), ("b", 10, 1)], Value::Int(1));
    feature(count, &[("a", 1, 1), ("b", 10, 1)], Value::Int(2));
    let without = "agg: count, window: 10s, include_current: false";
    feature(without, &[("a", 1, 1), ("b", 10, 1)], Value::Int(1));
    feature(count, &[("a", 10, 1), ("b", 10, 1)], Value::Int(2));
    feature(count, &[("c", 10, 1), ("b", 10, 1)], Value::Int(1));
    feature(
        without,
        &[("a", 10, 1), ("c", 10, 1), ("b", 10, 1)],
        Value::Int(1),
    );
    let delayed = "agg: count, window: 10s, delay: 5s";
    feature(delayed, &[("z", 5, 1), ("b", 10, 1)], Value::Int(1));
    feature(delayed, &[("a", 6, 1), ("b", 10, 1)], Value::Int(0));
    feature(delayed, &[("a", -5, 1), ("b", 10, 1)], Value::Int(0));
    feature(delayed, &[("a", -4, 1), ("b", 10, 1)], Value::Int(1));
}

#[test]
fn what_an_empty_window_gives_and_a_sum_beyond_64_bits() {
    let alone = &[("a", 0, 1)];
    feature(
        "agg: count, window: 1s, include_current: false",
        alone,
        Value::Int(0),
    );
    let mean = "agg: mean, value: event.amount_minor, window: 1s, include_current: false";
    feature(mean, alone, Value::Missing);
    feature(&format!("{mean}, empty: 0"), alone, Value::Float(0.0));
    let sum = "agg: sum, value: event.amount_minor, window: 9s";
    feature(sum, &[("a", 0, i64::MAX), ("b", 0, 1)], Value::Missing);
    feature(
        sum,
        &[("a", 0, i64::MAX), ("b", 0, 0)],
        Value::Int(i64::MAX),
    );
}

#[test]
fn a_label_counts_from_its_observed_time_on() {
    let text = "feature_set: f\nversion: 1\nfeatures:\n  - {name: x, entity: [customer_id], agg: fraud_share, window: 1h, include_current: false}\n";
    let mut state = FeatureState::new(Arc::new(FeatureSet::compile("f.yaml", text).unwrap()));
    let label = |id: &str, ts: &str, is_fraud| LabelRecord {
        event_id: "a".parse().unwrap(),
        label_assertion_id: id.parse().unwrap(),
        observed_time: ts.parse().unwrap(),
        is_fraud,
    };
    state
        .apply_label(&label("l2", "2018-04-01T00:00:20Z", true))
        .unwrap();
    assert_eq!(state.n_waiting_labels(), 1);
    state
        .apply_event(&event("a", "2018-04-01T00:00:00Z", 1))
        .unwrap();
    let mut share = |ts: &str, label: Option<LabelRecord>| {
        if let Some(label) = &label {
            state.apply_label(label).unwrap();
        }
        state.compute(&event("z", ts, 1)).unwrap().values
    };
    assert_eq!(share("2018-04-01T00:00:20Z", None), [Value::Float(1.0)]);
    assert_eq!(
        share("2018-04-01T00:00:19.999999Z", None),
        [Value::Float(0.0)]
    );
    let at = "2018-04-01T00:00:20Z";
    assert_eq!(share(at, Some(label("l1", at, false))), [Value::Float(1.0)]);
    assert_eq!(share(at, Some(label("l3", at, false))), [Value::Float(0.0)]);
}
