//! What every database must do through the pool: its errors, its limits, migrations, and the guards
//! of L1. A check makes its own databases on the server it is told.

use std::collections::BTreeSet;

use fraudplat::substrate::db::{Client, Db, Endpoint, Error, PoolOptions, ToSql, Type};
use fraudplat::substrate::db::{copy_in, migrate};

use crate::database::On;
use crate::support::{TestDb, patient};

const EVIDENCE: &str = "
    CREATE TABLE ig.sample (day date NOT NULL, key int NOT NULL, body bytea, PRIMARY KEY (day, key))
        PARTITION BY RANGE (day);
    SELECT governance.declare_partitioned_evidence('ig.sample');";

async fn with_evidence(on: On) -> TestDb {
    let db = on.fresh().await;
    run(&db.owner, EVIDENCE).await.unwrap();
    assert_eq!(
        ensure(&db.app, "ig.sample", "2025-01-30", "2025-02-02")
            .await
            .unwrap(),
        4
    );
    let rows = "INSERT INTO ig.sample VALUES ('2025-01-31', 1, 'a'), ('2025-02-01', 2, 'b')";
    run(&db.app, rows).await.unwrap();
    db
}

/// A pool whose transactions may stand open while a slow machine does something else.
fn unhurried(endpoint: &Endpoint) -> Db {
    let options = PoolOptions {
        idle_in_transaction_ms_max: 120_000,
        ..patient()
    };
    Db::open(endpoint, &options).unwrap()
}

async fn run(db: &Db, sql: &str) -> Result<(), Error> {
    Ok(db.get().await?.batch_execute(sql).await?)
}

async fn ensure(db: &Db, table: &str, from: &str, to: &str) -> Result<i32, Error> {
    let sql = "SELECT governance.ensure_day_partitions($1::text::regclass, $2::text::date, $3::text::date)";
    let row = db
        .get()
        .await?
        .query_one(sql, &[&table, &from, &to])
        .await?;
    Ok(row.get(0))
}

