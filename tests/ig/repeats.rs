//! L3, L5: one admission an event, however often and by how many it is sent; another payload under
//! its id is an anomaly and touches nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use fraudplat::contracts::code::Code;
use fraudplat::domain::vocabulary::{EventClass, FactType, Stream};
use fraudplat::governance::counters::Counter;
use fraudplat::governance::facts;
use fraudplat::ingress::ig::{Options, quarantine_list, quarantine_show};
use serde_json::Value;

use crate::gate::{Answer, Counts, Gate, NDJSON, event, lab, lines, options, post, words};

/// The same order from the same seed.
fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut keyed: Vec<(blake3::Hash, T)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let key = blake3::hash(format!("{seed} {at}").as_bytes());
        keyed.push((key, item.clone()));
    }
    keyed.sort_by_key(|(key, _)| *key.as_bytes());
    keyed.into_iter().map(|(_, item)| item).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sends_shuffled_are_one_admission_with_one_receipt() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let mut events = Vec::new();
    for n in 1..=100 {
        for class in EventClass::ALL {
            events.push(event(&lab.run, *class, &format!("e{n}"), n));
        }
    }
    let mut receipts: BTreeMap<String, Value> = BTreeMap::new();
    for seed in 0..3 {
        for part in shuffled(&events, seed).chunks(90) {
            for verdict in gate.send(part).await {
                let expect = if seed == 0 { "ADMITTED" } else { "DUPLICATE" };
                assert_eq!(verdict["result"], expect, "{verdict}");
                let receipt = &verdict["receipt"];
                let key = format!("{} {}", receipt["event_class"], receipt["event_id"]);
                let first = receipts.entry(key).or_insert_with(|| receipt.clone());
                assert_eq!(first.to_string(), receipt.to_string());
            }
        }
    }
    let url = format!("/v1/receipts/{}/traffic/e7", lab.run.platform_run_id);
    let found = gate.get(&url).await;
    assert_eq!(
        (found.status, &found.body),
        (200, &receipts["\"traffic\" \"e7\""])
    );
    let unknown = gate.get(&url.replace("e7", "e700")).await;
    assert_eq!(
        (unknown.status, unknown.body["code"].as_str()),
        (404, Some("NOT_FOUND"))
    );
    gate.drain().await;
    let counts = Counts {
        received: 1200,
        admitted: 400,
        duplicate: 800,
        quarantined: 0,
    };
    assert_eq!(lab.balance().await, counts);
    assert_eq!(lab.counter(Counter::IgReceived), 1200);
    assert_eq!(lab.counter(Counter::Admitted), 400);
    assert_eq!(lab.counter(Counter::Duplicate), 800);
    for stream in EventClass::ALL.iter().map(|it| it.stream()) {
        let copies = lab.copies(stream).await;
        assert!(
            copies.len() == 100 && copies.values().all(|n| *n == 1),
            "{copies:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_payload_is_quarantined_in_the_same_batch_in_flight_and_later() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let anomaly = "QUARANTINED PAYLOAD_HASH_MISMATCH";

    // In the same batch.
    let verdicts = gate
        .send(&[
            lab.traffic("a", 1),
            lab.traffic("a", 2),
            lab.traffic("a", 1),
        ])
        .await;
    assert_eq!(words(&verdicts), ["ADMITTED", anomaly, "DUPLICATE"]);

    // In flight: the first put waits while the second batch is decided.
    lab.bus.inner().hold();
    let (url, client) = (gate.url.clone(), gate.client.clone());
    let first = lines(&[lab.traffic("b", 1)]);
    let first = tokio::spawn(async move { post(&client, &url, NDJSON, first).await });
    lab.bus.inner().is_reached().await;
    let second = gate.send(&[lab.traffic("b", 2)]).await;
    assert_eq!(words(&second), [anomaly]);
    lab.bus.inner().release();
    let first = first.await.unwrap().results();
    assert_eq!(words(&first), ["ADMITTED"]);

    // Later, and again: the first receipt stands.
    let later = gate
        .send(&[
            lab.traffic("b", 3),
            lab.traffic("b", 3),
            lab.traffic("b", 1),
        ])
        .await;
    assert_eq!(words(&later), [anomaly, anomaly, "DUPLICATE"]);
    assert_eq!(later[2]["receipt"], first[0]["receipt"]);
    gate.drain().await;

    assert_eq!(lab.balance().await.quarantined, 4);
    assert_eq!(
        lab.copies(Stream::Traffic).await,
        [("a".to_owned(), 1), ("b".to_owned(), 1)].into()
    );
    let client = lab.client().await;
    let run = Some(lab.run.platform_run_id);
    let told = facts::list(&client, run, Some(FactType::PayloadHashMismatch), 100)
        .await
        .unwrap();
    // One a payload: the third payload of b came twice.
    assert_eq!(told.len(), 3);
    let code = Some(Code::PayloadHashMismatch);
    let rows = quarantine_list(&client, lab.run.platform_run_id, code, None, 100)
        .await
        .unwrap();
    assert_eq!((rows.results.len(), rows.next), (4, None));
    for row in rows.results {
        let shown = quarantine_show(&client, lab.ground.objects.as_ref(), row.quarantine_id).await;
        let (shown, envelope) = shown.unwrap().unwrap();
        assert_eq!(shown.quarantine_id, row.quarantine_id);
        assert_eq!(envelope["event_id"], row.event_id.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_flight_is_answered_202_at_the_deadline_and_then_with_its_receipt() {
    let lab = lab().await;
    let options = Options {
        request_ms_max: 300,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    lab.bus.inner().hold();
    let body = lines(&[lab.traffic("a", 1)]);
    let first = patiently(&gate, &body).await;
    assert_eq!(
        (first.status, words(&first.results())),
        (202, vec!["PUBLISH_IN_FLIGHT".to_owned()])
    );
    let again = patiently(&gate, &body).await;
    assert_eq!(again.status, 202);
    let url = format!("/v1/receipts/{}/traffic/a", lab.run.platform_run_id);
    assert_eq!(gate.get(&url).await.status, 202);
    lab.bus.inner().release();
    lab.settled().await;
    let after = patiently(&gate, &body).await;
    assert_eq!(
        (after.status, words(&after.results())),
        (200, vec!["DUPLICATE".to_owned()])
    );
    assert_eq!(gate.get(&url).await.body, after.results()[0]["receipt"]);
    gate.drain().await;
}

/// Sends until the gate comes to it by its short deadline: the first request of a gate waits for the
/// lease, and a busy machine is slow at every one. A repeat is safe.
async fn patiently(gate: &Gate, body: &str) -> Answer {
    loop {
        let answer = gate.post(NDJSON, body.to_owned()).await;
        if answer.status != 429 {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_race_the_same_events_admit_each_once() {
    const CONNECTIONS: u64 = 64;
    const EVENTS: i64 = 10_000;
    let lab = lab().await;
    let options = options();
    let gates = [lab.gate_with(options.clone()).await, {
        let other = Options {
            gate_id: "gate-1".to_owned(),
            ..options
        };
        lab.gate_with(other).await
    }];
    let events: Vec<Value> = (0..EVENTS)
        .map(|n| lab.traffic(&format!("e{n}"), n))
        .collect();
    let events = Arc::new(events);
    let mut racing = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let events = events.clone();
        let url = gates[usize::from(connection % 2 == 1)].url.clone();
        racing.spawn(async move {
            let client = fraudplat::substrate::auth::client::builder()
                .build()
                .unwrap();
            let mut receipts = BTreeMap::new();
            for part in shuffled(&events, connection).chunks(250) {
                let mut answer = post(&client, &url, NDJSON, lines(part)).await;
                while answer.status == 429 {
                    answer = post(&client, &url, NDJSON, lines(part)).await;
                }
                assert_eq!(answer.status, 200, "{answer:?}");
                for verdict in answer.results() {
                    let id = verdict["event_id"].to_string();
                    receipts.insert(id, verdict["receipt"].to_string());
                }
            }
            receipts
        });
    }
    let mut receipts: Option<BTreeMap<String, String>> = None;
    while let Some(raced) = racing.join_next().await {
        let raced = raced.unwrap();
        assert_eq!(raced.len() as i64, EVENTS);
        let first = receipts.get_or_insert_with(|| raced.clone());
        assert_eq!(*first, raced);
    }
    for gate in gates {
        gate.drain().await;
    }
    let counts = lab.balance().await;
    assert_eq!(counts.admitted, EVENTS);
    let copies = lab.copies(Stream::Traffic).await;
    assert!(copies.len() as i64 == EVENTS && copies.values().all(|n| *n == 1));
}
