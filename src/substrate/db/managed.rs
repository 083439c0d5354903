//! A Postgres that somebody else runs: reached by URL, looked at before it is trusted with
//! evidence, migrated by its owner, used as the application.
//!
//! **Invariant:** no process works on a server that may lose what it confirmed, nor in a session
//! that could change evidence (L1).

use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::fitness::{check_session, read_server};
use super::{APP, Client, Db, Endpoint, Error, MAINTENANCE, PoolOptions, migrate};
use crate::substrate::secret::Secret;

/// What a profile says about a managed server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedOptions {
    /// Whom every process works as: a login that is a member of `fraudplat_app`.
    pub app: Login,
    /// Whom `provision` and `migrate` work as: the owner of the database, who may create roles.
    #[serde(default)]
    pub owner: Option<Login>,
    /// Certificates (PEM) of the authority that signed the server's; else those of this machine.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default = "defaults::connections_max")]
    pub connections_max: usize,
    #[serde(default = "defaults::wait_ms_max")]
    pub wait_ms_max: u64,
    #[serde(default = "defaults::connect_ms_max")]
    pub connect_ms_max: u64,
    #[serde(default = "defaults::statement_ms_max")]
    pub statement_ms_max: u64,
    /// Below the lease, so that a stalled holder is rolled back before another takes over.
    #[serde(default = "defaults::idle_in_transaction_ms_max")]
    pub idle_in_transaction_ms_max: u64,
}

/// A role on a server. Its password stands in one place: here (from the environment), in a file, or
/// in the URL.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub url: Url,
    #[serde(default)]
    pub password: Option<Secret>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// `postgres://role@host:port/database?sslmode=verify-full`; shown without its password.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Url {
        Url(text.into())
    }

    /// `scheme://role:(secret)@host…`. The last `@` before the path ends the password, as it does
    /// for the driver.
    fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // The key-value form may say `password=`.
            return "(secret)".to_owned();
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let query_has_secret = behind.contains("password");
        let behind = if query_has_secret {
            "/(secret)"
        } else {
            behind
        };
        match authority.rsplit_once('@') {
            Some((login, host)) => {
                let role = login.split(':').next().unwrap_or_default();
                let secret = if login.contains(':') { ":(secret)" } else { "" };
                format!("{scheme}://{role}{secret}@{host}{behind}")
            }
            None => format!("{scheme}://{authority}{behind}"),
        }
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

mod defaults {
    use crate::substrate::db::PoolOptions;

    pub(super) fn connections_max() -> usize {
        PoolOptions::default().connections_max
    }
    pub(super) fn wait_ms_max() -> u64 {
        PoolOptions::default().wait_ms_max
    }
    pub(super) fn connect_ms_max() -> u64 {
        PoolOptions::default().connect_ms_max
    }
    pub(super) fn statement_ms_max() -> u64 {
        PoolOptions::default().statement_ms_max
    }
    pub(super) fn idle_in_transaction_ms_max() -> u64 {
        PoolOptions::default().idle_in_transaction_ms_max
    }
}

impl Login {
    fn endpoint(&self, ca_file: Option<&PathBuf>) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_url(&self.url.0, ca_file.cloned())?;
        let sources = [
            endpoint.has_secret(),
            self.password.is_some(),
            self.password_file.is_some(),
        ];
        if sources.iter().filter(|it| **it).count() > 1 {
            return Err(Error::Url {
                what: "the password stands in more than one of url, password and password_file"
                    .to_owned(),
            });
        }
        match (&self.password, &self.password_file) {
            (Some(secret), _) => Ok(endpoint.with_secret(secret.reveal())),
            (None, Some(path)) => {
                let secret = Secret::read(path).map_err(|source| Error::PasswordFile {
                    path: path.clone(),
                    source,
                })?;
                Ok(endpoint.with_secret(secret.reveal()))
            }
            (None, None) => Ok(endpoint),
        }
    }
}

impl ManagedOptions {
    /// All defaults, for one login.
    #[must_use]
    pub fn new(app: Login) -> ManagedOptions {
        ManagedOptions {
            app,
            owner: None,
            ca_file: None,
            connections_max: defaults::connections_max(),
            wait_ms_max: defaults::wait_ms_max(),
            connect_ms_max: defaults::connect_ms_max(),
            statement_ms_max: defaults::statement_ms_max(),
            idle_in_transaction_ms_max: defaults::idle_in_transaction_ms_max(),
        }
    }

    /// Where processes work, their sessions being the application.
    ///
    /// # Errors
    /// A URL or a file that is wrong.
    pub fn app_endpoint(&self) -> Result<Endpoint, Error> {
        self.working_as(APP)
    }

    fn working_as(&self, role: &str) -> Result<Endpoint, Error> {
        let endpoint = self.app.endpoint(self.ca_file.as_ref())?;
        Ok(endpoint.working_as(role))
    }

    /// Where the schema is made.
    ///
    /// # Errors
    /// A URL or a file that is wrong, or none given.
    pub fn owner_endpoint(&self) -> Result<Endpoint, Error> {
        match &self.owner {
            Some(owner) => owner.endpoint(self.ca_file.as_ref()),
            None => Err(Error::Url {
                what: "no owner is given, and only the owner may change the schema".to_owned(),
            }),
        }
    }

    /// The limits of a pool by this name.
    #[must_use]
    pub fn pool(&self, application_name: &str) -> PoolOptions {
        PoolOptions {
            application_name: application_name.to_owned(),
            connections_max: self.connections_max,
            wait_ms_max: self.wait_ms_max,
            connect_ms_max: self.connect_ms_max,
            statement_ms_max: self.statement_ms_max,
            idle_in_transaction_ms_max: self.idle_in_transaction_ms_max,
            acting_as: None,
        }
    }

