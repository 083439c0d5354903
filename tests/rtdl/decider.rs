//! The decision role over a run that a test puts on the bus, and what it says of its memory.

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fraudplat::contracts::bundle::Bundle;
use fraudplat::contracts::decision::{DecisionBody, DecisionEvidence};
use fraudplat::contracts::ready::Ready;
use fraudplat::contracts::run_snapshot::RunSnapshot;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::engine::CompiledBundle;
use fraudplat::engine::bundle::FileNames;
use fraudplat::governance::counters::Counter;
use fraudplat::rtdl::audit;
use fraudplat::rtdl::decision::ladder::Thresholds;
use fraudplat::rtdl::decision::{Bundles, Decision, Memory, Options, Shadows};
use fraudplat::runtime::ground::Ground;
use fraudplat::substrate::clock::{Clock, SetClock, SystemClock};
use fraudplat::substrate::db::Client;
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::archiver::{archive_all, patient};
use crate::world::{World, bytes, context, eventually, pins, world};

pub(crate) const FEATURES: &str = r"
feature_set: restore
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 1d}
  - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 1d}
  - {name: flows, entity: [merchant_id], agg: distinct, value: event.customer_id, window: 1d}
";
pub(crate) const OTHER_FEATURES: &str = r"
feature_set: other
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 2d}
";
pub(crate) const POLICY: &str = r#"
policy: restore
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: R1, owner: t, description: "Many", when: "features.n > 5", outcome: REVIEW, score: 1, reason_code: MANY}
"#;

pub(crate) fn bundle(features: &str) -> Bundle {
    Bundle {
        schema_version: 1,
        name: "restore".to_owned(),
        feature_set: features.to_owned(),
        policy: POLICY.to_owned(),
        model: None,
        manifest: None,
    }
}

fn options(look_ms: u64) -> Options {
    Options {
        batch_records_max: 40,
        batch_bytes_max: 1 << 20,
        join_wait_ms: 60_000,
        posture: Thresholds::default(),
        snapshot_decisions: 100,
        memory: Memory {
            // Small enough that keys are put away and come back all the time.
            keys_bytes_max: 2_000,
            scratch_dir: std::env::temp_dir(),
        },
        look_ms,
    }
}

/// What was logged in this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Said;

    fn make_writer(&'a self) -> Said {
        self.clone()
    }
}

impl Said {
    /// The lines since the last call.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) pins: Pins,
    said: Said,
    /// Payments on the bus.
    payments: i64,
}

impl Run {
    pub(crate) async fn open() -> Run {
        Run::over(world().await).await
    }

    /// A live run, whose clock the test sets.
    pub(crate) async fn live(clock: SetClock) -> Run {
        let mut world = world().await;
        world.ground.clock = Arc::new(clock);
        let mut pins = pins("restore");
        pins.manifest_fingerprint = ManifestFingerprint::of_live(None, "test");
        Run::of(world, pins).await
    }

    pub(crate) async fn over(world: World) -> Run {
        Run::of(world, pins("restore")).await
    }

    async fn of(world: World, pins: Pins) -> Run {
        let run = Run {
            world,
            pins,
            said: Said::default(),
            payments: 0,
        };
        run.store(&bundle(FEATURES)).await;
        run.store(&bundle(OTHER_FEATURES)).await;
        run.pin().await;
        run
    }

    /// Puts a bundle where a replay finds it.
    pub(crate) async fn store(&self, bundle: &Bundle) {
        let key = format!("mpr/bundles/{}.json", bundle.digest());
        let key = key.parse().unwrap();
        let body = serde_json::to_vec(bundle).unwrap();
        let put = self.world.ground.objects.put_new(&key, body.into()).await;
        put.unwrap();
    }