async fn backend(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

async fn terminate(db: &Db, backend: i32) {
    let client = db.get().await.unwrap();
    let sql = "SELECT pg_terminate_backend($1, 120000)";
    let row = client.query_one(sql, &[&backend]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[track_caller]
fn check_refused(what: &str, result: Result<(), Error>, code: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.sqlstate(), Some(code), "{what}: {error:?}");
    assert!(!error.is_retryable(), "{what}");
    assert!(!error.outcome_unknown(), "{what}");
}

/// L1, by privilege for the application and by trigger for everybody.
pub(crate) async fn evidence_is_never_changed_whoever_asks_and_whatever_it_names(on: On) {
    let db = with_evidence(on).await;
    for table in ["ig.sample", "ig.sample_20250131"] {
        for change in [
            format!("UPDATE {table} SET body = 'x'"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("TRUNCATE ONLY {}", "ig.sample_20250131"),
            // Even where no row is touched.
            format!("DELETE FROM {table} WHERE false"),
            format!(
                "INSERT INTO {table} VALUES ('2025-01-31', 9) ON CONFLICT (day, key)
                 DO UPDATE SET body = 'x'"
            ),
            format!(
                "MERGE INTO {table} t USING (VALUES (1)) s (key) ON t.key = s.key
                 WHEN MATCHED THEN DELETE"
            ),
        ] {
            check_refused(&change, run(&db.app, &change).await, "42501");
            check_refused(&change, run(&db.owner, &change).await, "FP001");
            let as_replica = format!("SET session_replication_role = replica; {change}");
            check_refused(&as_replica, run(&db.owner, &as_replica).await, "FP001");
        }
    }
    let refusal = run(&db.owner, "DELETE FROM ig.sample_20250131")
        .await
        .unwrap_err();
    let text = refusal.to_string();
    assert!(
        text.contains("L1: DELETE of ig.sample_20250131 is refused"),
        "{text}"
    );
    let client = db.app.get().await.unwrap();
    let row = client
        .query_one("SELECT count(*) FROM ig.sample", &[])
        .await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 2);
}

pub(crate) async fn the_application_cannot_loosen_its_guards(on: On) {
    let db = with_evidence(on).await;
    for attempt in [
        "ALTER TABLE ig.sample DISABLE TRIGGER ALL",
        "ALTER TABLE ig.sample_20250131 DISABLE TRIGGER l1_append_only",
        "DROP TABLE ig.sample_20250131",
        "ALTER TABLE ig.sample DETACH PARTITION ig.sample_20250131",
        "CREATE TABLE ig.other (n int)",
        "SELECT governance.declare_partitioned_evidence('ig.sample')",
        "INSERT INTO governance.partitioned_evidence VALUES ('ig.sample')",
        "SET session_replication_role = replica",
        "SET ROLE fraudplat_owner",
        "CREATE SCHEMA mine",
    ] {
        check_refused(attempt, run(&db.app, attempt).await, "42501");
    }
    run(
        &db.owner,
        "CREATE TABLE runtime.plain (day date) PARTITION BY RANGE (day)",
    )
    .await
    .unwrap();
    let undeclared = ensure(&db.app, "runtime.plain", "2025-01-01", "2025-01-01").await;
    check_refused("undeclared", undeclared.map(drop), "42501");
    let endless = ensure(&db.app, "ig.sample", "2025-01-01", "2099-01-01").await;
    check_refused("endless", endless.map(drop), "22023");
    let backwards = ensure(&db.app, "ig.sample", "2025-01-02", "2025-01-01").await;
    check_refused("backwards", backwards.map(drop), "22023");
}

pub(crate) async fn only_a_table_by_day_is_declared_partitioned(on: On) {
    let db = on.fresh().await;
    for table in [
        "CREATE TABLE ig.bad (day date)",
        "CREATE TABLE ig.bad (day date, n int) PARTITION BY RANGE (n)",
        "CREATE TABLE ig.bad (day timestamptz) PARTITION BY RANGE (day)",
        "CREATE TABLE ig.bad (day date) PARTITION BY LIST (day)",
    ] {
        let sql = format!("{table}; SELECT governance.declare_partitioned_evidence('ig.bad')");
        check_refused(table, run(&db.owner, &sql).await, "P0001");
    }
}

/// Each partition once, by whoever comes first, while rows are being written to the same table.
pub(crate) async fn partitions_are_made_once_and_block_no_writer(on: On) {
    let db = with_evidence(on).await;
    let mut writer = unhurried(&db.app_endpoint).get().await.unwrap();
    let tx = writer.transaction().await.unwrap();
    let insert = "INSERT INTO ig.sample VALUES ('2025-01-31', 77)";
    tx.execute(insert, &[]).await.unwrap();

    let racers = (0..6).map(|_| {
        let app = db.app.clone();
        tokio::spawn(async move { ensure(&app, "ig.sample", "2025-01-30", "2025-03-01").await })
    });
    let mut made = 0;
    for racer in racers.collect::<Vec<_>>() {
        made += racer.await.unwrap().unwrap();
    }
    assert_eq!(made, 27, "31 days, of which 4 were there");
    tx.execute("INSERT INTO ig.sample VALUES ('2025-03-01', 78)", &[])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    check_refused(
        "a new partition",
        run(&db.owner, "DELETE FROM ig.sample_20250301").await,
        "FP001",
    );
    // Its key came with it.
    let twice = run(&db.app, "INSERT INTO ig.sample VALUES ('2025-03-01', 78)").await;
    assert!(matches!(twice, Err(Error::Unique { .. })), "{twice:?}");
}

pub(crate) async fn of_racing_migrations_one_applies_and_all_succeed(on: On) {
    let db = on.empty().await;
    let all = migrate::check(&db.owner).await.unwrap();
    assert_eq!(all.first().map(String::as_str), Some("V1__ground"));
    let racers = (0..5).map(|_| {
        let owner = db.owner.clone();
        tokio::spawn(async move { migrate::migrate(&owner).await })
    });
    let mut applied = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        applied.extend(racer.await.unwrap().unwrap());
    }
    assert_eq!(applied, all);
    assert_eq!(
        migrate::check(&db.owner).await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(migrate::check(&db.app).await.unwrap(), Vec::<String>::new());
}

/// Roles belong to the server, so migrations of several databases meet in them.
pub(crate) async fn migrations_of_several_databases_do_not_disturb_each_other(on: On) {
    let mut racers = Vec::new();
    for _ in 0..3 {
        let db = on.empty().await;
        racers.push(tokio::spawn(
            async move { migrate::migrate(&db.owner).await },
        ));
    }
    for racer in racers {
        assert!(!racer.await.unwrap().unwrap().is_empty());
    }
}

pub(crate) async fn a_schema_of_another_executable_is_refused(on: On) {
    for change in [
        "UPDATE governance.schema_history SET checksum = '1' WHERE version = 1",
        "INSERT INTO governance.schema_history
         SELECT 9999, 'future', applied_on, checksum FROM governance.schema_history LIMIT 1",
    ] {
        let db = on.fresh().await;
        run(&db.owner, change).await.unwrap();
        let refusal = migrate::migrate(&db.owner).await.unwrap_err();
        assert!(matches!(refusal, Error::Schema { .. }), "{refusal:?}");
        let refusal = migrate::check(&db.owner).await.unwrap_err();
        assert!(matches!(refusal, Error::Schema { .. }), "{refusal:?}");
    }
}

pub(crate) async fn every_schema_of_the_design_is_there_and_open_to_the_application(on: On) {
    let db = on.fresh().await;
    let client = db.app.get().await.unwrap();
    let sql = "SELECT nspname::text FROM pg_namespace
               WHERE nspname !~ '^(pg_|information_schema|public)'
                 AND has_schema_privilege(oid, 'USAGE') AND NOT has_schema_privilege(oid, 'CREATE')";
    let rows = client.query(sql, &[]).await.unwrap();
    let found: BTreeSet<String> = rows.iter().map(|it| it.get(0)).collect();
    let wanted = "ig rtdl dla al cm ls mpr learning governance runtime";
    assert_eq!(found, wanted.split(' ').map(str::to_owned).collect());
}

pub(crate) async fn a_commit_on_a_killed_connection_has_an_unknown_outcome(on: On) {
    let db = with_evidence(on).await;
    let app = unhurried(&db.app_endpoint);
    let mut client = app.get().await.unwrap();
    let victim = backend(&client).await;
    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO ig.sample VALUES ('2025-01-31', 50)", &[])
        .await
        .unwrap();
    terminate(&db.owner, victim).await;
    let error = Error::from(tx.commit().await.unwrap_err());
    assert!(error.outcome_unknown(), "{error:?}");
    assert!(!error.is_retryable(), "{error:?}");
    drop(client);
    // The pool does not hand the dead one out again.
    let client = app.get().await.unwrap();
    assert_ne!(backend(&client).await, victim);
}

pub(crate) async fn nothing_is_waited_for_without_a_limit(on: On) {
    let db = with_evidence(on).await;
    let options = PoolOptions {
        connections_max: 1,
        wait_ms_max: 100,
        statement_ms_max: 200,
        ..patient()
    };
    let pool = Db::open(&db.app_endpoint, &options).unwrap();
    let client = pool.get().await.unwrap();
    let crowded = pool.get().await.unwrap_err();
    assert!(matches!(crowded, Error::Unavailable { .. }), "{crowded:?}");
    assert!(crowded.is_retryable() && !crowded.outcome_unknown());

    let slow = client.batch_execute("SELECT pg_sleep(30)").await;
    check_refused("slow", slow.map_err(Error::from), "57014");

    let options = PoolOptions {
        idle_in_transaction_ms_max: 100,
        ..patient()
    };
    let pool = Db::open(&db.app_endpoint, &options).unwrap();
    let client = pool.get().await.unwrap();
    let idler = backend(&client).await;
    // In one message: between two of them it would idle already.
    let begin = "BEGIN; INSERT INTO ig.sample VALUES ('2025-01-31', 60)";
    client.batch_execute(begin).await.unwrap();
    let watcher = db.owner.get().await.unwrap();
    let is_there = "SELECT FROM pg_stat_activity WHERE pid = $1";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !watcher.query(is_there, &[&idler]).await.unwrap().is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "an idle transaction stays"
        );
    }
    let ended = Error::from(client.batch_execute("COMMIT").await.unwrap_err());
    assert!(ended.outcome_unknown(), "{ended:?}");
}

