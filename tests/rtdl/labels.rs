//! Labels in the decision: they count from the next decision on, the basis says which were known, and a memory that
//! comes back from anywhere knows them, too.

use std::collections::BTreeMap;

use bytes::Bytes;
use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::decision::{DecisionBody, Value};
use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::domain::ids::LabelAssertionId;
use fraudplat::domain::keys::{LabelSubject, Pins};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, LabelType, Stream};
use fraudplat::rtdl::audit;
use fraudplat::substrate::clock::{Clock, SystemClock};
use serde_json::json;

use crate::archiver::{archive_all, patient};
use crate::decider::{POLICY, Run, told};
use crate::world::{admitted, bytes, eventually, pins, world};

pub(crate) const FEATURES: &str = r"
feature_set: labelled
version: 1
features:
  - {name: n, entity: [merchant_id], agg: count, window: 90d}
  - {name: share, entity: [merchant_id], agg: fraud_share, window: 90d}
  - {name: near, graph: labelled_neighbours, entity: [customer_id]}
";
const OTHER: &str = r"
feature_set: labelled, otherwise
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 90d}
  - {name: share, entity: [customer_id], agg: fraud_share, window: 90d, delay: 2h}
";
const HOUR: i64 = 3_600_000_000;

pub(crate) fn labelled(features: &str) -> Bundle {
    Bundle::new("labelled", features, POLICY)
}

/// Payment `seq` is made in this hour.
pub(crate) fn at(seq: i64) -> Time {
    let start: Time = "2025-03-01T00:00:00Z".parse().unwrap();
    start.plus_micros(seq * HOUR)
}

/// Customers `c0` to `c5`; `ck` and `ck+3` have a device in common. Two merchants.
fn customer(seq: i64) -> i64 {
    seq % 6
}

fn merchant(seq: i64) -> i64 {
    seq % 2
}

/// Puts payments whole, and has the inlets read them.
async fn pay(run: &mut Run, n: i64) {
    let seqs = run.expect(n);
    for class in EventClass::ALL {
        let records = seqs.clone().map(|seq| event(&run.pins, *class, seq));
        // In one shard: what is counted for a payment is what came before it.
        let stream = class.stream();
        run.world.put_in_order(stream, records.collect()).await;
    }
    run.world.run_inlets().await;
}

fn event(pins: &Pins, class: EventClass, seq: i64) -> Bytes {
    let (customer, merchant) = (format!("c{}", customer(seq)), format!("m{}", merchant(seq)));
    let flow = format!("f{seq}");
    let payload = match class {
        EventClass::ArrivalEvent => {
            json!({"merchant_id": merchant, "arrival_seq": seq, "kind": "payment"})
        }
        EventClass::ArrivalEntities => {
            json!({"merchant_id": merchant, "arrival_seq": seq, "customer_id": customer})
        }
        EventClass::FlowAnchor => {
            json!({"flow_id": flow, "merchant_id": merchant, "arrival_seq": seq})
        }
        EventClass::Traffic => json!({
            "flow_id": flow, "customer_id": customer, "merchant_id": merchant,
            "device_id": format!("d{}", seq % 3), "amount_minor": seq, "currency": "EUR", "channel": "pos",
        }),
    };
    let mut event = admitted(pins, class, &format!("e{seq}"), payload);
    event.envelope.ts_utc = at(seq);
    event.payload_hash = event.envelope.payload_hash().unwrap();
    bytes(&event)
}

/// What somebody says of payment `seq`, known from `observed` on.
pub(crate) fn label(pins: &Pins, seq: i64, observed: Time, value: &str) -> LabelAssertion {
    let subject = LabelSubject {
        platform_run_id: pins.platform_run_id,
        event_id: format!("e{seq}").parse().unwrap(),
    };
    let (label_type, reference) = (
        LabelType::FraudDisposition,
        format!("{seq} {value} {observed}"),
    );
    LabelAssertion {
        schema_version: 1,
        label_assertion_id: LabelAssertionId::of(&subject, label_type, "bank", &reference),
        subject,
        label_type,
        value: value.to_owned(),
        effective_time: at(seq),
        observed_time: observed,
        source: "bank".to_owned(),
        source_ref_id: reference,
        actor_id: "bank".parse().unwrap(),
        evidence_refs: Vec::new(),
    }
}

