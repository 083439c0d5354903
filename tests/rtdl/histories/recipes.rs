//! How each golden history was made. A recipe may change with the platform; what it made does not.

use std::ops::RangeInclusive;

use bytes::Bytes;
use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::envelope::AdmittedEvent;
use fraudplat::contracts::feature_set::Entity;
use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::contracts::policy::ListChange;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, Posture, SourceType};
use fraudplat::learning::mpr::lists::{self, Place};
use fraudplat::rtdl::decision::force::{self, Order};
use fraudplat::rtdl::inlet::{Inlet, Options};
use fraudplat::substrate::clock::{Clock, SetClock, SystemClock};
use fraudplat::substrate::tasks::Tasks;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::decider::Run;
use crate::labels::{at, label, put as put_labels};
use crate::world::{admitted, bytes};

/// The histories, in order of their names.
pub(super) const NAMES: [&str; 5] = [
    "baseline",
    "graph_and_takeover",
    "labels",
    "late",
    "model_and_postures",
];

/// What it holds, and the run.
pub(super) async fn make(name: &str) -> (&'static str, Run) {
    match name {
        "baseline" => baseline().await,
        "graph_and_takeover" => graph_and_takeover().await,
        "labels" => labels().await,
        "late" => late().await,
        "model_and_postures" => model_and_postures().await,
        other => panic!("no recipe of {other}; there are {NAMES:?}"),
    }
}

const DAY: i64 = 86_400_000_000;

/// Which classes of a payment's events arrive.
const ALL: &[EventClass] = EventClass::ALL;

/// Payment `seq` of a small town: 17 customers with a device each, some of them shared, and 5 merchants, over some days;
/// now and then a burst of tiny payments, a transfer, a large amount.
fn event(run: &Run, class: EventClass, seq: i64, ts: Time) -> AdmittedEvent {
    let customer = format!("c{}", seq * 7 % 17);
    let merchant = format!("m{}", seq % 5);
    let device = format!("d{}", seq * 7 % 17 % 13);
    let (channel, amount) = match seq % 11 {
        0 => ("transfer", 30_000 + seq * 100),
        1..=3 => ("ecom", 100 + seq % 90),
        4 => ("pos", 25_000 + seq),
        _ => ("pos", 900 + seq * 13 % 4_000),
    };
    let payload = match class {
        EventClass::ArrivalEvent => {
            json!({"merchant_id": merchant, "arrival_seq": seq, "kind": "payment", "mcc": "5411"})
        }
        EventClass::ArrivalEntities => json!({
            "merchant_id": merchant, "arrival_seq": seq, "customer_id": customer, "device_id": device,
        }),
        EventClass::FlowAnchor => {
            json!({"flow_id": format!("f{seq}"), "merchant_id": merchant, "arrival_seq": seq})
        }
        EventClass::Traffic => traffic(seq, &customer, &merchant, &device, channel, amount),
    };
    let mut event = admitted(&run.pins, class, &format!("e{seq}"), payload);
    event.envelope.ts_utc = ts;
    event.payload_hash = event.envelope.payload_hash().unwrap();
    event
}

fn traffic(
    seq: i64,
    customer: &str,
    merchant: &str,
    device: &str,
    channel: &str,
    amount: i64,
) -> Value {
    let mut payload = json!({
        "flow_id": format!("f{seq}"), "customer_id": customer, "merchant_id": merchant, "device_id": device,
        "ip": format!("10.0.0.{}", seq * 7 % 19), "amount_minor": amount, "currency": "EUR", "channel": channel,
        "attributes": {"points": seq % 9, "first": seq % 23 == 0},
    });
    if channel == "transfer" {
        payload["beneficiary_id"] = json!(format!("b{}", seq % 3));
    }
    payload
}

/// Puts payments as they come, their time an hour after the one before.
async fn pay(run: &mut Run, n: i64) {
    let start: Time = "2025-03-01T00:00:00Z".parse().unwrap();
    let seqs = run.expect(n);
    put(
        run,
        seqs,
        ALL,
        &|seq| start.plus_micros(seq * DAY / 24),
        None,
    )
    .await;
    run.world.run_inlets().await;
}

async fn put(
    run: &Run,
    seqs: RangeInclusive<i64>,
    classes: &[EventClass],
    ts: &dyn Fn(i64) -> Time,
    admitted_at: Option<Time>,
) {
    for class in classes {
        let of = |seq: i64| -> Bytes {
            let mut event = event(run, *class, seq, ts(seq));
            event.admitted_at = admitted_at.unwrap_or(event.admitted_at);
            bytes(&event)
        };
        let records = seqs.clone().map(of).collect();
        run.world.put(class.stream(), records).await;
    }
}

