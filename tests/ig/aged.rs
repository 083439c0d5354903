//! A platform on a clock that a test sets: the real gate, log, inlets, archive, decisions and maintenance, and what
//! is sent to it.

use fraudplat::contracts::groups::{ARCHIVE, CONTEXT_GROUPS};
use fraudplat::contracts::ready::{PinnedObject, WorldFacts};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::ManifestFingerprint;
use fraudplat::domain::keys::Pins;
use fraudplat::domain::offset::{Position, ShardRef};
use fraudplat::domain::time::{MICROS_PER_DAY, Time};
use fraudplat::domain::vocabulary::{EventClass, FactType, Stream};
use fraudplat::governance::facts;
use fraudplat::ingress::ig::Options as GateOptions;
use fraudplat::ingress::sr::{self, NewRun};
use fraudplat::maintenance::{self, Asked, Report};
use fraudplat::reconcile::{self, Reconciled};
use fraudplat::rtdl::archive::{self, Archive};
use fraudplat::rtdl::inlet::{self, Inlet};
use fraudplat::runtime::archive::Flush;
use fraudplat::runtime::{lease, outbox};
use fraudplat::substrate::bus::Bus;
use fraudplat::substrate::clock::{Clock, SetClock, SystemClock};
use fraudplat::substrate::db::{Db, MAINTENANCE, PoolOptions};
use fraudplat::substrate::tasks::Tasks;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::gate::{Gate, Lab, baseline, decider, lab_at, options as gate_options, until, words};

pub(crate) const HORIZON_DAYS: u32 = 35;
pub(crate) const EVIDENCE_DAYS: u32 = 45;
pub(crate) const GRACE_DAYS: u32 = 7;

/// A platform whose clock the test sets.
pub(crate) struct Platform {
    pub(crate) lab: Lab,
    pub(crate) clock: SetClock,
    pub(crate) gate: Gate,
    pub(crate) identity: Db,
    pub(crate) flush: Flush,
    pub(crate) tasks: Tasks,
    pub(crate) first: Time,
    /// Distinct traffic events that were admitted.
    pub(crate) n_traffic: i64,
}

/// The options under which maintenance is tested.
pub(crate) fn options() -> maintenance::Options {
    maintenance::Options {
        evidence_days: EVIDENCE_DAYS,
        dedupe_grace_days: GRACE_DAYS,
        dedupe_horizon_days: HORIZON_DAYS,
        interval: Duration::from_secs(3_600),
        has_archive: true,
    }
}

impl Platform {
    /// Begins so many days ago: the database has a clock of its own, for which no day may lie ahead.
    pub(crate) async fn begin(days_ago: i64) -> Platform {
        let first = SystemClock.now().start_of_day();
        let first = first.plus_micros(MICROS_PER_DAY / 2 - days_ago * MICROS_PER_DAY);
        let clock = SetClock::at(first);
        let lab = lab_at(
            Arc::new(clock.clone()),
            Some(Duration::from_secs(7 * 86_400)),
        )
        .await;
        let gate = lab
            .gate_with(GateOptions {
                dedupe_horizon_days: HORIZON_DAYS,
                ..gate_options()
            })
            .await;
        let bundle = baseline();
        let key = format!("mpr/bundles/{}.json", bundle.digest()).parse();
        let key = key.unwrap();
        let body = serde_json::to_vec(&bundle).unwrap();
        let put = lab.ground.objects.put_new(&key, body.into());
        put.await.unwrap();
        let pool = PoolOptions {
            acting_as: Some(MAINTENANCE),
            ..crate::postgres::patient()
        };
        let identity = Db::open(&lab.db.owner_endpoint, &pool).unwrap();
        let (flush, mut tasks) = (Flush::default(), Tasks::new(CancellationToken::new()));
        let (db, bus) = (lab.ground.db.clone(), lab.ground.bus.clone());
        tasks.spawn("outbox", outbox::relay(db, bus, tasks.stop_token()));
        Inlet::create(inlet::Options::default(), &lab.ground).start(&mut tasks);
        Archive::create(archive::Options::default(), &lab.ground, flush.clone()).start(&mut tasks);
        decider(&lab.ground, 40).start(&mut tasks);
        Platform {
            lab,
            clock,
            gate,
            identity,
            flush,
            tasks,
            first,
            n_traffic: 0,
        }
    }

    /// Noon of a day, counted from 0.
    pub(crate) fn noon(&self, day: i64) -> Time {
        self.first.plus_micros(day * MICROS_PER_DAY)
    }

    pub(crate) async fn send(&mut self, events: &[Value]) -> Vec<String> {
        let results = self.gate.send(events).await;
        let admitted = results.iter().zip(events);
        let is_new = |(verdict, event): (&Value, &Value)| {
            verdict["result"] == "ADMITTED" && event["event_class"] == "traffic"
        };
        self.n_traffic += admitted.filter(|it| is_new(*it)).count() as i64;
        words(&results)
    }

    /// The four events of each of some payments of a day.
    pub(crate) fn payments(&self, run: &Pins, day: i64, n: i64) -> Vec<Value> {
        let ts = self.noon(day);
        (0..n)
            .flat_map(|at| payment(run, &format!("d{day}p{at}"), day * 100 + at + 1, ts))
            .collect()
    }

    /// Waits until everything that stands on the log has been passed by everyone.
    pub(crate) async fn settle(&self) {
        until(async || {
            self.flush.ask();
            self.is_settled().await
        })
        .await;
        self.gate.ig.flush_receipts().await;
    }

