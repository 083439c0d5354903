//! Order, density, determinism, resume, links, truth, and what a spoilt world does.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::{Dataset, Shelf, arrivals, corner_shops as sample, plan, world};
use crate::contracts::payload::{
    ArrivalEntities, ArrivalEvent, AttributeValue, FlowAnchor, Traffic,
};
use crate::contracts::world::Arrival;
use crate::domain::digest::Digest;
use crate::domain::ids::{FlowId, ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::keys::Pins;
use crate::domain::vocabulary::{ArrivalKind, EventClass};
use crate::ingress::world::{Error, Plan, Selection, events_of, materialise, read_truth};

/// Transfers between users, and the dated links of users to cards: the shape of a P2P dataset.
const P2P: &str = r#"mapping: p2p-v1
source: {files: ["transfers.csv"]}
arrival:
  row_id: transfer_id
  ts: {col: at, format: epoch_s}
  merchant_id: "u{to}"
  entities: {customer_id: "u{from}", beneficiary_id: "u{to}", card_id: card}
  amount_minor: {col: cents, scale: 0, round: half_even}
  currency: {const: USD}
  channel: {const: transfer}
  attributes: {note: "n-{note}"}
truth:
  - {label_type: chargeback_status, value: {const: OPENED}, observed_at: {col: back, format: "%Y-%m-%d"}, source: network}
links:
  - {file: user_card.csv, csv: {delimiter: ";"}, ts: {col: day}, merchant_id: {const: links},
     entities: {customer_id: "u{user}", card_id: "k{card}"}}
  - {file: seen.csv, csv: {header: false}, row_id: column_1, ts: column_2, merchant_id: {const: links},
     entities: {customer_id: "u{column_3}", device_id: "d{column_4}"}, order: after}
"#;

fn p2p() -> Dataset {
    Dataset::new(&[
        // 1735689600 is 2025-01-01T00:00:00Z.
        (
            "transfers.csv",
            "transfer_id,at,from,to,card,cents,note,back\nx9,1735689601,1,2,,500,hi,2025-03-01\nx1,1735689600,2,1,k7,0,,\n",
        ),
        (
            "user_card.csv",
            "user;card;day\n1;7;2025-01-01\n2;7;2025-01-02\n",
        ),
        ("seen.csv", "s1,2025-01-01,1,5\n"),
    ])
}

fn ids(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|it| it.event_id.as_str()).collect()
}

#[tokio::test]
async fn links_stand_among_payments_by_time_and_table() {
    let shelf = Arc::new(Shelf::default());
    let data = p2p();
    let world = world(&shelf, P2P, data.path()).await.unwrap();
    let all = arrivals(&shelf, &world.facts, 0, 2).await.unwrap();
    let expect = [
        "p2p-v1.user_card:1",
        "p2p-v1:x1",
        "p2p-v1.seen:s1",
        "p2p-v1:x9",
        "p2p-v1.user_card:2",
    ];
    assert_eq!(ids(&all), expect);
    let kinds: Vec<bool> = all
        .iter()
        .map(|it| it.kind == ArrivalKind::Payment)
        .collect();
    assert_eq!(kinds, [false, true, false, true, false]);
    assert!(
        all.iter()
            .all(|it| it.payment.is_some() == (it.kind == ArrivalKind::Payment))
    );
    let seqs: Vec<i64> = all.iter().map(|it| it.arrival_seq).collect();
    assert_eq!(seqs, [1, 1, 2, 1, 3]);
    assert_eq!(
        (world.facts.arrivals_count, world.facts.payments_count),
        (5, 2)
    );
    // An absent card is absent, and a template over an absent column too.
    assert_eq!(all[3].entities.card_id, None);
    assert_eq!(all[1].entities.card_id.as_deref(), Some("k7"));
    assert!(all[1].payment.as_ref().unwrap().attributes.is_empty());
    let note = AttributeValue::Text("n-hi".to_owned());
    assert_eq!(all[3].payment.as_ref().unwrap().attributes["note"], note);

    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    let [truth] = truths.as_slice() else {
        panic!("{truths:?}")
    };
    assert_eq!(
        (truth.event_id.as_str(), truth.source.as_str()),
        ("p2p-v1:x9", "network")
    );
    assert_eq!(
        truth.observed_time.unwrap().to_string(),
        "2025-03-01T00:00:00.000000Z"
    );
    assert_eq!(truth.effective_time, all[3].ts_utc);
}

