//! Single bits flipped in what is stored: each is detected, or without effect. Never a wrong decision, never a panic.
//!
//! `FRAUDPLAT_STORM_SIZE` says how many flips, `FRAUDPLAT_STORM_SEED` which.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::chain_anchor::ChainAnchor;
use fraudplat::contracts::decision::ChainLink;
use fraudplat::contracts::run_snapshot::RunSnapshot;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::DecisionId;
use fraudplat::domain::offset::{Position, ShardId, ShardRef};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Stream;
use fraudplat::engine::{FeatureSet, FeatureState};
use fraudplat::rtdl::audit;
use fraudplat::runtime::decisions::{self, Row, Segment, StoredDecision};
use fraudplat::runtime::guard::guard;
use fraudplat::substrate::bus::embedded::{self, EmbeddedBus, StreamOptions};
use fraudplat::substrate::bus::{Bus, BusRecord, ReadFrom, ReadLimit};
use fraudplat::substrate::clock::SystemClock;
use fraudplat::substrate::db::Day;
use fraudplat::substrate::objects::Objects;
use fraudplat::substrate::objects::memory::MemoryObjects;

use crate::decider::{FEATURES, Run};

/// Workers that are started on an altered snapshot: a second each.
const RESTARTS: u64 = 3;

/// Draws from a seed: splitmix64.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % n as u64).unwrap()
    }

    /// The bytes with one bit flipped.
    fn flip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut flipped = bytes.to_vec();
        let at = self.below(8 * bytes.len());
        flipped[at / 8] ^= 1 << (at % 8);
        flipped
    }
}

/// What became of the flips of one kind of artefact.
#[derive(Default)]
struct Tally {
    detected: u64,
    without_effect: u64,
}

impl Tally {
    fn add(&mut self, is_detected: bool) {
        match is_detected {
            true => self.detected += 1,
            false => self.without_effect += 1,
        }
    }
}

fn asked(name: &str, or: u64) -> u64 {
    let found = std::env::vars().find(|(it, _)| it == name);
    found.map_or(or, |(_, value)| value.parse().unwrap())
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the table is what a storm is run for")]
async fn flips() {
    let size = asked("FRAUDPLAT_STORM_SIZE", 2_000);
    let seed = asked("FRAUDPLAT_STORM_SEED", 1);
    let mut run = Run::open().await;
    run.pay(60).await;
    run.decide(FEATURES).await;
    run.replay().await;
    let ground = &run.world.ground;
    let all = audit::list(ground, &run.id(), 0, 1_000).await.unwrap();
    let mut draws = Draws(seed);
    let draws = &mut draws;
    let n = size / 5;
    let n_restarts = n.min(RESTARTS);
    let mut table = vec![
        ("chain rows", chain_rows(&all, &run, draws, n)),
        ("decision segments", segments(&all, draws, n).await),
        ("snapshots", snapshots(&run, draws, n - n_restarts)),
        ("bus records", records(&run, draws, n)),
    ];
    let rest = size - 4 * n;
    table.push(("anchors", anchors(&run, draws, rest / 4).await));
    table.push((
        "bundles",
        replayed(&run, &all, "mpr/bundles", draws, rest / 4).await,
    ));
    let archive = format!("{}/archive", run.id());
    table.push((
        "archive objects",
        replayed(&run, &all, &archive, draws, rest / 4).await,
    ));
    let restarted = restarts(&mut run, draws, n_restarts).await;
    table.push(("snapshots, started", restarted));
    let n_log = rest - 3 * (rest / 4);
    table.push(("log files", log_files(&run, draws, n_log).await));
    let mut total = 0;
    for (artefact, it) in &table {
        println!(
            "{artefact:<18} {:>7} detected {:>7} without effect",
            it.detected, it.without_effect
        );
        total += it.detected + it.without_effect;
    }
    println!("{total} flips of seed {seed}");
    assert_eq!(total, size);
}

/// A row of the log, any field of it: the chain names that very record.
fn chain_rows(all: &[StoredDecision], run: &Run, draws: &mut Draws, n: u64) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..n {
        let at = draws.below(all.len());
        let mut flipped = all[at].clone();
        let digest = |it: &Digest, draws: &mut Draws| {
            Digest::from_slice(&draws.flip(it.as_bytes())).unwrap()
        };
        match draws.below(7) {
            0 => flipped.body = draws.flip(&flipped.body),
            1 => flipped.evidence = draws.flip(&flipped.evidence),
            2 => flipped.body_hash = digest(&flipped.body_hash, draws),
            3 => flipped.evidence_hash = digest(&flipped.evidence_hash, draws),
            4 => flipped.link = digest(&flipped.link, draws),
            5 => flipped.seq ^= 1 << draws.below(63),
            _ => {
                let id = digest(flipped.decision_id.digest(), draws);
                flipped.decision_id = DecisionId::from_digest(id);
            }
        }
        let mut chain = ChainLink::genesis(&run.id());
        if at > 0 {
            let before = &all[at - 1];
            chain = ChainLink {
                seq: before.seq,
                link: before.link,
            };
        }
        let is_whole = chain.check(&flipped.chain_record()).is_ok() && flipped.open().is_ok();
        assert!(!is_whole, "record {at} was altered and passed");
        tally.add(true);
    }
    tally
}

