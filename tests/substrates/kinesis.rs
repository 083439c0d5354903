//! The Kinesis bus on real servers: the common suite's subject, and what only it can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use fraudplat::domain::offset::{Position, SequenceNumber, ShardId, ShardRef};
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::aws;
use fraudplat::substrate::bus::kinesis::{
    self, KinesisBus, Options, ProvisionError, StreamOptions,
};
use fraudplat::substrate::bus::{Bus, Error, PutOutcome, ReadFrom, RefusalCode};
use fraudplat::substrate::clock::{SystemClock, SystemEntropy};

use crate::bus_subject::{
    BusClock, OTHER, SHARDS, START, STREAM, Subject, after, drain, limit, record, stored,
};
use crate::kinesis_server::{KinesisServer, directory};

/// Where no request is to time out, however slow the machine.
pub(crate) const PATIENT_MS: u64 = 120_000;

const QUIET: Stream = Stream::ArrivalEvents;

/// Options over streams of this test's own: their names are new.
pub(crate) fn options(endpoint_url: &str, streams: &[(Stream, u32)]) -> Options {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let of_stream = |(stream, shards): &(Stream, u32)| {
        let options = StreamOptions {
            name: format!("{stream}-{number}"),
            shards: *shards,
            retention_hours: 24,
        };
        (*stream, options)
    };
    Options {
        endpoint_url: Some(endpoint_url.to_owned()),
        region: Some("us-east-1".to_owned()),
        ca_file: None,
        // A slow machine is no fault: only a proxy loses what is sent.
        connect_timeout_ms: 30_000,
        request_timeout_ms: PATIENT_MS,
        // What Kinesis allows would make the tests wait and prove nothing more.
        reads_per_second_max: 200,
        streams: streams.iter().map(of_stream).collect(),
    }
}

pub(crate) async fn open(options: Options) -> KinesisBus {
    let credentials = aws::Credentials::Keys {
        id: "test".to_owned(),
        secret: "test".to_owned(),
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let bus = KinesisBus::open(options, &credentials, clock, entropy);
    bus.await.unwrap()
}

/// A bus over streams that are there.
pub(crate) async fn provisioned(options: Options) -> KinesisBus {
    let bus = open(options).await;
    bus.provision().await.unwrap();
    bus
}

/// For what the bus never does: resharding, deleting.
pub(crate) fn operator(endpoint_url: &str) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint_url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    Client::from_conf(config.build())
}