#[tokio::test]
async fn a_limit_cuts_after_its_last_payment_and_is_another_world() {
    let shelf = Arc::new(Shelf::default());
    let data = p2p();
    let whole = world(&shelf, P2P, data.path()).await.unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let seen = calls.clone();
    let progress = move |done, total| {
        assert_eq!(total, 2);
        seen.store(done, Ordering::SeqCst);
    };
    let one = materialise(
        shelf.as_ref(),
        plan(P2P, data.path(), Some(1)).unwrap(),
        progress,
    )
    .await
    .unwrap();
    assert_ne!(one.manifest_fingerprint, whole.manifest_fingerprint);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let all = arrivals(&shelf, &one.facts, 0, 10).await.unwrap();
    assert_eq!(ids(&all), ["p2p-v1.user_card:1", "p2p-v1:x1"]);
    let more = materialise(
        shelf.as_ref(),
        plan(P2P, data.path(), Some(99)).unwrap(),
        |_, _| (),
    )
    .await
    .unwrap();
    assert_eq!(more.facts.arrivals_count, 5);
    let none = materialise(
        shelf.as_ref(),
        plan(P2P, data.path(), Some(0)).unwrap(),
        |_, _| (),
    )
    .await;
    assert!(matches!(none, Err(Error::NoPayments)));
}

#[tokio::test]
async fn a_second_run_makes_the_same_bytes_and_a_third_reuses_them() {
    let data = p2p();
    let (first, second) = (Shelf::default(), Shelf::default());
    let made = world(&first, P2P, data.path()).await.unwrap();
    let again = world(&second, P2P, p2p().path()).await.unwrap();
    assert_eq!(made, again);
    assert_eq!(first.all(), second.all());
    let reused = world(&first, P2P, data.path()).await.unwrap();
    assert!(reused.reused && !made.reused);
    assert_eq!(reused.facts, made.facts);
    // A comment is another text, hence another world.
    let other = world(&first, &format!("{P2P}# a comment\n"), data.path())
        .await
        .unwrap();
    assert_ne!(other.manifest_fingerprint, made.manifest_fingerprint);
}

#[tokio::test]
async fn an_unfinished_world_is_finished_and_a_spoilt_one_refused() {
    let data = p2p();
    let shelf = Arc::new(Shelf::default());
    let made = world(&shelf, P2P, data.path()).await.unwrap();
    let facts_key = format!("worlds/{}/world_facts.json", made.manifest_fingerprint);
    shelf.spoil(&facts_key, None);
    let finished = world(&shelf, P2P, data.path()).await.unwrap();
    assert!(!finished.reused);
    assert_eq!(finished.facts, made.facts);

    let arrivals_key = &made.facts.arrivals[0].key;
    shelf.spoil(arrivals_key, Some(b"other"));
    let read = arrivals(&shelf, &made.facts, 0, 10).await;
    assert!(matches!(read, Err(Error::Digest { .. })));
    let reused = world(&shelf, P2P, data.path()).await;
    assert!(matches!(reused, Err(Error::Digest { .. })));
    shelf.spoil(&facts_key, None);
    let rebuilt = world(&shelf, P2P, data.path()).await;
    assert!(matches!(rebuilt, Err(Error::Conflict { .. })));
    shelf.spoil(&made.facts.truth.key, None);
    let truth = read_truth(shelf.as_ref(), &made.facts).await;
    assert!(matches!(truth, Err(Error::Missing { .. })));
}

/// Rows of (second, merchant) in any order. Row ids count down the file, so the order by id is not
/// the order of the rows, and 9 stands before 10.
fn shop_csv(rows: &[(u32, u8)]) -> String {
    let mut text = "id,time,shop,customer,amount\n".to_owned();
    for (id, (second, shop)) in (0..rows.len()).rev().zip(rows) {
        writeln!(text, "{id},{second},{shop},1,1.00").unwrap();
    }
    text
}

const SHOP: &str = r#"mapping: shop
source: {files: [a.csv, b.csv], order_by: [time, id]}
arrival:
  row_id: id
  ts: {col: time, format: epoch_s}
  merchant_id: "m{shop}"
  entities: {customer_id: "c{customer}"}
  amount_minor: {col: amount, scale: 2, round: half_even}
  currency: {const: EUR}
  channel: {const: pos}
