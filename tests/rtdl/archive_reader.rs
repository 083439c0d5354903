//! What the reader gives back: the bytes that were put, or an error that names what is wrong.

use bytes::Bytes;
use fraudplat::contracts::code::Code;
use fraudplat::domain::offset::{OriginOffset, Position, SequenceNumber, ShardRef};
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::rtdl::archive::Options;
use fraudplat::runtime::archive::{Error, Folder};
use fraudplat::runtime::guard;
use fraudplat::substrate::bus::{BusRecord, ReadFrom, ReadLimit};

use crate::archive::{archive_all, patient, reader, scanned};
use crate::world::{World, bytes, context, pins, shard_of, world};

/// Every record of a shard, as the bus has it.
async fn on_the_bus(world: &World, shard: &ShardRef) -> Vec<BusRecord> {
    let limit = ReadLimit {
        records_max: 1_000_000,
        bytes_max: usize::MAX,
        wait_max: std::time::Duration::ZERO,
    };
    let mut records: Vec<BusRecord> = Vec::new();
    loop {
        let last = records.last().map(|it| it.sequence_number.clone());
        let from = ReadFrom::Position(last.map_or(Position::Start, Position::After));
        let read = world
            .ground
            .bus
            .read(shard.stream, &shard.shard_id, from, limit)
            .await
            .unwrap();
        if read.records.is_empty() {
            return records;
        }
        records.extend(read.records);
    }
}

/// A world with interleaved records of two runs in a stream, archived in segments of 6,000.
async fn archived() -> (World, Vec<OriginOffset>) {
    let (world, runs) = (world().await, [pins("a"), pins("b")]);
    let both = (1..=8_000).flat_map(|seq| runs.iter().map(move |run| (run, seq)));
    let events = both.map(|(run, seq)| bytes(&context(run, EventClass::Traffic, seq)));
    let offsets = world.put_in_order(Stream::Traffic, events.collect()).await;
    archive_all(
        &world,
        Options {
            hold_records_max: 12_000,
            ..patient()
        },
    )
    .await;
    (world, offsets)
}