pub(crate) async fn on_kinesalite<F: Future<Output = ()>>(check: impl FnOnce(Subject) -> F) {
    let server = KinesisServer::shared();
    let mut options = options(&server.endpoint_url, &[(STREAM, SHARDS), (OTHER, 1)]);
    drop(provisioned(options.clone()).await);
    // Carried, and yet not there.
    let absent = StreamOptions {
        name: "never-made".to_owned(),
        shards: 1,
        retention_hours: 24,
    };
    options.streams.insert(Stream::Control, absent);
    check(Subject {
        bus: Arc::new(open(options).await),
        clock: BusClock::Servers,
        trim: None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioning_makes_what_is_missing_and_says_what_stood() {
    let server = KinesisServer::shared();
    let mut options = options(&server.endpoint_url, &[(OTHER, 2)]);
    let bus = open(options.clone()).await;
    let code = RefusalCode::NoSuchStream;
    let outcomes = bus.put_records(OTHER, vec![record("k", "1")]).await;
    assert_eq!(outcomes, [PutOutcome::Refused { code }]);

    let said = |provisioned: Vec<kinesis::Provisioned>| {
        assert_eq!(provisioned.len(), 1);
        let it = &provisioned[0];
        (
            it.is_new,
            it.shards,
            it.retention_hours,
            it.is_retention_new,
        )
    };
    assert_eq!(said(bus.provision().await.unwrap()), (true, 2, 24, false));
    let outcomes = bus.put_records(OTHER, vec![record("k", "1")]).await;
    stored(&outcomes[0]);
    assert_eq!(said(bus.provision().await.unwrap()), (false, 2, 24, false));

    // Retention is lengthened and never shortened; shards are left as they are.
    for (hours, expect) in [(48, (false, 2, 48, true)), (24, (false, 2, 48, false))] {
        let of_stream = options.streams.get_mut(&OTHER).unwrap();
        (of_stream.shards, of_stream.retention_hours) = (7, hours);
        let bus = open(options.clone()).await;
        assert_eq!(said(bus.provision().await.unwrap()), expect);
    }
    // Two at once: one makes the stream, the other finds it.
    options.streams.get_mut(&OTHER).unwrap().name += "-race";
    let (one, other) = (open(options.clone()).await, open(options.clone()).await);
    let (one, other) = tokio::join!(one.provision(), other.provision());
    let made = [one, other].map(|it| said(it.unwrap()).0);
    assert!(made[0] != made[1], "{made:?}");

    options.streams.get_mut(&OTHER).unwrap().name = "no such name".to_owned();
    let refused = open(options).await.provision().await;
    let Err(ProvisionError::Kinesis { action, name, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((action, name.as_str()), ("the description", "no such name"));
}

/// What another process put is found, also where this one knows nothing yet or something older.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tip_covers_what_others_put() {
    let server = KinesisServer::shared();
    let options = options(&server.endpoint_url, &[(OTHER, 1)]);
    let putter = provisioned(options.clone()).await;
    let reader = open(options.clone()).await;
    let shard = putter.shards(OTHER).await.unwrap().remove(0).shard_id;
    assert_eq!(reader.tip(OTHER, &shard).await.unwrap(), Position::Start);
    let mut last = None;
    for round in 0..4 {
        for at in 0..5 {
            let put = (0..500).map(|it| record(&format!("k{it}"), format!("{round} {at} {it}")));
            let outcomes = putter.put_records(OTHER, put.collect()).await;
            last = outcomes
                .iter()
                .map(|it| stored(it).sequence_number.clone())
                .max();
        }
        let tip = Position::After(last.clone().unwrap());
        assert_eq!(reader.tip(OTHER, &shard).await.unwrap(), tip);
        let new = open(options.clone()).await;
        assert_eq!(new.tip(OTHER, &shard).await.unwrap(), tip);
        // What comes after the call is read from there.
        let outcomes = putter.put_records(OTHER, vec![record("k", "next")]).await;
        let from = ReadFrom::Position(tip);
        let batch = reader
            .read(OTHER, &shard, from, limit(10, Duration::ZERO))
            .await;
        let numbers: Vec<_> = batch
            .unwrap()
            .records
            .into_iter()
            .map(|it| it.sequence_number)
            .collect();
        assert_eq!(numbers, [stored(&outcomes[0]).sequence_number.clone()]);
    }
    assert_eq!(drain(&reader, OTHER, &shard, 999).await.len(), 4 * 2_501);
}

/// Records older than the retention are dropped; kinesalite's clock is set back to make some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_retention_overtook_is_told() {
    let dir = directory();
    std::fs::write(dir.join("keep"), "").unwrap();
    let old = KinesisServer::kinesalite(&dir, Duration::from_secs(30 * 3_600));
    let mut options = options(&old.endpoint_url, &[(OTHER, 1), (STREAM, 1), (QUIET, 1)]);
    let bus = provisioned(options.clone()).await;
    let put = async |bus: &KinesisBus, stream, at: u32| -> SequenceNumber {
        let outcomes = bus
            .put_records(stream, vec![record("k", at.to_string())])
            .await;
        stored(&outcomes[0]).sequence_number.clone()
    };
    let dropped = [put(&bus, OTHER, 0).await, put(&bus, OTHER, 1).await];
    let idle = put(&bus, STREAM, 0).await;
    let quiet = put(&bus, QUIET, 0).await;
    let shard = bus.shards(OTHER).await.unwrap().remove(0).shard_id;
    let arrived = drain(&bus, OTHER, &shard, 10).await[1].arrived_at;
    drop((bus, old));

    std::fs::remove_file(dir.join("keep")).unwrap();
    let server = KinesisServer::kinesalite(&dir, Duration::ZERO);
    options.endpoint_url = Some(server.endpoint_url.clone());
    let bus = open(options.clone()).await;
    let read = async |stream, from| {
        bus.read(stream, &shard, from, limit(10, Duration::ZERO))
            .await
    };

    // A record came while nobody read. Who saw the tip too long before it may have missed some;
    // who saw it within the retention has not.
    let came = put(&bus, QUIET, 1).await;
    let of_stream = ShardRef {
        stream: QUIET,
        shard_id: shard.clone(),
    };
    // The first record arrived 30 hours ago, and 24 are kept.
    for (minutes, is_known) in [(60, false), (6 * 60 + 30, true), (29 * 60, true)] {
        let again = open(options.clone()).await;
        let seen_at = arrived.plus_ms(minutes * 60_000);
        again.recall(&of_stream, &Position::After(quiet.clone()), seen_at);
        let read = again.read(QUIET, &shard, after(&quiet), limit(10, Duration::ZERO));
        match read.await {
            Ok(batch) if is_known => assert_eq!(batch.records[0].sequence_number, came),
            Err(Error::Trimmed { oldest, .. }) if !is_known => assert_eq!(oldest, came),
            other => panic!("{minutes}: {other:?}"),
        }
    }

    // Nothing is left of this shard, and whether the reader was there in time cannot be known; it
    // is now, so what comes next is given to it.
    let batch = read(STREAM, after(&idle)).await.unwrap();
    assert!(batch.records.is_empty() && batch.behind_tip == 0);
    let next = put(&bus, STREAM, 1).await;
    let batch = read(STREAM, after(&idle)).await.unwrap();
    assert_eq!(batch.records[0].sequence_number, next);

    let kept = [put(&bus, OTHER, 2).await, put(&bus, OTHER, 3).await];
    let is_trimmed = |read| match read {
        Err(Error::Trimmed { oldest, .. }) => oldest == kept[0],
        other => panic!("{other:?}"),
    };
    for number in &dropped {
        assert!(is_trimmed(read(OTHER, after(number)).await));
    }
    assert!(is_trimmed(read(OTHER, ReadFrom::ArrivedAt(arrived)).await));
    let all = read(OTHER, START).await.unwrap().records;
    let numbers: Vec<_> = all.iter().map(|it| it.sequence_number.clone()).collect();
    assert_eq!(numbers, kept);
    let by_time = read(OTHER, ReadFrom::ArrivedAt(all[0].arrived_at)).await;
    assert_eq!(by_time.unwrap().records, all);
    assert_eq!(
        read(OTHER, after(&kept[0])).await.unwrap().records,
        all[1..]
    );
}

/// A number of another stream is beyond this one, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_of_a_stream_that_was_made_again_is_refused() {
    let server = KinesisServer::shared();
    let options = options(&server.endpoint_url, &[(OTHER, 1)]);
    let bus = provisioned(options.clone()).await;
    let shard = ShardId("shardId-000000000000".to_owned());
    let outcomes = bus
        .put_records(OTHER, vec![record("k", "of the first")])
        .await;
    let number = stored(&outcomes[0]).sequence_number.clone();
    let read = async || {
        bus.read(OTHER, &shard, after(&number), limit(1, Duration::ZERO))
            .await
    };
    assert!(read().await.unwrap().records.is_empty());

    let client = operator(&server.endpoint_url);
    let name = options.streams[&OTHER].name.as_str();
    client
        .delete_stream()
        .stream_name(name)
        .send()
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + crate::bus_subject::DEADLINE;
    while client
        .describe_stream_summary()
        .stream_name(name)
        .send()
        .await
        .is_ok()
    {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(matches!(read().await, Err(Error::NoSuchStream { .. })));
    // Its numbers begin with the second of its creation; kinesalite dates that two seconds back.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    bus.provision().await.unwrap();
    let outcomes = bus
        .put_records(OTHER, vec![record("k", "of the second")])
        .await;
    let tip = Position::After(stored(&outcomes[0]).sequence_number.clone());
    let found = read().await;
    assert!(
        matches!(&found, Err(Error::BeyondTip { tip: it, .. } ) if *it == tip)
            || matches!(&found, Err(Error::Trimmed { .. })),
        "{found:?}"
    );
    assert_eq!(bus.tip(OTHER, &shard).await.unwrap(), tip);
}

#[test]
fn options_are_read_strictly() {
    let text = |extra: &str| {
        format!(
            r#"{{"endpoint_url": null, "region": "eu-central-1", "connect_timeout_ms": 1,
            "request_timeout_ms": 2, "reads_per_second_max": 5 {extra}, "streams":
            {{"fp.bus.labels.v1": {{"name": "labels", "shards": 2, "retention_hours": 24}}}}}}"#
        )
    };
    let options: Options = serde_json::from_str(&text("")).unwrap();
    let labels = StreamOptions {
        name: "labels".to_owned(),
        shards: 2,
        retention_hours: 24,
    };
    assert_eq!(options.streams, BTreeMap::from([(Stream::Labels, labels)]));
    let error = serde_json::from_str::<Options>(&text(r#", "bucket": 1"#)).unwrap_err();
    assert!(
        error.to_string().contains("unknown field `bucket`"),
        "{error}"
    );
}