/// A segment of the log: no bit of it is without its hash.
async fn segments(all: &[StoredDecision], draws: &mut Draws, n: u64) -> Tally {
    let row = |stored: &StoredDecision| {
        let (body, evidence) = stored.open().unwrap();
        Row {
            decision: stored.clone(),
            event_id: body.event_id.to_string(),
            ts_utc: body.ts_utc,
            outcome: body.outcome.to_string(),
            degraded: !body.degraded.is_empty(),
            decided_at: evidence.decided_at,
            keys: Some(vec![1, 2, 3]),
        }
    };
    let rows: Vec<Row> = all.iter().map(row).collect();
    let content = decisions::encode(&rows).unwrap();
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let hash = Digest::of_bytes(&content);
    let whole = Segment {
        run: first.run,
        day: Day(0),
        first: first.seq,
        last: last.seq,
        last_link: last.link,
        key: decisions::segment_key(&first.run, (first.seq, last.seq), &hash).unwrap(),
        content_hash: hash,
        id_filter: decisions::id_filter(all.iter().map(|it| &it.decision_id)),
    };
    let mut tally = Tally::default();
    for _ in 0..n {
        let objects = MemoryObjects::new();
        let body = draws.flip(&content);
        objects.put_new(&whole.key, body.into()).await.unwrap();
        let refused = whole.read(&objects).await.expect_err("it was altered");
        assert_eq!(refused.code().as_str(), "CHAIN_BROKEN", "{refused}");
        tally.add(true);
    }
    tally
}

/// A snapshot of a worker's memory: its key tells, and where it did not its decoder would not panic.
fn snapshots(run: &Run, draws: &mut Draws, n: u64) -> Tally {
    let files = run.snapshots();
    let bytes = std::fs::read(files.last().unwrap()).unwrap();
    let name = files.last().unwrap().to_string_lossy().into_owned();
    let (_, hash) = RunSnapshot::parse_key(&name).unwrap();
    assert_eq!(hash, Digest::of_bytes(&bytes));
    let set = Arc::new(FeatureSet::compile("f", FEATURES).unwrap());
    let bundle = Bundle {
        schema_version: 1,
        name: String::new(),
        feature_set: FEATURES.to_owned(),
        policy: String::new(),
        model: None,
        manifest: None,
    };
    let mut tally = Tally::default();
    for _ in 0..n {
        let flipped = draws.flip(&bytes);
        assert_ne!(Digest::of_bytes(&flipped), hash);
        if let Ok(read) = RunSnapshot::from_bytes(&flipped) {
            let digest = bundle.feature_set_digest();
            drop(FeatureState::from_bytes(
                Arc::clone(&set),
                &digest,
                &read.features,
            ));
        }
        tally.add(true);
    }
    tally
}

/// A worker starts on an altered snapshot: it passes it over, and decides as a replay of everything does.
async fn restarts(run: &mut Run, draws: &mut Draws, n: u64) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..n {
        let newest = run.snapshots().pop().unwrap();
        let flipped = Flipped::of(&newest, draws);
        run.pay(5).await;
        let said = run.decide(FEATURES).await;
        assert!(said.contains("a snapshot is not used"), "{said}");
        run.replay().await;
        flipped.restore();
        tally.add(true);
    }
    tally
}

/// A record on its way: refused by the guard, or read as it was, every field of it; so its decision is too.
fn records(run: &Run, draws: &mut Draws, n: u64) -> Tally {
    let shard = ShardRef {
        stream: Stream::Traffic,
        shard_id: ShardId("shard-000000".to_owned()),
    };
    let record = |data: Bytes| BusRecord {
        sequence_number: "1".parse().unwrap(),
        partition_key: "c".to_owned(),
        arrived_at: Time::from_micros(0),
        data,
    };
    let mut tally = Tally::default();
    for _ in 0..n {
        let whole = run.record(1 + i64::try_from(draws.below(60)).unwrap());
        let sent = guard(&shard, &record(whole.clone())).unwrap();
        match guard(&shard, &record(draws.flip(&whole).into())) {
            Err(_) => tally.add(true),
            Ok(read) => {
                assert_eq!(read, sent);
                tally.add(false);
            }
        }
    }
    tally
}

/// An anchor: the verification refuses it, or says what it said.
async fn anchors(run: &Run, draws: &mut Draws, n: u64) -> Tally {
    let verify = async || audit::verify(&run.world.ground, &run.id(), &|_| ()).await;
    let whole = verify().await.unwrap();
    assert_eq!(whole.broken, None);
    let files = files(&run.file(&ChainAnchor::prefix(&run.id())));
    let mut tally = Tally::default();
    for _ in 0..n {
        let file = &files[draws.below(files.len())];
        let flipped = Flipped::of(file, draws);
        match verify().await {
            Ok(report) if report == whole => tally.add(false),
            Ok(report) => {
                assert!(report.broken.is_some(), "{report:?}");
                tally.add(true);
            }
            Err(error) => {
                assert_eq!(error.code().as_str(), "CHAIN_BROKEN", "{error}");
                tally.add(true);
            }
        }
        flipped.restore();
    }
    tally
}