"#;

#[test]
fn any_dataset_is_ordered_and_dense() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rows = proptest::collection::vec((0..20_u32, 0..4_u8), 1..60);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let check = |(rows, split): (Vec<(u32, u8)>, prop::sample::Index)| {
        let (head, _) = rows.split_at(split.index(rows.len()));
        let whole = shop_csv(&rows);
        let (header, lines) = whole.split_once('\n').unwrap();
        let cut = lines
            .match_indices('\n')
            .nth(head.len().wrapping_sub(1))
            .map_or(0, |(at, _)| at + 1);
        let part = |lines: &str| format!("{header}\n{lines}");
        let data = Dataset::new(&[
            ("a.csv", &part(&lines[..cut])),
            ("b.csv", &part(&lines[cut..])),
        ]);
        let shelf = Arc::new(Shelf::default());
        let all = runtime.block_on(async {
            let world = world(&shelf, SHOP, data.path()).await.unwrap();
            arrivals(&shelf, &world.facts, 0, 7).await.unwrap()
        });
        let ids = (0..rows.len()).rev();
        let mut expect: Vec<(u32, usize, u8)> =
            ids.zip(&rows).map(|(id, it)| (it.0, id, it.1)).collect();
        expect.sort_unstable();
        let mut seqs: HashMap<u8, i64> = HashMap::new();
        prop_assert_eq!(all.len(), rows.len());
        for (index, (arrival, (second, row, shop))) in all.iter().zip(expect).enumerate() {
            let seq = seqs.entry(shop).or_default();
            *seq += 1;
            prop_assert_eq!(arrival.index, index as i64);
            prop_assert_eq!(arrival.ts_utc.micros(), i64::from(second) * 1_000_000);
            prop_assert_eq!(arrival.event_id.as_str(), format!("shop:{row}"));
            prop_assert_eq!(&arrival.merchant_id, &format!("m{shop}"));
            prop_assert_eq!(arrival.arrival_seq, *seq);
        }
        Ok(())
    };
    runner
        .run(&(rows, any::<prop::sample::Index>()), check)
        .unwrap();
}

fn corner_shops(payments: u64, limit: Option<u64>) -> (Dataset, Plan) {
    let data = Dataset::new(&[]);
    sample::write_csv(&data.path().join(sample::FILE), payments, 7).unwrap();
    let text = sample::MAPPING.to_owned();
    let plan = Plan::parse("corner-shops.yaml", text, data.path(), Selection { limit }).unwrap();
    (data, plan)
}

#[tokio::test]
async fn a_reader_resumes_at_any_index() {
    let shelf = Arc::new(Shelf::default());
    let (_data, plan) = corner_shops(260_000, None);
    let world = materialise(shelf.as_ref(), plan, |_, _| ()).await.unwrap();
    let rows: Vec<i64> = world.facts.arrivals.iter().map(|it| it.rows).collect();
    assert_eq!(rows, [250_000, 10_000]);
    let all = arrivals(&shelf, &world.facts, 0, 5_000).await.unwrap();
    assert_eq!(all.len(), 260_000);
    for from in [
        1, 4_095, 4_096, 249_999, 250_000, 250_001, 259_999, 260_000, 999_999,
    ] {
        let rest = arrivals(&shelf, &world.facts, from, 3_333).await.unwrap();
        assert_eq!(rest, all[(from as usize).min(all.len())..], "from {from}");
    }
}

