//! The private Postgres: found on the machine, initialised, started and stopped inside the data
//! directory, reachable through a socket that only its owner can open.
//!
//! **Invariant:** the server lives no longer than its owner. A stop is asked for, a drop asks
//! too, and when the owner is killed a watchdog sees its pipe close and stops the server.
//! **Invariant:** a start never joins a server that is there already. Statements of a killed owner
//! may still run in it; it is stopped first, so that what this owner reads is settled.

mod account;
mod binaries;
mod cluster;
mod leftovers;
mod server;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{APP, Endpoint, OWNER};
use crate::substrate::clock::Entropy;
use crate::substrate::data_dir::{self, OwnedDataDir};

use account::Account;
use binaries::Binaries;
use cluster::{Cluster, Secrets};

/// The database of the application on its private server.
const DATABASE: &str = "fraudplat";

/// How long a fast shutdown may take: it writes a checkpoint.
const STOP_MS_MAX: u64 = 30_000;
/// How long after that the server may take to die without one.
const QUIT_MS_MAX: u64 = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL {wanted} found in {searched}; install one (Debian: postgresql) or name its \
         directory"
    )]
    NoBinaries { wanted: String, searched: String },
    #[error("`{dir}` holds no usable PostgreSQL: {why}")]
    BadBinaries { dir: PathBuf, why: String },
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`")]
    NoAccount,
    #[error(
        "the database server runs as `{account}`, who cannot pass through `{dir}` (mode {mode:o}): \
         allow it with `chmod o+x {dir}` or choose another directory"
    )]
    Impassable {
        account: String,
        dir: PathBuf,
        mode: u32,
    },
    #[error("`{path}` belongs to uid {found}, this process is uid {expected}")]
    ForeignOwner {
        path: PathBuf,
        found: u32,
        expected: u32,
    },
    #[error("the server's files in `{dir}` are there but their secret `password` is not")]
    SecretLost { dir: PathBuf },
    #[error("initdb failed: {output}")]
    Init { output: String },
    #[error("the database server ended while starting ({status}); its log says: {log}")]
    Died { status: String, log: String },
    #[error("the database server was not ready after {ms} ms; its log says: {log}")]
    Slow { ms: u128, log: String },
    #[error("processes of an earlier database server do not end: {pids:?}")]
    Leftover { pids: Vec<i32> },
    #[error("the database server did not stop")]
    Unstoppable,
    #[error("setting up the private database")]
    Bootstrap(#[source] super::Error),
    #[error(transparent)]
    Files(#[from] data_dir::Error),
    #[error("{action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// Where to look for binaries and how long to wait.
#[derive(Clone)]
pub struct Options {
    /// The directory with `postgres` and `initdb`; when set, no other is looked at.
    pub binaries_dir: Option<PathBuf>,
    /// The value of `PATH`, searched first.
    pub search_path: Option<OsString>,
    /// The root of an unpacked Debian tree (`<root>/usr/lib/postgresql/…`), searched last.
    pub unpacked_root: Option<PathBuf>,
    /// How long initialising, recovering and starting may take together.
    pub start_ms_max: u64,
    pub entropy: Arc<dyn Entropy>,
}

impl Options {
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Options {
        Options {
            binaries_dir: None,
            search_path: None,
            unpacked_root: None,
            // Recovery replays up to 4 GB of log after a crash.
            start_ms_max: 120_000,
            entropy,
        }
    }
}

/// A running private server. Dropping it asks the server to stop without waiting.
#[derive(Debug)]
pub struct PrivatePostgres {
    pid: u32,
    owner: Endpoint,
    app: Endpoint,
    signals: mpsc::Sender<Signal>,
    exited: watch::Receiver<Option<ExitStatus>>,
    /// Removed when dropped.
    _socket_dir: server::SocketDir,
}

impl PrivatePostgres {
    /// Starts the server of `data_dir`, initialising it first where it is missing and ending what
    /// a killed owner left running. Returns once it accepts connections, both roles and the
    /// database are there; the schema is [`super::migrate`]'s.
    ///
    /// # Errors
    /// [`Error`] names the cause and, where there is one, the remedy.
    pub async fn start(
        data_dir: &OwnedDataDir,
        options: &Options,
    ) -> Result<PrivatePostgres, Error> {
        let deadline = Instant::now() + Duration::from_millis(options.start_ms_max);
        let dir = data_dir.pg();
        let account = Account::of(&dir)?;
        account.own(&dir)?;
        account.check_passage(&dir)?;
        let cluster = Cluster::new(dir, account);
        leftovers::end(&cluster).await?;
        let binaries = Binaries::find(options, cluster.major()?).await?;
        cluster.account.check_passage(&binaries.dir)?;
        let secrets = cluster
            .init(&binaries, options.entropy.as_ref(), deadline)
            .await?;
        let started = launch(&cluster, &binaries, &secrets, deadline).await?;
        if let Err(error) = cluster::bootstrap(&started.owner, &secrets).await {
            started.stop().await?;
            return Err(Error::Bootstrap(error));
        }
        Ok(started)
    }

    /// The application's database, as the role that migrates.
    #[must_use]
    pub fn owner(&self) -> Endpoint {
        self.owner.with_database(DATABASE)
    }

    /// The application's database, as the role that works.
    #[must_use]
    pub fn app(&self) -> Endpoint {
        self.app.with_database(DATABASE)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resolves when the server has ended, by itself or by [`PrivatePostgres::stop`]; before a
    /// stop it means that the database is gone and the process had better restart.
    pub fn exited(&self) -> impl Future<Output = Option<ExitStatus>> + Send + use<> {
        let mut exited = self.exited.clone();
        async move {
            // An error means that the watching task is gone, and the server with it.
            let status = exited.wait_for(Option::is_some).await;
            status.ok().and_then(|it| *it)
        }
    }

    /// Ends open transactions, writes a checkpoint, stops. Returns when the server is gone.
    ///
    /// # Errors
    /// [`Error::Unstoppable`] when it outlives both its deadlines.
    pub async fn stop(self) -> Result<(), Error> {
        for (signal, ms_max) in [(Signal::INT, STOP_MS_MAX), (Signal::QUIT, QUIT_MS_MAX)] {
            // A closed channel means that it has ended already.
            self.signals.send(signal).await.ok();
            let wait = timeout(Duration::from_millis(ms_max), self.exited());
            if wait.await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::Unstoppable)
    }
}

/// Starts the server, again and again until the deadline while something of an earlier one is in
/// the way: an orphan can hold the shared memory for a moment after its postmaster was killed.
async fn launch(
    cluster: &Cluster,
    binaries: &Binaries,
    secrets: &Secrets,
    deadline: Instant,
) -> Result<PrivatePostgres, Error> {
    loop {
        let socket_dir = server::SocketDir::create(cluster)?;
        let log = server::Log::open(cluster)?;
        let launched = server::spawn(cluster, binaries, &socket_dir, &log)?;
        let started = PrivatePostgres {
            pid: launched.pid,
            owner: Endpoint::from_socket(socket_dir.path(), OWNER, &secrets.owner, "postgres"),
            app: Endpoint::from_socket(socket_dir.path(), APP, &secrets.app, DATABASE),
            signals: launched.signals,
            exited: launched.exited,
            _socket_dir: socket_dir,
        };
        match wait_until_ready(&started, &log, deadline).await {
            Ok(()) => return Ok(started),
            Err(Error::Died { log, .. }) if in_the_way(&log) && Instant::now() < deadline => {
                leftovers::end(cluster).await?;
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => {
                started.stop().await?;
                return Err(error);
            }
        }
    }
}

fn in_the_way(log: &str) -> bool {
    log.contains("pre-existing shared memory block") || log.contains("already exists")
}

/// Polls with connections: only one that is let in proves that recovery is over.
async fn wait_until_ready(
    started: &PrivatePostgres,
    log: &server::Log,
    deadline: Instant,
) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let status = *started.exited.borrow();
        if let Some(status) = status {
            return Err(Error::Died {
                status: status.to_string(),
                log: log.tail(),
            });
        }
        match cluster::connect(&started.owner).await {
            Ok(_) => return Ok(()),
            Err(super::Error::Unavailable { .. }) if Instant::now() < deadline => {}
            Err(super::Error::Unavailable { .. }) => {
                return Err(Error::Slow {
                    ms: began.elapsed().as_millis(),
                    log: log.tail(),
                });
            }
            Err(error) => return Err(Error::Bootstrap(error)),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