async fn baseline() -> (&'static str, Run) {
    let mut run = Run::open().await;
    let shipped = |file: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/bundles/baseline/");
        std::fs::read_to_string(format!("{dir}{file}")).unwrap()
    };
    let (features, policy) = (shipped("feature_set.yaml"), shipped("policy.yaml"));
    let bundle = Bundle::new("baseline", &features, &policy);
    run.store(&bundle).await;
    pay(&mut run, 200).await;
    run.decide_under(&bundle).await;
    ("the bundle that is shipped, eight days of payments", run)
}

const AGGREGATIONS: &str = r#"
feature_set: late
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 2d}
  - {name: n_before, entity: [customer_id], agg: count, window: 3d, delay: 1d, include_current: false}
  - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 3d}
  - {name: mean, entity: [customer_id], agg: mean, value: event.amount_minor, window: 3d, empty: 0}
  - {name: deviation, entity: [customer_id], agg: stddev, value: event.amount_minor, window: 5d}
  - {name: least, entity: [merchant_id], agg: min, value: event.amount_minor, window: 1d, include_current: false}
  - {name: most, entity: [merchant_id], agg: max, value: event.amount_minor, window: 1d}
  - {name: devices, entity: [customer_id], agg: distinct, value: event.device_id, window: 4d}
  - {name: first_points, entity: [customer_id], agg: first, value: event.attributes.points, window: 4d}
  - {name: last_device, entity: [merchant_id], agg: last, value: event.device_id, window: 4d, include_current: false, empty: none}
  - {name: since_last, entity: [customer_id], agg: time_since_last, window: 4d, include_current: false, empty: -1}
  - {name: since_first, entity: [customer_id, merchant_id], agg: time_since_first, window: 8d}
  - {name: recent, entity: [customer_id], agg: decayed_count, window: 8d, half_life: 6h}
  - {name: spent, entity: [customer_id], agg: decayed_sum, value: event.amount_minor, window: 8d, half_life: 1d}
  - {name: large, entity: [customer_id], agg: count, window: 4d, filter: "event.amount_minor >= 20000"}
  - {name: to_usual, type: float, expr: "features.mean > 0 ? double(event.amount_minor) / features.mean : 1.0"}
"#;
const AGGREGATED: &str = r#"
policy: late
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: R1, owner: t, description: "Far from usual", when: "features.to_usual > 2.0", outcome: REVIEW, score: 30, reason_code: UNUSUAL}
  - {id: R2, owner: t, description: "Large again", when: "features.large > 1 && features.deviation > 100.0", outcome: DECLINE, score: 60, reason_code: LARGE}
  - {id: R3, owner: t, description: "A known device", when: "features.devices == 1", outcome: STEP_UP, score: 5, reason_code: ONE_DEVICE}
"#;

/// Times step back and forth, several payments have the same, and every seventh comes three days late.
async fn late() -> (&'static str, Run) {
    let mut run = Run::open().await;
    let bundle = Bundle::new("late", AGGREGATIONS, AGGREGATED);
    run.store(&bundle).await;
    let start: Time = "2025-03-10T00:00:00Z".parse().unwrap();
    let ts = move |seq: i64| {
        let ts = start.plus_micros(seq / 3 * DAY / 12);
        match seq % 7 {
            0 => ts.minus_micros(3 * DAY),
            1 => ts.plus_micros(DAY / 2),
            _ => ts,
        }
    };
    for _ in 0..4 {
        let seqs = run.expect(50);
        put(&run, seqs.clone(), ALL, &ts, None).await;
        // Some of them a second time (L5).
        let again = *seqs.start()..=*seqs.start() + 4;
        put(&run, again, &[EventClass::Traffic], &ts, None).await;
        run.world.run_inlets().await;
        run.decide_under(&bundle).await;
    }
    (
        "every aggregation, over late, equal and repeated events",
        run,
    )
}

const GRAPH: &str = r"
feature_set: graph
version: 1
features:
  - {name: device_customers, graph: degree, entity: [device_id]}
  - {name: sharers, graph: shared_customers, entity: [customer_id], through: [device_id, ip]}
  - {name: together, graph: component_size, entity: [customer_id]}
  - {name: near_fraud, graph: labelled_neighbours, entity: [customer_id], hops: 2}
  - {name: n, entity: [customer_id], agg: count, window: 3d}
