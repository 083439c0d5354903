//! A server that somebody else runs: whom it must be, what it must keep, and what becomes of work when
//! it, or the wire to it, goes away.

use std::time::{Duration, Instant};

use fraudplat::contracts::code::Code;
use fraudplat::substrate::db::managed::{self, ManagedOptions};
use fraudplat::substrate::db::{Client, Db, Endpoint, Error, PoolOptions};

use crate::database::{create, fresh_options, server};
use crate::managed::{HOST, LOGIN, Managed};
use crate::support::patient;
use crate::tcp_proxy::{At, End, TcpProxy, Wire};

async fn refused(options: &ManagedOptions) -> Error {
    match managed::open(options, "fraudplat test").await {
        Ok(_) => panic!("it was taken: {options:?}"),
        Err(error) => error,
    }
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn owner(options: &ManagedOptions) -> Client {
    let db = Db::open(&options.owner_endpoint().unwrap(), &patient());
    db.unwrap().get().await.unwrap()
}

/// Polls until it holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(240);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn database(options: &ManagedOptions) -> String {
    let endpoint = format!("{:?}", options.app_endpoint().unwrap());
    let at = endpoint.find("managed_").unwrap();
    let name = endpoint[at..].split('"').next().unwrap();
    name.to_owned()
}