    /// One connection at a time.
    fn single(&self, application_name: &str) -> PoolOptions {
        PoolOptions {
            connections_max: 1,
            ..self.pool(application_name)
        }
    }
}

/// What [`provision`] did.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Provisioned {
    /// Migrations applied, in order.
    pub applied: Vec<String>,
    /// Whether the login was made a member of the roles that it works as now.
    pub granted: bool,
}

/// Brings the schema up to date and lets the login of the processes work as the application. A
/// repeat changes nothing.
///
/// # Errors
/// A server that does not answer, is not to be trusted with evidence, or refuses the owner.
pub async fn provision(options: &ManagedOptions) -> Result<Provisioned, Error> {
    let endpoint = options.owner_endpoint()?;
    // A migration takes as long as it takes.
    let pool = PoolOptions {
        connections_max: 2,
        statement_ms_max: 0,
        ..options.single("fraudplat migrate")
    };
    read_server(&endpoint.clone().unpinned(), &pool)
        .await?
        .check()?;
    let db = Db::open(&endpoint, &pool)?;
    let applied = migrate::migrate(&db).await?;
    let client = db.get().await?;
    let mut granted = false;
    for role in [APP, MAINTENANCE] {
        granted |= grant(&client, options, role).await?;
    }
    drop(client);
    db.close();
    Ok(Provisioned { applied, granted })
}

/// Looks whether the server and a session on it are what they must be, and opens the pool that
/// processes work with.
///
/// # Errors
/// [`Error::NotDurable`] and [`Error::Unfit`] name what stands in the way.
pub async fn open(options: &ManagedOptions, application_name: &str) -> Result<Db, Error> {
    let endpoint = options.app_endpoint()?;
    if endpoint.is_exposed() {
        tracing::warn!(
            ?endpoint,
            "the database is spoken to in clear over a network"
        );
    }
    let probe = options.single("fraudplat start");
    let server = read_server(&endpoint.clone().unpinned(), &probe).await?;
    server.check()?;
    server.check_membership()?;
    let db = Db::open(&endpoint, &options.pool(application_name))?;
    check_session(&db.get().await?, options.statement_ms_max).await?;
    Ok(db)
}

/// The pool of whoever drops days of evidence after proof: the same login, working as that role.
///
/// # Errors
/// A URL or a file that is wrong.
pub fn open_maintenance(options: &ManagedOptions) -> Result<Db, Error> {
    let pool = PoolOptions {
        connections_max: 2,
        // Its proofs read whole days.
        statement_ms_max: 600_000,
        idle_in_transaction_ms_max: 60_000,
        ..options.pool("fraudplat maintenance")
    };
    Db::open(&options.working_as(MAINTENANCE)?, &pool)
}

/// Makes the login of the processes a member of a role, where it is none.
async fn grant(client: &Client, options: &ManagedOptions, role: &str) -> Result<bool, Error> {
    let endpoint = options.app.endpoint(options.ca_file.as_ref())?;
    let login = endpoint.login().unwrap_or_default().to_owned();
    let sql = include_str!("sql/read_membership.sql");
    let row = client.query_opt(sql, &[&role, &login]).await?;
    let Some(row) = row else {
        return Err(Error::Unfit {
            what: format!("it has no role `{login}`; make it with LOGIN and a password"),
        });
    };
    if row.try_get("is_member")? {
        return Ok(false);
    }
    let sql = include_str!("sql/grant_app.sql");
    let statement = client.query_one(sql, &[&role, &login]).await?;
    client
        .batch_execute(statement.try_get("statement")?)
        .await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ManagedOptions, String> {
        serde_saphyr::from_str(text).map_err(|cause| cause.to_string())
    }

    #[test]
    fn a_profile_names_logins_and_keeps_their_secrets() {
        let options = read(
            "app: {url: 'postgres://works:hush@localhost/d', password: hush}
owner: {url: 'postgres://owns@localhost/d?password=hush'}",
        )
        .unwrap();
        let json = serde_json::to_string(&options).unwrap();
        let shown = format!("{options:?} {json}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(
            shown.contains("postgres://works:(secret)@localhost/d"),
            "{shown}"
        );
        assert!(read("{app: {url: u}, url: v}").is_err());
        assert!(read("{owner: {url: u}}").is_err());
    }

    #[test]
    fn a_url_is_shown_without_its_secret() {
        for (url, shown) in [
            (
                "postgres://a@h:1/d?sslmode=require",
                "postgres://a@h:1/d?sslmode=require",
            ),
            ("postgres://a:b@h,i/d", "postgres://a:(secret)@h,i/d"),
            ("postgres://a:b@c@h/d", "postgres://a:(secret)@h/d"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://a@h/d?password=b", "postgres://a@h/(secret)"),
            ("host=h password=b", "(secret)"),
        ] {
            assert_eq!(Url::new(url).shown(), shown, "{url}");
        }
    }

    #[test]
    fn a_password_stands_in_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hush\n").unwrap();
        let bare = Login {
            url: Url::new("postgres://a@localhost/d"),
            password: None,
            password_file: Some(path),
        };
        assert!(bare.endpoint(None).unwrap().has_secret());
        let mut twice = bare.clone();
        twice.password = Some(Secret::new("hush"));
        assert!(matches!(twice.endpoint(None), Err(Error::Url { .. })));
        let mut twice = bare.clone();
        twice.url = Url::new("postgres://a:hush@localhost/d");
        assert!(matches!(twice.endpoint(None), Err(Error::Url { .. })));
        let mut gone = bare;
        gone.password_file = Some(dir.path().join("missing"));
        assert!(matches!(
            gone.endpoint(None),
            Err(Error::PasswordFile { .. })
        ));
    }
}
