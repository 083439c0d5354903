//! L5: a put of unknown outcome, a bus that refuses, a gate that is killed: nothing is lost, nothing
//! is admitted twice, and every batch ends in exactly one terminal row.

use fraudplat::domain::vocabulary::{EventClass, FactType, Stream};
use fraudplat::governance::counters::Counter;
use fraudplat::governance::facts;
use fraudplat::ingress::ig::Options;
use fraudplat::substrate::bus::RefusalCode;
use fraudplat::substrate::fault::{Fault, Operation};
use serde_json::Value;

use crate::gate::{Counts, Lab, NDJSON, event, lab, lines, options, post, until, words};

/// Every class of one arrival.
fn arrival(lab: &Lab, n: i64) -> Vec<Value> {
    let of = |class: &EventClass| event(&lab.run, *class, &format!("e{n}"), n);
    EventClass::ALL.iter().map(of).collect()
}

async fn check_one_terminal_each(lab: &Lab) {
    let sql = "SELECT count(*) FROM ig.batch b WHERE events_count > 0 AND 1 <> (
        SELECT count(*) FROM ig.batch_terminal t WHERE t.batch_id = b.batch_id)";
    assert_eq!(lab.number(sql, &[]).await, 0);
    // Every event has its place.
    let sql = "SELECT count(*) FROM ig.event e JOIN ig.batch_terminal t USING (day, batch_id)
        WHERE t.shard_ids[e.item + 1] IS NULL OR t.sequence_numbers[e.item + 1] IS NULL";
    assert_eq!(lab.number(sql, &[]).await, 0);
}

