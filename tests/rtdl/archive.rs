//! What the writer archives, and when: full, old, asked for, at the end; and after a kill.

use std::time::Duration;

use bytes::Bytes;
use fraudplat::domain::offset::{OriginOffset, Position, ShardRef};
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::rtdl::archive::{Archive, Options};
use fraudplat::runtime::archive::{Error, Flush, Folder};
use fraudplat::runtime::lease;
use fraudplat::substrate::bus::BusRecord;
use fraudplat::substrate::db::Db;
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::archiver::{Running, archive_all, patient, reader};
use crate::world::{World, bytes, context, eventually, pins, shard_of, world};

pub(crate) async fn scanned(
    world: &World,
    folder: Folder,
    shard: &ShardRef,
    up_to: &Position,
) -> Vec<BusRecord> {
    let reader = reader(world);
    let mut scan = reader
        .scan(folder, shard, &Position::Start, up_to)
        .await
        .unwrap();
    let mut records = Vec::new();
    while let Some(segment) = scan.next().await.unwrap() {
        records.extend(segment);
    }
    records
}

async fn segments(world: &World) -> i64 {
    world
        .number("SELECT count(*) FROM rtdl.archive_segment")
        .await
}

/// How many records are in segments.
async fn archived(world: &World) -> i64 {
    let sql = "SELECT coalesce(sum(records_count), 0)::bigint FROM rtdl.archive_segment";
    world.number(sql).await
}

fn n_put(offsets: &[OriginOffset]) -> i64 {
    i64::try_from(offsets.len()).unwrap()
}

