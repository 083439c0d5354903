//! One test's own ground and run, and gates on it that can be drained or killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fraudplat::contracts::bundle::{self, Bundle};
use fraudplat::contracts::decision_notice::DecisionWaiter;
use fraudplat::contracts::envelope::AdmittedEvent;
use fraudplat::contracts::stamps::{Actor, Stamps};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::ManifestFingerprint;
use fraudplat::domain::keys::Pins;
use fraudplat::domain::offset::Position;
use fraudplat::domain::vocabulary::{Environment, EventClass, Mode, SourceType, Stream};
use fraudplat::engine::bundle::{CompiledBundle, FileNames};
use fraudplat::governance::counters::{Counter, Counters};
use fraudplat::ingress::ig::{Ig, Options};
use fraudplat::ingress::sr::{self, NewRun};
use fraudplat::rtdl::decision::{self, Decision};
use fraudplat::runtime::ground::Ground;
use fraudplat::runtime::lease;
use fraudplat::substrate::bus::embedded::{self, EmbeddedBus, StreamOptions};
use fraudplat::substrate::bus::{Bus, BusRecord, PutOutcome, PutRecord, ReadFrom, ReadLimit};
use fraudplat::substrate::clock::{Clock, SeededEntropy, SystemClock};
use fraudplat::substrate::db::{Client, ToSql};
use fraudplat::substrate::fault::{FaultPlan, FaultyBus, FaultyObjects};
use fraudplat::substrate::objects::local::LocalObjects;
use fraudplat::substrate::tasks::Tasks;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::held_bus::HeldBus;
use crate::postgres::{self, TestDb};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const JSON: &str = "application/json";

pub(crate) struct Lab {
    pub(crate) db: TestDb,
    pub(crate) ground: Ground,
    pub(crate) bus: Arc<FaultyBus<HeldBus>>,
    pub(crate) bus_plan: FaultPlan,
    pub(crate) objects_plan: FaultPlan,
    pub(crate) run: Pins,
    pub(crate) dir: tempfile::TempDir,
}

/// A ground with two shards a stream, and one live run.
pub(crate) async fn lab() -> Lab {
    lab_at(Arc::new(SystemClock), None).await
}

/// The same under another clock, with a log that keeps its records so long.
pub(crate) async fn lab_at(clock: Arc<dyn Clock>, retention: Option<Duration>) -> Lab {
    crate::cards::capture_log();
    let db = postgres::fresh_database().await;
    let dir = tempfile::tempdir().unwrap();
    let stream = |stream: &Stream| StreamOptions {
        stream: *stream,
        shards: 2,
        retention,
    };
    let options = embedded::Options {
        streams: Stream::ALL.iter().map(stream).collect(),
        clock: clock.clone(),
    };
    let bus = EmbeddedBus::open(&dir.path().join("bus"), options).unwrap();
    let (bus_plan, objects_plan) = (FaultPlan::none(), FaultPlan::none());
    let bus = Arc::new(FaultyBus::new(HeldBus::new(bus), bus_plan.clone()));
    let objects = LocalObjects::open(&dir.path().join("objects")).unwrap();
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
        bus: bus.clone(),
        objects: Arc::new(FaultyObjects::new(objects, objects_plan.clone())),
        db: db.app.clone(),
        clock,
        counters: Counters::new(stamps.clone()),
        stamps,
        actor: Actor {
            actor_id: "svc:test".parse().unwrap(),
            source_type: SourceType::System,
        },
        holder: "first".to_owned(),
    };
    let run = live_run(&ground, "shop").await;
    Lab {
        db,
        ground,
        bus,
        bus_plan,
        objects_plan,
        run,
        dir,
    }
}

pub(crate) async fn live_run(ground: &Ground, name: &str) -> Pins {
    let new = NewRun {
        manifest_fingerprint: ManifestFingerprint::of_live(None, name),
        name: name.to_owned(),
        label: String::new(),
        tenant_id: None,
        semantic_digest: Digest::of_bytes(b"semantics"),
        world: None,
    };
    sr::create(ground, &new).await.unwrap().facts.pins
}

