//! Reads of the Kinesis bus under faults: a reader goes on without skip or repeat, and knows the tip when it is there.

use std::time::{Duration, Instant};

use fraudplat::domain::offset::Position;
use fraudplat::substrate::bus::{Bus as _, Error, PutRecord};
use serde_json::json;

use crate::aws_proxy::Fault;
use crate::bus_subject::{DEADLINE, OTHER, START, after, limit, record, stored};
use crate::kinesis::open;
use crate::kinesis_faults::{
    GET, HTTP_500, ITERATOR, NEVER, THROTTLED, hasty, patiently, text, world,
};

/// Every fault that a read can meet, once at each of its requests: nothing is skipped, nothing
/// comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_on_behind_every_fault_without_skip_or_repeat() {
    let expired = Fault::Refuse {
        status: 400,
        code: "ExpiredIteratorException",
    };
    let invalid = Fault::Refuse {
        status: 400,
        code: "InvalidArgumentException",
    };
    for (action, fault) in [
        (GET, THROTTLED),
        (GET, HTTP_500),
        (GET, expired),
        (GET, invalid),
        (GET, Fault::Lose),
        (GET, Fault::LoseReply),
        (GET, Fault::Reset),
        (GET, Fault::FailAfter),
        (GET, Fault::Delay(NEVER)),
        (ITERATOR, THROTTLED),
        (ITERATOR, HTTP_500),
        (ITERATOR, Fault::LoseReply),
    ] {
        let world = world().await;
        let put: Vec<PutRecord> = (0..30)
            .map(|it| record(&format!("k{it}"), it.to_string()))
            .collect();
        for record in put {
            stored(&world.bus.put_records(OTHER, vec![record]).await[0]);
        }
        let why = format!("{action} {fault:?}");
        // What does not come must be given up before a reader's patience is over.
        let reader = match fault {
            Fault::Delay(_) => &open(hasty(&world.options)).await,
            _ => &world.bus,
        };
        world.proxy.script(
            action,
            std::iter::repeat_n([Fault::Pass, fault], 3).flatten(),
        );
        let (mut from, mut found) = (START, Vec::new());
        let deadline = Instant::now() + DEADLINE;
        while found.len() < 30 {
            assert!(Instant::now() < deadline, "{why}: {found:?}");
            let limit_of = |n_records| limit(n_records, Duration::ZERO);
            let read = || reader.read(OTHER, &world.shard, from.clone(), limit_of(7));
            let batch = patiently(&why, read).await;
            found.extend(batch.records.iter().map(text));
            from = batch
                .records
                .last()
                .map_or(from, |it| after(&it.sequence_number));
            if action == ITERATOR {
                // Another reader of the same place opens its own.
                let other = open(world.options.clone()).await;
                let read = || other.read(OTHER, &world.shard, from.clone(), limit_of(1));
                patiently(&why, read).await;
            }
        }
        let expect: Vec<String> = (0..30).map(|it| it.to_string()).collect();
        assert_eq!(found, expect, "{why}");
        assert!(world.proxy.is_played(), "{why}");
    }
}

/// A page may be empty far behind the tip; only an empty page at the tip ends a read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_page_behind_the_tip_is_not_the_tip() {
    let world = world().await;
    for at in 0..3 {
        stored(&world.put(&[("k", &at.to_string())]).await[0]);
    }
    // Says so of the page before the records, whose iterator is the one that was asked with.
    let first = world.read(START).await.unwrap();
    assert_eq!(first, ["0", "1", "2"]);
    let batch = world
        .bus
        .read(OTHER, &world.shard, START, limit(1, Duration::ZERO))
        .await
        .unwrap();
    let from = after(&batch.records[0].sequence_number);
    world.proxy.script(
        GET,
        [Fault::Tell {
            name: "MillisBehindLatest",
            value: json!(7_000),
        }],
    );
    let batch = world
        .bus
        .read(OTHER, &world.shard, START, limit(100, Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(
        (batch.records.len(), batch.behind_tip, batch.behind_ms),
        (3, 1, 7_000)
    );
    // At the end three empty pages say that more is to come, and a fourth that it is not.
    let end = after(&batch.records[2].sequence_number);
    let behind = Fault::Tell {
        name: "MillisBehindLatest",
        value: json!(7_000),
    };
    let n_before = world.proxy.seen(GET).len();
    world.proxy.script(GET, std::iter::repeat_n(behind, 3));
    let batch = world
        .bus
        .read(OTHER, &world.shard, end, limit(100, Duration::ZERO))
        .await
        .unwrap();
    assert_eq!(
        (batch.records.len(), batch.behind_tip, batch.behind_ms),
        (0, 0, 0)
    );
    assert_eq!(world.proxy.seen(GET).len(), n_before + 4);
    assert_eq!(world.read(from).await.unwrap(), ["1", "2"]);
}

/// Throttled for longer than a read is patient: the reader is told and comes back to its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_throttled_for_long_is_told_and_comes_back() {
    let world = world().await;
    stored(&world.put(&[("k", "1")]).await[0]);
    let denied = Fault::Refuse {
        status: 400,
        code: "AccessDeniedException",
    };
    world.proxy.script(GET, [denied]);
    let told = world.read(START).await;
    assert!(
        matches!(&told, Err(Error::Io { source, .. }) if source.to_string().contains("AccessDenied")),
        "{told:?}"
    );
    assert_eq!(
        world.proxy.seen(GET).len(),
        1,
        "what cannot heal is not tried again"
    );

    world.proxy.script(GET, std::iter::repeat_n(THROTTLED, 20));
    let started = Instant::now();
    let mut n_told = 0;
    let found = loop {
        match world.read(START).await {
            Ok(found) => break found,
            Err(Error::Io { .. }) => n_told += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert!(started.elapsed() < DEADLINE);
    };
    assert_eq!(found, ["1"]);
    assert!(0 < n_told);
}

/// The tip is asked through the same faults, and neither names what is not there nor misses what is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tip_is_found_behind_faults() {
    let world = world().await;
    let expired = Fault::Refuse {
        status: 400,
        code: "ExpiredIteratorException",
    };
    world
        .proxy
        .script(GET, [THROTTLED, Fault::LoseReply, HTTP_500]);
    let tip = || world.bus.tip(OTHER, &world.shard);
    assert_eq!(patiently("no record", tip).await, Position::Start);
    for at in 0..3 {
        let outcomes = world
            .direct
            .put_records(OTHER, vec![record("k", at.to_string())])
            .await;
        world.proxy.script(GET, [expired.clone()]);
        assert_eq!(
            patiently("some records", tip).await,
            Position::After(stored(&outcomes[0]).sequence_number.clone())
        );
    }
    assert!(world.proxy.is_played());
}
