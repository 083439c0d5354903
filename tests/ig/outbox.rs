//! The outbox's relay: what the bus refuses, or does not answer for, is put again before long.

use std::time::{Duration, Instant};

use fraudplat::domain::vocabulary::Stream;
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
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Beside it, the READY of the lab's run.
    let records = lab.records(Stream::Control).await;
    let copies = records.iter().filter(|it| it.data == "{}").count();
    assert_eq!((copies, records.len()), (1, 2));
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}
