//! A migrated database of its own for every test, on one private server per test process.
//!
//! Include it with `#[path = "../support/postgres.rs"] mod postgres;` and call
//! [`fresh_database`]. The server starts with the first call and never outlives the test process:
//! pipes that only this process holds close when it ends, however it ends, and then the server's
//! watchdog stops it and a second one removes the files.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world has failed"
)]

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::data_dir::{DataDir, Opened, OwnedDataDir};
use fraudplat::substrate::db::private::{Options, PrivatePostgres};
use fraudplat::substrate::db::{Db, Endpoint, PoolOptions, migrate};
use tokio::sync::OnceCell;

/// The database that others are copied from; a migration a test would be too slow.
const TEMPLATE: &str = "migrated";

/// One test's own database, migrated and empty.
pub(crate) struct TestDb {
    /// As the role that works: what the application may, no more.
    pub(crate) app: Db,
    /// As the role that migrates.
    pub(crate) owner: Db,
    pub(crate) app_endpoint: Endpoint,
    pub(crate) owner_endpoint: Endpoint,
}

/// Makes a migrated database that no other test sees.
pub(crate) async fn fresh_database() -> TestDb {
    let server = server().await;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    create_database(&server.owner, &name, TEMPLATE).await;
    server.database(&name)
}

/// Makes a database without a schema, for tests of the migrations themselves.
pub(crate) async fn empty_database() -> TestDb {
    let server = server().await;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("empty_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    create_database(&server.owner, &name, "template0").await;
    server.database(&name)
}

/// Looks for the server where the executable does: what the environment names, PATH, what the scripts
/// unpacked.
pub(crate) fn options() -> Options {
    let env = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = env("XDG_CACHE_HOME").or_else(|| Some(env("HOME")?.join(".cache")));
    let mut options = Options::new(Arc::new(SystemEntropy));
    options.binaries_dir = env("FRAUDPLAT__SUBSTRATES__POSTGRES_BIN_DIR");
    options.search_path = std::env::var_os("PATH");
    options.unpacked_root = cache.map(|it| it.join("fraudplat/postgres"));
    options
}

/// Each test binary uses what it needs of this file; what it leaves is no dead code.
const _: fn(TestDb) = |db| {
    drop((db.app, db.owner, db.app_endpoint, db.owner_endpoint));
    drop(empty_database());
};

/// Limits of what a test sets up with: a slow machine is no fault of what is tested.
pub(crate) fn patient() -> PoolOptions {
    PoolOptions {
        wait_ms_max: 120_000,
        connect_ms_max: 120_000,
        statement_ms_max: 300_000,
        ..PoolOptions::default()
    }
}

struct Server {
    owner: Endpoint,
    app: Endpoint,
}

impl Server {
    fn database(&self, name: &str) -> TestDb {
        let owners = PoolOptions {
            application_name: name.to_owned(),
            connections_max: 8,
            ..patient()
        };
        // What it asks for is limited as in production; a connection it may wait for.
        let pool = PoolOptions {
            statement_ms_max: PoolOptions::default().statement_ms_max,
            ..owners.clone()
        };
        let owner_endpoint = self.owner.with_database(name);
        let app_endpoint = self.app.with_database(name);
        TestDb {
            app: Db::open(&app_endpoint, &pool).unwrap(),
            owner: Db::open(&owner_endpoint, &owners).unwrap(),
            app_endpoint,
            owner_endpoint,
        }
    }
}

async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let (tell, told) = mpsc::channel();
            // Every test has a runtime that ends with it; the server's must outlast them all.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(serve(tell));
            });
            tokio::task::spawn_blocking(move || told.recv().expect("the server started"))
                .await
                .unwrap()
        })
        .await
}

/// Starts the server and keeps it until the process ends.
async fn serve(tell: mpsc::Sender<Server>) {
    let (data_dir, _sweeper) = temporary_data_dir();
    let postgres = PrivatePostgres::start(&data_dir, &options()).await.unwrap();
    let server = Server {
        owner: postgres.owner(),
        app: postgres.app(),
    };
    create_database(&server.owner, TEMPLATE, "template0").await;
    let template = server.owner.with_database(TEMPLATE);
    let template = Db::open(&template, &patient()).unwrap();
    migrate::migrate(&template).await.unwrap();
    // A database in use cannot be copied.
    template.close();
    wait_until_unused(&server.owner, TEMPLATE).await;
    tell.send(server).unwrap();
    std::future::pending::<()>().await;
}

async fn create_database(owner: &Endpoint, name: &str, template: &str) {
    let db = Db::open(owner, &patient()).unwrap();
    let client = db.get().await.unwrap();
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    client.batch_execute(&sql).await.unwrap();
}

async fn wait_until_unused(owner: &Endpoint, name: &str) {
    let db = Db::open(owner, &patient()).unwrap();
    let client = db.get().await.unwrap();
    let sql = "SELECT FROM pg_stat_activity WHERE datname = $1";
    while !client.query(sql, &[&name]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// A data directory that the server's account can reach, removed after this process and the
/// servers in it have ended. The child is the one that removes it: keep it as long.
pub(crate) fn temporary_data_dir() -> (OwnedDataDir, Sweeper) {
    let dir = tempfile::Builder::new()
        .prefix("fp-test.")
        .tempdir_in("/tmp")
        .unwrap()
        .keep();
    let sweeper = Sweeper::over(&dir);
    let data_dir = dir.join("data");
    // Test directories are private by default; the server's account must pass through.
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    match DataDir::open(&data_dir, &SystemEntropy).unwrap() {
        Opened::Owned(owned) => (owned, sweeper),
        Opened::Busy { .. } => panic!("a new directory has no owner"),
    }
}

/// Removes a directory once this process, or this value, is gone and its server too.
pub(crate) struct Sweeper(Child);

impl Sweeper {
    fn over(dir: &std::path::Path) -> Sweeper {
        let script = r#"
            read -r _
            waits=0
            while read -r pid < "$1"/data/pg/data/postmaster.pid && kill -0 "$pid" &&
                [ "$waits" -lt 300 ]; do
                sleep 0.1; waits=$((waits + 1))
            done
            rm -rf "$1"
        "#;
        let child = Command::new("/bin/sh")
            .args(["-c", script, "fraudplat-test-sweeper"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C is for the test, not for who cleans up behind it.
            .process_group(0)
            .spawn()
            .unwrap();
        Sweeper(child)
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
