//! The server's files: `pg/data`, the two secrets, and what a fresh server must hold before the
//! application comes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, timeout_at};

use super::account::Account;
use super::binaries::Binaries;
use super::{DATABASE, Error, failed};
use crate::domain::digest::Digest;
use crate::substrate::clock::Entropy;
use crate::substrate::data_dir::{sync_parent, write_atomic};
use crate::substrate::db::{self, APP, Client, Db, Endpoint, OWNER, PoolOptions};

const STAGED: &str = "init.";

/// One set of server files and the account that they belong to.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) dir: PathBuf,
    pub(super) account: Account,
}

/// The secrets of the two roles.
pub(super) struct Secrets {
    pub(super) owner: String,
    pub(super) app: String,
}

impl Cluster {
    pub(super) fn new(dir: PathBuf, account: Account) -> Cluster {
        Cluster { dir, account }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Stands in the title of every process of this server, so that a later start recognises them.
    pub(super) fn name(&self) -> String {
        let digest = Digest::of_bytes(self.dir.as_os_str().as_encoded_bytes()).to_string();
        format!("fp-{}", &digest[..16])
    }

    /// The major version that made the files, none where there are none.
    pub(super) fn major(&self) -> Result<Option<u32>, Error> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Makes the files where they are missing: beside their place first, then renamed, so that a
    /// kill leaves either all or nothing.
    pub(super) async fn init(
        &self,
        binaries: &Binaries,
        entropy: &dyn Entropy,
        deadline: Instant,
    ) -> Result<Secrets, Error> {
        let is_new = !self.data().exists();
        let secret_path = self.dir.join("password");
        if !is_new && !secret_path.exists() {
            return Err(Error::SecretLost {
                dir: self.dir.clone(),
            });
        }
        let secrets = Secrets {
            owner: self.secret(&secret_path, entropy)?,
            app: self.secret(&self.dir.join("password.app"), entropy)?,
        };
        self.remove_staged()?;
        if is_new {
            let staged = self.dir.join(format!("{STAGED}{}", entropy.name(8)));
            self.initdb(binaries, &staged, &secret_path, deadline)
                .await?;
            fs::rename(&staged, self.data()).map_err(failed("rename", &staged))?;
            sync_parent(&self.data())?;
        }
        Ok(secrets)
    }

    /// Reads a secret, or draws and keeps a new one.
    fn secret(&self, path: &Path, entropy: &dyn Entropy) -> Result<String, Error> {
        match fs::read_to_string(path) {
            Ok(secret) => return Ok(secret.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
        let secret = entropy.name(64);
        write_atomic(path, secret.as_bytes(), 0o600)?;
        // initdb reads it as the account.
        self.account.own(path)?;
        Ok(secret)
    }

    /// An initdb that was killed leaves half a server.
    fn remove_staged(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let path = entry.map_err(failed("list", &self.dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(STAGED) {
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    async fn initdb(
        &self,
        binaries: &Binaries,
        staged: &Path,
        secret_path: &Path,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut command = binaries.command("initdb");
        command
            .arg("--pgdata")
            .arg(staged)
            .arg("--pwfile")
            .arg(secret_path)
            .args(["--username", OWNER, "--auth", "scram-sha-256"])
            // Bytewise order everywhere: an index must not depend on the machine's C library.
            .args(["--encoding", "UTF8", "--locale", "C", "--no-instructions"]);
        if let Some(share) = &binaries.share {
            command.arg("-L").arg(share);
        }
        command.current_dir(&self.dir).kill_on_drop(true);
        self.account.dress(&mut command);
        let output = match timeout_at(deadline, command.output()).await {
            Ok(output) => output.map_err(failed("run", &binaries.dir.join("initdb")))?,
            Err(_) => {
                return Err(Error::Init {
                    output: "it did not end in time".to_owned(),
                });
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Err(Error::Init {
            output: format!("{} {}", text(&output.stderr), text(&output.stdout)),
        })
    }
}

/// One connection, for the start only.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Client, db::Error> {
    let options = PoolOptions {
        application_name: "fraudplat start".to_owned(),
        connections_max: 1,
        ..PoolOptions::default()
    };
    let client = Db::open(endpoint, &options)?.get().await?;
    Ok(client)
}

/// Gives a server its application role and database. Repeated at every start: it heals a start
/// that was killed in between.
pub(super) async fn bootstrap(owner: &Endpoint, secrets: &Secrets) -> Result<(), db::Error> {
    let client = connect(owner).await?;
    let roles = "SELECT FROM pg_roles WHERE rolname = $1";
    if client.query_opt(roles, &[&APP]).await?.is_none() {
        client.batch_execute(&format!("CREATE ROLE {APP}")).await?;
    }
    // The secret is 64 hex digits of our own drawing: nothing to quote.
    let login = format!("ALTER ROLE {APP} LOGIN PASSWORD '{}'", secrets.app);
    client.batch_execute(&login).await?;
    let databases = "SELECT FROM pg_database WHERE datname = $1";
    if client.query_opt(databases, &[&DATABASE]).await?.is_none() {
        client
            .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
            .await?;
    }
    Ok(())
}
