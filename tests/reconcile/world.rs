//! A small world, written as the roles write it: three payments in two batches of one gate, a
//! repeat on the bus, a duplicate and a quarantined event, a neighbour run on the same streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fraudplat::contracts::envelope::{AdmittedEvent, Envelope};
use fraudplat::contracts::groups::CONTEXT_GROUPS;
use fraudplat::contracts::ready::Ready;
use fraudplat::contracts::stamps::{Actor, Stamps};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::offset::{Basis, OriginOffset, Position, ShardRef};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{Environment, EventClass, Mode, SourceType, Stream};
use fraudplat::governance::counters::Counters;
use fraudplat::reconcile::{Options, Reconciled, reconcile};
use fraudplat::runtime::ground::Ground;
use fraudplat::runtime::partitions::Partitions;
use fraudplat::substrate::bus::embedded::{self, EmbeddedBus, StreamOptions};
use fraudplat::substrate::bus::{PutOutcome, PutRecord};
use fraudplat::substrate::clock::SetClock;
use fraudplat::substrate::db::{Client, Day};
use fraudplat::substrate::objects::local::LocalObjects;
use serde_json::json;

use crate::postgres::{TestDb, fresh_database};

const TABLES: &[&str] = &[
    "ig.batch",
    "ig.batch_count",
    "ig.event",
    "ig.batch_terminal",
    "ig.quarantine",
    "ig.receipt_segment",
    "rtdl.inlet_count",
    "rtdl.archive_segment",
    "dla.decision",
    "dla.decision_count",
    "al.intent",
    "al.attempt",
    "al.outcome",
    "al.dead_letter",
    "al.requeued",
];
pub(crate) const STAMPS: &str = "{}";

/// What is wrong with a world from its beginning, where no later damage could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Honest chains over evidence that names the record of another payment.
    EvidenceElsewhere,
}

pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) ground: Ground,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) pins: Pins,
    pub(crate) clock: SetClock,
    pub(crate) now: Time,
}

/// An admitted event and where it stands.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) event: AdmittedEvent,
    pub(crate) class: EventClass,
    item: i32,
    pub(crate) at: OriginOffset,
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

/// Payment `n` of a run, as one of its four events.
pub(crate) fn event(
    pins: &Pins,
    class: EventClass,
    n: i64,
    batch_id: i64,
    amount: i64,
) -> AdmittedEvent {
    let payload = match class {
        EventClass::ArrivalEvent => {
            json!({"merchant_id": "m", "arrival_seq": n, "kind": "payment"})
        }
        EventClass::ArrivalEntities => {
            json!({"merchant_id": "m", "arrival_seq": n, "customer_id": "c"})
        }
        EventClass::FlowAnchor => {
            json!({"flow_id": format!("f{n}"), "merchant_id": "m", "arrival_seq": n})
        }
        EventClass::Traffic => json!({
            "flow_id": format!("f{n}"), "customer_id": "c", "merchant_id": "m",
            "amount_minor": amount, "currency": "EUR", "channel": "pos",
        }),
    };
    let envelope = Envelope {
        event_id: format!("e{n}").parse().unwrap(),
        event_class: class.to_string(),
        schema_version: 1,
        ts_utc: "2025-01-01T00:00:00Z".parse().unwrap(),
        platform_run_id: pins.platform_run_id,
        scenario_run_id: pins.scenario_run_id,
        manifest_fingerprint: pins.manifest_fingerprint,
        tenant_id: None,
        producer: "test".to_owned(),
        payload,
        pii: None,
    };
    AdmittedEvent {
        payload_hash: envelope.payload_hash().unwrap(),
        envelope_hash: None,
        admitted_at: "2025-06-01T12:00:00Z".parse().unwrap(),
        batch_id,
        envelope,
    }
}

/// A world that balances, but for its flaw.
pub(crate) async fn world(flaw: Flaw) -> World {
    let db = fresh_database().await;
    let dir = tempfile::tempdir().unwrap();
    let now: Time = "2025-06-01T12:00:00Z".parse().unwrap();
    let clock = SetClock::at(now);
    let stream = |stream: &Stream| StreamOptions {
        stream: *stream,
        shards: 2,
        retention: None,
    };
    let options = embedded::Options {
        streams: Stream::ALL.iter().map(stream).collect(),
        clock: Arc::new(clock.clone()),
    };
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
        bus: Arc::new(EmbeddedBus::open(&dir.path().join("bus"), options).unwrap()),
        objects: Arc::new(LocalObjects::open(&dir.path().join("objects")).unwrap()),
        db: db.app.clone(),
        clock: Arc::new(clock.clone()),
        counters: Counters::new(stamps.clone()),
        stamps,
        actor: Actor {
            actor_id: "svc:test".parse().unwrap(),
            source_type: SourceType::System,
        },
        holder: "test".to_owned(),
    };
    let world = World {
        db,
        ground,
        dir,
        pins: pins("a"),
        clock,
        now,
    };
    world.fill(flaw).await;
    world
}