    pub(crate) async fn is_settled(&self) -> bool {
        let (ground, bus) = (&self.lab.ground, self.lab.bus.as_ref());
        if outbox::waiting(&ground.db).await.unwrap() > 0 {
            return false;
        }
        let leases = lease::list(&ground.db.get().await.unwrap()).await.unwrap();
        for stream in Stream::ALL {
            let context = CONTEXT_GROUPS.iter().filter(|(_, read)| read == stream);
            let groups: Vec<&str> = context.map(|(group, _)| *group).chain([ARCHIVE]).collect();
            for shard in bus.shards(*stream).await.unwrap() {
                let tip = bus.tip(*stream, &shard.shard_id).await.unwrap();
                let (stream, shard_id) = (*stream, shard.shard_id);
                let scope = ShardRef { stream, shard_id }.to_string();
                let reached = |group: &&str| {
                    let of =
                        |it: &&lease::LeaseRow| it.key.group == **group && it.key.scope == scope;
                    let position = leases
                        .iter()
                        .find(of)
                        .map(|it| it.position.parse().unwrap());
                    position.unwrap_or(Position::Start).reaches(&tip)
                };
                if !groups.iter().all(reached) {
                    return false;
                }
            }
        }
        let decided = "SELECT (SELECT count(*) FROM dla.decision) + (
            SELECT coalesce(sum(last_seq - first_seq + 1), 0)::bigint FROM dla.decision_segment AS segment
            WHERE EXISTS (SELECT FROM governance.dropped_day d WHERE d.group_name = 'dla' AND d.day = segment.day))";
        self.lab.number(decided, &[]).await == self.n_traffic
    }

    pub(crate) async fn maintain(&self) -> Report {
        let stop = CancellationToken::new();
        let asked = Asked {
            wait: true,
            ..Asked::default()
        };
        let ground = self.lab.ground.acting_as("svc:maintenance");
        let options = options();
        let pass = maintenance::run(&ground, &self.identity, &options, &asked, &stop);
        pass.await.unwrap()
    }

    /// Ends a run, and returns when the gate knows.
    pub(crate) async fn end(&mut self, run: &Pins) {
        let ground = self.lab.ground.clone();
        let id = run.platform_run_id;
        let mut client = ground.db.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let fact = ground.fact(FactType::RunEnded, &[&id.to_string()], Some(id));
        facts::append(&tx, &[fact]).await.unwrap();
        tx.commit().await.unwrap();
        // The gate looks at most once a second; of a clock that leaps it must know before the next day.
        let probe = payment(run, "probe", 1, Time::from_micros(0)).remove(0);
        until(async || words(&self.gate.send([&probe]).await) == ["QUARANTINED RUN_CLOSED"]).await;
    }

    pub(crate) async fn reconcile(&self, run: &Pins) -> Result<Reconciled, reconcile::Error> {
        let options = reconcile::Options {
            wait: Duration::from_secs(240),
            ..reconcile::Options::default()
        };
        reconcile::reconcile(&self.lab.ground, &run.platform_run_id, options, &|_, _| ()).await
    }

    pub(crate) async fn close(self) {
        self.gate.drain().await;
        self.tasks.stop_token().cancel();
        self.tasks.join().await.unwrap();
    }
}

/// The four events of one payment.
pub(crate) fn payment(run: &Pins, id: &str, seq: i64, ts: Time) -> Vec<Value> {
    let event = |class: EventClass| {
        let payload = match class {
            EventClass::ArrivalEvent => {
                json!({"merchant_id": "m", "arrival_seq": seq, "kind": "payment"})
            }
            EventClass::ArrivalEntities => {
                json!({"merchant_id": "m", "arrival_seq": seq, "customer_id": "c"})
            }
            EventClass::FlowAnchor => {
                json!({"flow_id": format!("f-{id}"), "merchant_id": "m", "arrival_seq": seq})
            }
            EventClass::Traffic => json!({
                "flow_id": format!("f-{id}"), "customer_id": "c", "merchant_id": "m",
                "amount_minor": 100 + seq % 7, "currency": "EUR", "channel": "pos",
            }),
        };
        json!({
            "event_id": id, "event_class": class, "schema_version": 1, "ts_utc": ts.to_string(),
            "platform_run_id": run.platform_run_id, "scenario_run_id": run.scenario_run_id,
            "manifest_fingerprint": run.manifest_fingerprint, "producer": "test", "payload": payload,
        })
    };
    EventClass::ALL.iter().map(|class| event(*class)).collect()
}

/// A world of some days, pinned at its first.
pub(crate) async fn world_run(platform: &Platform, name: &str, first: Time, days: i64) -> Pins {
    let nothing = PinnedObject {
        key: "worlds/none".to_owned(),
        digest: Digest::of_bytes(b""),
        rows: 0,
    };
    let world = WorldFacts {
        arrivals: Vec::new(),
        truth: nothing,
        arrivals_count: 0,
        payments_count: 0,
        first_ts: first,
        last_ts: first.plus_micros(days * MICROS_PER_DAY),
    };
    let new = NewRun {
        manifest_fingerprint: ManifestFingerprint::from_digest(Digest::of_bytes(name.as_bytes())),
        name: name.to_owned(),
        label: String::new(),
        tenant_id: None,
        semantic_digest: Digest::of_bytes(b"semantics"),
        world: Some(world),
    };
    sr::create(&platform.lab.ground, &new)
        .await
        .unwrap()
        .facts
        .pins
}
