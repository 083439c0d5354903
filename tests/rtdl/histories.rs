//! Golden histories: small runs as they once were, with all that a replay reads, in `tests/golden/histories/v1`. Every
//! later engine makes each decision again, byte for byte.
//!
//! `UPDATE_HISTORIES=NAME` makes the one that is missing by its recipe in `histories/recipes.rs`; one that is there is
//! never written again: it stands for what is stored.

mod recipes;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::PlatformRunId;
use fraudplat::domain::time::Time;
use fraudplat::engine::ENGINE_REV;
use fraudplat::rtdl::audit;
use fraudplat::runtime::decisions::{self, Row, StoredDecision};
use fraudplat::substrate::clock::{Clock, SystemClock};
use fraudplat::substrate::db::{Day, ToSql};
use serde::{Deserialize, Serialize};

use crate::archiver::{archive_all, patient};
use crate::decider::Run;
use crate::world::{World, world};

/// What is said of a history, beside its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    schema_version: i64,
    what: String,
    made_by: String,
    engine_rev: i64,
    platform_run_id: PlatformRunId,
    /// What a replay must find.
    expected: Expected,
    log: Log,
    archive: Vec<Segment>,
    /// Which of the files each object is.
    objects: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    decisions: i64,
    /// The last link of the chain: it covers every body and every evidence.
    head: Digest,
    outcomes: BTreeMap<String, u64>,
    postures: BTreeMap<String, u64>,
    degraded: u64,
    bundles: u64,
}

/// The decision segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    object_key: String,
    content_hash: Digest,
    /// Of its decisions, in hex.
    id_filter: String,
}

/// A manifest row of the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Segment {
    stream: String,
    shard_id: String,
    first_sequence: String,
    last_sequence: String,
    records_count: i32,
    object_key: String,
    object_bytes: i64,
    content_hash: Digest,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/histories/v1")
}

impl Expected {
    fn of(all: &[StoredDecision]) -> Expected {
        let (mut outcomes, mut postures) = (BTreeMap::new(), BTreeMap::new());
        let (mut degraded, mut bundles) = (0, BTreeMap::new());
        for stored in all {
            let (body, _) = stored.open().unwrap();
            *outcomes.entry(body.outcome.to_string()).or_default() += 1;
            *postures.entry(body.posture.to_string()).or_default() += 1;
            degraded += u64::from(!body.degraded.is_empty());
            bundles.insert(body.bundle_digest, ());
        }
        let last = all.last().unwrap();
        Expected {
            decisions: last.seq,
            head: last.link,
            outcomes,
            postures,
            degraded,
            bundles: bundles.len() as u64,
        }
    }
}

/// A history in a place of its own: its database, its objects.
struct Loaded {
    history: History,
    world: World,
}

impl Loaded {
    async fn open(name: &str) -> Loaded {
        let dir = folder().join(name);
        let text = fs::read_to_string(dir.join("history.json")).unwrap();
        let history: History = serde_json::from_str(&text).unwrap();
        let world = world().await;
        for (key, file) in &history.objects {
            let bytes = fs::read(dir.join(file)).unwrap();
            let key = key.parse().unwrap();
            world
                .ground
                .objects
                .put_new(&key, bytes.into())
                .await
                .unwrap();
        }
        let loaded = Loaded { history, world };
        loaded.index().await;
        loaded
    }

