//! One test's own world: a database, a bus, objects, and events to put on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fraudplat::contracts::envelope::{AdmittedEvent, Envelope};
use fraudplat::contracts::stamps::{Actor, Stamps};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::offset::{Basis, OriginOffset, Position, ShardId, ShardRef};
use fraudplat::domain::vocabulary::{Environment, EventClass, Mode, SourceType, Stream};
use fraudplat::governance::counters::{Counter, Counters};
use fraudplat::rtdl::inlet::{Inlet, Options};
use fraudplat::runtime::ground::Ground;
use fraudplat::runtime::lease;
use fraudplat::substrate::bus::embedded::{self, EmbeddedBus, StreamOptions};
use fraudplat::substrate::bus::{PutOutcome, PutRecord};
use fraudplat::substrate::clock::SystemClock;
use fraudplat::substrate::objects::local::LocalObjects;
use fraudplat::substrate::tasks::Tasks;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::postgres::{self, TestDb};

/// Longer than anything here takes on a busy machine with a slow disk.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);

pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) ground: Ground,
    /// The bus of the ground: [`EmbeddedBus::trim`] drops what is older than an hour.
    pub(crate) log: Arc<EmbeddedBus>,
    pub(crate) dir: tempfile::TempDir,
}

/// A world with two shards a stream.
pub(crate) async fn world() -> World {
    // What goes wrong in a task is said there only; `cargo test` shows it with the failed test.
    drop(tracing_subscriber::fmt().with_test_writer().try_init());
    let db = postgres::fresh_database().await;
    let dir = tempfile::tempdir().unwrap();
    let stream = |stream: &Stream| StreamOptions {
        stream: *stream,
        shards: 2,
        retention: Some(Duration::from_secs(3_600)),
    };
    let options = embedded::Options {
        streams: Stream::ALL.iter().map(stream).collect(),
        clock: Arc::new(SystemClock),
    };
    let log = Arc::new(EmbeddedBus::open(&dir.path().join("bus"), options).unwrap());
    let stamps = Stamps {
        service_release_id: "test".to_owned(),
        environment: Environment::LocalParity,
        mode: Mode::Fraud,
        policy_rev: "none".to_owned(),
        run_config_digest: Digest::of_bytes(b"profile"),
        bundle_slot: None,
        tenant_id: None,
    };
    let ground = Ground {
        bus: log.clone(),
        objects: Arc::new(LocalObjects::open(&dir.path().join("objects")).unwrap()),
        db: db.app.clone(),
        clock: Arc::new(SystemClock),
        counters: Counters::new(stamps.clone()),
        stamps,
        actor: Actor {
            actor_id: "svc:test".parse().unwrap(),
            source_type: SourceType::System,
        },
        holder: "first".to_owned(),
    };
    World {
        db,
        ground,
        log,
        dir,
    }
}

pub(crate) fn pins(name: &str) -> Pins {
    let digest = |what: &str| Digest::of_bytes(format!("{name} {what}").as_bytes());
    Pins {
        platform_run_id: PlatformRunId::from_digest(digest("run")),
        scenario_run_id: ScenarioRunId::from_digest(digest("scenario")),
        manifest_fingerprint: ManifestFingerprint::from_digest(digest("world")),
        tenant_id: None,
    }
}

/// An event as the gate would admit it.
pub(crate) fn admitted(run: &Pins, class: EventClass, id: &str, payload: Value) -> AdmittedEvent {
    let envelope = Envelope {
        event_id: id.parse().unwrap(),
        event_class: class.to_string(),
        schema_version: 1,
        ts_utc: "2025-01-01T00:00:00Z".parse().unwrap(),
        platform_run_id: run.platform_run_id,
        scenario_run_id: run.scenario_run_id,
        manifest_fingerprint: run.manifest_fingerprint,
        tenant_id: None,
        producer: "test".to_owned(),
        payload,
        pii: None,
    };
    AdmittedEvent {
        payload_hash: envelope.payload_hash().unwrap(),
        envelope_hash: None,
        admitted_at: "2025-01-01T00:00:01Z".parse().unwrap(),
        batch_id: 1,
        envelope,
    }
}

/// Arrival `seq` of merchant `m`, as one of its three contexts or its traffic.
pub(crate) fn context(run: &Pins, class: EventClass, seq: i64) -> AdmittedEvent {
    let payload = match class {
        EventClass::ArrivalEvent => {
            json!({"merchant_id": "m", "arrival_seq": seq, "kind": "payment"})
        }
        EventClass::ArrivalEntities => {
            json!({"merchant_id": "m", "arrival_seq": seq, "customer_id": format!("c{seq}")})
        }
        EventClass::FlowAnchor => {
            json!({"flow_id": format!("f{seq}"), "merchant_id": "m", "arrival_seq": seq})
        }
        EventClass::Traffic => json!({
            "flow_id": format!("f{seq}"), "customer_id": "c", "merchant_id": "m",
            "amount_minor": seq, "currency": "EUR", "channel": "pos",
        }),
    };
    admitted(run, class, &format!("e{seq}"), payload)
}

