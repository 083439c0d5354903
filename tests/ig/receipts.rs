//! Every receipt that was answered stands in a segment that a manifest row names, byte for byte.

use std::collections::BTreeSet;

use fraudplat::domain::digest::Digest;
use fraudplat::governance::counters::Counter;
use fraudplat::ingress::ig::Options;
use fraudplat::substrate::fault::{Fault, Operation};
use serde_json::Value;

use crate::gate::{Gate, Lab, event, lab, live_run};
use fraudplat::domain::vocabulary::EventClass;

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
        ..Options::default()
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
    assert!(
        lab.number("SELECT count(*) FROM ig.receipt_write_failed", &[])
            .await
            >= 2
    );
    assert!(lab.counter(Counter::ReceiptWriteFailed) > 0);
    assert_eq!(lab.counter(Counter::ReceiptsWritten), 600);
    assert_eq!(
        lab.ground.counters.get(&other, Counter::ReceiptsWritten),
        300
    );
}
