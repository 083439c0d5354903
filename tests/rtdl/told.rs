//! Who waits for decisions in one process is told of those of another, by the commit itself; the look that would find
//! them anyway is an hour away here.

use std::sync::Arc;

use fraudplat::contracts::decision_notice::{DecisionNotice, DecisionWaiter, DecisionWatch};
use fraudplat::domain::ids::DecisionId;
use fraudplat::domain::vocabulary::EventClass;
use fraudplat::governance::counters::{Counters, Way};
use fraudplat::runtime::ground::Ground;
use fraudplat::substrate::db::Db;
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::decider::{FEATURES, Run};
use crate::inlet_faults::through_proxy;
use crate::tcp_proxy::End;
use crate::world::{DEADLINE, eventually};

const LOOK_MS: u64 = 3_600_000;
const WATCHED: &str = "SELECT count(*) FROM runtime.decision_watch WHERE until > clock_timestamp()";
/// The gate's own connection.
const LISTENS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE '% listens'";

/// A process that waits and does not decide.
struct Gate {
    ground: Ground,
    waiter: Arc<dyn DecisionWaiter>,
    tasks: Tasks,
}

impl Gate {
    fn start(run: &Run, db: Db) -> Gate {
        let mut ground = run.world.ground.clone();
        ground.counters = Counters::new(ground.stamps.clone());
        ground.holder = "gate".to_owned();
        ground.db = db;
        let mut tasks = Tasks::new(CancellationToken::new());
        let role = run.role(FEATURES, &ground, LOOK_MS);
        role.start_telling(&mut tasks);
        let waiter = role.waiter();
        Gate {
            ground,
            waiter,
            tasks,
        }
    }

    fn watch(&self, run: &Run, seq: i64) -> Box<dyn DecisionWatch> {
        let id = format!("e{seq}").parse().unwrap();
        let id = DecisionId::of(&run.id(), EventClass::Traffic, &id);
        self.waiter.watch(&[id])
    }

    /// Begins to wait with a payment that is decided already: only the look with which a gate begins finds
    /// that one, so from then on it listens.
    async fn begin(&self, run: &Run, decided: i64) {
        let mut watch = self.watch(run, decided);
        next(&mut watch).await;
        assert_eq!(self.told(), [0, 0, 1]);
    }

    fn told(&self) -> [u64; 3] {
        [Way::Memory, Way::Notice, Way::Look].map(|it| self.ground.counters.told(it))
    }

    async fn stop(self) {
        self.tasks.stop_token().cancel();
        self.tasks.join().await.unwrap();
    }
}

async fn next(watch: &mut Box<dyn DecisionWatch>) -> DecisionNotice {
    let next = tokio::time::timeout(DEADLINE, watch.next()).await;
    next.expect("nobody told").expect("nobody will tell")
}

async fn stop(tasks: Tasks) {
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
}

/// The worker counts after the commit, which is what tells.
async fn notices(run: &Run, n: u64) {
    let counters = &run.world.ground.counters;
    eventually("every notice is counted", async || counters.notices() == n).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_told_by_the_commit_and_nobody_where_nobody_waits() {
    let mut run = Run::open().await;
    let mut anybody = run
        .world
        .ground
        .db
        .listen("fraudplat_decided")
        .await
        .unwrap();
    let deciding = run.start(FEATURES);
    // Who waits in the process that decides needs no notice.
    let own = "INSERT INTO runtime.decision_watch VALUES ('first', 'infinity')";
    let client = run.world.db.owner.get().await.unwrap();
    client.execute(own, &[]).await.unwrap();
    run.pay(60).await;
    run.decided().await;
    assert_eq!(run.world.ground.counters.notices(), 0);
    // Whatever was notified before this answer comes with it.
    anybody
        .execute("SELECT FROM runtime.lease", &[])
        .await
        .unwrap();
    assert!(futures::poll!(Box::pin(anybody.heard())).is_pending());
    client
        .execute("DELETE FROM runtime.decision_watch", &[])
        .await
        .unwrap();

    let gate = Gate::start(&run, run.world.ground.db.clone());
    gate.begin(&run, 60).await;
    let mut watch = gate.watch(&run, 61);
    run.pay(1).await;
    let told = next(&mut watch).await;
    assert_eq!(gate.told(), [0, 1, 1]);
    let stored = run.log().await.pop().unwrap();
    let (id, at) = (stored.0.decision_id, stored.1.decided_at);
    assert_eq!((told.decision_id, told.decided_at), (id, at));
    notices(&run, 1).await;
    anybody.heard().await.unwrap();
    // Once a batch, however many it decides.
    let mut watches: Vec<_> = (62..=71).map(|seq| gate.watch(&run, seq)).collect();
    run.pay(10).await;
    for watch in &mut watches {
        next(watch).await;
    }
    assert_eq!(gate.told(), [0, 11, 1]);
    let batches = "SELECT count(*) FROM dla.decision_count WHERE 60 < last_seq AND 0 < decided";
    let batches = run.world.number(batches).await.unsigned_abs();
    notices(&run, batches).await;
    gate.stop().await;
    assert_eq!(
        run.world.number(WATCHED).await,
        0,
        "who stops waits no more"
    );
    stop(deciding).await;
}

/// The decision is ready when the gate begins to wait, so its transaction tells nobody, and it commits
/// after the gate has said that it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_did_not_see_who_waits_is_found_all_the_same() {
    let mut run = Run::open().await;
    let owner = run.world.db.owner.get().await.unwrap();
    let stall = "CREATE FUNCTION runtime.stall() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER stall AFTER INSERT ON runtime.decision_search
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION runtime.stall();
        SELECT pg_advisory_lock(4711)";
    owner.batch_execute(stall).await.unwrap();
    let deciding = run.start(FEATURES);
    run.pay(1).await;
    let held =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4711
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the commit stalls", async || {
        run.world.number(held).await == 1
    })
    .await;
    let gate = Gate::start(&run, run.world.ground.db.clone());
    let mut watch = gate.watch(&run, 1);
    eventually("the gate waits for the batch", async || {
        run.world
            .number(&format!("{LISTENS} AND wait_event_type = 'Lock'"))
            .await
            == 1
    })
    .await;
    owner
        .execute("SELECT pg_advisory_unlock(4711)", &[])
        .await
        .unwrap();
    next(&mut watch).await;
    assert_eq!(gate.told(), [0, 0, 1]);
    assert_eq!(run.world.ground.counters.notices(), 0);
    gate.stop().await;
    stop(deciding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_lost_with_its_connection_is_made_up_for() {
    let mut run = Run::open().await;
    let (proxy, db) = through_proxy(&run.world).await;
    let deciding = run.start(FEATURES);
    run.pay(1).await;
    run.decided().await;
    let gate = Gate::start(&run, db);
    gate.begin(&run, 1).await;
    for lost in 1..=3 {
        let mut watch = gate.watch(&run, 2 * lost);
        // The notice itself does not come through.
        proxy.arm(b"fraudplat_decided", End::Cut);
        run.pay(1).await;
        next(&mut watch).await;
        assert!(!proxy.is_armed(), "no notice was cut");
        let lost = lost.unsigned_abs();
        assert_eq!(gate.told()[2], lost + 1);
        // It listens again: what was lost came by the look that follows.
        let mut watch = gate.watch(&run, 2 * lost.cast_signed() + 1);
        run.pay(1).await;
        next(&mut watch).await;
        assert_eq!(gate.told(), [0, lost, lost + 1]);
    }
    gate.stop().await;
    stop(deciding).await;
}