pub(crate) fn anchor(run: &Pins, id: &str, flow: &str, seq: i64) -> AdmittedEvent {
    let payload = json!({"flow_id": flow, "merchant_id": "m", "arrival_seq": seq});
    admitted(run, EventClass::FlowAnchor, id, payload)
}

/// As the gate writes it.
pub(crate) fn bytes(event: &AdmittedEvent) -> Bytes {
    let mut event = event.clone();
    event.envelope_hash = Some(event.proof());
    Bytes::from(serde_json::to_vec(&event).unwrap())
}

impl World {
    /// Puts records, each under its own key, and returns where they stand.
    pub(crate) async fn put(&self, stream: Stream, data: Vec<Bytes>) -> Vec<OriginOffset> {
        let keyed = |(at, data): (usize, Bytes)| PutRecord {
            partition_key: format!("key {at}"),
            data,
        };
        self.put_keyed(stream, data.into_iter().enumerate().map(keyed).collect())
            .await
    }

    /// Puts records under one key: one shard, in order.
    pub(crate) async fn put_in_order(&self, stream: Stream, data: Vec<Bytes>) -> Vec<OriginOffset> {
        let keyed = |data: Bytes| PutRecord {
            partition_key: "one".to_owned(),
            data,
        };
        self.put_keyed(stream, data.into_iter().map(keyed).collect())
            .await
    }

    async fn put_keyed(&self, stream: Stream, records: Vec<PutRecord>) -> Vec<OriginOffset> {
        let mut offsets = Vec::new();
        for records in records.chunks(500) {
            let outcomes = self.ground.bus.put_records(stream, records.to_vec()).await;
            offsets.extend(outcomes.into_iter().map(|outcome| match outcome {
                PutOutcome::Stored(offset) => offset,
                other => panic!("{other:?}"),
            }));
        }
        offsets
    }

    /// The tips of all shards of some streams.
    pub(crate) async fn tips(&self, streams: &[Stream]) -> Basis {
        let mut basis = Basis::default();
        for stream in streams {
            for shard in self.ground.bus.shards(*stream).await.unwrap() {
                let tip = self.ground.bus.tip(*stream, &shard.shard_id).await.unwrap();
                let shard_id: ShardId = shard.shard_id;
                basis.advance(
                    &ShardRef {
                        stream: *stream,
                        shard_id,
                    },
                    tip,
                );
            }
        }
        basis
    }

    /// Runs the inlets until they have read all that stands on the bus, then drains them.
    pub(crate) async fn run_inlets(&self) {
        let tips = self.tips(&CONTEXTS).await;
        let mut tasks = Tasks::new(CancellationToken::new());
        Inlet::create(Options::default(), &self.ground).start(&mut tasks);
        self.until_read(&tips).await;
        tasks.stop_token().cancel();
        tasks.join().await.unwrap();
    }

    /// Waits until the context groups have committed up to `tips`.
    pub(crate) async fn until_read(&self, tips: &Basis) {
        eventually("the inlets read to the tip", async || {
            let leases = lease::list(&self.ground.db.get().await.unwrap())
                .await
                .unwrap();
            tips.0.iter().all(|(shard, tip)| {
                let row = leases
                    .iter()
                    .find(|row| row.key.scope == *shard && row.key.group != "archive");
                row.is_some_and(|row| row.position.parse::<Position>().unwrap().reaches(tip))
            })
        })
        .await;
    }

    /// One number, asked as the owner, who may see everything.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.db
            .owner
            .get()
            .await
            .unwrap()
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// Rows of text columns, joined by spaces.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        let rows = self
            .db
            .owner
            .get()
            .await
            .unwrap()
            .query(sql, &[])
            .await
            .unwrap();
        let line = |row: &fraudplat::substrate::db::Row| {
            let words: Vec<String> = (0..row.len()).map(|at| row.get(at)).collect();
            words.join(" ")
        };
        rows.iter().map(line).collect()
    }

    pub(crate) fn count(&self, run: &Pins, counter: Counter) -> u64 {
        self.ground.counters.get(run, counter)
    }

    /// seen, written, deduped, quarantined of all `rtdl.inlet_count` rows.
    pub(crate) async fn counted(&self) -> [i64; 4] {
        let client = self.db.owner.get().await.unwrap();
        let sql =
            "SELECT coalesce(sum(seen), 0), coalesce(sum(written), 0), coalesce(sum(deduped), 0),
                   coalesce(sum(quarantined), 0) FROM rtdl.inlet_count";
        let row = client.query_one(sql, &[]).await.unwrap();
        [0, 1, 2, 3].map(|at| row.get(at))
    }
}

pub(crate) const CONTEXTS: [Stream; 3] = [
    Stream::ArrivalEvents,
    Stream::ArrivalEntities,
    Stream::FlowAnchor,
];

/// Polls until the condition holds, and fails after the deadline.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn shard_of(offset: &OriginOffset) -> ShardRef {
    ShardRef {
        stream: offset.stream,
        shard_id: offset.shard_id.clone(),
    }
}
