//! The database of a site, asked past every process: who holds what, how far a run has come.

use fraudplat::contracts::groups;
use fraudplat::contracts::run_position::RunPosition;
use fraudplat::domain::ids::PlatformRunId;
use fraudplat::domain::time::Time;
use fraudplat::runtime::lease::{self, LeaseRow};
use fraudplat::substrate::clock::{Clock as _, SystemClock};
use fraudplat::substrate::db::managed::{Login, ManagedOptions, Url};
use fraudplat::substrate::db::{Client, Db, PoolOptions};
use fraudplat::substrate::secret::Secret;
use tokio::runtime::Runtime;

use crate::servers::Servers;

const OPEN_BATCHES: &str = "SELECT count(*) FROM runtime.inflight";
const DEGRADED: &str = "SELECT count(*) FROM dla.decision WHERE platform_run_id = $1 AND degraded";
const AMBIGUOUS: &str = "SELECT count(*) FROM ig.batch_ambiguous";

pub(crate) struct Ledger {
    db: Db,
    runtime: Runtime,
}

impl Ledger {
    pub(crate) fn of(servers: &Servers) -> Ledger {
        let setting = |name: &str| {
            let name = format!("FRAUDPLAT__SUBSTRATES__MANAGED__POSTGRES__APP__{name}");
            servers.setting(&name).to_owned()
        };
        let options = ManagedOptions::new(Login {
            url: Url::new(setting("URL")),
            password: Some(Secret::new(setting("PASSWORD"))),
            password_file: None,
        });
        // It is asked while the server is down, too.
        let pool = PoolOptions {
            connections_max: 1,
            connect_ms_max: 500,
            wait_ms_max: 500,
            statement_ms_max: 5_000,
            ..PoolOptions::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let db = Db::open(&options.app_endpoint().unwrap(), &pool).unwrap();
        Ledger { db, runtime }
    }

    /// Every lease; nothing while the database does not answer.
    pub(crate) fn leases(&self) -> Option<Vec<LeaseRow>> {
        self.ask(async |client| lease::list(&client).await.ok())
    }

    /// Batches that no terminal row has settled.
    pub(crate) fn open_batches(&self) -> Option<i64> {
        self.count(OPEN_BATCHES)
    }

    /// How often the bus did not say what became of a put.
    pub(crate) fn ambiguous(&self) -> Option<i64> {
        self.count(AMBIGUOUS)
    }

    /// Decisions of a run that were made on less than the whole frame.
    pub(crate) fn degraded(&self, run: &str) -> Option<i64> {
        let run: PlatformRunId = run.parse().ok()?;
        self.ask(async |client| Some(client.query_one(DEGRADED, &[&run]).await.ok()?.get(0)))
    }

    fn count(&self, statement: &str) -> Option<i64> {
        self.ask(async |client| Some(client.query_one(statement, &[]).await.ok()?.get(0)))
    }

    fn ask<T>(&self, ask: impl AsyncFnOnce(Client) -> Option<T>) -> Option<T> {
        self.runtime
            .block_on(async { ask(self.db.get().await.ok()?).await })
    }

    /// The lease of a run's decisions.
    pub(crate) fn decision(&self, run: &str) -> Option<LeaseRow> {
        let is_it = |row: &LeaseRow| row.key.group == groups::DECISION && row.key.scope == run;
        self.leases()?.into_iter().find(is_it)
    }

    /// How many payments of a run are decided.
    pub(crate) fn decided(&self, run: &str) -> Option<u64> {
        let position = RunPosition::parse(&self.decision(run)?.position).ok()?;
        u64::try_from(position.seq).ok()
    }

    /// How often leases have changed hands: those of the gates, of the inlets, of decisions.
    pub(crate) fn takeovers(&self) -> Option<[i64; 3]> {
        let leases = self.leases()?;
        let taken = |is_of: &dyn Fn(&str) -> bool| -> i64 {
            let of = leases.iter().filter(|row| is_of(&row.key.group));
            of.map(|row| row.epoch - 1).sum()
        };
        let is_context = |group: &str| groups::CONTEXT_GROUPS.iter().any(|(it, _)| *it == group);
        Some([
            taken(&|group| group == groups::IG),
            taken(&|group| is_context(group) || group == groups::ARCHIVE),
            taken(&|group| group == groups::DECISION),
        ])
    }
}

/// Whether somebody still has this lease.
pub(crate) fn is_held(row: &LeaseRow) -> bool {
    let now: Time = SystemClock.now();
    row.expires_at > now
}
