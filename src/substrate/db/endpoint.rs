//! Where a database answers and as whom: a URL from the profile, or the private server's socket.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, SslNegotiation};

use super::trust::Trust;
use super::{Error, PoolOptions};

/// A dead peer is noticed within half a minute, also by a connection that nobody uses.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 4;

/// Every session has it, whatever the server's own setting: a commit that was answered is on disk.
const DURABLE: &str = "-c synchronous_commit=on";

/// A server, a database on it, and a role with its secret. `Debug` hides the secret.
#[derive(Clone)]
pub struct Endpoint {
    config: tokio_postgres::Config,
    pub(super) trust: Trust,
    /// Session settings that nothing in a URL can override.
    pins: String,
}

impl Endpoint {
    /// Reads `postgres://user:secret@host:port/database?sslmode=…` or the key-value form (which
    /// has no `sslmode`). Without `sslmode`, this machine is spoken to in clear and any other only
    /// as `verify-full`.
    ///
    /// # Errors
    /// [`Error::Url`] when it cannot be read, names no host, or asks for a mode that would fall
    /// back to clear text.
    pub fn from_url(url: &str, ca_file: Option<PathBuf>) -> Result<Endpoint, Error> {
        let (url, mode) = without_mode(url);
        // The parser's message may quote the URL, and with it the secret.
        let mut config = tokio_postgres::Config::from_str(&url).map_err(|_| Error::Url {
            what: "expected postgres://user:secret@host:port/database".to_owned(),
        })?;
        let hosts = config.get_hosts();
        if hosts.is_empty() {
            return Err(Error::Url {
                what: "it names no host".to_owned(),
            });
        }
        let is_socket = hosts.iter().any(|it| matches!(it, Host::Unix(_)));
        // Only the key-value form still has one here.
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err(Error::Url {
                what: "sslmode is read in a postgres:// URL only".to_owned(),
            });
        }
        let trust = match mode {
            Some(mode) => Trust::of_mode(&mode, ca_file)?,
            None if is_far(&config) || ca_file.is_some() => Trust::Verified { ca_file },
            None => Trust::Clear,
        };
        if is_socket && trust != Trust::Clear {
            return Err(Error::Url {
                what: "a socket has no TLS; use sslmode=disable".to_owned(),
            });
        }
        protect(&mut config, &trust, is_socket);
        Ok(Endpoint {
            config,
            trust,
            pins: DURABLE.to_owned(),
        })
    }

    /// A server behind a socket in `dir`.
    pub(super) fn from_socket(dir: &Path, role: &str, secret: &str, database: &str) -> Endpoint {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(dir)
            .user(role)
            .password(secret)
            .dbname(database)
            .ssl_mode(SslMode::Disable);
        Endpoint {
            config,
            trust: Trust::Clear,
            pins: DURABLE.to_owned(),
        }
    }

    /// The same server and role, another database on it.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Endpoint {
        let mut endpoint = self.clone();
        endpoint.config.dbname(name);
        endpoint
    }

    /// The same, with its secret from elsewhere.
    pub(super) fn with_secret(mut self, secret: &str) -> Endpoint {
        self.config.password(secret);
        self
    }

    pub(super) fn has_secret(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The same, its sessions working as this role, such as the application: they may do what
    /// migrations granted to it, whatever else the login may. A session that resets its role has it
    /// again.
    pub(super) fn working_as(mut self, role: &str) -> Endpoint {
        self.pins = format!("{DURABLE} -c role={role}");
        self
    }

    /// The same, its sessions as the server sets them up by itself.
    pub(super) fn unpinned(mut self) -> Endpoint {
        self.pins.clear();
        self
    }

    pub(super) fn login(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// Whether secrets and evidence cross a network that others may read.
    pub(super) fn is_exposed(&self) -> bool {
        self.trust == Trust::Clear && is_far(&self.config)
    }

    /// The driver's settings: the pool's session settings (`-c name=value …`), then the URL's own,
    /// then what nothing may change.
    pub(super) fn config(&self, session: &str, options: &PoolOptions) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        let own = config.get_options().unwrap_or_default();
        let settings = format!("{session} {own} {}", self.pins);
        let connect_timeout = Duration::from_millis(options.connect_ms_max);
        config
            .application_name(&options.application_name)
            .options(settings.trim())
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(connect_timeout)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        config
    }
}

