//! What every bus must do. A check takes a fresh bus of [`STREAM`] with [`SHARDS`] shards and of
//! [`OTHER`] with one, whose clock stands at [`T0`] if it is ours.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fraudplat::domain::offset::{OriginOffset, Position, ShardId};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::bus::{
    Bus, Error, PutOutcome, PutRecord, Puts, RECORD_BYTES_MAX, ReadBatch, ReadFrom, ReadLimit,
    RefusalCode,
};
use futures::future::Either;

use crate::bus_subject::{
    ALL, BusClock, DEADLINE, OTHER, SHARDS, START, STREAM, Subject, T0, WAIT, after, drain, limit,
    numbered, record, shard_ids, stored,
};

pub(crate) async fn keys_keep_their_order_and_numbers_grow(subject: Subject) {
    let bus = subject.bus;
    let mut expected: BTreeMap<OriginOffset, (String, Bytes)> = BTreeMap::new();
    for round in 0..10 {
        let put: Vec<PutRecord> = (0..50)
            .map(|it| record(&format!("key-{}", it % 17), format!("{round}/{it}")))
            .collect();
        let outcomes = bus.put_records(STREAM, put.clone()).await;
        assert_eq!(outcomes.len(), put.len());
        for (outcome, put) in outcomes.iter().zip(put) {
            let before = expected.insert(stored(outcome).clone(), (put.partition_key, put.data));
            assert_eq!(before, None, "a place was given twice");
        }
    }
    let mut found = BTreeMap::new();
    let mut shard_of_key: BTreeMap<String, ShardId> = BTreeMap::new();
    for shard in shard_ids(&*bus, STREAM).await {
        let records = drain(&*bus, STREAM, &shard, 7).await;
        let pairs = records.iter().zip(records.iter().skip(1));
        assert!(
            pairs
                .clone()
                .all(|(one, next)| one.sequence_number < next.sequence_number)
        );
        assert!(
            !subject.clock.is_ours()
                || pairs
                    .clone()
                    .all(|(one, next)| one.arrived_at <= next.arrived_at)
        );
        let mut last_of_key: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for record in records {
            let text = std::str::from_utf8(&record.data).unwrap();
            let (round, at) = text.split_once('/').unwrap();
            let order = (round.parse().unwrap(), at.parse().unwrap());
            let before = last_of_key.insert(record.partition_key.clone(), order);
            assert!(before < Some(order), "{before:?} {order:?}");
            let home = shard_of_key.insert(record.partition_key.clone(), shard.clone());
            assert!(home.is_none_or(|home| home == shard), "a key in two shards");
            let offset = OriginOffset {
                stream: STREAM,
                shard_id: shard.clone(),
                sequence_number: record.sequence_number,
            };
            found.insert(offset, (record.partition_key, record.data));
        }
    }
    assert_eq!(found, expected);
    let used: std::collections::BTreeSet<_> = shard_of_key.values().collect();
    assert!(1 < used.len(), "17 keys in one shard");
}

pub(crate) async fn shards_share_the_hash_range(subject: Subject) {
    let shards = subject.bus.shards(STREAM).await.unwrap();
    assert_eq!(shards.len(), SHARDS as usize);
    assert_eq!(
        (
            shards[0].hash_range.0,
            shards[shards.len() - 1].hash_range.1
        ),
        (0, u128::MAX)
    );
    for pair in shards.windows(2) {
        assert_eq!(pair[0].hash_range.1 + 1, pair[1].hash_range.0);
    }
    assert!(
        shards
            .iter()
            .all(|it| it.parents.is_empty() && !it.is_closed)
    );
    assert_eq!(shard_ids(&*subject.bus, OTHER).await.len(), 1);
}

pub(crate) async fn what_does_not_exist_is_said(subject: Subject) {
    let (bus, absent) = (subject.bus, Stream::Control);
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    let code = RefusalCode::NoSuchStream;
    let outcomes = bus.put_records(absent, numbered("a", 2)).await;
    assert_eq!(outcomes, vec![PutOutcome::Refused { code }; 2]);
    assert!(matches!(
        bus.shards(absent).await,
        Err(Error::NoSuchStream { .. })
    ));
    assert!(matches!(
        bus.tip(absent, &shard).await,
        Err(Error::NoSuchStream { .. })
    ));
    let unknown = ShardId("shard-999999".to_owned());
    let read = bus.read(OTHER, &unknown, START, ALL).await;
    assert!(matches!(read, Err(Error::NoSuchShard { .. })), "{read:?}");
    assert!(matches!(
        bus.tip(OTHER, &unknown).await,
        Err(Error::NoSuchShard { .. })
    ));
}