pub(crate) async fn an_unreachable_server_is_unavailable_and_a_wrong_secret_is_refused(on: On) {
    // Port 1 of this machine: nobody listens.
    let nobody = Endpoint::from_url("postgres://u:s@127.0.0.1:1/d", None).unwrap();
    let db = Db::open(&nobody, &PoolOptions::default()).unwrap();
    let error = db.get().await.unwrap_err();
    assert!(
        error.is_retryable() && !error.outcome_unknown(),
        "{error:?}"
    );

    let db = on.fresh().await;
    let missing = db.app_endpoint.with_database("missing");
    let missing = Db::open(&missing, &PoolOptions::default()).unwrap();
    let error = missing.get().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("3D000"), "{error:?}");
    assert!(!error.is_retryable());
}

pub(crate) async fn lost_races_are_retryable(on: On) {
    let db = on.fresh().await;
    let table = "CREATE TABLE runtime.pair (k int PRIMARY KEY, n int);
                 INSERT INTO runtime.pair VALUES (1, 0), (2, 0)";
    run(&db.owner, table).await.unwrap();
    let owner = unhurried(&db.owner_endpoint);
    let (mut a, mut b) = (owner.get().await.unwrap(), owner.get().await.unwrap());
    let (a, b) = (
        a.transaction().await.unwrap(),
        b.transaction().await.unwrap(),
    );
    let bump = "UPDATE runtime.pair SET n = n + 1 WHERE k = $1";
    a.execute(bump, &[&1]).await.unwrap();
    b.execute(bump, &[&2]).await.unwrap();
    let of_a: [&(dyn ToSql + Sync); 1] = [&2];
    let of_b: [&(dyn ToSql + Sync); 1] = [&1];
    let (first, second) = tokio::join!(async { a.execute(bump, &of_a).await.map(|_| ()) }, async {
        b.execute(bump, &of_b).await.map(|_| ())
    },);
    let deadlock = Error::from(first.and(second).unwrap_err());
    assert!(matches!(deadlock, Error::Conflict { .. }), "{deadlock:?}");
    assert!(deadlock.is_retryable() && !deadlock.outcome_unknown());
}