/// Of some payments their frauds, by when it was known.
type Known = BTreeMap<i64, Time>;

async fn say(run: &Run, known: &Known) {
    let labels = known.iter();
    let labels = labels.map(|(seq, observed)| label(&run.pins, *seq, *observed, "CONFIRMED_FRAUD"));
    put(run, labels.collect()).await;
}

pub(crate) async fn put(run: &Run, labels: Vec<LabelAssertion>) {
    let records = labels.iter();
    let records = records.map(|it| Bytes::from(serde_json::to_vec(it).unwrap()));
    run.world.put(Stream::Labels, records.collect()).await;
}

fn seq_of(body: &DecisionBody) -> i64 {
    body.event_id.to_string()[1..].parse().unwrap()
}

/// The share and the neighbours of payment `seq` by counting, where all before it have come.
fn counted(seq: i64, known: &Known) -> (f64, i64) {
    let is_fraud = |it: &i64| known.get(it).is_some_and(|observed| *observed <= at(seq));
    let of_merchant: Vec<i64> = (1..=seq)
        .filter(|it| merchant(*it) == merchant(seq))
        .collect();
    let frauds = of_merchant.iter().filter(|it| is_fraud(it)).count();
    let other = (customer(seq) + 3) % 6;
    let near = (1..seq).any(|it| customer(it) == other && is_fraud(&it));
    (frauds as f64 / of_merchant.len() as f64, i64::from(near))
}

pub(crate) fn share(body: &DecisionBody) -> f64 {
    match body.features["share"] {
        Value::Float(share) => share,
        ref other => panic!("{other:?}"),
    }
}

/// Every payment from `from` on has the features that counting gives it. Returns how many see any fraud.
async fn check(run: &Run, from: i64, known: &Known) -> usize {
    let mut n_seen = 0;
    for (body, _) in run.log().await {
        let seq = seq_of(&body);
        if seq < from {
            continue;
        }
        let (expect, near) = counted(seq, known);
        assert_eq!(share(&body), expect, "share of e{seq}");
        assert_eq!(
            body.features["near"],
            Value::Int(near),
            "neighbours of e{seq}"
        );
        n_seen += usize::from(expect > 0.0) + usize::from(near > 0);
    }
    n_seen
}

/// A run with a label of before it began: that is none of it.
async fn begun_late() -> Run {
    let world = world().await;
    let early = label(&pins("restore"), 2, at(0), "CONFIRMED_FRAUD");
    let early = serde_json::to_vec(&early).unwrap();
    world.put(Stream::Labels, vec![early.into()]).await;
    Run::over(world).await
}