impl Lab {
    pub(crate) async fn gate(&self) -> Gate {
        self.gate_with(options()).await
    }

    /// Starts a gate on a port of its own.
    pub(crate) async fn gate_with(&self, options: Options) -> Gate {
        let mut ground = self.ground.clone();
        ground.holder = SeededName::next();
        let entropy = Arc::new(SeededEntropy::new(1));
        let decisions = nobody_decides(&ground);
        let ig = Ig::create(options, ground, entropy, [7; 32], decisions).unwrap();
        let mut tasks = Tasks::new(CancellationToken::new());
        ig.start(&mut tasks);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = ig.router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Gate {
            ig,
            url,
            tasks,
            server,
            client: fraudplat::substrate::auth::client::builder()
                .build()
                .unwrap(),
        }
    }

    /// What the sole owner of a data directory does when it starts after a crash.
    pub(crate) async fn release_leases(&self) {
        lease::release_all(&self.ground.db).await.unwrap();
    }

    /// Lets a gate's lease expire until another gate has it, which then keeps it until it gives it back: the
    /// one that is slow may renew what has expired and is not taken yet.
    pub(crate) async fn take_over(&self, gate_id: &str) {
        let client = self.client().await;
        let holder = "SELECT holder FROM runtime.lease WHERE group_name = 'ig' AND scope = $1";
        let row = client.query_one(holder, &[&gate_id]).await.unwrap();
        let slow: String = row.get(0);
        let expire = "UPDATE runtime.lease SET expires_at = now() - interval '1 second'
            WHERE group_name = 'ig' AND scope = $1 AND holder = $2";
        let is_taken = async || client.execute(expire, &[&gate_id, &slow]).await.unwrap() == 0;
        until(is_taken).await;
        let keep = "UPDATE runtime.lease SET expires_at = now() + interval '1 hour'
            WHERE group_name = 'ig' AND scope = $1";
        client.execute(keep, &[&gate_id]).await.unwrap();
    }

    /// What a killed gate had begun to put stands on the log, or never will: they would have died together.
    pub(crate) async fn put_to_its_end(&self) {
        let last = PutRecord {
            partition_key: "last".to_owned(),
            data: "{}".into(),
        };
        let log = self.bus.inner().log();
        let put = log.put_records(Stream::Control, vec![last]).await;
        assert!(matches!(put[0], PutOutcome::Stored(_)), "{put:?}");
    }

    pub(crate) async fn client(&self) -> Client {
        self.db.owner.get().await.unwrap()
    }

    pub(crate) async fn number(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> i64 {
        self.client()
            .await
            .query_one(sql, params)
            .await
            .unwrap()
            .get(0)
    }

    /// Everything on a stream, in the order of its shards.
    pub(crate) async fn records(&self, stream: Stream) -> Vec<BusRecord> {
        let bus = self.bus.inner();
        let mut records = Vec::new();
        for shard in bus.shards(stream).await.unwrap() {
            let mut from = Position::Start;
            loop {
                let limit = ReadLimit {
                    records_max: 10_000,
                    bytes_max: 64 << 20,
                    wait_max: Duration::ZERO,
                };
                let read = bus.read(stream, &shard.shard_id, ReadFrom::Position(from), limit);
                let read = read.await.unwrap();
                let Some(last) = read.records.last() else {
                    break;
                };
                from = Position::After(last.sequence_number.clone());
                records.extend(read.records);
            }
        }
        records
    }

    /// How often each event id stands on a stream.
    pub(crate) async fn copies(&self, stream: Stream) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for record in self.records(stream).await {
            let event: AdmittedEvent = serde_json::from_slice(&record.data).unwrap();
            *copies
                .entry(event.envelope.event_id.to_string())
                .or_default() += 1;
        }
        copies
    }

