//! Postgres: a pool of connections to a private server or to a given URL, and the few names of the
//! driver that planes may use. The driver itself is named in this folder only.
//!
//! **Invariant:** no connection is waited for, and no statement runs, without a limit.

mod copy;
mod endpoint;
mod error;
mod fitness;
mod listen;
pub mod managed;
pub mod migrate;
pub mod private;
mod trust;
mod types;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use deadpool_postgres::{Object as Client, Transaction};
pub use tokio_postgres::binary_copy::BinaryCopyInWriter;
pub use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut};
pub use tokio_postgres::{IsolationLevel, Row, Statement};

pub use copy::copy_in;
pub use endpoint::Endpoint;
pub use error::{DriverError, Error};
pub use listen::Listener;
pub use types::Day;

use watch::Wire;

/// The role that migrations run as; it owns every table.
pub const OWNER: &str = "fraudplat_owner";
/// The role that the application works as; it may do what migrations granted, no more (L1).
pub const APP: &str = "fraudplat_app";
/// The role that may drop days of evidence after proof, and besides what the application may.
pub const MAINTENANCE: &str = "fraudplat_maintenance";

/// Limits of one pool. Every one is enforced: by the pool, or by the server for its sessions.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Shown in `pg_stat_activity`: the role of this process, say `fraudplat decision`.
    pub application_name: String,
    pub connections_max: usize,
    /// How long to queue for a free connection.
    pub wait_ms_max: u64,
    /// How long to make a new one.
    pub connect_ms_max: u64,
    /// 0: no limit, for migrations.
    pub statement_ms_max: u64,
    /// Below the lease, so that a stalled holder is rolled back before another takes over.
    pub idle_in_transaction_ms_max: u64,
    /// Acts as this role, of which the endpoint's own must be a member.
    pub acting_as: Option<&'static str>,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            application_name: "fraudplat".to_owned(),
            connections_max: 16,
            wait_ms_max: 5_000,
            connect_ms_max: 5_000,
            statement_ms_max: 30_000,
            // Below the lease: what a paused holder had begun is rolled back before another takes over.
            idle_in_transaction_ms_max: 5_000,
            acting_as: None,
        }
    }
}

/// A pool of connections; clones share it.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    flushes: Arc<AtomicU64>,
    /// How a connection beside the pool is made.
    apart: Arc<(tokio_postgres::Config, Wire, Duration)>,
}

impl Db {
    /// Builds the pool. The first connection is made by the first [`Db::get`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the limits make no pool; [`Error::Trust`] when the certificates
    /// to trust cannot be had.
    pub fn open(endpoint: &Endpoint, options: &PoolOptions) -> Result<Db, Error> {
        // Every read follows a key, in the key's order. Of a table that has grown since its statistics
        // were taken the planner expects few rows, and would fetch and sort all that are left for each page;
        // and the price of a page out of order that it assumes is that of a turning disk.
        let acting_as = options.acting_as.map(|role| format!("-c role={role}"));
        let session = format!(
            "-c statement_timeout={} -c idle_in_transaction_session_timeout={} -c jit=off \
             -c enable_bitmapscan=off -c random_page_cost=1.1 -c timezone=UTC {}",
            options.statement_ms_max,
            options.idle_in_transaction_ms_max,
            acting_as.unwrap_or_default()
        );
        let connect = Duration::from_millis(options.connect_ms_max);
        let config = endpoint.config(&session, options);
        // The server ends a statement at its limit and says so. Later than that nothing is coming.
        let answer = Duration::from_millis(
            options
                .statement_ms_max
                .saturating_add(options.connect_ms_max),
        );
        let flushes = Arc::<AtomicU64>::default();
        let wire = Wire {
            tls: endpoint.trust.client_config()?.map(MakeRustlsConnect::new),
            answer_max: (options.statement_ms_max > 0).then_some(answer),
            flushes: Arc::clone(&flushes),
            heard: None,
        };
        let apart = Arc::new((config.clone(), wire.clone(), connect));
        // A closed connection is seen without asking; a round trip per use would buy no certainty.
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let pool = Pool::builder(Manager::from_connect(config, wire, recycling))
            .max_size(options.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_millis(options.wait_ms_max)))
            .create_timeout(Some(connect))
            .recycle_timeout(Some(connect))
            .build()
            .map_err(|_| Error::Unavailable {
                what: "the pool is misbuilt",
                source: None,
            })?;
        Ok(Db {
            pool,
            flushes,
            apart,
        })
    }

    /// A connection, given back when dropped. Statements are cached per connection through
    /// `prepare_cached`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none was had in time; [`Error::Sql`] when the server refused
    /// the role or the database.
    pub async fn get(&self) -> Result<Client, Error> {
        Ok(self.pool.get().await?)
    }

    /// How often the server was waited for since the pool was opened: statements that travel together are
    /// one flush, a COPY is two.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// Refuses new uses and closes what is idle; connections in use close when given back.
    pub fn close(&self) {
        self.pool.close();
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db")
            .field("pool", &self.pool.status())
            .finish()
    }
}