/// One put of unknown outcome, which was applied or not.
async fn check_ambiguous(fault: Fault, at_put: usize, copies_max: usize) {
    let lab = lab().await;
    let gate = lab.gate().await;
    let mut faults = vec![Fault::Pass; at_put];
    faults.push(fault);
    lab.bus_plan.script(Operation::PutRecords, faults);
    let events = arrival(&lab, 1);
    let verdicts = gate.send(&events).await;
    assert_eq!(words(&verdicts), ["ADMITTED"; 4]);
    let again = gate.send(&events).await;
    assert_eq!(words(&again), ["DUPLICATE"; 4]);
    for (first, again) in verdicts.iter().zip(&again) {
        assert_eq!(first["receipt"], again["receipt"]);
    }
    gate.drain().await;
    check_one_terminal_each(&lab).await;
    for class in EventClass::ALL {
        let copies = lab.copies(class.stream()).await["e1"];
        assert!((1..=copies_max).contains(&copies), "{class}: {copies}");
    }
    let counts = Counts {
        received: 8,
        admitted: 4,
        duplicate: 4,
        quarantined: 0,
    };
    assert_eq!(lab.balance().await, counts);
    assert_eq!(lab.counter(Counter::Admitted), 4);
    assert_eq!(lab.counter(Counter::PublishAmbiguous), 4);
    assert_eq!(
        lab.number("SELECT count(*) FROM ig.batch_ambiguous", &[])
            .await,
        1
    );
    let told = facts::list(
        &lab.client().await,
        None,
        Some(FactType::PublishAmbiguous),
        9,
    )
    .await;
    assert_eq!(told.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_put_that_was_not_applied_is_put_again() {
    check_ambiguous(Fault::Fail, 0, 1).await;
    check_ambiguous(Fault::Fail, 3, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_put_that_was_applied_is_found_on_the_bus() {
    check_ambiguous(Fault::LoseReply, 0, 1).await;
    check_ambiguous(Fault::LoseReply, 3, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_records_are_put_again_in_the_order_of_their_key() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let throttled = |places: Vec<usize>| Fault::RefuseSome {
        places,
        code: RefusalCode::Throttled,
    };
    lab.bus_plan.script(
        Operation::PutRecords,
        [
            Fault::Refuse(RefusalCode::Unavailable),
            throttled(vec![3]),
            throttled(vec![0]),
            throttled(vec![2]),
        ],
    );
    let events: Vec<Value> = (0..20)
        .map(|n| lab.traffic(&format!("e{n:02}"), n))
        .collect();
    let verdicts = gate.send(&events).await;
    assert_eq!(words(&verdicts), ["ADMITTED"; 20]);
    gate.drain().await;
    // All have one customer, so one shard holds them in order.
    let records = lab.records(Stream::Traffic).await;
    let amount = |data: &[u8]| {
        serde_json::from_slice::<Value>(data).unwrap()["envelope"]["payload"]["amount_minor"]
            .as_i64()
    };
    let amounts: Vec<i64> = records.iter().map(|it| amount(&it.data).unwrap()).collect();
    assert_eq!(amounts, (0..20).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gate_loses_nothing_and_admits_nothing_twice() {
    let lab = lab().await;
    let options = options();
    let events: Vec<Value> = (1..=30).flat_map(|n| arrival(&lab, n)).collect();
    // Killed while a put of the first batch waits; batches behind it are admitted or queued.
    let gate = lab.gate_with(options.clone()).await;
    lab.bus.inner().hold();
    let mut sending = tokio::task::JoinSet::new();
    for part in events.chunks(40) {
        let (client, url, body) = (gate.client.clone(), gate.url.clone(), lines(part));
        sending.spawn(async move {
            let request = client.post(format!("{url}/v1/events")).body(body);
            drop(request.header("content-type", NDJSON).send().await);
        });
    }
    lab.bus.inner().is_reached().await;
    gate.crash().await;
    sending.abort_all();
    lab.bus.inner().release();
    assert_ne!(
        lab.number("SELECT count(*) FROM runtime.inflight", &[])
            .await,
        0
    );

    // Killed after its puts, before a terminal row: the table is not writable for a while.
    lab.release_leases().await;
    let owner = lab.client().await;
    owner
        .batch_execute("REVOKE INSERT ON ig.batch_terminal FROM fraudplat_app")
        .await
        .unwrap();
    let gate = lab.gate_with(options.clone()).await;
    let is_on_bus = async || lab.copies(Stream::Traffic).await.len() >= 10;
    until(is_on_bus).await;
    gate.crash().await;
    lab.put_to_its_end().await;
    owner
        .batch_execute("GRANT INSERT ON ig.batch_terminal TO fraudplat_app")
        .await
        .unwrap();

    lab.release_leases().await;
    let gate = lab.gate_with(options).await;
    lab.settled().await;
    let verdicts = gate.send(&events).await;
    let is_good = |it: &String| matches!(it.as_str(), "ADMITTED" | "DUPLICATE");
    assert!(words(&verdicts).iter().all(is_good), "{verdicts:?}");
    gate.drain().await;
    check_one_terminal_each(&lab).await;
    assert_eq!(lab.balance().await.admitted, 120);
    // Its put was not lost in this bus, so nothing had to be put twice.
    for class in EventClass::ALL {
        let copies = lab.copies(class.stream()).await;
        assert!(
            copies.len() == 30 && copies.values().all(|n| *n == 1),
            "{copies:?}"
        );
    }
    receipts_are_complete(&lab, 120).await;
}

/// Every admitted event has one receipt in the segments.
async fn receipts_are_complete(lab: &Lab, n: i64) {
    let sql = "SELECT coalesce(sum(receipts_count), 0)::bigint FROM ig.receipt_segment";
    assert_eq!(lab.number(sql, &[]).await, n);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_died_is_resolved_by_another() {
    let lab = lab().await;
    let gate = lab.gate().await;
    lab.bus.inner().hold();
    let (client, url) = (gate.client.clone(), gate.url.clone());
    let body = lines(&arrival(&lab, 1));
    let sending = tokio::spawn(async move { post(&client, &url, NDJSON, body).await });
    lab.bus.inner().is_reached().await;
    gate.crash().await;
    sending.abort();
    lab.bus.inner().release();
    lab.release_leases().await;
    let other = Options {
        gate_id: "gate-1".to_owned(),
        ..options()
    };
    let gate = lab.gate_with(other).await;
    let verdicts = gate.send(&arrival(&lab, 1)).await;
    assert_eq!(words(&verdicts), ["DUPLICATE"; 4]);
    gate.drain().await;
    check_one_terminal_each(&lab).await;
    assert_eq!(lab.balance().await.admitted, 4);
}

/// The gate was slow, not dead: another took its batch over and settles it, and it is not told.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_lost_its_lease_answers_with_what_the_other_settled() {
    let lab = lab().await;
    let bus = lab.bus.inner();
    let slow = lab.gate().await;
    bus.hold();
    let (client, url) = (slow.client.clone(), slow.url.clone());
    let payment = lab.traffic("a", 1);
    let body = lines([&payment]);
    let sending = tokio::spawn(async move { post(&client, &url, NDJSON, body).await });
    bus.is_reached().await;
    let other = Options {
        gate_id: "gate-1".to_owned(),
        ..options()
    };
    let quick = lab.gate_with(other).await;
    lab.take_over("gate-0").await;
    // It has looked, found nothing, and publishes.
    bus.is_reached_by(2).await;
    bus.release_one();
    until(async || !slow.ig.is_ready()).await;
    bus.release();
    let verdicts = sending.await.unwrap().results();
    assert_eq!(words(&verdicts), ["ADMITTED"]);
    let again = slow.send([&payment]).await;
    assert_eq!(words(&again), ["DUPLICATE"]);
    assert_eq!(again[0]["receipt"], verdicts[0]["receipt"]);
    assert_eq!(quick.send([&payment]).await, again);
    slow.drain().await;
    quick.drain().await;
    check_one_terminal_each(&lab).await;
    assert_eq!(lab.balance().await.admitted, 1);
    // Two copies are legal: both gates published.
    assert_eq!(lab.copies(Stream::Traffic).await["a"], 2);
}