#[tokio::test]
async fn the_sample_is_what_it_says() {
    let shelf = Arc::new(Shelf::default());
    let (data, plan) = corner_shops(50_000, None);
    let world = materialise(shelf.as_ref(), plan, |_, _| ()).await.unwrap();
    let all = arrivals(&shelf, &world.facts, 0, 5_000).await.unwrap();
    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    let frauds = truths
        .iter()
        .filter(|it| it.value == "CONFIRMED_FRAUD")
        .count();
    assert_eq!((all.len(), truths.len()), (50_000, 50_000));
    // Its file says nothing of what really was: all is as labelled.
    assert!(truths.iter().all(|it| {
        it.is_fraud == (it.value == "CONFIRMED_FRAUD")
            && !it.is_blocked
            && it.observed_time.is_some()
    }));
    assert!((100..=500).contains(&frauds), "{frauds} frauds");
    let scenarios: BTreeSet<&str> = truths.iter().map(|it| it.scenario.as_str()).collect();
    assert_eq!(
        scenarios.into_iter().collect::<Vec<_>>(),
        ["", "compromised_terminal", "stolen_card"]
    );
    assert!(
        truths
            .iter()
            .all(|it| it.scenario.is_empty() == (it.value == "CONFIRMED_LEGIT"))
    );
    let channels: BTreeSet<_> = all
        .iter()
        .map(|it| it.payment.as_ref().unwrap().channel)
        .collect();
    assert_eq!(channels.len(), 3);
    let days = (world.facts.last_ts.micros() - world.facts.first_ts.micros())
        / crate::domain::time::MICROS_PER_DAY;
    assert!((28..30).contains(&days), "{days} days");
    // The same bytes everywhere: whoever changes the sample changes this line.
    let csv = std::fs::read(data.path().join(sample::FILE)).unwrap();
    assert_eq!(Digest::of_bytes(&csv).to_string(), SAMPLE_DIGEST);
}

const SAMPLE_DIGEST: &str = "8bd28c206c7c2fe86208400218939aba5ab9348b678ca0192695eaaebfa88895";

fn pins(world: &ManifestFingerprint) -> Pins {
    Pins {
        platform_run_id: PlatformRunId::of(world, &Digest::of_bytes(b"semantics"), None, ""),
        scenario_run_id: ScenarioRunId::of(world, "p2p-v1"),
        manifest_fingerprint: *world,
        tenant_id: None,
    }
}

#[tokio::test]
async fn events_have_the_shapes_of_their_classes() {
    let shelf = Arc::new(Shelf::default());
    let data = p2p();
    let world_made = world(&shelf, P2P, data.path()).await.unwrap();
    let (_sample, plan) = corner_shops(200, None);
    let shops = materialise(shelf.as_ref(), plan, |_, _| ()).await.unwrap();
    let mut all = arrivals(&shelf, &world_made.facts, 0, 10).await.unwrap();
    all.extend(arrivals(&shelf, &shops.facts, 0, 1_000).await.unwrap());
    let schema = |class| -> Value {
        match class {
            EventClass::ArrivalEvent => schemars::schema_for!(ArrivalEvent).into(),
            EventClass::ArrivalEntities => schemars::schema_for!(ArrivalEntities).into(),
            EventClass::FlowAnchor => schemars::schema_for!(FlowAnchor).into(),
            EventClass::Traffic => schemars::schema_for!(Traffic).into(),
        }
    };
    let validators: Vec<_> = EventClass::ALL
        .iter()
        .map(|it| jsonschema::validator_for(&schema(*it)).unwrap())
        .collect();
    let pins = pins(&world_made.manifest_fingerprint);
    for arrival in &all {
        let events = events_of(arrival, &pins, "wsp");
        let classes: Vec<EventClass> = events.iter().map(|(class, _)| *class).collect();
        let expect = if arrival.payment.is_some() { 4 } else { 2 };
        assert_eq!(classes, EventClass::ALL[..expect]);
        for (class, envelope) in &events {
            let at = EventClass::ALL.iter().position(|it| it == class).unwrap();
            let faults: Vec<String> = validators[at]
                .iter_errors(&envelope.payload)
                .map(|it| it.to_string())
                .collect();
            assert!(faults.is_empty(), "{class}: {faults:?}");
            assert_eq!(
                (&envelope.event_id, envelope.ts_utc),
                (&arrival.event_id, arrival.ts_utc)
            );
            assert_eq!(envelope.event_class, class.as_str());
            assert_eq!(envelope.pins(), pins);
            envelope.payload_hash().unwrap();
        }
        if let [_, _, (_, anchor), (_, traffic)] = events.as_slice() {
            let flow = FlowId::of(
                &pins.manifest_fingerprint,
                &arrival.merchant_id,
                arrival.arrival_seq,
            )
            .to_string();
            assert_eq!(anchor.payload["flow_id"], flow);
            assert_eq!(traffic.payload["flow_id"], flow);
        }
    }
}
