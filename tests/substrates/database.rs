//! The database suite over every kind of server.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use fraudplat::substrate::db::Db;
use fraudplat::substrate::db::managed::{self, ManagedOptions};
use tokio::sync::OnceCell;

use crate::database_suite::*;
use crate::managed::Managed;
use crate::support::{TestDb, empty_database, fresh_database, patient};

/// Where a check makes its databases.
#[derive(Clone, Copy)]
pub(crate) enum On {
    /// The private server, through its socket.
    Private,
    /// A server by URL, over TCP and TLS, as a login that is nothing but a login.
    Managed,
}

/// The database that others are copied from.
const TEMPLATE: &str = "migrated";

impl On {
    /// Migrated and empty.
    pub(crate) async fn fresh(self) -> TestDb {
        match self {
            On::Private => fresh_database().await,
            On::Managed => {
                let options = fresh_options(server().await).await;
                let app = managed::open(&options, "fraudplat test").await.unwrap();
                test_db(&options, app)
            }
        }
    }

    /// Without a schema.
    pub(crate) async fn empty(self) -> TestDb {
        match self {
            On::Private => empty_database().await,
            On::Managed => {
                let options = database(server().await, "template0").await;
                let app = Db::open(&options.app_endpoint().unwrap(), &patient());
                test_db(&options, app.unwrap())
            }
        }
    }
}

fn test_db(options: &ManagedOptions, app: Db) -> TestDb {
    let owner_endpoint = options.owner_endpoint().unwrap();
    TestDb {
        app,
        owner: Db::open(&owner_endpoint, &patient()).unwrap(),
        app_endpoint: options.app_endpoint().unwrap(),
        owner_endpoint,
    }
}

/// The managed server of this test process; it ends with it.
pub(crate) async fn server() -> &'static Managed {
    static SERVER: OnceCell<Managed> = OnceCell::const_new();
    let start = || async {
        let (tell, told) = mpsc::channel();
        // A runtime of its own: that of the first test ends with it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let server = runtime.block_on(async {
                let server = Managed::start(&[]).await;
                create(&server, TEMPLATE, "template0").await;
                managed::provision(&server.options(TEMPLATE)).await.unwrap();
                server
            });
            tell.send(server).unwrap();
        });
        let told = tokio::task::spawn_blocking(move || told.recv().expect("the server started"));
        told.await.unwrap()
    };
    SERVER.get_or_init(start).await
}

/// A migrated database of a server that has the template.
pub(crate) async fn fresh_options(server: &Managed) -> ManagedOptions {
    database(server, TEMPLATE).await
}

async fn database(server: &Managed, template: &str) -> ManagedOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("managed_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    create(server, &name, template).await;
    server.options(&name)
}

pub(crate) async fn create(server: &Managed, name: &str, template: &str) {
    let owner = server.options("postgres").owner_endpoint().unwrap();
    let db = Db::open(&owner, &patient()).unwrap();
    let client = db.get().await.unwrap();
    let in_use = "SELECT FROM pg_stat_activity WHERE datname = $1";
    while !client.query(in_use, &[&template]).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    client.batch_execute(&sql).await.unwrap();
}

macro_rules! suite {
    ($on:ident $place:expr; $($check:ident)*) => {
        mod $on {
            $(
                #[tokio::test]
                async fn $check() {
                    super::$check($place).await;
                }
            )*
        }
    };
    ($($on:ident = $place:expr;)*) => {
        $(suite! { $on $place;
            evidence_is_never_changed_whoever_asks_and_whatever_it_names
            the_application_cannot_loosen_its_guards
            only_a_table_by_day_is_declared_partitioned
            partitions_are_made_once_and_block_no_writer
            of_racing_migrations_one_applies_and_all_succeed
            migrations_of_several_databases_do_not_disturb_each_other
            a_schema_of_another_executable_is_refused
            every_schema_of_the_design_is_there_and_open_to_the_application
            a_commit_on_a_killed_connection_has_an_unknown_outcome
            nothing_is_waited_for_without_a_limit
            an_unreachable_server_is_unavailable_and_a_wrong_secret_is_refused
            lost_races_are_retryable
            what_is_waited_for_is_counted
            rows_are_copied_in_binary_and_a_known_key_is_told
        })*
    };
}

suite! { on_private = crate::database::On::Private; on_managed = crate::database::On::Managed; }