impl World {
    pub(crate) fn run(&self) -> PlatformRunId {
        self.pins.platform_run_id
    }

    pub(crate) async fn reconcile(&self, options: Options) -> Reconciled {
        reconcile(&self.ground, &self.run(), options, &|_, _| {})
            .await
            .unwrap()
    }

    /// The file of an object.
    pub(crate) fn file(&self, key: &str) -> std::path::PathBuf {
        let root = self.dir.path().join("objects");
        let found = walk(&root).into_iter().find(|path| path.ends_with(key));
        found.unwrap_or_else(|| panic!("no object {key}"))
    }

    async fn fill(&self, flaw: Flaw) {
        let client = self.ground.db.get().await.unwrap();
        Partitions::of(TABLES)
            .ensure(&client, self.day())
            .await
            .unwrap();
        self.neighbour().await;
        self.begin(&client).await;
        let first = self.batch(&client, 1, &[1, 2]).await;
        self.neighbour().await;
        let second = self.batch(&client, 2, &[3]).await;
        self.actions().await;
        // L5: a repeat is legal.
        let again = &first
            .iter()
            .find(|it| it.class == EventClass::Traffic)
            .unwrap()
            .event;
        self.put(Stream::Traffic, "e1", json(again)).await;
        self.receipts(&client, 1, &first).await;
        self.receipts(&client, 2, &second).await;
        self.quarantine(&client).await;
        let stored = [first, second].concat();
        self.inlets(&client).await;
        self.archive(&client).await;
        self.decide(&client, &stored, flaw).await;
    }

    pub(crate) fn day(&self) -> Day {
        Day::of(self.now)
    }

    /// Another run's traffic on the same stream.
    async fn neighbour(&self) {
        let other = event(&pins("b"), EventClass::Traffic, 1, 9, 1);
        self.put(Stream::Traffic, "other", json(&other)).await;
    }