pub(crate) async fn what_is_waited_for_is_counted(on: On) {
    let db = on.empty().await.app;
    let client = db.get().await.unwrap();
    let before = db.flushes();
    for n in 1..=3 {
        client.batch_execute("SELECT 1; SELECT 2").await.unwrap();
        assert_eq!(db.flushes() - before, n);
    }
    drop(client);
    drop(db.get().await.unwrap());
    assert_eq!(
        db.flushes() - before,
        3,
        "a connection is had without asking"
    );
}

pub(crate) async fn rows_are_copied_in_binary_and_a_known_key_is_told(on: On) {
    let db = with_evidence(on).await;
    run(
        &db.owner,
        "CREATE TABLE runtime.copied (key int PRIMARY KEY, body bytea)",
    )
    .await
    .unwrap();
    run(
        &db.owner,
        "GRANT INSERT, SELECT ON runtime.copied TO fraudplat_app",
    )
    .await
    .unwrap();
    let sql = "COPY runtime.copied (key, body) FROM STDIN BINARY";
    let types = [Type::INT4, Type::BYTEA];
    let keys: Vec<i32> = (0..5000).collect();
    let body: &[u8] = &[7; 100];
    let rows = || keys.iter().map(|key| [key as &(dyn ToSql + Sync), &body]);
    let mut client = db.app.get().await.unwrap();
    for known in [false, true] {
        let tx = client.transaction().await.unwrap();
        match copy_in(&tx, sql, &types, rows()).await {
            Ok(count) if !known => {
                assert_eq!(count, 5000);
                tx.commit().await.unwrap();
            }
            Err(Error::Unique { constraint, .. }) if known => assert_eq!(constraint, "copied_pkey"),
            other => panic!("{other:?}"),
        }
    }
}