    /// received = admitted + duplicate + quarantined, by durable rows, which agree with the events,
    /// the quarantine, the dedupe index and the open batches.
    pub(crate) async fn balance(&self) -> Counts {
        let sql = "SELECT coalesce(sum(received), 0)::bigint, coalesce(sum(admitted), 0)::bigint,
            coalesce(sum(duplicate), 0)::bigint, coalesce(sum(quarantined), 0)::bigint FROM ig.batch_count";
        let row = self.client().await.query_one(sql, &[]).await.unwrap();
        let counts = Counts {
            received: row.get(0),
            admitted: row.get(1),
            duplicate: row.get(2),
            quarantined: row.get(3),
        };
        let sum = counts.admitted + counts.duplicate + counts.quarantined;
        assert_eq!(counts.received, sum);
        let count = async |table: &str| {
            self.number(&format!("SELECT count(*) FROM {table}"), &[])
                .await
        };
        assert_eq!(count("ig.event").await, counts.admitted);
        assert_eq!(count("ig.dedupe").await, counts.admitted);
        assert_eq!(count("ig.quarantine").await, counts.quarantined);
        let open = "ig.batch b WHERE events_count > 0 AND NOT EXISTS (
            SELECT FROM ig.batch_terminal t WHERE t.day = b.day AND t.batch_id = b.batch_id)";
        assert_eq!(count(open).await, count("runtime.inflight").await);
        counts
    }

    /// Waits until no batch is open.
    pub(crate) async fn settled(&self) {
        let is_settled = async || {
            self.number("SELECT count(*) FROM runtime.inflight", &[])
                .await
                == 0
        };
        until(is_settled).await;
    }

    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.ground.counters.get(&self.run, counter)
    }

    pub(crate) fn traffic(&self, id: &str, amount_minor: i64) -> Value {
        event(&self.run, EventClass::Traffic, id, amount_minor)
    }
}

/// A gate that gives nothing up for being slow: how long it takes is the machine's.
pub(crate) fn options() -> Options {
    Options {
        request_ms_max: 120_000,
        backlog_ms_max: 120_000,
        drain_ms_max: 100_000,
        ..Options::default()
    }
}

/// A decision role that is not started: whoever waits for it waits in vain.
fn nobody_decides(ground: &Ground) -> Arc<dyn DecisionWaiter> {
    decider(ground, 1).waiter()
}

/// The shipped bundle.
pub(crate) fn baseline() -> Bundle {
    Bundle {
        schema_version: bundle::SCHEMA_VERSION,
        name: "baseline".to_owned(),
        feature_set: include_str!("../../profiles/bundles/baseline/feature_set.yaml").to_owned(),
        policy: include_str!("../../profiles/bundles/baseline/policy.yaml").to_owned(),
        model: None,
        manifest: None,
    }
}

/// A decision role of the shipped bundle, which keeps its memory after so many decisions.
pub(crate) fn decider(ground: &Ground, snapshot_decisions: i64) -> Arc<Decision> {
    let names = FileNames {
        feature_set: "feature_set.yaml",
        policy: "policy.yaml",
    };
    let bundle = Arc::new(CompiledBundle::compile(&baseline(), names).unwrap());
    let options = decision::Options {
        batch_records_max: 1_000,
        batch_bytes_max: 1 << 20,
        join_wait_ms: 60_000,
        posture: decision::ladder::Thresholds::default(),
        snapshot_decisions,
        memory: decision::Memory {
            // Small enough that keys are put away and come back all the time.
            keys_bytes_max: 2_000,
            scratch_dir: std::env::temp_dir(),
        },
        look_ms: 2_000,
    };
    Decision::create(options, ground.clone(), bundle)
}

struct SeededName;

impl SeededName {
    fn next() -> String {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        format!("gate process {number}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: i64,
    pub(crate) admitted: i64,
    pub(crate) duplicate: i64,
    pub(crate) quarantined: i64,
}

/// Polls a condition until it holds.
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    let poll = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll)
        .await
        .expect("the condition came true");
}