";
const GRAPHED: &str = r#"
policy: graph
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: G1, owner: t, description: "A shared device", when: "features.sharers > 1", outcome: STEP_UP, score: 20, reason_code: SHARED}
  - {id: G2, owner: t, description: "A large group", when: "features.together > 20 && features.n > 2", outcome: REVIEW, score: 30, reason_code: GROUP}
"#;

/// Two workers one after the other, the second without the first one's memory, and a third with another feature set.
async fn graph_and_takeover() -> (&'static str, Run) {
    let mut run = Run::open().await;
    let graph = Bundle::new("graph", GRAPH, GRAPHED);
    let late = Bundle::new("late", AGGREGATIONS, AGGREGATED);
    for bundle in [&graph, &late] {
        run.store(bundle).await;
    }
    pay(&mut run, 80).await;
    run.decide_under(&graph).await;
    run.world.ground.holder = "second".to_owned();
    for file in run.snapshots() {
        std::fs::remove_file(file).unwrap();
    }
    pay(&mut run, 60).await;
    run.decide_under(&graph).await;
    run.world.ground.holder = "third".to_owned();
    pay(&mut run, 60).await;
    run.decide_under(&late).await;
    (
        "graph features; a takeover without snapshots; another feature set from the middle on",
        run,
    )
}

const LABELLED: &str = r"
feature_set: labels
version: 1
features:
  - {name: frauds, entity: [merchant_id], agg: fraud_share, window: 4d}
  - {name: frauds_before, entity: [customer_id], agg: fraud_share, window: 7d, delay: 1d, empty: 0}
  - {name: near, graph: labelled_neighbours, entity: [customer_id], hops: 2}
  - {name: beside, graph: labelled_neighbours, entity: [device_id], hops: 1}
  - {name: n, entity: [customer_id], agg: count, window: 3d}
";
const LABELLING: &str = r#"
policy: labels
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: L1, owner: t, description: "Near a fraudster", when: "features.near > 1", outcome: STEP_UP, score: 20, reason_code: NEAR}
  - {id: L2, owner: t, description: "A bad place", when: "features.frauds > 0.2", outcome: REVIEW, score: 30, reason_code: PLACE}
  - {id: L3, owner: t, description: "Known for fraud", when: "features.frauds_before > 0.1", outcome: DECLINE, score: 60, reason_code: KNOWN}
"#;

/// Labels that come before, with and long after their payments, that are taken back, and that a second worker finds
/// without the first one's memory.
async fn labels() -> (&'static str, Run) {
    let mut run = Run::open().await;
    let bundle = Bundle::new("labels", LABELLED, LABELLING);
    run.store(&bundle).await;
    for nth in 0..4_i64 {
        let of = |seq: i64| -> Vec<LabelAssertion> {
            let say = |seq, observed, value| label(&run.pins, seq, observed, value);
            let fraud = say(seq, at(seq + seq % 30), "CONFIRMED_FRAUD");
            match seq % 12 {
                0 => vec![fraud, say(seq, at(seq + 60), "CONFIRMED_LEGIT")],
                3 | 8 => vec![fraud],
                5 => vec![say(seq + 40, at(seq), "CONFIRMED_FRAUD")],
                _ => Vec::new(),
            }
        };
        let seqs = nth * 40 + 1..=nth * 40 + 40;
        put_labels(&run, seqs.flat_map(of).collect()).await;
        if nth == 2 {
            run.world.ground.holder = "second".to_owned();
            for file in run.snapshots() {
                std::fs::remove_file(file).unwrap();
            }
        }
        pay(&mut run, 40).await;
        run.decide_under(&bundle).await;
    }
    (
        "labels before, with and after their payments, some taken back; a takeover without snapshots",
        run,
    )
}

const SCORED: &str = r"
feature_set: scored
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 2d}
  - {name: mean, entity: [customer_id], agg: mean, value: event.amount_minor, window: 9d, empty: 0}
  - {name: sharers, graph: shared_customers, entity: [customer_id], through: [device_id]}
  - {name: minor, type: int, expr: 'event.amount_minor'}
";
const SCORING: &str = r#"
policy: scored
policy_rev: 3
default: APPROVE
precedence: strictest
lists:
  - {name: blocked, kind: deny, entity: customer_id, reason_code: BLOCKED}
  - {name: watched, kind: watch, entity: merchant_id, reason_code: WATCHED}
  - {name: vips, kind: allow, entity: customer_id, reason_code: VIP}