/// The lease row as an earlier release leaves it, which read no labels.
async fn forget_labels(run: &Run) {
    let client = run.world.db.owner.get().await.unwrap();
    let forget = "UPDATE runtime.lease SET position = regexp_replace(position,
                      '\"fp\\.bus\\.labels\\.v1/[^\"]*\":(\"start\"|{[^}]*}),', '', 'g')
                  WHERE group_name = 'decision' AND position LIKE '%fp.bus.labels%'";
    assert_eq!(client.execute(forget, &[]).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_count_from_the_next_decision_on() {
    let mut run = begun_late().await;
    let bundle = labelled(FEATURES);
    run.store(&bundle).await;
    pay(&mut run, 12).await;
    run.decide_under(&bundle).await;
    assert_eq!(
        check(&run, 1, &Known::new()).await,
        0,
        "nothing is known yet"
    );

    // Two that are known by then, one that is observed later, and one of a payment that has not come.
    // Behind more than one read takes: the first decision waits for all.
    let known = Known::from([(1, at(3)), (4, at(12)), (6, at(17)), (20, at(5))]);
    let garbage = vec![Bytes::from_static(b"no label"); 9_000];
    run.world.put(Stream::Labels, garbage).await;
    say(&run, &known).await;
    let other_run = label(&pins("another run"), 3, at(0), "CONFIRMED_FRAUD");
    let cleared = label(&run.pins, 5, at(0), "CONFIRMED_LEGIT");
    let others = [other_run, cleared].map(|it| serde_json::to_vec(&it).unwrap().into());
    let garbage = [Bytes::from_static(b"no label"), Bytes::from_static(b"\xff")];
    let beside = others.into_iter().chain(garbage).collect();
    run.world.put(Stream::Labels, beside).await;
    pay(&mut run, 24).await;
    run.decide_under(&bundle).await;
    assert!(check(&run, 13, &known).await > 20);
    // What is decided stays as it was.
    for (body, evidence) in run.log().await {
        let labels = evidence.basis.0.iter();
        let labels = labels.filter(|(shard, _)| shard.starts_with(Stream::Labels.as_str()));
        assert_eq!(labels.count(), 2, "the basis names both shards");
        assert!(seq_of(&body) > 12 || share(&body) == 0.0);
    }
    run.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_from_an_earlier_release_names_the_labels_at_once() {
    let mut run = begun_late().await;
    run.pay(3).await;
    let bundle = labelled(FEATURES);
    run.decide_under(&bundle).await;
    forget_labels(&run).await;
    let tasks = run.start(FEATURES);
    eventually("the position names the labels", async || {
        let named = "SELECT count(*) FROM runtime.lease
                     WHERE group_name = 'decision' AND position LIKE '%fp.bus.labels%'";
        run.world.number(named).await == 1
    })
    .await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

#[tokio::test]
async fn a_memory_that_comes_back_knows_them() {
    let mut run = begun_late().await;
    let (bundle, other) = (labelled(FEATURES), labelled(OTHER));
    for bundle in [&bundle, &other] {
        run.store(bundle).await;
    }
    let mut known = Known::new();
    // Each time another part of the past is in the snapshot, and another of the labels.
    for nth in 0..4_i64 {
        let from = nth * 30 + 1;
        if nth == 3 {
            archive_all(&run.world, patient()).await;
            let in_two_hours = SystemClock.now().plus_ms(2 * 3_600_000);
            assert!(run.world.log.trim(in_two_hours).await.unwrap() > 0);
            for file in run.snapshots() {
                std::fs::remove_file(file).unwrap();
            }
        }
        known.extend([
            (from + 2, at(from + 6)),
            (from + 9, at(from)),
            (from + 40, at(0)),
        ]);
        say(&run, &known).await;
        pay(&mut run, 30).await;
        if nth == 2 {
            forget_labels(&run).await;
            for file in run.snapshots() {
                std::fs::remove_file(file).unwrap();
            }
        }
        let said = run.decide_under(&bundle).await;
        assert_eq!(said.contains("from_archive=true"), nth == 3, "{said}");
        assert_eq!(told(&said, "snapshot_seq") > 0, nth == 1, "{said}");
        check(&run, from, &known).await;
    }
    // Another feature set from here on: a replay makes it of all that came before.
    pay(&mut run, 30).await;
    run.decide_under(&other).await;
    let newest = run.log().await.into_iter().rev().take(30);
    let n_seen = newest.filter(|(body, _)| share(body) > 0.0).count();
    assert!(n_seen > 10, "{n_seen}");
    run.replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_stands_on_the_labels_of_the_archive() {
    let mut run = Run::open().await;
    let bundle = labelled(FEATURES);
    run.store(&bundle).await;
    let known: Known = (1..=20).map(|seq| (seq, at(seq + 1))).collect();
    say(&run, &known).await;
    pay(&mut run, 40).await;
    run.decide_under(&bundle).await;
    run.replay().await;
    let ground = &run.world.ground;
    let all = audit::list(ground, &run.id(), 0, 1_000).await.unwrap();
    let n_equal = audit::against_bus(ground, all.last().unwrap()).await;
    assert_eq!(
        n_equal.unwrap(),
        40 + 20,
        "payments and labels stand in both"
    );

    // Were the evidence to name less of the labels, the features would not come out.
    let mut all = all;
    for stored in &mut all {
        let (_, mut evidence) = stored.open().unwrap();
        evidence
            .basis
            .0
            .retain(|shard, _| !shard.starts_with(Stream::Labels.as_str()));
        stored.evidence = fraudplat::contracts::canonical::to_bytes(&evidence).unwrap();
        stored.evidence_hash = fraudplat::contracts::decision::record_hash(&stored.evidence);
    }
    let report = audit::replay(ground, &all, &|_, _| {}).await.unwrap();
    assert!(report.mismatched > 30, "{}", report.mismatched);
    let fields = report.mismatches.iter().flat_map(|it| &it.fields);
    let of_labels = |it: &str| it.contains("share") || it.contains("near");
    assert!(fields.into_iter().all(|it| of_labels(&it.field)));
}