/// What a replay stands on: it is refused, or every decision comes out as it was.
async fn replayed(
    run: &Run,
    all: &[StoredDecision],
    folder: &str,
    draws: &mut Draws,
    n: u64,
) -> Tally {
    let files = files(&run.file(folder));
    let mut tally = Tally::default();
    for _ in 0..n {
        let file = &files[draws.below(files.len())];
        let flipped = Flipped::of(file, draws);
        match audit::replay(&run.world.ground, all, &|_, _| ()).await {
            Ok(report) => {
                assert_eq!(report.mismatched, 0, "{}: another decision", file.display());
                tally.add(false);
            }
            Err(error) => {
                let code = error.code().as_str();
                assert_ne!(code, "SUBSTRATE_UNAVAILABLE", "{error}");
                tally.add(true);
            }
        }
        flipped.restore();
    }
    tally
}

/// A file with one bit flipped, until it is put back.
struct Flipped {
    file: PathBuf,
    whole: Vec<u8>,
}

impl Flipped {
    fn of(file: &Path, draws: &mut Draws) -> Flipped {
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, draws.flip(&whole)).unwrap();
        Flipped {
            file: file.to_owned(),
            whole,
        }
    }

    fn restore(self) {
        std::fs::write(self.file, self.whole).unwrap();
    }
}

/// Every file below a folder that holds anything, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut dirs) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.metadata().unwrap().len() > 0 => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{} has no files", folder.display());
    found
}

/// The log's own files: opening or reading says that the log was altered, or every record is read as it was, and so
/// decided as it was. An end that is cut off would be a loss of what was acknowledged: it is none of the two.
async fn log_files(run: &Run, draws: &mut Draws, n: u64) -> Tally {
    let mut tally = Tally::default();
    if n == 0 {
        return tally;
    }
    // What came before the payments leaves, but for the newest of each shard: that puts a table of facts on the disk.
    let payments = arrival_of_payments(&run.world.log).await;
    let dropped = run.world.log.trim(payments.plus_ms(3_600_000)).await;
    assert!(0 < dropped.unwrap());
    run.world.log.close().await.unwrap();
    let from = run.world.dir.path().join("bus");
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("whole");
    copy(&from, &whole);
    // Opening it cuts off the zeros that the journal was laid out with, in which no bit has a meaning.
    let written = read_all(&whole).await.expect("it is whole");
    let names = files(&whole);
    for nth in 0..n {
        let dir = scratch.path().join(nth.to_string());
        copy(&whole, &dir);
        let name = names[draws.below(names.len())]
            .strip_prefix(&whole)
            .unwrap();
        drop(Flipped::of(&dir.join(name), draws).whole);
        match read_all(&dir).await {
            Err(error) => {
                assert!(error.contains("the log in"), "{error}");
                assert!(error.contains("was altered"), "{error}");
                tally.add(true);
            }
            Ok(read) => {
                assert!(read == written, "{}: other records", name.display());
                tally.add(false);
            }
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
    tally
}

async fn arrival_of_payments(log: &EmbeddedBus) -> Time {
    let limit = ReadLimit {
        records_max: 1,
        bytes_max: 1 << 20,
        wait_max: Duration::ZERO,
    };
    for shard in log.shards(Stream::Traffic).await.unwrap() {
        let from = ReadFrom::Position(Position::Start);
        let read = log.read(Stream::Traffic, &shard.shard_id, from, limit);
        if let Some(first) = read.await.unwrap().records.first() {
            return first.arrived_at;
        }
    }
    panic!("no payment is on the log");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Every record by stream and shard.
async fn read_all(dir: &Path) -> Result<Vec<Vec<Bytes>>, String> {
    let stream = |stream: &Stream| StreamOptions {
        stream: *stream,
        shards: 2,
        retention: Some(Duration::from_secs(3_600)),
    };
    let options = embedded::Options {
        streams: Stream::ALL.iter().map(stream).collect(),
        clock: Arc::new(SystemClock),
    };
    let bus = EmbeddedBus::open(dir, options).map_err(|error| error.to_string())?;
    let read = read_shards(&bus).await;
    bus.close().await.map_err(|error| error.to_string())?;
    read
}

async fn read_shards(bus: &EmbeddedBus) -> Result<Vec<Vec<Bytes>>, String> {
    let limit = ReadLimit {
        records_max: 10_000,
        bytes_max: 64 << 20,
        wait_max: Duration::from_millis(0),
    };
    let mut all = Vec::new();
    for stream in Stream::ALL {
        for shard in bus.shards(*stream).await.map_err(|it| it.to_string())? {
            let from = ReadFrom::Position(Position::Start);
            let read = bus.read(*stream, &shard.shard_id, from, limit).await;
            let read = read.map_err(|error| error.to_string())?;
            all.push(read.records.into_iter().map(|it| it.data).collect());
        }
    }
    Ok(all)
}
