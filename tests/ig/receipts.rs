//! Every receipt that was answered stands in a segment that a manifest row names, byte for byte.

use std::collections::BTreeSet;

use fraudplat::domain::digest::Digest;
use fraudplat::governance::counters::Counter;
use fraudplat::ingress::ig::Options;
use fraudplat::substrate::fault::{Fault, Operation};
use serde_json::Value;

use crate::gate::{Gate, Lab, event, lab, live_run, options, until};
use fraudplat::domain::vocabulary::EventClass;

const FAILED: &str = "SELECT count(*) FROM ig.receipt_write_failed";

async fn send_all(gate: &Gate, events: &[Value]) -> BTreeSet<String> {
    let mut receipts = BTreeSet::new();
    for part in events.chunks(50) {
        for verdict in gate.send(part).await {
            assert_eq!(verdict["result"], "ADMITTED", "{verdict}");
            receipts.insert(verdict["receipt"].to_string());
        }
    }
    receipts
}

/// All receipts in segments, checked against their manifest rows.
async fn stored(lab: &Lab) -> BTreeSet<String> {
    let sql = "SELECT object_key, content_hash, receipts_count FROM ig.receipt_segment";
    let mut receipts = BTreeSet::new();
    for row in lab.client().await.query(sql, &[]).await.unwrap() {
        let key = row.get::<_, &str>(0).parse().unwrap();
        let body = lab.ground.objects.get(&key).await.unwrap().unwrap();
        assert_eq!(Digest::of_bytes(&body), row.get(1));
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(
            i32::try_from(text.lines().count()).unwrap(),
            row.get::<_, i32>(2)
        );
        for line in text.lines() {
            // Values, so that the order of keys does not count.
            let receipt: Value = serde_json::from_str(line).unwrap();
            assert!(receipts.insert(receipt.to_string()), "twice: {line}");
        }
    }
    receipts
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_hold_every_receipt_once_also_after_failed_writes() {
    let lab = lab().await;
    let other = live_run(&lab.ground, "other shop").await;
    let options = Options {
        segment_receipts_min: 200,
        segment_idle_ms: 50,
        ..options()
    };
    let gate = lab.gate_with(options).await;
    let of = |n: i64| match n % 3 {
        0 => event(&other, EventClass::Traffic, &format!("o{n}"), n),
        _ => event(&lab.run, EventClass::Traffic, &format!("e{n}"), n),
    };
    let events: Vec<Value> = (0..900).map(of).collect();
    let mut answered = send_all(&gate, &events[..600]).await;
    gate.ig.flush_receipts().await;
    assert_eq!(stored(&lab).await, answered);

    // A write that fails leaves a row, and a later pass repairs it.
    lab.objects_plan
        .script(Operation::PutNew, [Fault::Fail, Fault::LoseReply]);
    answered.extend(send_all(&gate, &events[600..]).await);
    gate.drain().await;
    assert_eq!(stored(&lab).await, answered);
    assert!(lab.number(FAILED, &[]).await >= 2);
    assert!(lab.counter(Counter::ReceiptWriteFailed) > 0);
    assert_eq!(lab.counter(Counter::ReceiptsWritten), 600);
    assert_eq!(
        lab.ground.counters.get(&other, Counter::ReceiptsWritten),
        300
    );
}

/// Writes that fail, are slow, or happen and are not answered, one in two; the first of all is one of them.
fn bad_weather() -> impl Iterator<Item = Fault> {
    let late = |then| Fault::Delay {
        polls: 7,
        then: Box::new(then),
    };
    let faults = [
        Fault::LoseReply,
        Fault::Pass,
        late(Fault::Pass),
        Fault::Fail,
        Fault::Pass,
        late(Fault::LoseReply),
        Fault::Pass,
    ];
    faults.into_iter().cycle().take(60)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gate_left_is_written_by_another_exactly_once() {
    let lab = lab().await;
    lab.objects_plan.script(Operation::PutNew, bad_weather());
    let options = Options {
        segment_receipts_min: 30,
        segment_idle_ms: 20,
        ..options()
    };
    let events: Vec<Value> = (0..900).map(|n| lab.traffic(&format!("e{n}"), n)).collect();
    let mut answered = BTreeSet::new();
    for (at, part) in events.chunks(300).enumerate() {
        let gate_id = format!("gate-{at}");
        let gate = lab
            .gate_with(Options {
                gate_id,
                ..options.clone()
            })
            .await;
        answered.extend(send_all(&gate, part).await);
        if at == 0 {
            until(async || lab.number(FAILED, &[]).await > 0).await;
        }
        // Wherever its worker is: before an object, between object and row, or after.
        gate.crash().await;
        lab.release_leases().await;
    }
    let gate = lab
        .gate_with(Options {
            gate_id: "last".to_owned(),
            ..options
        })
        .await;
    let written = "SELECT coalesce(sum(receipts_count), 0)::bigint FROM ig.receipt_segment";
    until(async || lab.number(written, &[]).await >= 900).await;
    let done = gate
        .ig
        .backfill_receipts(lab.run.platform_run_id)
        .await
        .unwrap();
    assert_eq!(
        (done.segments, done.receipts, done.waiting),
        (0, 0, 0),
        "{done:?}"
    );
    let failed = lab.number(FAILED, &[]).await;
    assert!(
        failed > 0 && done.failed_writes == failed,
        "{done:?} {failed}"
    );
    assert_eq!(stored(&lab).await, answered);
    gate.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_behind_the_worker_is_filled_once() {
    let lab = lab().await;
    let options = Options {
        segment_receipts_min: 1_000_000,
        segment_idle_ms: 600_000,
        ..options()
    };
    let gate = lab.gate_with(options.clone()).await;
    let events: Vec<Value> = (0..400).map(|n| lab.traffic(&format!("e{n}"), n)).collect();
    let mut answered = send_all(&gate, &events[..100]).await;
    gate.ig.flush_receipts().await;
    answered.extend(send_all(&gate, &events[100..300]).await);
    gate.crash().await;
    lab.release_leases().await;
    // As a database that was restored to another moment than its log of positions.
    let forward = "UPDATE runtime.lease SET position = (
            SELECT (b.day - '1970-01-01'::date) || '/' || b.batch_id FROM ig.batch b ORDER BY b.batch_id DESC LIMIT 1
        ) WHERE group_name = 'receipts'";
    lab.client().await.batch_execute(forward).await.unwrap();
    let gate = lab.gate_with(options.clone()).await;
    answered.extend(send_all(&gate, &events[300..]).await);
    gate.ig.flush_receipts().await;
    assert_eq!(
        stored(&lab).await.len(),
        200,
        "the worker has passed the others"
    );

    let run = lab.run.platform_run_id;
    let (one, two) = tokio::join!(
        gate.ig.backfill_receipts(run),
        gate.ig.backfill_receipts(run)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(
        (one.segments + two.segments, one.receipts + two.receipts),
        (1, 200),
        "{one:?} {two:?}"
    );
    assert_eq!(stored(&lab).await, answered);
    gate.drain().await;

    // A position that is lost is found again in the manifest.
    let gone = "DELETE FROM runtime.lease WHERE group_name = 'receipts'";
    lab.client().await.batch_execute(gone).await.unwrap();
    let gate = lab.gate_with(options).await;
    answered.extend(send_all(&gate, &[lab.traffic("more", 1)]).await);
    gate.ig.flush_receipts().await;
    assert_eq!(stored(&lab).await, answered);
    gate.drain().await;
}

/// Every page of a listing, and how many there were.
async fn pages(gate: &Gate, run: &str, query: &str) -> (Vec<Value>, usize) {
    let (mut listed, mut after, mut n_pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = gate
            .get(&format!("/v1/receipts/{run}?{query}{after}"))
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        listed.extend(page.results());
        n_pages += 1;
        match page.body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (listed, n_pages),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one world, told from end to end")]
async fn a_listing_says_what_single_lookups_say_page_by_page() {
    let lab = lab().await;
    let other = live_run(&lab.ground, "other shop").await;
    let gate = lab.gate().await;
    let mut sent = Vec::new();
    for n in 0..40 {
        let class = EventClass::ALL[n % 4];
        let run = if n % 5 == 4 { &other } else { &lab.run };
        sent.push(event(run, class, &format!("e{n}"), n as i64 + 1));
    }
    for part in sent.chunks(7) {
        gate.send(part).await;
    }
    let mine: Vec<&Value> = sent
        .iter()
        .filter(|it| it["platform_run_id"] == lab.run.platform_run_id.to_string())
        .collect();
    let run = lab.run.platform_run_id.to_string();
    for limit in [1, 3, 32, 500] {
        let (listed, n_pages) = pages(&gate, &run, &format!("limit={limit}")).await;
        assert_eq!(listed.len(), 32);
        assert_eq!(n_pages, 32_usize.div_ceil(limit));
        for (verdict, event) in listed.iter().zip(&mine) {
            let (class, id) = (
                event["event_class"].as_str().unwrap(),
                event["event_id"].as_str().unwrap(),
            );
            let single = gate.get(&format!("/v1/receipts/{run}/{class}/{id}")).await;
            assert_eq!(
                (single.status, &single.body),
                (200, &verdict["receipt"]),
                "{id}"
            );
        }
    }
    let (traffic, _) = pages(&gate, &run, "limit=3&event_class=traffic").await;
    assert_eq!(
        traffic.len(),
        mine.iter()
            .filter(|it| it["event_class"] == "traffic")
            .count()
    );
    assert!(
        traffic
            .iter()
            .all(|it| it["receipt"]["event_class"] == "traffic")
    );

    // One whose log does not answer is listed as a lookup says it.
    lab.bus.inner().hold();
    let waiting = tokio::spawn({
        let (client, url) = (gate.client.clone(), gate.url.clone());
        let body = crate::gate::lines(&[lab.traffic("open", 1)]);
        async move { crate::gate::post(&client, &url, crate::gate::NDJSON, body).await }
    });
    lab.bus.inner().is_reached().await;
    let (open, _) = pages(&gate, &run, "result=PUBLISH_IN_FLIGHT").await;
    let single = gate.get(&format!("/v1/receipts/{run}/traffic/open")).await;
    assert_eq!((open.len(), single.status), (1, 202));
    assert_eq!(open[0], single.body);
    assert_eq!(pages(&gate, &run, "result=ADMITTED").await.0.len(), 32);
    assert_eq!(pages(&gate, &run, "limit=5").await.0.len(), 33);
    lab.bus.inner().release();
    waiting.await.unwrap();

    for (path, status, code) in [
        (format!("{run}?limit=0"), 400, "QUERY_INVALID"),
        (format!("{run}?limit=1001"), 400, "QUERY_INVALID"),
        (format!("{run}?after=yesterday"), 400, "QUERY_INVALID"),
        (format!("{run}?event_class=payment"), 400, "QUERY_INVALID"),
        (format!("{run}?result=DUPLICATE"), 400, "QUERY_INVALID"),
        (format!("{run}?page=2"), 400, "QUERY_INVALID"),
        (format!("{run}?limit=1&limit=2"), 400, "QUERY_INVALID"),
        (format!("{run}/traffic/e3?day=monday"), 400, "QUERY_INVALID"),
        (format!("run_{}", "0".repeat(64)), 404, "RUN_UNKNOWN"),
        ("nothing".to_owned(), 404, "RUN_UNKNOWN"),
    ] {
        let refused = gate.get(&format!("/v1/receipts/{path}")).await;
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
    gate.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_listed_page_by_page_and_shown() {
    let lab = lab().await;
    let gate = lab.gate().await;
    let mut wrong: Vec<Value> = (0..7).map(|n| lab.traffic(&format!("w{n}"), n)).collect();
    for (n, event) in wrong.iter_mut().enumerate() {
        match n % 2 {
            0 => event["payload"]["currency"] = "euro".into(),
            _ => event["event_class"] = "nothing".into(),
        }
    }
    for part in wrong.chunks(3) {
        gate.send(part).await;
    }
    let run = lab.run.platform_run_id.to_string();
    for limit in [1, 2, 7, 100] {
        let (mut ids, mut after) = (Vec::new(), String::new());
        loop {
            let page = gate
                .get(&format!("/v1/quarantine/{run}?limit={limit}{after}"))
                .await;
            ids.extend(
                page.results()
                    .iter()
                    .map(|it| it["event_id"].as_str().unwrap().to_owned()),
            );
            match page.body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let newest_first: Vec<String> = (0..7).rev().map(|n| format!("w{n}")).collect();
        assert_eq!(ids, newest_first, "{limit}");
    }
    let schema = gate
        .get(&format!("/v1/quarantine/{run}?code=SCHEMA_INVALID"))
        .await
        .results();
    assert_eq!(schema.len(), 4);
    let id = schema[0]["quarantine_id"].as_str().unwrap();
    let shown = gate.get(&format!("/v1/quarantine/{run}/{id}")).await;
    assert_eq!(
        (shown.status, &shown.body["envelope"]["event_id"]),
        (200, &schema[0]["event_id"]),
        "{shown:?}"
    );
    assert_eq!(shown.body["requeued"], serde_json::json!([]));
    let other = live_run(&lab.ground, "other shop").await.platform_run_id;
    let elsewhere = gate.get(&format!("/v1/quarantine/{other}/{id}")).await;
    assert_eq!(
        (elsewhere.status, elsewhere.body["code"].as_str()),
        (404, Some("NOT_FOUND"))
    );
    gate.drain().await;
}