pub(crate) async fn bad_records_are_refused_and_hold_back_their_key(subject: Subject) {
    let bus = subject.bus;
    let put = vec![
        record("a", ""),
        record("b", vec![7; RECORD_BYTES_MAX]),
        record("c", vec![7; RECORD_BYTES_MAX - 1]),
        record("b", "small"),
        record("", "x"),
        record(&"é".repeat(257), "x"),
        record(&"é".repeat(256), "x"),
    ];
    let outcomes = bus.put_records(OTHER, put).await;
    let refused = |code| PutOutcome::Refused { code };
    assert_eq!(outcomes[1], refused(RefusalCode::TooLarge));
    assert_eq!(outcomes[3], refused(RefusalCode::HeldBack));
    assert_eq!(outcomes[4], refused(RefusalCode::KeyInvalid));
    assert_eq!(outcomes[5], refused(RefusalCode::KeyInvalid));
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    let records = drain(&*bus, OTHER, &shard, 100).await;
    // Three keys: which of them comes first is the bus's choice.
    let found: BTreeMap<_, _> = records
        .iter()
        .map(|it| (it.sequence_number.clone(), it.data.len()))
        .collect();
    let good = [(0, 0), (2, RECORD_BYTES_MAX - 1), (6, 1)];
    let good = good.map(|(at, n_bytes)| (stored(&outcomes[at]).sequence_number.clone(), n_bytes));
    assert_eq!(found, BTreeMap::from(good));
    assert_eq!(bus.put_records(OTHER, Vec::new()).await, []);
}

pub(crate) async fn a_read_ends_at_its_limits(subject: Subject) {
    let bus = subject.bus;
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    for at in 0..10 {
        subject.clock.stand_at(at * 1_000).await;
        bus.put_records(OTHER, vec![record("k", vec![7; 99])]).await;
    }
    subject.clock.stand_at(10_000).await;
    let read = async |records_max, bytes_max| {
        let limit = ReadLimit {
            records_max,
            bytes_max,
            wait_max: Duration::ZERO,
        };
        let batch = bus.read(OTHER, &shard, START, limit).await.unwrap();
        assert!(!batch.shard_end);
        (batch.records.len(), batch.behind_tip, batch.behind_ms)
    };
    let is_counted = subject.clock.is_ours();
    let check = |found: (usize, u64, u64), n_records: usize| {
        let n_left = 10 - n_records as u64;
        match is_counted {
            true => assert_eq!(found, (n_records, n_left, n_left * 1_000)),
            // Not all that lies behind is known, but whether something does.
            false => {
                assert_eq!(found.0, n_records);
                assert!(
                    found.1 <= n_left && (found.1 == 0) == (n_left == 0),
                    "{found:?}"
                );
            }
        }
    };
    check(read(100, 100_000).await, 10);
    check(read(4, 100_000).await, 4);
    check(read(100, 200).await, 2);
    check(read(100, 201).await, 3);
    check(read(100, 1).await, 1);
    check(read(0, 0).await, 1);
}

pub(crate) async fn the_tip_is_the_newest_record(subject: Subject) {
    let bus = subject.bus;
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    assert_eq!(bus.tip(OTHER, &shard).await.unwrap(), Position::Start);
    let outcomes = bus.put_records(OTHER, numbered("k", 3)).await;
    let tip = bus.tip(OTHER, &shard).await.unwrap();
    assert_eq!(
        tip,
        Position::After(stored(&outcomes[2]).sequence_number.clone())
    );
    let batch = bus
        .read(OTHER, &shard, ReadFrom::Position(tip), ALL)
        .await
        .unwrap();
    assert!(batch.records.is_empty() && batch.behind_tip == 0);
    // As many digits as the newest has: numbers need not be dense, nor begin with 1.
    let n_digits = stored(&outcomes[2]).sequence_number.as_str().len();
    let beyond = after(&"9".repeat(n_digits).parse().unwrap());
    let read = bus.read(OTHER, &shard, beyond, ALL).await;
    assert!(matches!(read, Err(Error::BeyondTip { .. })), "{read:?}");
}