    async fn pin(&self) {
        let (ground, pins) = (&self.world.ground, &self.pins);
        let facts = Digest::of_bytes(b"facts");
        let ready = Ready {
            schema_version: 1,
            pins: pins.clone(),
            run_facts_ref: "facts".to_owned(),
            run_facts_digest: facts,
            tips: self.world.tips(Stream::ALL).await,
            actor: ground.actor.clone(),
            ready_at: SystemClock.now(),
            stamps: ground.stamps.clone(),
        };
        let client = ground.db.get().await.unwrap();
        let sql = "INSERT INTO governance.run (platform_run_id, scenario_run_id, manifest_fingerprint,
                       name, label, run_facts_ref, run_facts_digest, ready, created_at, actor_id,
                       source_type, service_release_id)
                   VALUES ($1, $2, $3, 'test', '', 'facts', $4, $5, $6, 'svc:test', 'SYSTEM', 'test')";
        let ready_bytes = serde_json::to_vec(&ready).unwrap();
        let values: [&(dyn fraudplat::substrate::db::ToSql + Sync); 6] = [
            &pins.platform_run_id,
            &pins.scenario_run_id,
            &pins.manifest_fingerprint,
            &facts,
            &ready_bytes,
            &ready.ready_at,
        ];
        client.execute(sql, &values).await.unwrap();
    }

    /// Puts so many payments whole, every tenth twice on the traffic stream (L5).
    pub(crate) async fn pay(&mut self, n: i64) {
        let seqs = self.expect(n);
        for class in EventClass::ALL {
            self.put(*class, seqs.clone()).await;
        }
        self.world.run_inlets().await;
    }

    /// Counts so many payments as if they were on the bus.
    pub(crate) fn expect(&mut self, n: i64) -> RangeInclusive<i64> {
        let seqs = self.payments + 1..=self.payments + n;
        self.payments += n;
        seqs
    }

    /// Puts a payment's events of these classes, as admitted then.
    pub(crate) async fn put_at(&self, classes: &[EventClass], seq: i64, admitted_at: Time) {
        for class in classes {
            let mut event = context(&self.pins, *class, seq);
            event.admitted_at = admitted_at;
            self.world.put(class.stream(), vec![bytes(&event)]).await;
        }
    }

    pub(crate) fn id(&self) -> PlatformRunId {
        self.pins.platform_run_id
    }

    /// The database as its superuser has it who takes the guards of the decision log away.
    pub(crate) async fn unguarded(&self) -> Client {
        self.unguarded_of("dla.decision").await
    }

    /// The same of another table of days.
    pub(crate) async fn unguarded_of(&self, table: &str) -> Client {
        let client = self.world.db.owner.get().await.unwrap();
        let off = format!(
            "DO $$ DECLARE it regclass; BEGIN
            FOR it IN SELECT '{table}'::regclass UNION ALL
                SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '{table}'::regclass
            LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', it); END LOOP; END $$"
        );
        client.batch_execute(&off).await.unwrap();
        client
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.world.count(&self.pins, counter)
    }

    /// Every decision's halves, in order of the chain.
    pub(crate) async fn log(&self) -> Vec<(DecisionBody, DecisionEvidence)> {
        let (ground, run) = (&self.world.ground, &self.pins.platform_run_id);
        let all = audit::list(ground, run, 0, 100_000).await.unwrap();
        all.iter().map(|it| it.open().unwrap()).collect()
    }

    /// Puts one class of these payments' events.
    pub(crate) async fn put(&self, class: EventClass, seqs: RangeInclusive<i64>) {
        let mut records = Vec::new();
        for seq in seqs {
            let record = bytes(&context(&self.pins, class, seq));
            records.push(record.clone());
            if class == EventClass::Traffic && seq % 10 == 0 {
                records.push(record);
            }
        }
        self.world.put(class.stream(), records).await;
    }

    /// A payment's traffic as it stands on the bus.
    pub(crate) fn record(&self, seq: i64) -> bytes::Bytes {
        bytes(&context(&self.pins, EventClass::Traffic, seq))
    }

    /// Decides all there is, then drains; returns what was said meanwhile.
    pub(crate) async fn decide(&self, features: &str) -> String {
        self.decide_under(&bundle(features)).await
    }

    /// The same under a bundle of one's own.
    pub(crate) async fn decide_under(&self, bundle: &Bundle) -> String {
        self.said.take();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(self.said.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let tasks = self.start_under(bundle);
        self.decided().await;
        tasks.stop_token().cancel();
        tasks.join().await.unwrap();
        self.decided().await;
        self.said.take()
    }

    /// Waits until every payment is decided, each once.
    pub(crate) async fn decided(&self) {
        let wanted = self.payments;
        eventually("every payment is decided", async || {
            self.world.number("SELECT count(*) FROM dla.decision").await >= wanted
        })
        .await;
        let decided = self.world.number("SELECT count(*) FROM dla.decision").await;
        assert_eq!(decided, wanted, "one decision a payment");
    }

    /// A decision role that goes on until it is stopped.
    pub(crate) fn start(&self, features: &str) -> Tasks {
        self.start_under(&bundle(features))
    }

    fn start_under(&self, bundle: &Bundle) -> Tasks {
        self.start_beside(bundle, &[], 0)
    }

    /// The same with bundles in shadow slots, and slots whose bundle is broken.
    pub(crate) fn start_beside(
        &self,
        bundle: &Bundle,
        shadows: &[(&str, Bundle)],
        n_broken: u64,
    ) -> Tasks {
        let shadows = shadows.iter();
        let shadows = Shadows {
            bundles: shadows
                .map(|(slot, it)| Arc::new(compiled(it).in_slot(slot)))
                .collect(),
            n_broken,
        };
        let ground = &self.world.ground;
        let acting = Arc::new(compiled(bundle));
        let acting = Bundles::only(acting, &ground.acting_as("svc:decision"));
        self.start_resolving(acting, shadows)
    }

    /// A decision role that decides by what is in force.
    pub(crate) fn start_resolving(&self, bundles: Bundles, shadows: Shadows) -> Tasks {
        let mut tasks = Tasks::new(CancellationToken::new());
        let ground = &self.world.ground;
        let options = options(2_000);
        Decision::resolving(options, ground, Arc::new(bundles), shadows).start(&mut tasks);
        tasks
    }

    /// A role of another process, which looks as often for what nobody told of.
    pub(crate) fn role(&self, features: &str, ground: &Ground, look_ms: u64) -> Arc<Decision> {
        role(&bundle(features), ground, look_ms)
    }

    /// The file of an object.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.world.dir.path().join("objects/objects").join(key)
    }

    /// The files of the snapshots, the oldest first.
    pub(crate) fn snapshots(&self) -> Vec<PathBuf> {
        let dir = self.file(&RunSnapshot::prefix(&self.pins.platform_run_id));
        let entries = std::fs::read_dir(dir).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Recomputes every decision from the archive: a memory that was wrong shows here.
    pub(crate) async fn replay(&self) {
        archive_all(&self.world, patient()).await;
        let (ground, run) = (&self.world.ground, &self.pins.platform_run_id);
        let all = audit::list(ground, run, 0, 100_000).await.unwrap();
        let report = audit::replay(ground, &all, &|_, _| {}).await.unwrap();
        assert_eq!(report.compared, self.payments.unsigned_abs());
        assert_eq!(report.mismatched, 0, "{:?}", report.mismatches.first());
        let scored = self.world.number("SELECT count(*) FROM dla.shadow_score");
        let shadows = report.shadows;
        assert_eq!(shadows.compared, scored.await.unsigned_abs());
        assert_eq!(shadows.mismatched, 0, "{:?}", shadows.mismatches.first());
    }
}

fn compiled(bundle: &Bundle) -> CompiledBundle {
    let names = FileNames {
        feature_set: "f",
        policy: "p",
    };
    CompiledBundle::compile(bundle, names).unwrap()
}

fn role(bundle: &Bundle, ground: &Ground, look_ms: u64) -> Arc<Decision> {
    Decision::create(options(look_ms), ground.clone(), Arc::new(compiled(bundle)))
}

/// The value of a field of the line that tells of a restored memory.
#[track_caller]
pub(crate) fn told(said: &str, field: &str) -> i64 {
    let line = said
        .lines()
        .find(|it| it.contains("a run's memory is back"));
    let line = line.unwrap_or_else(|| panic!("nothing of a memory: {said}"));
    let (_, rest) = line.split_once(&format!(" {field}=")).unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}