/// Over TCP the driver always hands the connection to our connector, for the watch on it; without
/// TLS it does so by what it calls the direct mode, which sends nothing before.
fn protect(config: &mut tokio_postgres::Config, trust: &Trust, is_socket: bool) {
    if is_socket {
        config.ssl_mode(SslMode::Disable);
        return;
    }
    config.ssl_mode(SslMode::Require);
    if *trust == Trust::Clear {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
}

/// Takes `sslmode` out of a URL: the driver knows fewer modes than people write.
fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((front, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let (modes, others): (Vec<&str>, Vec<&str>) =
        query.split('&').partition(|it| it.starts_with("sslmode="));
    let mode = modes.last().and_then(|it| it.split_once('='));
    (
        format!("{front}?{}", others.join("&")),
        mode.map(|(_, mode)| mode.to_owned()),
    )
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("hosts", &self.config.get_hosts())
            .field("role", &self.config.get_user())
            .field("database", &self.config.get_dbname())
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

fn is_far(config: &tokio_postgres::Config) -> bool {
    let mut hosts = config.get_hosts().iter();
    let mut addresses = config.get_hostaddrs().iter();
    hosts.any(|it| matches!(it, Host::Tcp(name) if !is_loopback(name)))
        || addresses.any(|it| !it.is_loopback())
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || IpAddr::from_str(name).is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, ca_file: Option<&str>, expect: Result<Trust, &str>) {
        let found = Endpoint::from_url(url, ca_file.map(PathBuf::from));
        let found = found.map(|it| it.trust).map_err(|it| it.to_string());
        match (&found, expect) {
            (Ok(found), Ok(expect)) if *found == expect => {}
            (Err(found), Err(part)) if found.contains(part) => {}
            (_, expect) => panic!("{url}: {found:?}, expected {expect:?}"),
        }
    }

    fn verified(ca_file: Option<&str>) -> Result<Trust, &'static str> {
        let ca_file = ca_file.map(PathBuf::from);
        Ok(Trust::Verified { ca_file })
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_clear_unless_told_to() {
        check("postgres://u:s@localhost/d", None, Ok(Trust::Clear));
        check("postgres://u:s@127.0.0.1:5433/d", None, Ok(Trust::Clear));
        check("postgres://u:s@[::1]/d", None, Ok(Trust::Clear));
        check(
            "host=/run/postgresql user=u dbname=d",
            None,
            Ok(Trust::Clear),
        );
        check("postgres://u:s@db.example/d", None, verified(None));
        check("postgres://u:s@localhost,10.0.0.1/d", None, verified(None));
        check(
            "host=localhost hostaddr=10.0.0.1 user=u",
            None,
            verified(None),
        );
        check("postgres://u@localhost/d", Some("ca"), verified(Some("ca")));
        check("user=u dbname=d", None, Err("no host"));
        check(
            "host=localhost user=u sslmode=require",
            None,
            Err("sslmode is read"),
        );
        check(
            "postgres://u@localhost/d?ssl%6Dode=require",
            None,
            Err("sslmode is read"),
        );
    }

    #[test]
    fn a_mode_means_what_it_says_or_is_refused() {
        let with = |mode: &str| format!("postgres://u:s@db.example/d?sslmode={mode}&options=-cx");
        check(&with("disable"), None, Ok(Trust::Clear));
        check(&with("require"), None, Ok(Trust::Anyone));
        check(&with("verify-full"), None, verified(None));
        check(&with("verify-full"), Some("ca"), verified(Some("ca")));
        check(
            &with("require"),
            Some("ca"),
            Err("never looks at the ca_file"),
        );
        check(&with("prefer"), None, Err("in clear"));
        check(&with("allow"), None, Err("in clear"));
        check(&with("verify-ca"), None, Err("any host"));
        check(&with("verify"), None, Err("unknown"));
        let socket = "postgres:///d?host=/run/postgresql&sslmode=verify-full";
        check(socket, None, Err("a socket has no TLS"));
    }

    #[test]
    fn what_is_pinned_comes_last_and_the_last_one_counts() {
        let url = "postgres://u:s@localhost/d?options=-c%20synchronous_commit%3Doff";
        let endpoint = Endpoint::from_url(url, None)
            .unwrap()
            .working_as(crate::substrate::db::APP);
        let config = endpoint.config("-c jit=off", &PoolOptions::default());
        let settings = config.get_options().unwrap();
        assert_eq!(
            settings,
            "-c jit=off -c synchronous_commit=off -c synchronous_commit=on -c role=fraudplat_app"
        );
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let endpoint = Endpoint::from_url("postgres://u:hush@localhost/d", None).unwrap();
        assert!(!format!("{endpoint:?}").contains("hush"));
        for url in [
            "postgres://u:hush@local host:x/d",
            "postgres://u:hush@localhost/d?sslmode=hush",
        ] {
            let refusal = Endpoint::from_url(url, None).unwrap_err();
            let text = format!("{refusal:?} {refusal}").replace("sslmode=hush", "");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