pub(crate) async fn what_is_put_is_counted(subject: Subject) {
    let bus = subject.bus;
    let counted = |requests, records| assert_eq!(bus.puts(), Puts { requests, records });
    // A key each: a bus may carry no two records of one key in a request.
    let keyed = |n_records| (0..n_records).map(|n: u32| record(&format!("k{n}"), n.to_string()));
    counted(0, 0);
    bus.put_records(OTHER, keyed(3).collect()).await;
    counted(1, 3);
    bus.put_records(OTHER, keyed(2).collect()).await;
    counted(2, 5);
}

pub(crate) async fn a_read_at_the_tip_waits_and_wakes(subject: Subject) {
    let bus = subject.bus;
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    let patience = limit(10, WAIT);
    let started = std::time::Instant::now();
    let mut read = std::pin::pin!(bus.read(OTHER, &shard, START, patience));
    assert!(futures::poll!(read.as_mut()).is_pending());
    let put = bus.put_records(OTHER, numbered("k", 1));
    let (batch, outcomes) = tokio::join!(read, put);
    let batch = batch.unwrap();
    assert_eq!(batch.records.len(), 1);
    assert_eq!(
        &batch.records[0].sequence_number,
        &stored(&outcomes[0]).sequence_number
    );
    assert!(started.elapsed() < WAIT, "it was not woken");

    let from = after(&batch.records[0].sequence_number);
    let wait = Duration::from_millis(50);
    let started = std::time::Instant::now();
    let batch = bus
        .read(OTHER, &shard, from, limit(10, wait))
        .await
        .unwrap();
    assert!(batch.records.is_empty());
    assert!(wait <= started.elapsed() && started.elapsed() < WAIT);
}

pub(crate) async fn a_read_by_time_begins_with_the_first_arrival(subject: Subject) {
    let (bus, clock) = (subject.bus, subject.clock);
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    // The clock steps back once: arrival does not.
    for at in [0, 10, 5, 20] {
        clock.stand_at(at).await;
        bus.put_records(OTHER, vec![record("k", at.to_string())])
            .await;
    }
    let all = drain(&*bus, OTHER, &shard, 100).await;
    let arrived: Vec<Time> = all.iter().map(|it| it.arrived_at).collect();
    if clock.is_ours() {
        assert_eq!(arrived, [0, 10, 10, 20].map(|it| T0.plus_ms(it)));
    }
    for time in arrived
        .iter()
        .flat_map(|it| [it.minus_ms(1), *it, it.plus_ms(1)])
    {
        let from = ReadFrom::ArrivedAt(time);
        let batch = bus.read(OTHER, &shard, from, ALL).await.unwrap();
        let first = arrived.iter().position(|it| time <= *it);
        assert_eq!(batch.records, all[first.unwrap_or(all.len())..], "{time}");
    }

    // A time that is yet to come skips what arrives before it. A server's own clock goes on while a put waits on a
    // busy machine: where nothing arrived before that time, another lies further ahead.
    let mut ahead_ms = if clock.is_ours() { 100 } else { 1_000 };
    let mut known = all;
    loop {
        let newest = known[known.len() - 1].arrived_at;
        let time = newest.plus_ms(ahead_ms);
        let batch = read_while_more_comes(&*bus, &clock, &shard, time).await;
        let all = drain(&*bus, OTHER, &shard, 100).await;
        let first = all.iter().find(|it| time <= it.arrived_at);
        assert_eq!(batch.records.first(), first);
        let next = &all[known.len()];
        assert!(newest < next.arrived_at);
        if next.arrived_at < time {
            return;
        }
        ahead_ms *= 2;
        assert!(!clock.is_ours() && ahead_ms < 30_000, "nothing is skipped");
        known = all;
    }
}

