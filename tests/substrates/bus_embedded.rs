//! What only a bus with a directory can be asked: does it keep what it acknowledged, and does it
//! give its directory free.

use std::path::Path;
use std::time::{Duration, Instant};

use fraudplat::domain::offset::{Position, ShardId};
use fraudplat::substrate::bus::embedded::{EmbeddedBus, Error, Options};
use fraudplat::substrate::bus::{self, Bus, PutOutcome, RefusalCode};
use fraudplat::substrate::clock::SetClock;

use crate::bus::{options, trim};
use crate::bus_subject::{
    DEADLINE, OTHER, SHARDS, START, STREAM, T0, WAIT, after, drain, limit, record, stored,
};

fn open(dir: &Path, clock: &SetClock) -> EmbeddedBus {
    EmbeddedBus::open(dir, options(clock)).unwrap()
}

fn shard() -> ShardId {
    ShardId("shard-000000".to_owned())
}

#[tokio::test]
async fn a_closed_bus_opens_again_with_all_it_held() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::at(T0.plus_ms(5));
    let bus = open(dir.path(), &clock);
    for at in 0..10 {
        bus.put_records(OTHER, vec![record("k", at.to_string())])
            .await;
    }
    assert_eq!(trim(&bus, T0.plus_ms(6)).await, 9);
    bus.put_records(OTHER, vec![record("k", "10")]).await;
    let before = drain(&bus, OTHER, &shard(), 10).await;
    bus.close().await.unwrap();

    // The clock went back while the bus was down.
    clock.set(T0);
    let bus = open(dir.path(), &clock);
    assert_eq!(drain(&bus, OTHER, &shard(), 10).await, before);
    let outcomes = bus.put_records(OTHER, vec![record("k", "11")]).await;
    assert_eq!(stored(&outcomes[0]).sequence_number.as_str(), "12");
    let records = drain(&bus, OTHER, &shard(), 10).await;
    assert_eq!(records.last().unwrap().arrived_at, T0.plus_ms(5));
    bus.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_bus_refuses_and_wakes_its_readers() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path(), &SetClock::at(T0));
    let shard = shard();
    let started = Instant::now();
    let mut read = std::pin::pin!(bus.read(OTHER, &shard, START, limit(1, WAIT)));
    assert!(futures::poll!(read.as_mut()).is_pending());
    let (read, closed) = tokio::join!(read, bus.close());
    closed.unwrap();
    assert!(read.is_err() && started.elapsed() < WAIT);
    let code = RefusalCode::Unavailable;
    let outcomes = bus.put_records(OTHER, vec![record("k", "")]).await;
    assert_eq!(outcomes, [PutOutcome::Refused { code }]);
    assert!(bus.tip(OTHER, &shard).await.is_err());
    bus.close().await.unwrap();
}

#[tokio::test]
async fn the_number_of_shards_is_fixed_and_the_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::at(T0);
    let bus = open(dir.path(), &clock);
    let second = EmbeddedBus::open(dir.path(), options(&clock)).err();
    assert!(matches!(second, Some(Error::Locked { .. })), "{second:?}");
    bus.close().await.unwrap();

    let resharded = |shards| {
        let mut options = options(&clock);
        options.streams[0].shards = shards;
        options
    };
    let refused = |options: Options| EmbeddedBus::open(dir.path(), options).err().unwrap();
    let error = refused(resharded(SHARDS + 1)).to_string();
    assert!(
        error.contains("created with 4 shards and is opened with 5"),
        "{error}"
    );
    assert!(matches!(refused(resharded(0)), Error::Options { .. }));
    let mut twice = options(&clock);
    twice.streams[1].stream = STREAM;
    assert!(matches!(refused(twice), Error::Options { .. }));

    // A refusal leaves the log as it was, and a stream may come later.
    let mut fewer = options(&clock);
    fewer.streams.truncate(1);
    EmbeddedBus::open(dir.path(), fewer)
        .unwrap()
        .close()
        .await
        .unwrap();
    open(dir.path(), &clock).close().await.unwrap();
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let nursery = dir.path().join("log.new");
    std::fs::create_dir_all(&nursery).unwrap();
    std::fs::write(nursery.join("0.jnl"), b"").unwrap();
    let bus = open(dir.path(), &SetClock::at(T0));
    let outcomes = bus.put_records(OTHER, vec![record("k", "1")]).await;
    assert_eq!(stored(&outcomes[0]).sequence_number.as_str(), "1");
    bus.close().await.unwrap();
    assert!(!nursery.exists());
}

/// Enough records that tables are written and moved, so reads, times and retention are asked of
/// the disk and not of memory only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_larger_than_memory_tables_reads_trims_and_frees_its_space() {
    const PUTS: u64 = 100;
    const RECORDS: u64 = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::at(T0);
    let bus = open(dir.path(), &clock);
    // Noise, so that compression does not hide the size.
    let mut noise = vec![0; 1_000];
    for at in 0..PUTS {
        clock.set(T0.plus_ms(at));
        let data = (0..RECORDS).map(|it| {
            blake3::Hasher::new()
                .update(&(at * RECORDS + it).to_be_bytes())
                .finalize_xof()
                .fill(&mut noise);
            record("k", noise.clone())
        });
        bus.put_records(OTHER, data.collect()).await;
    }
    let number = |text: &str| Position::After(text.parse().unwrap());
    assert_eq!(bus.tip(OTHER, &shard()).await.unwrap(), number("100000"));
    let records = drain(&bus, OTHER, &shard(), 10_000).await;
    assert_eq!(records.len() as u64, PUTS * RECORDS);
    assert!(
        (0..)
            .zip(&records)
            .all(|(at, it)| it.arrived_at == T0.plus_ms(at / RECORDS))
    );

    let tables = |dir: &Path| size_of(&dir.join("log/keyspaces"));
    let deadline = Instant::now() + DEADLINE;
    while tables(dir.path()) < 60 << 20 {
        assert!(Instant::now() < deadline, "nothing was flushed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(trim(&bus, T0.plus_ms(90)).await, 90 * RECORDS);
    // Of three tables of some 34 MB the last also holds records that stay.
    while 45 << 20 < tables(dir.path()) {
        assert!(Instant::now() < deadline, "no space was freed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = drain(&bus, OTHER, &shard(), 10_000).await;
    assert_eq!(kept, records[90_000..]);
    bus.close().await.unwrap();
    let bus = open(dir.path(), &clock);
    assert_eq!(drain(&bus, OTHER, &shard(), 10_000).await, kept);
    let (late, shard) = (after(&"5".parse().unwrap()), shard());
    let read = bus
        .read(OTHER, &shard, late, limit(1, Duration::ZERO))
        .await;
    assert!(matches!(read, Err(bus::Error::Trimmed { .. })), "{read:?}");
    bus.close().await.unwrap();
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => size_of(&entry.path()),
        Ok(it) => it.len(),
        // A file may go while it is looked at.
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
