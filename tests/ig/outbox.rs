//! The outbox: what the bus refuses, or does not answer for, is put again before long; an anomaly asks for a
//! case through it.

use std::time::{Duration, Instant};

use fraudplat::contracts::case_message::CaseMessage;
use fraudplat::domain::vocabulary::{CaseTriggerType, FactType, Stream};
use fraudplat::governance::facts;
use fraudplat::runtime::outbox::{self, Message};
use fraudplat::substrate::bus::RefusalCode;
use fraudplat::substrate::fault::{Fault, Operation};
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::gate::{lab, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_does_not_take_is_put_again_before_its_claim_lapses() {
    let lab = lab().await;
    let mut client = lab.ground.db.get().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let message = Message {
        stream: Stream::Control,
        partition_key: "run".to_owned(),
        data: b"{}".to_vec(),
    };
    outbox::enqueue(&tx, &[message]).await.unwrap();
    tx.commit().await.unwrap();
    let refused = Fault::Refuse(RefusalCode::Throttled);
    lab.bus_plan
        .script(Operation::PutRecords, [refused, Fault::Fail]);
    let mut tasks = Tasks::new(CancellationToken::new());
    let (db, bus) = (lab.ground.db.clone(), lab.ground.bus.clone());
    let begun = Instant::now();
    tasks.spawn("outbox", outbox::relay(db, bus, tasks.stop_token()));
    until(async || outbox::waiting(&lab.ground.db).await.unwrap() == 0).await;
    // A claim is for 30 s.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(28), "{took:?}");
    // Beside it, the READY of the lab's run.
    let records = lab.records(Stream::Control).await;
    let copies = records.iter().filter(|it| it.data == "{}").count();
    assert_eq!((copies, records.len()), (1, 2));
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anomaly_about_an_event_asks_for_a_case_once() {
    let lab = lab().await;
    let run = lab.run.platform_run_id;
    let fact = |fact_type: FactType, class: &str| {
        let key = [&run.to_string(), class, "e1", "a hash"];
        lab.ground.fact(fact_type, &key, Some(run))
    };
    let mismatch = fact(FactType::PayloadHashMismatch, "traffic");
    let asks_for_none = [
        fact(FactType::SchemaInvalid, "traffic"),
        fact(FactType::PayloadHashMismatch, "action_intent"),
    ];
    let once = std::slice::from_ref(&mismatch);
    for facts in [once, once, &asks_for_none] {
        facts::append_alone(&lab.ground.db, facts).await.unwrap();
    }
    let sql = "SELECT partition_key, data FROM runtime.outbox WHERE stream = $1";
    let client = lab.ground.db.get().await.unwrap();
    let stream = Stream::CaseTriggers.as_str();
    let rows = client.query(sql, &[&stream]).await.unwrap();
    let [row] = rows.as_slice() else {
        panic!("{} messages", rows.len())
    };
    let CaseMessage::CaseTrigger(trigger) = serde_json::from_slice(row.get(1)).unwrap() else {
        panic!("no trigger")
    };
    assert_eq!(row.get::<_, String>(0), trigger.case_id().to_string());
    assert_eq!(trigger.trigger_type, CaseTriggerType::Anomaly);
    assert_eq!(
        (&trigger.pins, trigger.subject.event_id.as_str()),
        (&lab.run, "e1")
    );
    assert_eq!(trigger.source_ref_id, mismatch.fact_id.to_string());
}