#[tokio::test]
async fn whom_a_session_speaks_to_is_as_its_mode_says() {
    let server = server().await;
    let name = database(&fresh_options(server).await);
    for (mode, is_encrypted) in [
        ("verify-full", "true"),
        ("require", "true"),
        ("disable", "false"),
    ] {
        let options = server.options_at(&name, HOST, mode);
        let db = managed::open(&options, "fraudplat test").await.unwrap();
        let client = db.get().await.unwrap();
        // Of its own session a login sees that no more, once it works as another.
        let pid = text(&client, "SELECT pg_backend_pid()::text").await;
        let sql = format!("SELECT ssl::text FROM pg_stat_ssl WHERE pid = {pid}");
        let owner = owner(&server.options(&name)).await;
        assert_eq!(text(&owner, &sql).await, is_encrypted, "{mode}");
    }
    // The certificate names a host, not its address.
    let elsewhere = refused(&server.options_at(&name, "127.0.0.1", "verify-full")).await;
    assert!(
        matches!(elsewhere, Error::Untrusted { .. }),
        "{elsewhere:?}"
    );
    managed::open(
        &server.options_at(&name, "127.0.0.1", "require"),
        "fraudplat test",
    )
    .await
    .unwrap();
    let mut options = server.options(&name);
    options.ca_file = Some(server.other_ca_file.clone());
    let stranger = refused(&options).await;
    assert!(matches!(stranger, Error::Untrusted { .. }), "{stranger:?}");
    assert_eq!(stranger.code(), Code::DatabaseUntrusted);
    assert!(!stranger.is_retryable());
    // Nor do this machine's own authorities know it, where it has any.
    options.ca_file = None;
    let unknown = refused(&options).await;
    assert!(
        matches!(unknown, Error::Untrusted { .. } | Error::Trust(_)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_clear() {
    let plain = Managed::start(&["ssl=off"]).await;
    let refusal = refused(&plain.options("fraudplat")).await;
    assert!(matches!(refusal, Error::Untrusted { .. }), "{refusal:?}");
    assert!(refusal.to_string().contains("TLS"), "{refusal}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_shown_nowhere() {
    let server = server().await;
    let mut options = fresh_options(server).await;
    let hush = fraudplat::substrate::secret::Secret::new("hush-hush");
    options.app.password = Some(hush);
    let refusal = refused(&options).await;
    assert_eq!(refusal.sqlstate(), Some("28P01"), "{refusal:?}");
    assert!(!refusal.is_retryable());
    options.app.password = None;
    let silent = refused(&options).await;
    assert!(matches!(silent, Error::Url { .. }), "{silent:?}");
    assert!(!format!("{refusal:?} {silent:?} {options:?}").contains("hush-hush"));
}

/// L1 holds for the login too, whatever it was granted by others.
#[tokio::test]
async fn a_session_is_the_application_and_stays_it() {
    let options = fresh_options(server().await).await;
    let db = managed::open(&options, "fraudplat test").await.unwrap();
    let client = db.get().await.unwrap();
    for (sql, expect) in [
        ("SELECT current_user::text", "fraudplat_app"),
        ("SELECT session_user::text", LOGIN),
        ("SHOW synchronous_commit", "on"),
        ("SHOW statement_timeout", "30s"),
        ("SHOW idle_in_transaction_session_timeout", "5s"),
        ("SHOW application_name", "fraudplat test"),
    ] {
        assert_eq!(text(&client, sql).await, expect, "{sql}");
    }
    client.batch_execute("RESET ROLE").await.unwrap();
    assert_eq!(
        text(&client, "SELECT current_user::text").await,
        "fraudplat_app"
    );
    let evidence = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'l1_append_only'";
    let tables = client.query(evidence, &[]).await.unwrap();
    assert!(tables.len() > 10, "{}", tables.len());
    for table in tables {
        let table: String = table.get(0);
        for change in [format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
            let error = Error::from(client.batch_execute(&change).await.unwrap_err());
            assert_eq!(error.sqlstate(), Some("42501"), "{change}: {error:?}");
        }
    }
    // Somebody grants what migrations did not: the next start sees it.
    let grant = "GRANT UPDATE ON governance.fact TO fraudplat_app";
    owner(&options).await.batch_execute(grant).await.unwrap();
    let refusal = refused(&options).await;
    assert_eq!(refusal.code(), Code::DatabaseUnfit, "{refusal:?}");
    assert!(refusal.to_string().contains("governance.fact"), "{refusal}");
}

#[tokio::test]
async fn a_server_that_may_lose_commits_is_refused() {
    let server = server().await;
    let options = fresh_options(server).await;
    let name = database(&options);
    let owner = owner(&options).await;
    let set = async |sql: String| owner.batch_execute(&sql).await.unwrap();
    set(format!(
        "ALTER DATABASE {name} SET synchronous_commit = off"
    ))
    .await;
    let refusal = refused(&options).await;
    assert_eq!(refusal.code(), Code::DatabaseNotDurable);
    assert!(
        refusal.to_string().contains("synchronous_commit = off"),
        "{refusal}"
    );
    let refusal = managed::provision(&options).await.unwrap_err();
    assert_eq!(refusal.code(), Code::DatabaseNotDurable);
    // Nor may the URL switch it off.
    set(format!("ALTER DATABASE {name} RESET synchronous_commit")).await;
    managed::open(&options, "fraudplat test").await.unwrap();
    let mut lax = options.clone();
    let url = format!(
        "postgres://{LOGIN}@{HOST}:{}/{name}?sslmode=verify-full&options=-c%20synchronous_commit%3Doff",
        server.port
    );
    lax.app.url = managed::Url::new(url);
    assert_eq!(refused(&lax).await.code(), Code::DatabaseNotDurable);
    // Switched off later, it still does not reach our sessions.
    let db = managed::open(&options, "fraudplat test").await.unwrap();
    set(format!(
        "ALTER DATABASE {name} SET synchronous_commit = off"
    ))
    .await;
    let client = db.get().await.unwrap();
    assert_eq!(text(&client, "SHOW synchronous_commit").await, "on");
    set(format!("ALTER DATABASE {name} RESET synchronous_commit")).await;
    set(format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ))
    .await;
    assert_eq!(refused(&options).await.code(), Code::DatabaseUnfit);

    let reckless = Managed::start(&["fsync=off"]).await;
    let refusal = refused(&reckless.options("fraudplat")).await;
    assert!(refusal.to_string().contains("fsync = off"), "{refusal}");
}

#[tokio::test]
async fn provisioning_makes_what_is_missing_and_a_repeat_nothing() {
    let server = Managed::start(&[]).await;
    create(&server, "managed_new", "template0").await;
    // An owner as managed servers have them: no superuser.
    let superuser = owner(&server.options("postgres")).await;
    for sql in [
        "CREATE ROLE an_owner LOGIN CREATEROLE PASSWORD 'own'",
        "ALTER DATABASE managed_new OWNER TO an_owner",
    ] {
        superuser.batch_execute(sql).await.unwrap();
    }
    let mut options = server.options("managed_new");
    options.owner = Some(managed::Login {
        url: managed::Url::new(format!(
            "postgres://an_owner:own@{HOST}:{}/managed_new",
            server.port
        )),
        password: None,
        password_file: None,
    });
    let before = refused(&options).await;
    assert!(
        before.to_string().contains("no role `fraudplat_app`"),
        "{before}"
    );
    assert!(before.to_string().contains("provision"), "{before}");
    let made = managed::provision(&options).await.unwrap();
    assert_eq!(made.applied.first().map(String::as_str), Some("V1__ground"));
    assert!(made.granted);
    let again = managed::provision(&options).await.unwrap();
    assert!(again.applied.is_empty() && !again.granted, "{again:?}");
    managed::open(&options, "fraudplat test").await.unwrap();
    let mut ownerless = options.clone();
    ownerless.owner = None;
    let refusal = managed::provision(&ownerless).await.unwrap_err();
    assert!(matches!(refusal, Error::Url { .. }), "{refusal:?}");
    let mut unknown = options.clone();
    let url = format!("postgres://nobody_there@{HOST}:{}/managed_new", server.port);
    unknown.app.url = managed::Url::new(url);
    let refusal = managed::provision(&unknown).await.unwrap_err();
    assert!(refusal.to_string().contains("`nobody_there`"), "{refusal}");
}

/// Of the connections that a crash killed, none fails more than the request that meets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_recovers_when_the_server_was_away() {
    let server = Managed::start(&[]).await;
    managed::provision(&server.options("fraudplat"))
        .await
        .unwrap();
    let options = server.options("fraudplat");
    let db = managed::open(&options, "fraudplat test").await.unwrap();
    let count = "SELECT count(*)::text FROM governance.fact";
    let mut held = Vec::new();
    for _ in 0..options.connections_max {
        held.push(db.get().await.unwrap());
    }
    server.crash();
    for client in held {
        let error = Error::from(client.query_one(count, &[]).await.unwrap_err());
        assert!(error.outcome_unknown(), "{error:?}");
    }
    let away = db.get().await.unwrap_err();
    assert!(away.is_retryable() && !away.outcome_unknown(), "{away:?}");
    server.run(&[]);
    let mut held = Vec::new();
    for _ in 0..options.connections_max {
        let client = db.get().await.unwrap();
        assert_eq!(text(&client, count).await, "0");
        held.push(client);
    }
}

/// Where only the wire may fail a request, however slow the disk of the machine.
const PATIENT_MS: u64 = 120_000;
/// Where the limit itself is what is tested, and what comes before and after must come within it, too.
const SHORT_MS: u64 = 6_000;
/// Long after the limits, on any machine, and long before the kernel gives a wire up.
const TOLD_WITHIN: Duration = Duration::from_secs(90);

/// A pool through a wire of the test's, on a table of its own.
async fn through(name: &str, mode: &str, limit_ms: u64) -> (TcpProxy, Db, Db) {
    through_within(name, mode, limit_ms, limit_ms).await
}

/// The same; a statement has another limit.
async fn through_within(
    name: &str,
    mode: &str,
    connect_ms: u64,
    statement_ms: u64,
) -> (TcpProxy, Db, Db) {
    let server = server().await;
    let direct = server.options(name);
    let client = owner(&direct).await;
    let table = "CREATE TABLE IF NOT EXISTS runtime.noted (n bigint PRIMARY KEY);
        GRANT SELECT, INSERT ON runtime.noted TO fraudplat_app";
    client.batch_execute(table).await.unwrap();
    let proxy = TcpProxy::to(([127, 0, 0, 1], server.port).into()).await;
    let options = server.options_through(name, proxy.address.port(), mode);
    let endpoint = options.app_endpoint().unwrap();
    (
        proxy,
        pool(&endpoint, connect_ms, statement_ms),
        managed::open(&direct, "direct").await.unwrap(),
    )
}

fn pool(endpoint: &Endpoint, connect_ms: u64, statement_ms: u64) -> Db {
    let options = PoolOptions {
        connections_max: 2,
        connect_ms_max: connect_ms,
        statement_ms_max: statement_ms,
        ..PoolOptions::default()
    };
    Db::open(endpoint, &options).unwrap()
}

async fn note(db: &Db, n: i64) -> Result<(), Error> {
    let mut client = db.get().await?;
    let tx = client.transaction().await?;
    tx.execute("INSERT INTO runtime.noted VALUES ($1)", &[&n])
        .await?;
    Ok(tx.commit().await?)
}

async fn is_noted(db: &Db, n: i64) -> bool {
    let client = db.get().await.unwrap();
    let sql = "SELECT FROM runtime.noted WHERE n = $1";
    client.query_opt(sql, &[&n]).await.unwrap().is_some()
}

/// Every commit through every break is known, or said to be unknown; and the next one works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_through_cuts_is_known_or_said_to_be_unknown() {
    let name = database(&fresh_options(server().await).await);
    for mode in ["disable", "verify-full"] {
        let (proxy, db, direct) = through(&name, mode, PATIENT_MS).await;
        let base = if mode == "disable" { 0 } else { 100_000 };
        note(&db, base).await.unwrap();
        let (up, down) = proxy.passed();
        drop(db);
        let (mut known, mut unknown) = (0, 0);
        // Most of what passes comes before the work; the work is at the end. Sessions of TLS differ by some bytes
        // (signatures, padding), so whether the last place is met is luck: one lies behind any session.
        let last = |n: u64| (0..12).map(move |it| n.saturating_sub(it * 60));
        let even = |n: u64| (0..=12).map(move |it| n * it / 12);
        let places = |n: u64| even(n).chain(last(n)).chain([n + 4_096]);
        let wires = places(up)
            .map(|it| (true, it))
            .chain(places(down).map(|it| (false, it)));
        for (n, (is_up, at)) in wires.enumerate() {
            let end = [End::Cut, End::Reset][n % 2];
            let wire = match is_up {
                true => Wire::up(At::Bytes(at), end),
                false => Wire::down(At::Bytes(at), end),
            };
            let case = format!("{mode} up {is_up} at {at} of {up}/{down} {end:?}");
            let n = base + 1 + i64::try_from(n).unwrap();
            let (proxy, db, _) = through(&name, mode, PATIENT_MS).await;
            proxy.script([wire]);
            match note(&db, n).await {
                Ok(()) => {
                    assert!(
                        is_noted(&direct, n).await,
                        "{case}: confirmed and not there"
                    );
                    known += 1;
                }
                Err(error) if error.outcome_unknown() => {
                    unknown += 1;
                    // Settled by reading, over the same pool: what broke is not handed out again.
                    eventually(&case, async || {
                        is_noted(&db, n).await || note(&db, n).await.is_ok()
                    })
                    .await;
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{case}: {error:?}");
                    assert!(!is_noted(&direct, n).await, "{case}: {error:?}");
                    note(&db, n).await.unwrap();
                }
            }
            assert!(is_noted(&direct, n).await, "{case}");
        }
        assert!(
            known > 0 && unknown > 5,
            "{mode}: {known} known, {unknown} unknown"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_cut_is_unknown_and_there() {
    let name = database(&fresh_options(server().await).await);
    for (n, end) in [End::Cut, End::Reset, End::Silent].into_iter().enumerate() {
        // Only of a silent wire a limit must tell.
        let limit_ms = match end {
            End::Silent => SHORT_MS,
            End::Cut | End::Reset => PATIENT_MS,
        };
        let (proxy, db, direct) = through(&name, "disable", limit_ms).await;
        let n = i64::try_from(n).unwrap();
        proxy.arm(b"C\0\0\0\x0bCOMMIT\0", end);
        let error = note(&db, n).await.unwrap_err();
        assert!(error.outcome_unknown(), "{end:?}: {error:?}");
        assert!(!proxy.is_armed());
        assert!(is_noted(&direct, n).await, "{end:?}");
        note(&db, n + 100).await.unwrap();
    }
}

/// Nobody is told that a wire fell silent: limits of our own must say so, wherever it happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_wire_ends_by_the_limit() {
    tokio::join!(
        check_silence("disable"),
        check_silence("verify-full"),
        check_a_long_statement("disable"),
        check_a_long_statement("verify-full"),
    );
}

async fn check_silence(mode: &str) {
    let name = database(&fresh_options(server().await).await);
    let (proxy, db, direct) = through(&name, mode, SHORT_MS).await;
    // While connecting.
    proxy.script([Wire::down(At::Bytes(0), End::Silent)]);
    let began = Instant::now();
    let error = note(&db, 1).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    // Between two requests, and in the middle of an answer.
    let held = [db.get().await.unwrap(), db.get().await.unwrap()];
    drop(held);
    proxy.end_all(End::Silent);
    let began = Instant::now();
    let told = tokio::join!(note(&db, 2), note(&db, 2));
    for error in [told.0.unwrap_err(), told.1.unwrap_err()] {
        assert!(error.outcome_unknown(), "{error:?}");
    }
    let took = began.elapsed();
    assert!(took < TOLD_WITHIN, "{mode}: {took:?}");
    // Two dead connections failed two requests.
    assert!(!is_noted(&direct, 2).await);
    note(&db, 3).await.unwrap();
    let (proxy, cut_short, _) = through(&name, mode, SHORT_MS).await;
    proxy.script([Wire::down(At::Bytes(1_000_000), End::Silent)]);
    let client = cut_short.get().await.unwrap();
    let many = "SELECT repeat('x', 1000) FROM generate_series(1, 5000)";
    let began = Instant::now();
    let error = Error::from(client.query(many, &[]).await.unwrap_err());
    assert!(error.outcome_unknown(), "{error:?}");
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
}

/// A long statement is none of this: the server's own limit ends it, and says so.
async fn check_a_long_statement(mode: &str) {
    let name = database(&fresh_options(server().await).await);
    let (_proxy, db, _) = through_within(&name, mode, PATIENT_MS, 3_000).await;
    let client = db.get().await.unwrap();
    let slow = client.batch_execute("SELECT pg_sleep(30)").await;
    let slow = Error::from(slow.unwrap_err());
    assert_eq!(slow.sqlstate(), Some("57014"), "{slow:?}");
    assert_eq!(text(&client, "SELECT 'alive'").await, "alive");
}