/// An event of a live run, now.
pub(crate) fn event(run: &Pins, class: EventClass, id: &str, n: i64) -> Value {
    let payload = match class {
        EventClass::ArrivalEvent => {
            json!({"merchant_id": "m", "arrival_seq": n, "kind": "payment"})
        }
        EventClass::ArrivalEntities => {
            json!({"merchant_id": "m", "arrival_seq": n, "card_id": "k"})
        }
        EventClass::FlowAnchor => json!({"flow_id": id, "merchant_id": "m", "arrival_seq": n}),
        EventClass::Traffic => json!({
            "flow_id": format!("f-{id}"), "customer_id": "c", "merchant_id": "m",
            "amount_minor": n, "currency": "EUR", "channel": "pos",
        }),
    };
    // One moment for all: a repeat has the hash of the first.
    static NOW: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    json!({
        "event_id": id, "event_class": class, "schema_version": 1,
        "ts_utc": NOW.get_or_init(|| SystemClock.now().to_string()),
        "platform_run_id": run.platform_run_id, "scenario_run_id": run.scenario_run_id,
        "manifest_fingerprint": run.manifest_fingerprint, "producer": "test", "payload": payload,
    })
}

pub(crate) fn lines<'v>(events: impl IntoIterator<Item = &'v Value>) -> String {
    events.into_iter().map(|it| format!("{it}\n")).collect()
}

pub(crate) struct Gate {
    pub(crate) ig: Arc<Ig>,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    tasks: Tasks,
    server: JoinHandle<()>,
}

impl Gate {
    pub(crate) async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        post(&self.client, &self.url, content_type, body).await
    }

    /// Sends a body that says how it is encoded.
    pub(crate) async fn post_encoded(&self, encoding: &str, body: Vec<u8>) -> Answer {
        let request = self.client.post(format!("{}/v1/events", self.url));
        let request = request.header("content-type", NDJSON).body(body);
        let request = request.header("content-encoding", encoding);
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends lines and returns the verdicts.
    pub(crate) async fn send<'v>(&self, events: impl IntoIterator<Item = &'v Value>) -> Vec<Value> {
        let answer = self.post(NDJSON, lines(events)).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        answer.results()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let response = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        Answer::read(response).await
    }

    /// Stops it as SIGTERM does.
    pub(crate) async fn drain(self) {
        self.tasks.stop_token().cancel();
        let joined = tokio::time::timeout(DEADLINE, self.tasks.join()).await;
        joined.expect("the drain ends").unwrap();
        self.server.abort();
    }

    /// Stops it as kill -9 does: every task ends where it stands.
    pub(crate) async fn crash(self) {
        self.server.abort();
        drop(self.tasks);
        drop(self.server.await);
    }
}

pub(crate) async fn post(
    client: &reqwest::Client,
    url: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = client.post(format!("{url}/v1/events"));
    let request = request.header("content-type", content_type).body(body);
    Answer::read(request.send().await.unwrap()).await
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) accept_encoding: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Answer {
    async fn read(response: reqwest::Response) -> Answer {
        let header = |name| {
            response
                .headers()
                .get(name)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        Answer {
            status: response.status().as_u16(),
            retry_after: header("retry-after"),
            accept_encoding: header("accept-encoding"),
            content_type: header("content-type").unwrap_or_default(),
            body: response.json().await.unwrap(),
        }
    }

    /// What Retry-After says.
    pub(crate) fn seconds(&self) -> u64 {
        self.retry_after.as_deref().unwrap().parse().unwrap()
    }

    pub(crate) fn results(&self) -> Vec<Value> {
        self.body["results"].as_array().unwrap().clone()
    }
}

/// `RESULT` or `RESULT CODE` of each verdict.
pub(crate) fn words(results: &[Value]) -> Vec<String> {
    let word = |it: &Value| {
        let code = it["code"].as_str().map(|code| format!(" {code}"));
        format!(
            "{}{}",
            it["result"].as_str().unwrap(),
            code.unwrap_or_default()
        )
    };
    results.iter().map(word).collect()
}