    /// The rows that say where the objects are, as of a day that has left.
    async fn index(&self) {
        let client = self.world.db.owner.get().await.unwrap();
        let (run, now) = (self.history.platform_run_id, SystemClock.now());
        let day = Day::of(now);
        for table in ["rtdl.archive_segment", "dla.decision_segment"] {
            let sql = format!("SELECT governance.ensure_day_partitions('{table}', $1, $1)");
            client.execute(&sql, &[&day]).await.unwrap();
        }
        let folder = run.to_string();
        for it in &self.history.archive {
            let sql = "INSERT INTO rtdl.archive_segment (day, folder, platform_run_id, stream, shard_id,
                           first_sequence, last_sequence, records_count, object_key, object_bytes, content_hash,
                           archived_at, stamps)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '{}')";
            let values: [&(dyn ToSql + Sync); 12] = [
                &day,
                &folder,
                &run,
                &it.stream,
                &it.shard_id,
                &it.first_sequence,
                &it.last_sequence,
                &it.records_count,
                &it.object_key,
                &it.object_bytes,
                &it.content_hash,
                &now,
            ];
            client.execute(sql, &values).await.unwrap();
            // They are in order: the last one says how far the shard is archived.
            let covered = "INSERT INTO runtime.lease (group_name, scope, epoch, holder, expires_at, position)
                           VALUES ('archive', $1, 1, 'test', $2, $3)
                           ON CONFLICT (group_name, scope) DO UPDATE SET position = excluded.position";
            let scope = format!("{}/{}", it.stream, it.shard_id);
            let values: [&(dyn ToSql + Sync); 3] = [&scope, &now, &it.last_sequence];
            client.execute(covered, &values).await.unwrap();
        }
        self.index_log(&client, day, now).await;
    }

    async fn index_log(&self, client: &fraudplat::substrate::db::Client, day: Day, now: Time) {
        let (history, log) = (&self.history, &self.history.log);
        let filter = log.id_filter.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        let filter: Vec<u8> = filter.map(|it| byte(it).unwrap()).collect();
        let sql = "INSERT INTO dla.decision_segment (day, platform_run_id, first_seq, last_seq, last_link, first_ts,
                       last_ts, first_decided_at, last_decided_at, id_filter, object_key, object_bytes, content_hash,
                       written_at, stamps)
                   VALUES ($1, $2, 1, $3, $4, $5, $5, $5, $5, $6, $7, 1, $8, $5, '{}')";
        let values: [&(dyn ToSql + Sync); 8] = [
            &day,
            &history.platform_run_id,
            &history.expected.decisions,
            &history.expected.head,
            &now,
            &filter,
            &log.object_key,
            &log.content_hash,
        ];
        client.execute(sql, &values).await.unwrap();
        let left = "INSERT INTO governance.dropped_day (group_name, day, proof, proof_sha256, dropped_at, actor_id,
                        source_type, service_release_id)
                    VALUES ('dla', $1, '{}', '\\x00', $2, 'svc:test', 'SYSTEM', 'test')";
        client.execute(left, &[&day, &now]).await.unwrap();
    }

    async fn decisions(&self) -> Vec<StoredDecision> {
        let run = &self.history.platform_run_id;
        audit::list(&self.world.ground, run, 0, 10_000)
            .await
            .unwrap()
    }
}

/// The names of the histories that are there.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = entries
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_history_replays_byte_for_byte() {
    assert_eq!(names(), recipes::NAMES, "each recipe has its history");
    for name in names() {
        let loaded = Loaded::open(&name).await;
        let (ground, run) = (&loaded.world.ground, &loaded.history.platform_run_id);
        let chain = audit::verify(ground, run, &|_| ()).await.unwrap();
        assert_eq!(chain.broken, None, "{name}");
        assert_eq!(chain.head, loaded.history.expected.head, "{name}");
        let all = loaded.decisions().await;
        assert_eq!(Expected::of(&all), loaded.history.expected, "{name}");
        let report = audit::replay(ground, &all, &|_, _| ()).await.unwrap();
        assert_eq!(
            report.compared, loaded.history.expected.decisions as u64,
            "{name}"
        );
        assert_eq!(
            report.mismatched,
            0,
            "{name}: the engine decides otherwise than it did; where that is meant, ENGINE_REV is another: {:?}",
            report.mismatches.first()
        );
        assert!(loaded.history.engine_rev <= ENGINE_REV, "{name}");
    }
}

/// One operand of what was decided is another one, every hash made anew: the replay names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sees_one_altered_operand() {
    for name in names() {
        let loaded = Loaded::open(&name).await;
        let mut all = loaded.decisions().await;
        let at = all
            .iter()
            .position(|it| !it.open().unwrap().0.features.is_empty());
        let at = at.unwrap();
        let (mut body, _) = all[at].open().unwrap();
        let feature = body.features.keys().next().unwrap().clone();
        let other = fraudplat::contracts::decision::Value::Int(987_654_321);
        body.features.insert(feature.clone(), other);
        all[at].body = fraudplat::contracts::canonical::to_bytes(&body).unwrap();
        all[at].body_hash = fraudplat::contracts::decision::record_hash(&all[at].body);
        let report = audit::replay(&loaded.world.ground, &all, &|_, _| ())
            .await
            .unwrap();
        assert_eq!(report.mismatched, 1, "{name}");
        let differs = &report.mismatches[0];
        assert_eq!(differs.seq, all[at].seq);
        assert!(
            differs.fields[0].field.contains(&feature),
            "{name}: {differs:?}"
        );
    }
}

