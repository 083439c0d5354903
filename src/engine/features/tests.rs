//! What the documentation says of features, as it is written there, and faults of a window.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contracts::decision::Value;
use crate::contracts::payload::{AttributeValue, Traffic};
use crate::domain::digest::Digest;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::keys::Pins;
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Time};
use crate::domain::vocabulary::Channel;
use crate::engine::{EventRecord, FeatureSet, FeatureState};

/// A payment with a card by way of a device, at a place in millionths of a degree.
struct Payment {
    at_s: i64,
    amount_minor: i64,
    device: &'static str,
    place: [i64; 2],
}

fn event(nth: usize, payment: &Payment) -> EventRecord {
    let world = ManifestFingerprint::of_live(None, "documented");
    let attributes = ["lat", "lon"].into_iter().zip(payment.place);
    let attributes = attributes.map(|(name, it)| (name.to_owned(), AttributeValue::Int(it)));
    let traffic = Traffic {
        flow_id: format!("f{nth}"),
        customer_id: "c1".to_owned(),
        merchant_id: "m1".to_owned(),
        account_id: None,
        card_id: Some("k1".to_owned()),
        device_id: Some(payment.device.to_owned()),
        ip: None,
        terminal_id: None,
        beneficiary_id: None,
        amount_minor: payment.amount_minor,
        currency: "EUR".to_owned(),
        channel: Channel::Ecom,
        attributes: Some(attributes.collect::<BTreeMap<_, _>>()),
    };
    let pins = Pins {
        platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"s"), None, ""),
        scenario_run_id: ScenarioRunId::of(&world, "documented"),
        manifest_fingerprint: world,
        tenant_id: None,
    };
    let id = format!("e{nth}").parse().unwrap();
    let ts = Time::from_micros(payment.at_s * MICROS_PER_SECOND);
    EventRecord::of(pins, id, Digest::of_bytes(b""), ts, traffic)
}

fn compile(text: &str) -> Arc<FeatureSet> {
    Arc::new(FeatureSet::compile("f.yaml", text).unwrap_or_else(|found| panic!("{}", found[0])))
}

/// The features of the last payment, by name, with all of them known.
fn features(set: &Arc<FeatureSet>, payments: &[Payment]) -> BTreeMap<String, Value> {
    let mut state = FeatureState::new(Arc::clone(set));
    let events: Vec<_> = payments
        .iter()
        .enumerate()
        .map(|(nth, it)| event(nth, it))
        .collect();
    for event in &events {
        state.apply_event(event).unwrap();
    }
    state.compute(events.last().unwrap()).unwrap().named(set)
}

/// The YAML blocks of the page that are feature sets.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../../docs/features-and-policies.md");
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.map(|it| it.split("```").next().unwrap());
    blocks.filter(|it| it.starts_with("feature_set:")).collect()
}

#[test]
fn the_documented_sets_compile() {
    let sets: Vec<_> = documented().into_iter().map(compile).collect();
    assert_eq!(sets.len(), 2);
}

#[test]
fn the_worked_examples_say_what_the_page_says() {
    let set = compile(documented()[1]);
    let (berlin, paris) = ([52_520_000, 13_405_000], [48_856_600, 2_352_200]);
    let day = MICROS_PER_DAY / MICROS_PER_SECOND;
    let payment = |at_s, amount_minor, device, place| Payment {
        at_s,
        amount_minor,
        device,
        place,
    };
    let payments = [
        payment(0, 900, "d1", berlin),
        payment(day, 1_000, "d1", berlin),
        payment(2 * day, 1_100, "d1", berlin),
        payment(2 * day + 1_800, 5_000, "d2", paris),
    ];
    let found = features(&set, &payments);
    assert_eq!(found["amount_to_mean"], Value::Float(5.0));
    assert_eq!(found["amount_z"], Value::Float(40.0));
    assert_eq!(found["is_new_device"], Value::Bool(true));
    let Value::Float(km) = found["km_from_before"] else {
        panic!("{found:?}")
    };
    assert!((877.0..878.0).contains(&km), "{km}");
    assert_eq!(found["km_per_hour"], Value::Float(km / (1_800.0 / 3_600.0)));
    assert_eq!(found["channel_before"], Value::Text("ecom".to_owned()));
    // The payment itself weighs one, the others by age: 0, 2 and 1 days and half an hour more.
    let Value::Float(pace) = found["pace"] else {
        panic!("{found:?}")
    };
    let aged = |days: f64| (-(days * 24.0 + 0.5) / 6.0).exp2();
    let expect = 1.0 + aged(0.0) + aged(1.0) + aged(2.0);
    assert!((pace - expect).abs() < 1e-8, "{pace} {expect}");
    let first = features(&set, &payments[..1]);
    for name in [
        "amount_to_mean",
        "amount_z",
        "km_per_hour",
        "channel_before",
    ] {
        assert_eq!(first[name], Value::Missing, "{name}");
    }
    assert_eq!(first["is_new_device"], Value::Bool(false));
}

#[test]
fn a_window_lasts_from_a_second_to_ninety_days() {
    let spans = ["1s", "90s", "24h", "90d"];
    let one = |it: &str| {
        format!(
            "  - {{name: w{it}, entity: [customer_id, merchant_id, card_id], agg: count, window: {it}, filter: \"event.amount_minor > 0\"}}\n"
        )
    };
    let features_of = spans.map(one).concat();
    let set = compile(&format!(
        "feature_set: f\nversion: 1\nfeatures:\n{features_of}"
    ));
    let day = MICROS_PER_DAY / MICROS_PER_SECOND;
    let now = 100 * day;
    let ages = [90 * day, 90 * day - 1, day, day - 1, 90, 89, 1, 0];
    let payments = ages.map(|age| Payment {
        at_s: now - age,
        amount_minor: 1,
        device: "d",
        place: [0, 0],
    });
    let found = features(&set, &payments);
    let counts = spans.map(|it| found[&format!("w{it}")].clone());
    assert_eq!(counts, [1, 3, 5, 7].map(Value::Int));
}

#[track_caller]
fn refused(feature: &str, says: &str) {
    let text = format!(
        "feature_set: f\nversion: 1\nfeatures:\n  - {{name: x, entity: [card_id], window: 1d, {feature}}}\n"
    );
    let found = FeatureSet::compile("f.yaml", &text).expect_err(feature);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains(says), "{}", found[0]);
}

#[test]
fn faults_of_an_aggregation_are_said() {
    let amount = "value: event.amount_minor";
    refused("agg: stddev", "needs a `value`");
    refused("agg: stddev, value: event.device_id", "expected an int");
    refused(&format!("agg: time_since_last, {amount}"), "no `value`");
    refused(
        &format!("agg: decayed_count, half_life: 1h, {amount}"),
        "no `value`",
    );
    refused("agg: decayed_count", "needs its `half_life`");
    refused(&format!("agg: sum, {amount}, half_life: 1h"), "belongs to");
    refused(
        "agg: decayed_count, half_life: 22m",
        "at most 64 half-lives",
    );
    refused("agg: decayed_count, half_life: 0s", "has a length");
    refused("agg: last, value: event.device_id, empty: 0", "text");
    refused("agg: last, value: event.country", "joined context");
    refused("agg: last, value: event.amount_minor + 1", "plain field");
}
