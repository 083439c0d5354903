//! Where a database answers and as whom: a URL from the profile, or the private server's socket.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};

use super::Error;

/// A server, a database on it, and a role with its secret. `Debug` hides the secret.
#[derive(Clone)]
pub struct Endpoint(tokio_postgres::Config);

impl Endpoint {
    /// Reads `postgres://user:secret@host:port/database` or the key-value form.
    ///
    /// # Errors
    /// [`Error::Url`] when it cannot be read, or when it names a host beyond this machine: the
    /// connection has no TLS yet, so secrets and evidence would cross the network in clear.
    pub fn from_url(url: &str) -> Result<Endpoint, Error> {
        // The parser's message may quote the URL, and with it the secret.
        let config = tokio_postgres::Config::from_str(url).map_err(|_| Error::Url {
            what: "expected postgres://user:secret@host:port/database".to_owned(),
        })?;
        let hosts = config.get_hosts();
        if hosts.is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Url {
                what: "it names no host".to_owned(),
            });
        }
        let far_host = hosts.iter().find_map(|host| match host {
            Host::Tcp(name) => (!is_loopback(name)).then(|| name.clone()),
            Host::Unix(_) => None,
        });
        let far_addr = config.get_hostaddrs().iter().find(|it| !it.is_loopback());
        if let Some(host) = far_host.or_else(|| far_addr.map(ToString::to_string)) {
            return Err(Error::Url {
                what: format!(
                    "`{host}` is not this machine, and TLS to a database is not supported yet"
                ),
            });
        }
        if config.get_ssl_mode() == SslMode::Require {
            return Err(Error::Url {
                what: "it requires TLS, which is not supported yet".to_owned(),
            });
        }
        Ok(Endpoint(config))
    }

    /// A server behind a socket in `dir`.
    pub(super) fn from_socket(dir: &Path, role: &str, secret: &str, database: &str) -> Endpoint {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(dir)
            .user(role)
            .password(secret)
            .dbname(database);
        Endpoint(config)
    }

    /// The same server and role, another database on it.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Endpoint {
        let mut config = self.0.clone();
        config.dbname(name);
        Endpoint(config)
    }

    /// The driver's settings with session settings (`-c name=value …`) in front of the URL's own.
    pub(super) fn config(
        &self,
        application_name: &str,
        session: &str,
        connect_timeout: Duration,
    ) -> tokio_postgres::Config {
        let mut config = self.0.clone();
        let own = config.get_options().unwrap_or_default();
        let options = format!("{session} {own}");
        config
            .application_name(application_name)
            .options(options.trim())
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(connect_timeout)
            .ssl_mode(SslMode::Disable);
        config
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("hosts", &self.0.get_hosts())
            .field("role", &self.0.get_user())
            .field("database", &self.0.get_dbname())
            .finish_non_exhaustive()
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || IpAddr::from_str(name).is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, refusal: Option<&str>) {
        let found = Endpoint::from_url(url).err().map(|it| it.to_string());
        match (&found, refusal) {
            (None, None) => {}
            (Some(found), Some(part)) if found.contains(part) => {}
            _ => panic!("{url}: {found:?}, expected {refusal:?}"),
        }
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        check("postgres://u:s@localhost/d", None);
        check("postgres://u:s@127.0.0.1:5433/d", None);
        check("postgres://u:s@[::1]/d", None);
        check("host=/run/postgresql user=u dbname=d", None);
        check("postgres://u:s@db.example/d", Some("`db.example` is not"));
        check("postgres://u:s@localhost,10.0.0.1/d", Some("`10.0.0.1`"));
        check("host=localhost hostaddr=10.0.0.1 user=u", Some("10.0.0.1"));
        check("postgres://u:s@localhost/d?sslmode=require", Some("TLS"));
        check("user=u dbname=d", Some("no host"));
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let endpoint = Endpoint::from_url("postgres://u:hush@localhost/d").unwrap();
        assert!(!format!("{endpoint:?}").contains("hush"));
        let refusal = Endpoint::from_url("postgres://u:hush@local host:x/d").unwrap_err();
        assert!(!format!("{refusal:?} {refusal}").contains("hush"));
    }
}