/// Makes the history that `UPDATE_HISTORIES` names, if it is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_history_is_made_on_demand() {
    let asked = std::env::vars().find(|(name, _)| name == "UPDATE_HISTORIES");
    let Some((_, name)) = asked else { return };
    let dir = folder().join(&name);
    assert!(
        !dir.exists(),
        "{name} is there, and no history is written twice"
    );
    let (what, run) = recipes::make(&name).await;
    export(&run, &name, what).await;
}

async fn export(run: &Run, name: &str, what: &str) {
    run.replay().await;
    archive_all(&run.world, patient()).await;
    let dir = folder().join(name);
    fs::create_dir_all(&dir).unwrap();
    let mut objects = BTreeMap::new();
    let mut keep = |key: &str, file: String| {
        fs::copy(run.file(key), dir.join(&file)).unwrap();
        objects.insert(key.to_owned(), file);
    };
    let archive = archived(run).await;
    for (nth, segment) in archive.iter().enumerate() {
        keep(&segment.object_key, format!("archive-{nth:02}.parquet"));
    }
    let all = audit::list(&run.world.ground, &run.id(), 0, 10_000)
        .await
        .unwrap();
    let mut bundles: Vec<Digest> = all
        .iter()
        .map(|it| it.open().unwrap().0.bundle_digest)
        .collect();
    bundles.sort();
    bundles.dedup();
    for (nth, digest) in bundles.iter().enumerate() {
        keep(
            &format!("mpr/bundles/{digest}.json"),
            format!("bundle-{nth}.json"),
        );
    }
    let content = decisions::encode(&rows(run, &all).await).unwrap();
    let hash = Digest::of_bytes(&content);
    let filter = decisions::id_filter(all.iter().map(|it| &it.decision_id));
    let last = all.last().unwrap();
    let key = decisions::segment_key(&run.id(), (1, last.seq), &hash).unwrap();
    fs::write(dir.join("log.parquet"), &content).unwrap();
    objects.insert(key.to_string(), "log.parquet".to_owned());
    let history = History {
        schema_version: 1,
        what: what.to_owned(),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        engine_rev: ENGINE_REV,
        platform_run_id: run.id(),
        expected: Expected::of(&all),
        log: Log {
            object_key: key.to_string(),
            content_hash: hash,
            id_filter: filter.iter().map(|it| format!("{it:02x}")).collect(),
        },
        archive,
        objects,
    };
    let text = serde_json::to_string_pretty(&history).unwrap();
    fs::write(dir.join("history.json"), text + "\n").unwrap();
}

/// The run's part of the archive's manifest.
async fn archived(run: &Run) -> Vec<Segment> {
    let sql = "SELECT stream, shard_id, first_sequence, last_sequence, records_count, object_key, object_bytes, content_hash
               FROM rtdl.archive_segment WHERE folder = $1 ORDER BY stream, shard_id, length(first_sequence), first_sequence";
    let client = run.world.db.owner.get().await.unwrap();
    let rows = client.query(sql, &[&run.id().to_string()]).await.unwrap();
    let segment = |row: &fraudplat::substrate::db::Row| Segment {
        stream: row.get(0),
        shard_id: row.get(1),
        first_sequence: row.get(2),
        last_sequence: row.get(3),
        records_count: row.get(4),
        object_key: row.get(5),
        object_bytes: row.get(6),
        content_hash: row.get(7),
    };
    rows.iter().map(segment).collect()
}

/// The log as maintenance writes it into a segment.
async fn rows(run: &Run, all: &[StoredDecision]) -> Vec<Row> {
    let client = run.world.db.owner.get().await.unwrap();
    let sql = "SELECT keys FROM dla.decision WHERE platform_run_id = $1 ORDER BY seq";
    let keys = client.query(sql, &[&run.id()]).await.unwrap();
    let row = |(stored, keys): (&StoredDecision, &fraudplat::substrate::db::Row)| {
        let (body, evidence) = stored.open().unwrap();
        Row {
            decision: stored.clone(),
            event_id: body.event_id.to_string(),
            ts_utc: body.ts_utc,
            outcome: body.outcome.to_string(),
            degraded: !body.degraded.is_empty(),
            decided_at: evidence.decided_at,
            keys: keys.get(0),
        }
    };
    all.iter().zip(&keys).map(row).collect()
}
