//! The inlets when things break: a lost lease, a killed process, a commit that nobody confirms.

use std::ops::RangeInclusive;

use fraudplat::domain::offset::ShardRef;
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::rtdl::inlet::{Inlet, Options};
use fraudplat::runtime::consumer::{self, Options as ConsumerOptions};
use fraudplat::runtime::lease::{self, Lease, LeaseKey};
use fraudplat::substrate::db::{Db, Endpoint};
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::tcp_proxy::{End, TcpProxy};
use crate::world::{CONTEXTS, World, bytes, context, eventually, pins, shard_of, world};

/// What is said when a COMMIT is through, in the server's protocol.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// Small batches, so that a run of any length is cut many times.
fn small() -> Options {
    Options {
        consumer: ConsumerOptions {
            batch_records_max: 7,
            ..Options::default().consumer
        },
    }
}

async fn put_anchors(world: &World, seqs: RangeInclusive<i64>) -> ShardRef {
    let run = pins("a");
    let anchors = seqs.map(|seq| bytes(&context(&run, EventClass::FlowAnchor, seq)));
    let offsets = world
        .put_in_order(Stream::FlowAnchor, anchors.collect())
        .await;
    shard_of(&offsets[0])
}

async fn check_written_once(world: &World, n: i64) {
    assert_eq!(world.counted().await, [n, n, 0, 0]);
    for table in ["rtdl.frame_part", "rtdl.flow_binding"] {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")).await,
            n,
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_holders_of_one_lease_only_the_later_commits() {
    let world = world().await;
    let shard = put_anchors(&world, 1..=40).await;
    let key = LeaseKey::new("context_flow_anchor", shard.to_string());
    let take = async |holder: &str| -> Lease {
        let client = world.ground.db.get().await.unwrap();
        key.take(&client, holder, "start").await.unwrap().unwrap()
    };
    let early = take("early").await;
    lease::release_all(&world.ground.db).await.unwrap();
    let later = take("later").await;
    assert!(early.epoch < later.epoch);
    let consume = |lease: Lease, stop: CancellationToken| {
        let handler = Inlet::create(small(), &world.ground).handler("context_flow_anchor");
        let (ground, shard, options) = (world.ground.clone(), shard.clone(), small().consumer);
        async move { consumer::run(&ground, shard, lease, handler, options, stop).await }
    };
    let stop = CancellationToken::new();
    let (refused, done, ()) = tokio::join!(
        consume(early, stop.clone()),
        consume(later, stop.clone()),
        async {
            eventually("all is read", async || {
                world.number("SELECT count(*) FROM rtdl.flow_binding").await == 40
            })
            .await;
            stop.cancel();
        }
    );
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, consumer::Error::Lease(lease::Error::Lost { .. })),
        "{refused:?}"
    );
    done.unwrap();
    check_written_once(&world, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_writes_everything_once() {
    let world = world().await;
    let mut n_put = 0;
    for kill in 0..12 {
        // However fast it is, every life finds more than it is waited for.
        let read = world.number("SELECT count(*) FROM rtdl.flow_binding").await;
        let more = read + 700 - n_put;
        if more > 0 {
            put_anchors(&world, n_put + 1..=n_put + more).await;
            n_put += more;
        }
        let before = world.number("SELECT count(*) FROM rtdl.inlet_count").await;
        // A runtime that is dropped takes its tasks with it wherever they stand, as a kill does.
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
            Inlet::create(small(), &ground).start(&mut tasks);
            tasks.join().await.unwrap();
        });
        eventually("some batches are in", async || {
            world.number("SELECT count(*) FROM rtdl.inlet_count").await > before + kill
        })
        .await;
        runtime.shutdown_background();
        // What the owner of a data directory does: its predecessor is dead.
        lease::release_all(&world.ground.db).await.unwrap();
    }
    put_anchors(&world, n_put + 1..=n_put + 300).await;
    n_put += 300;
    let tips = world.tips(&CONTEXTS).await;
    let mut tasks = Tasks::new(CancellationToken::new());
    Inlet::create(Options::default(), &world.ground).start(&mut tasks);
    world.until_read(&tips).await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
    check_written_once(&world, n_put).await;
}

/// A role of its own on the test's database, reached through a wire that can be cut.
pub(crate) async fn through_proxy(world: &World) -> (TcpProxy, Db) {
    let owner = world.db.owner.get().await.unwrap();
    let setting = async |name: &str| -> String {
        let sql = format!("SELECT current_setting('{name}')");
        owner.query_one(&sql, &[]).await.unwrap().get(0)
    };
    let database: String = owner
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    let role = format!("cut_{database}");
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'cut' IN ROLE fraudplat_app");
    owner.batch_execute(&create).await.unwrap();
    let dir = setting("unix_socket_directories").await;
    let socket = format!("{dir}/.s.PGSQL.{}", setting("port").await);
    let proxy = TcpProxy::to_socket(socket.into()).await;
    let url = format!("postgres://{role}:cut@{}/{database}", proxy.address);
    let endpoint = Endpoint::from_url(&url, None).unwrap();
    (
        proxy,
        Db::open(&endpoint, &crate::postgres::patient()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_settled_by_the_position() {
    let mut world = world().await;
    let (proxy, db) = through_proxy(&world).await;
    world.ground.db = db;
    let mut tasks = Tasks::new(CancellationToken::new());
    Inlet::create(small(), &world.ground).start(&mut tasks);
    for cut in 1..=3 {
        proxy.arm(COMMITTED, End::Cut);
        let run = pins("a");
        let from = (cut - 1) * 20 + 1;
        let anchors =
            (from..from + 20).map(|seq| bytes(&context(&run, EventClass::FlowAnchor, seq)));
        world
            .put_in_order(Stream::FlowAnchor, anchors.collect())
            .await;
        world.until_read(&world.tips(&CONTEXTS).await).await;
        assert!(!proxy.is_armed(), "no answer was cut");
    }
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
    check_written_once(&world, 60).await;
    // What the process counted is what is in.
    let run = pins("a");
    let counted = world.count(
        &run,
        fraudplat::governance::counters::Counter::FlowbindingWrites,
    );
    assert_eq!(counted, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_killed_inside_the_transaction_rolls_back_and_is_sent_again() {
    let world = world().await;
    // The backend stalls in its COMMIT, after every row, until it is killed there.
    let owner = world.db.owner.get().await.unwrap();
    let stall = "CREATE TABLE rtdl.stall (n int);
        INSERT INTO rtdl.stall VALUES (1);
        CREATE FUNCTION rtdl.stall() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF EXISTS (SELECT FROM rtdl.stall) THEN PERFORM pg_sleep(60); END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER stall AFTER INSERT ON rtdl.flow_binding
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rtdl.stall()";
    owner.batch_execute(stall).await.unwrap();
    put_anchors(&world, 1..=5).await;
    let mut tasks = Tasks::new(CancellationToken::new());
    Inlet::create(small(), &world.ground).start(&mut tasks);
    let kill = "WITH freed AS (DELETE FROM rtdl.stall RETURNING n)
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity, freed
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let stalled = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually("a commit stalls", async || world.number(stalled).await == 1).await;
    assert_eq!(owner.query(kill, &[]).await.unwrap().len(), 1);
    world.until_read(&world.tips(&CONTEXTS).await).await;
    tasks.stop_token().cancel();
    tasks.join().await.unwrap();
    check_written_once(&world, 5).await;
}