rules:
  - {id: S1, owner: t, description: "Scored", when: "model.score > thresholds.high && !lists.vips", outcome: STEP_UP, score: 40, reason_code: SCORED}
  - {id: S2, owner: t, description: "Scored very high", when: "model.score > thresholds.decline", outcome: DECLINE, score: 80, reason_code: VERY}
  - {id: S3, owner: t, description: "Without context", when: "event.degraded && event.amount_minor > 5000", outcome: REVIEW, score: 10, reason_code: BLIND}
"#;
const MODEL: &str = r#"{"form": "fraudplat/trees/v1", "features": ["minor", "n"], "base": -1.0, "link": "logistic",
    "split": "less_equal", "trees": [
    {"feature": [0, -1, -1], "threshold": [3000.0, 0.0, 0.0], "missing_left": [true, true, true],
     "left": [1, 0, 0], "right": [2, 0, 0], "value": [0.5, 0.0, 2.0]},
    {"feature": [1, -1, -1], "threshold": [2.0, 0.0, 0.0], "missing_left": [false, true, true],
     "left": [1, 0, 0], "right": [2, 0, 0], "value": [0.25, -0.25, 1.5]}]}"#;
const MANIFEST: &str = r#"
bundle: scored
version: 1
thresholds: {high: 0.6, decline: 0.9}
reason_texts:
  codes: {BLOCKED: "The customer is blocked"}
  features: {minor: "{value} minor units"}
"#;

/// A model and lists that change, through every posture: forced ones, and one of a stretch without context.
async fn model_and_postures() -> (&'static str, Run) {
    let clock = SetClock::at(SystemClock.now());
    let mut run = Run::live(clock.clone()).await;
    let bundle = Bundle {
        model: Some(MODEL.to_owned()),
        manifest: Some(MANIFEST.to_owned()),
        ..Bundle::new("scored", SCORED, SCORING)
    };
    run.store(&bundle).await;
    let (added, removed) = (ListChange::Added, ListChange::Removed);
    stretch(&mut run, &clock, &bundle, 30, ALL).await;
    list(&run, "blocked", Entity::CustomerId, "c3", added).await;
    list(&run, "watched", Entity::MerchantId, "m2", added).await;
    list(&run, "vips", Entity::CustomerId, "c5", added).await;
    stretch(&mut run, &clock, &bundle, 30, ALL).await;
    list(&run, "blocked", Entity::CustomerId, "c3", removed).await;
    for posture in [Posture::Degraded1, Posture::Degraded2, Posture::FailClosed] {
        say(&run, Some(posture)).await;
        stretch(&mut run, &clock, &bundle, 20, ALL).await;
    }
    say(&run, None).await;
    stretch(&mut run, &clock, &bundle, 20, ALL).await;
    let bare = [EventClass::Traffic, EventClass::ArrivalEvent];
    stretch(&mut run, &clock, &bundle, 40, &bare).await;
    (
        "a model, thresholds and lists, through every posture and a stretch without context",
        run,
    )
}

/// Payments that are admitted and decided now; what lacks context is judged ten minutes later.
async fn stretch(run: &mut Run, clock: &SetClock, bundle: &Bundle, n: i64, classes: &[EventClass]) {
    let now = clock.now();
    let seqs = run.expect(n);
    put(
        run,
        seqs,
        classes,
        &|seq| now.minus_micros(1_000_000 * (400 - seq)),
        Some(now),
    )
    .await;
    if classes.len() < ALL.len() {
        clock.set(now.plus_ms(600_000));
    }
    // Beside the decision: what is missing is judged by how far they have read.
    let mut inlets = Tasks::new(CancellationToken::new());
    Inlet::create(Options::default(), &run.world.ground).start(&mut inlets);
    run.decide_under(bundle).await;
    inlets.stop_token().cancel();
    inlets.join().await.unwrap();
}

async fn list(run: &Run, list: &str, entity: Entity, value: &str, change: ListChange) {
    let place = Place {
        list: list.to_owned(),
        entity,
        value: value.to_owned(),
    };
    let changed = lists::change(&run.world.ground, &place, change, None, "test");
    assert_eq!(changed.await.unwrap().outcome, lists::Outcome::Done);
}

async fn say(run: &Run, posture: Option<Posture>) {
    let mut operator = run.world.ground.acting_as("ops:ann");
    operator.actor.source_type = SourceType::Human;
    let order = Order {
        run: Some(run.id()),
        posture,
        reason: "drill".to_owned(),
        expires_at: None,
    };
    force::record(&operator, order).await.unwrap();
}