/// A read by a time that is yet to come, and puts until it has its records.
async fn read_while_more_comes(
    bus: &dyn Bus,
    clock: &BusClock,
    shard: &ShardId,
    time: Time,
) -> ReadBatch {
    let from = ReadFrom::ArrivedAt(time);
    let mut later = Box::pin(bus.read(OTHER, shard, from, limit(10, WAIT)));
    assert!(futures::poll!(later.as_mut()).is_pending());
    let puts = Box::pin(async {
        for at in 21.. {
            clock.stand_at(at).await;
            bus.put_records(OTHER, vec![record("k", at.to_string())])
                .await;
            // A bus in memory never waits, and the reader must have its turn.
            tokio::task::yield_now().await;
        }
    });
    let Either::Left((batch, _)) = futures::future::select(later, puts).await else {
        unreachable!("it puts for ever");
    };
    batch.unwrap()
}

pub(crate) async fn what_is_dropped_is_said_and_the_newest_stays(subject: Subject) {
    let Some(trim) = &subject.trim else { return };
    let (bus, clock) = (subject.bus, subject.clock);
    let shard = shard_ids(&*bus, OTHER).await.remove(0);
    let mut numbers = Vec::new();
    for at in 0..10 {
        clock.stand_at(at).await;
        let outcomes = bus
            .put_records(OTHER, vec![record("k", at.to_string())])
            .await;
        numbers.push(stored(&outcomes[0]).sequence_number.clone());
    }
    assert_eq!(trim(T0).await, 0);
    assert_eq!(trim(T0.plus_ms(4)).await, 4);
    assert_eq!(trim(T0.plus_ms(4)).await, 0);

    let kept = drain(&*bus, OTHER, &shard, 3).await;
    let kept: Vec<_> = kept.into_iter().map(|it| it.sequence_number).collect();
    assert_eq!(kept, numbers[4..]);
    let read = async |from| bus.read(OTHER, &shard, from, ALL).await;
    let is_trimmed = |read| match read {
        Err(Error::Trimmed { oldest, .. }) => oldest == numbers[4],
        _ => false,
    };
    assert!(is_trimmed(read(after(&numbers[2])).await));
    assert!(is_trimmed(read(ReadFrom::ArrivedAt(T0.plus_ms(3))).await));
    assert_eq!(read(after(&numbers[3])).await.unwrap().records.len(), 6);
    let by_time = read(ReadFrom::ArrivedAt(T0.plus_ms(4))).await;
    assert_eq!(by_time.unwrap().records.len(), 6);

    assert_eq!(trim(T0.plus_ms(1_000_000)).await, 5);
    let tip = Position::After(numbers[9].clone());
    assert_eq!(bus.tip(OTHER, &shard).await.unwrap(), tip);
    let outcomes = bus.put_records(OTHER, numbered("k", 1)).await;
    assert!(numbers[9] < stored(&outcomes[0]).sequence_number);
    assert_eq!(drain(&*bus, OTHER, &shard, 10).await.len(), 2);
}

pub(crate) async fn puts_and_reads_run_side_by_side(subject: Subject) {
    const PUTTERS: usize = 8;
    const PUTS: usize = 25;
    const RECORDS: usize = 8;
    let bus = subject.bus;
    let put = async |putter: usize| {
        let (bus, key) = (bus.clone(), format!("putter-{putter}"));
        for at in 0..PUTS {
            let data = (at * RECORDS..(at + 1) * RECORDS).map(|it| record(&key, it.to_string()));
            let outcomes = bus.put_records(STREAM, data.collect()).await;
            assert!(
                outcomes
                    .iter()
                    .all(|it| matches!(it, PutOutcome::Stored(_)))
            );
        }
    };
    let read_all = async {
        let mut positions: BTreeMap<ShardId, ReadFrom> = BTreeMap::new();
        let mut next_of_key: BTreeMap<String, usize> = BTreeMap::new();
        let deadline = std::time::Instant::now() + DEADLINE;
        while next_of_key.values().sum::<usize>() < PUTTERS * PUTS * RECORDS {
            assert!(std::time::Instant::now() < deadline, "{next_of_key:?}");
            for shard in shard_ids(&*bus, STREAM).await {
                let from = positions.entry(shard.clone()).or_insert(START);
                let limit = limit(13, Duration::from_millis(1));
                let batch = bus.read(STREAM, &shard, from.clone(), limit).await.unwrap();
                for record in batch.records {
                    let next = next_of_key.entry(record.partition_key).or_default();
                    assert_eq!(record.data, next.to_string());
                    *next += 1;
                    *from = after(&record.sequence_number);
                }
            }
        }
    };
    futures::join!(futures::future::join_all((0..PUTTERS).map(put)), read_all);
}