fn run_a() -> Folder {
    Folder::Run(pins("a").platform_run_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_the_bus_byte_for_byte() {
    let (world, offsets) = archived().await;
    let shard = shard_of(&offsets[0]);
    let bus = on_the_bus(&world, &shard).await;
    assert_eq!(bus.len(), 16_000);
    let tip = Position::After(bus[15_999].sequence_number.clone());
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let expected: Vec<&BusRecord> = bus.iter().skip(at).step_by(2).collect();
        let folder = Folder::Run(pins(name).platform_run_id);
        let found = scanned(&world, folder, &shard, &tip).await;
        assert!(found.iter().eq(expected), "run {name}");
        assert!(found.iter().all(|it| guard::guard(&shard, it).is_ok()));
    }
    assert_eq!(
        world
            .number("SELECT count(*) FROM rtdl.archive_segment")
            .await,
        4
    );

    // Within: after the 100th, up to the 12,500th record of the shard, across two segments.
    let reader = reader(&world);
    let (after, up_to) = (&bus[99].sequence_number, &bus[12_499].sequence_number);
    let (after, up_to) = (
        Position::After(after.clone()),
        Position::After(up_to.clone()),
    );
    let mut scan = reader.scan(run_a(), &shard, &after, &up_to).await.unwrap();
    let mut found = Vec::new();
    while let Some(records) = scan.next().await.unwrap() {
        found.extend(records);
    }
    assert!(found.iter().eq(bus[100..12_500].iter().step_by(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_records_are_found_by_their_places() {
    let (world, offsets) = archived().await;
    let bus = on_the_bus(&world, &shard_of(&offsets[0])).await;
    // The first and last of row groups and segments, and some within; in no order.
    let wanted = [15_998, 0, 9_998, 10_000, 11_998, 12_000, 7_654, 0];
    let places: Vec<OriginOffset> = wanted.iter().map(|at| offsets[*at].clone()).collect();
    let found = reader(&world).fetch(run_a(), &places).await.unwrap();
    assert_eq!(found.len(), 7);
    for at in wanted {
        assert_eq!(found[&offsets[at]], bus[at], "record {at}");
    }
    // A record of the other run, and one that is yet to come.
    let missing = reader(&world)
        .fetch(run_a(), &offsets[3..4])
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, Error::RecordMissing { offset } if *offset == offsets[3]),
        "{missing}"
    );
    assert_eq!(missing.code(), Code::EvidenceMissing);
    let ahead = OriginOffset {
        sequence_number: SequenceNumber::from_u64(1 << 60),
        ..offsets[0].clone()
    };
    let behind = reader(&world).fetch(run_a(), &[ahead]).await.unwrap_err();
    assert_eq!(behind.code(), Code::ArchiveBehind, "{behind}");
}

/// The path of the run's first segment below the objects' root, and its key.
async fn first_segment(world: &World) -> (std::path::PathBuf, String) {
    let sql = format!(
        "SELECT object_key FROM rtdl.archive_segment WHERE folder = '{}'
         ORDER BY length(first_sequence), first_sequence LIMIT 1",
        run_a()
    );
    let key = world.lines(&sql).await.remove(0);
    let mut dirs = vec![world.dir.path().join("objects")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.ends_with(&key) {
                return (path, key);
            }
        }
    }
    panic!("{key} is not below the objects");
}

async fn scan_fails(world: &World, shard: &ShardRef) -> Error {
    let reader = reader(world);
    let up_to = reader.coverage().await.unwrap().position(shard).clone();
    let mut scan = reader
        .scan(run_a(), shard, &Position::Start, &up_to)
        .await
        .unwrap();
    scan.next().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_segment_is_named() {
    let (world, offsets) = archived().await;
    let shard = shard_of(&offsets[0]);
    let (path, key) = first_segment(&world).await;
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    // One bit, somewhere in the first row group.
    let mut altered = whole.clone();
    altered[whole.len() / 3] ^= 1;
    std::fs::write(&path, &altered).unwrap();
    let error = scan_fails(&world, &shard).await;
    assert!(
        matches!(&error, Error::Altered { key: it, .. } if *it == key),
        "{error}"
    );
    assert_eq!(error.code(), Code::ReplayBasisMismatch);
    let error = reader(&world).fetch(run_a(), &offsets[..1]).await;
    drop(error);

    std::fs::remove_file(&path).unwrap();
    let error = scan_fails(&world, &shard).await;
    assert!(
        matches!(&error, Error::SegmentMissing { key: it } if *it == key),
        "{error}"
    );
    assert_eq!(error.code(), Code::EvidenceMissing);
    let error = reader(&world)
        .fetch(run_a(), &offsets[..1])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::SegmentMissing { key: it } if *it == key),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_lied_on_the_bus_is_kept_as_it_was() {
    let (world, run) = (world().await, pins("a"));
    let mut liar = context(&run, EventClass::Traffic, 1);
    liar.payload_hash = fraudplat::domain::digest::Digest::of_bytes(b"another payload");
    let data = bytes(&liar);
    let offsets = world
        .put_in_order(Stream::Traffic, vec![data.clone()])
        .await;
    archive_all(&world, patient()).await;
    let found = reader(&world).fetch(run_a(), &offsets).await.unwrap();
    assert_eq!(found[&offsets[0]].data, data);
    let shard = shard_of(&offsets[0]);
    let refused = guard::guard(&shard, &found[&offsets[0]]).unwrap_err();
    assert_eq!(refused.code, Code::PayloadHashMismatch);
    let empty: Vec<Bytes> = Vec::new();
    assert!(reader(&world).fetch(run_a(), &[]).await.unwrap().len() == empty.len());
}
