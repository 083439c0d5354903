//! A worker's memory after a restart: from the newest snapshot that holds and the records after it,
//! from the archive where the log is gone, never from what was altered; and the decisions that
//! follow are those that a replay of everything makes.

use fraudplat::contracts::run_snapshot::RunSnapshot;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::clock::{Clock, SystemClock};

use crate::archiver::{archive_all, patient};
use crate::decider::{FEATURES, OTHER_FEATURES, Run, told};

#[tokio::test]
async fn a_restart_reads_what_came_after_the_newest_snapshot() {
    let mut run = Run::open().await;
    run.pay(400).await;
    let said = run.decide(FEATURES).await;
    assert_eq!((told(&said, "snapshot_seq"), told(&said, "seq")), (0, 0));
    let written = run.snapshots();
    assert!(
        written.len() >= 2,
        "some by count, one by the drain: {written:?}"
    );

    // The drain's own: nothing is left to read.
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert_eq!(told(&said, "snapshot_seq"), 400);
    assert_eq!(told(&said, "records_read"), 0);

    // As after a kill: the newest two were never written.
    for file in run.snapshots().into_iter().rev().take(2) {
        std::fs::remove_file(file).unwrap();
    }
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    let (seq, read) = (told(&said, "snapshot_seq"), told(&said, "records_read"));
    assert!((100..400).contains(&seq), "{said}");
    assert!(read < 400, "fewer than the whole run: {read}");
    assert!(read >= 410 - seq, "what came after it: {read} after {seq}");

    // Without any: the whole run.
    for file in run.snapshots() {
        std::fs::remove_file(file).unwrap();
    }
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert_eq!(told(&said, "snapshot_seq"), 0);
    assert!(told(&said, "records_read") >= 420);
    run.replay().await;
}

#[tokio::test]
async fn what_does_not_hold_is_passed_over_with_a_warning() {
    let mut run = Run::open().await;
    run.pay(250).await;
    run.decide(FEATURES).await;
    let files = run.snapshots();
    assert!(files.len() >= 2, "{files:?}");
    let newest = files.last().unwrap();
    let mut altered = std::fs::read(newest).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    std::fs::remove_file(newest).unwrap();
    std::fs::write(newest, altered).unwrap();
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert!(said.contains("a snapshot is not used"), "{said}");
    assert!(said.contains("its bytes hash to"), "{said}");
    let seq = told(&said, "snapshot_seq");
    assert!((100..250).contains(&seq), "the next older one: {said}");

    // Another feature set takes none of them.
    run.pay(10).await;
    let said = run.decide(OTHER_FEATURES).await;
    assert!(said.contains("it is of another feature set"), "{said}");
    assert_eq!(told(&said, "snapshot_seq"), 0, "{said}");

    // Another history: all is well but for the link of the chain.
    let files = run.snapshots();
    let bytes = std::fs::read(&files[0]).unwrap();
    let mut forged = RunSnapshot::from_bytes(&bytes).unwrap();
    forged.position.link = Digest::of_bytes(b"another history");
    let bytes = forged.to_bytes();
    let key = forged.key(&Digest::of_bytes(&bytes));
    for file in files {
        std::fs::remove_file(file).unwrap();
    }
    std::fs::write(run.file(&key), bytes).unwrap();
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert!(said.contains("it is of another history"), "{said}");
    assert_eq!(told(&said, "snapshot_seq"), 0, "{said}");
    run.replay().await;
}

#[tokio::test]
async fn where_the_log_is_gone_the_archive_is_read() {
    let mut run = Run::open().await;
    run.pay(150).await;
    run.decide(FEATURES).await;
    run.pay(50).await;
    run.decide(FEATURES).await;
    archive_all(&run.world, patient()).await;
    let in_two_hours = SystemClock.now().plus_ms(2 * 3_600_000);
    assert!(run.world.log.trim(in_two_hours).await.unwrap() > 0);
    let newest = run.snapshots().pop().unwrap();
    std::fs::remove_file(newest).unwrap();
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert!(told(&said, "snapshot_seq") > 0, "{said}");
    assert!(said.contains("from_archive=true"), "{said}");

    for file in run.snapshots() {
        std::fs::remove_file(file).unwrap();
    }
    run.pay(10).await;
    let said = run.decide(FEATURES).await;
    assert_eq!(told(&said, "snapshot_seq"), 0);
    assert!(said.contains("from_archive=true"), "{said}");
    run.replay().await;
}

#[tokio::test]
async fn repeats_on_the_bus_are_decided_once() {
    let mut run = Run::open().await;
    run.pay(100).await;
    run.decide(FEATURES).await;
    // A memory that comes from a snapshot knows them, too.
    let again = (1..=100).map(|seq| run.record(seq)).collect();
    run.world.put(Stream::Traffic, again).await;
    run.pay(20).await;
    run.decide(FEATURES).await;
    run.replay().await;
}