async fn put_traffic(world: &World, from: i64, to: i64) -> Vec<OriginOffset> {
    let run = pins("a");
    let events = (from..=to).map(|seq| bytes(&context(&run, EventClass::Traffic, seq)));
    world.put_in_order(Stream::Traffic, events.collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_hold_is_written_out() {
    let world = world().await;
    put_traffic(&world, 1, 1_000).await;
    let running = Running::start(
        &world,
        Options {
            hold_records_max: 300,
            ..patient()
        },
    );
    eventually("three segments", async || segments(&world).await == 3).await;
    running.drain().await;
    let sql = "SELECT records_count::text FROM rtdl.archive_segment ORDER BY length(first_sequence), first_sequence";
    assert_eq!(world.lines(sql).await, ["300", "300", "300", "100"]);
    let largest = |hold_bytes_max| Options {
        hold_bytes_max,
        ..patient()
    };
    put_traffic(&world, 1_001, 1_010).await;
    let running = Running::start(&world, largest(1));
    eventually("a hold full of bytes", async || segments(&world).await == 5).await;
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_hold_is_written_out_and_a_young_one_at_the_end() {
    let world = world().await;
    let running = Running::start(
        &world,
        Options {
            hold_ms_max: 50,
            ..patient()
        },
    );
    put_traffic(&world, 1, 3).await;
    eventually("age", async || segments(&world).await >= 1).await;
    running.drain().await;
    let before = segments(&world).await;
    let running = Running::start(&world, patient());
    put_traffic(&world, 4, 6).await;
    let lag = || {
        world
            .ground
            .counters
            .render()
            .contains("topic_lag{group=\"archive\"")
    };
    eventually("it reads", async || lag()).await;
    assert_eq!(segments(&world).await, before);
    running.drain().await;
    let held = world
        .number("SELECT count(*) FROM runtime.lease WHERE expires_at > now()")
        .await;
    assert_eq!(held, 0, "a drain gives the leases up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bell_makes_it_write_out_to_the_tip() {
    let world = world().await;
    let running = Running::start(&world, patient());
    for round in 0..3 {
        let offsets = put_traffic(&world, round * 10 + 1, round * 10 + 10).await;
        let shard = shard_of(&offsets[0]);
        let tips = world.tips(&[Stream::Traffic]).await;
        let reader = reader(&world);
        let early = reader.require(&shard, tips.position(&shard)).await;
        assert!(matches!(early, Err(Error::Behind { .. })), "{early:?}");
        reader
            .wait_for(&tips, &running.flush, Duration::from_secs(240))
            .await
            .unwrap();
        reader.require(&shard, tips.position(&shard)).await.unwrap();
        assert_eq!(
            reader.coverage().await.unwrap().position(&shard),
            tips.position(&shard)
        );
    }
    running.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_archives_everything_once() {
    let world = world().await;
    let mut offsets = Vec::new();
    let options = Options {
        hold_records_max: 37,
        ..patient()
    };
    for kill in 0..10 {
        // However fast it is, every life finds more than it is waited for.
        let more = archived(&world).await + 1_500 - n_put(&offsets);
        offsets.extend(put_traffic(&world, n_put(&offsets) + 1, n_put(&offsets) + more).await);
        let before = segments(&world).await;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let (ground, endpoint) = (world.ground.clone(), world.db.app_endpoint.clone());
        runtime.spawn(async move {
            let mut ground = ground;
            ground.db = Db::open(&endpoint, &crate::postgres::patient()).unwrap();
            ground.holder = format!("life {kill}");
            let mut tasks = Tasks::new(CancellationToken::new());
            Archive::create(options, &ground, Flush::default()).start(&mut tasks);
            tasks.join().await.unwrap();
        });
        eventually("a segment more", async || segments(&world).await > before).await;
        runtime.shutdown_background();
        lease::release_all(&world.ground.db).await.unwrap();
    }
    offsets.extend(put_traffic(&world, n_put(&offsets) + 1, n_put(&offsets) + 500).await);
    // The last life cuts otherwise than those before it.
    let tips = archive_all(&world, patient()).await;
    let shard = shard_of(&offsets[0]);
    let folder = Folder::Run(pins("a").platform_run_id);
    let found = scanned(&world, folder, &shard, tips.position(&shard)).await;
    let numbers = found.iter().map(|it| it.sequence_number.clone());
    let expected = offsets.iter().map(|it| it.sequence_number.clone());
    assert!(numbers.eq(expected), "every record once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_records_make_the_same_objects() {
    let mut found = Vec::new();
    let world = world().await;
    put_traffic(&world, 1, 200).await;
    for _ in 0..2 {
        archive_all(&world, patient()).await;
        found.push(
            world
                .lines("SELECT object_key FROM rtdl.archive_segment")
                .await,
        );
        // As after a crash between the objects and the commit: the object is an orphan.
        let owner = world.db.owner.get().await.unwrap();
        let forget = "SET session_replication_role = replica;
            DROP TRIGGER l1_append_only ON rtdl.archive_segment; TRUNCATE rtdl.archive_segment;
            UPDATE runtime.lease SET position = 'start'; RESET session_replication_role";
        if found.len() == 1 {
            let drop_guards = "DO $$ DECLARE t regclass; BEGIN
                FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'rtdl.archive_segment'::regclass LOOP
                    EXECUTE format('DROP TRIGGER l1_append_only ON %s', t); END LOOP; END $$";
            owner.batch_execute(drop_guards).await.unwrap();
            owner.batch_execute(forget).await.unwrap();
        }
    }
    assert_eq!(found[0].len(), 1);
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_that_cannot_be_read() {
    let (world, run) = (world().await, pins("a"));
    let data = vec![
        Bytes::from_static(b"\xff no text"),
        Bytes::from_static(b"{}"),
        Bytes::new(),
        bytes(&context(&run, EventClass::Traffic, 1)),
    ];
    let offsets = world.put_in_order(Stream::Traffic, data.clone()).await;
    let fact =
        Bytes::from_static(b"{\"kind\":\"FACT\",\"fact\":{\"fact_type\":\"POLICY_REV_CHANGED\"}}");
    let control = world
        .put_in_order(Stream::Control, vec![fact.clone()])
        .await;
    let tips = archive_all(&world, patient()).await;
    let shard = shard_of(&offsets[0]);
    let bodies = async |folder, shard: &ShardRef| -> Vec<Bytes> {
        let found = scanned(&world, folder, shard, tips.position(shard)).await;
        found.into_iter().map(|it| it.data).collect()
    };
    assert_eq!(bodies(Folder::Unreadable, &shard).await, data[..3]);
    assert_eq!(
        bodies(Folder::Run(run.platform_run_id), &shard).await,
        data[3..]
    );
    assert_eq!(
        bodies(Folder::Control, &shard_of(&control[0])).await,
        [fact]
    );
}