    pub(crate) async fn put(&self, stream: Stream, key: &str, data: Bytes) -> OriginOffset {
        let record = PutRecord {
            partition_key: key.to_owned(),
            data,
        };
        match self
            .ground
            .bus
            .put_records(stream, vec![record])
            .await
            .remove(0)
        {
            PutOutcome::Stored(at) => at,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn tips(&self) -> BTreeMap<ShardRef, Position> {
        let mut tips = BTreeMap::new();
        for stream in Stream::ALL {
            for shard in self.ground.bus.shards(*stream).await.unwrap() {
                let tip = self.ground.bus.tip(*stream, &shard.shard_id).await.unwrap();
                tips.insert(
                    ShardRef {
                        stream: *stream,
                        shard_id: shard.shard_id,
                    },
                    tip,
                );
            }
        }
        tips
    }

    async fn begin(&self, client: &Client) {
        let tips = self.tips().await;
        let ready = Ready {
            schema_version: 1,
            pins: self.pins.clone(),
            run_facts_ref: "facts".to_owned(),
            run_facts_digest: Digest::of_bytes(b"facts"),
            tips: Basis(
                tips.iter()
                    .map(|(shard, at)| (shard.to_string(), at.clone()))
                    .collect(),
            ),
            actor: self.ground.actor.clone(),
            ready_at: self.now,
            stamps: self.ground.stamps.clone(),
        };
        let pins = &self.pins;
        client
            .execute(
                "INSERT INTO governance.run (platform_run_id, scenario_run_id, manifest_fingerprint, name, label,
                     run_facts_ref, run_facts_digest, ready, created_at, actor_id, source_type, service_release_id)
                 VALUES ($1, $2, $3, 'test', '', 'facts', $4, $5, $6, 'svc:test', 'SYSTEM', 'test')",
                &[
                    &pins.platform_run_id,
                    &pins.scenario_run_id,
                    &pins.manifest_fingerprint,
                    &Digest::of_bytes(b"facts"),
                    &serde_json::to_vec(&ready).unwrap(),
                    &self.now,
                ],
            )
            .await
            .unwrap();
    }

    /// One batch of the gate: its rows, its records, its terminal row. Batch 2 also meets a
    /// duplicate and an event that it quarantines.
    #[expect(clippy::too_many_lines, reason = "a world by hand is a long list")]
    async fn batch(&self, client: &Client, batch_id: i64, payments: &[i64]) -> Vec<Stored> {
        let (day, run) = (self.day(), self.run());
        let mut stored = Vec::new();
        for class in EventClass::ALL {
            for n in payments {
                let event = event(&self.pins, *class, *n, batch_id, 100 * n);
                let at = self
                    .put(
                        class.stream(),
                        event.envelope.event_id.as_str(),
                        json(&event),
                    )
                    .await;
                let item = i32::try_from(stored.len()).unwrap();
                stored.push(Stored {
                    event,
                    class: *class,
                    item,
                    at,
                });
            }
        }
        let n = i32::try_from(stored.len()).unwrap();
        client
            .execute(
                "INSERT INTO ig.batch (day, batch_id, gate_id, epoch, admitted_at, events_count, service_release_id,
                     environment, mode, policy_rev, run_config_digest)
                 VALUES ($1, $2, 'gate', 1, $3, $4, 'test', 'local_parity', 'fraud', 'none', '')",
                &[&day, &batch_id, &self.now, &n],
            )
            .await
            .unwrap();
        for class in EventClass::ALL {
            let admitted = i32::try_from(payments.len()).unwrap();
            let more = i32::from(batch_id == 2 && *class == EventClass::Traffic);
            client
                .execute(
                    "INSERT INTO ig.batch_count (day, batch_id, platform_run_id, event_class, received, admitted,
                         duplicate, quarantined)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
                    &[&day, &batch_id, &run, &class.as_str(), &(admitted + 2 * more), &admitted, &more],
                )
                .await
                .unwrap();
        }
        for it in &stored {
            let envelope = &it.event.envelope;
            client
                .execute(
                    "INSERT INTO ig.event (day, batch_id, item, event_key, platform_run_id, event_class, event_id,
                         payload_hash, ts_utc)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    &[
                        &day,
                        &batch_id,
                        &it.item,
                        &envelope.key(it.class).digest(),
                        &run,
                        &it.class.as_str(),
                        &envelope.event_id.as_str(),
                        &it.event.payload_hash,
                        &envelope.ts_utc,
                    ],
                )
                .await
                .unwrap();
        }
        let shards: Vec<&str> = stored.iter().map(|it| it.at.shard_id.0.as_str()).collect();
        let numbers: Vec<&str> = stored
            .iter()
            .map(|it| it.at.sequence_number.as_str())
            .collect();
        client
            .execute(
                "INSERT INTO ig.batch_terminal (day, batch_id, epoch, shard_ids, sequence_numbers, terminal_at)
                 VALUES ($1, $2, 1, $3, $4, $5)",
                &[&day, &batch_id, &shards, &numbers, &self.now],
            )
            .await
            .unwrap();
        stored
    }

    pub(crate) async fn lease(&self, client: &Client, group: &str, scope: &str, position: &str) {
        client
            .execute(
                "INSERT INTO runtime.lease (group_name, scope, epoch, holder, expires_at, position)
                 VALUES ($1, $2, 1, 'test', now(), $3)",
                &[&group, &scope, &position],
            )
            .await
            .unwrap();
    }

    /// The context groups: three records of each class, all written; positions at the tips.
    async fn inlets(&self, client: &Client) {
        for (group, stream) in CONTEXT_GROUPS {
            for (shard, tip) in self.tips().await {
                if shard.stream == stream {
                    self.lease(client, group, &shard.to_string(), &tip.to_string())
                        .await;
                }
            }
            client
                .execute(
                    "INSERT INTO rtdl.inlet_count (day, group_name, stream, shard_id, first_sequence, last_sequence,
                         platform_run_id, seen, written, deduped, quarantined, counted_at, stamps)
                     VALUES ($1, $2, $3, 's', '1', '3', $4, 3, 3, 0, 0, $5, $6)",
                    &[&self.day(), &group, &stream.as_str(), &self.run(), &self.now, &STAMPS],
                )
                .await
                .unwrap();
        }
    }
}

pub(crate) fn json(event: &AdmittedEvent) -> Bytes {
    serde_json::to_vec(event).unwrap().into()
}

/// Every file below.
fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}
