//! What a server and a session on it must be before evidence is trusted to them.

use super::{APP, Client, Db, Endpoint, Error, PoolOptions};

/// 15.0. Older ones were never tried.
const VERSION_MIN: i32 = 150_000;

/// A server as it is by itself.
#[derive(Debug)]
pub(super) struct Server {
    version: i32,
    synchronous_commit: String,
    fsync: String,
    full_page_writes: String,
    is_read_only: bool,
    login: String,
    /// None where nobody made the role yet.
    is_member: Option<bool>,
}

pub(super) async fn read_server(endpoint: &Endpoint, pool: &PoolOptions) -> Result<Server, Error> {
    let db = Db::open(endpoint, pool)?;
    let client = db.get().await?;
    let row = client
        .query_one(include_str!("sql/read_server.sql"), &[&APP])
        .await?;
    Ok(Server {
        version: row.try_get("version")?,
        synchronous_commit: row.try_get("synchronous_commit")?,
        fsync: row.try_get("fsync")?,
        full_page_writes: row.try_get("full_page_writes")?,
        is_read_only: row.try_get("is_read_only")?,
        login: row.try_get("login")?,
        is_member: row.try_get("is_member")?,
    })
}

impl Server {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.version < VERSION_MIN {
            return Err(Error::Unfit {
                what: format!(
                    "it is version {}, and the oldest that will do is {}",
                    self.version / 10_000,
                    VERSION_MIN / 10_000
                ),
            });
        }
        if self.is_read_only {
            return Err(Error::Unfit {
                what: "it only reads: a standby, or set so".to_owned(),
            });
        }
        // Our sessions set it for themselves; but who switched it off here may have meant the rest too.
        if self.synchronous_commit == "off" {
            return Err(not_durable("synchronous_commit", &self.synchronous_commit));
        }
        if self.fsync == "off" {
            return Err(not_durable("fsync", &self.fsync));
        }
        // Right on storage that never tears a page, which cannot be seen from here.
        if self.full_page_writes == "off" {
            tracing::warn!(
                "the database server has full_page_writes = off: its storage must never tear a page"
            );
        }
        Ok(())
    }

    pub(super) fn check_membership(&self) -> Result<(), Error> {
        let what = match self.is_member {
            Some(true) => return Ok(()),
            Some(false) => format!("`{}` is no member of `{APP}`", self.login),
            None => format!("it has no role `{APP}`"),
        };
        Err(Error::Unfit {
            what: format!("{what}; run fraudplat provision with the owner's URL"),
        })
    }
}

fn not_durable(setting: &'static str, found: &str) -> Error {
    Error::NotDurable {
        setting,
        found: found.to_owned(),
    }
}

pub(super) async fn check_session(client: &Client, statement_ms_max: u64) -> Result<(), Error> {
    let row = client
        .query_one(include_str!("sql/read_session.sql"), &[])
        .await?;
    let (role, commit): (String, String) =
        (row.try_get("role")?, row.try_get("synchronous_commit")?);
    let statement_ms: i64 = row.try_get("statement_ms_max")?;
    let is_set =
        role == APP && commit == "on" && u64::try_from(statement_ms) == Ok(statement_ms_max);
    if !is_set {
        return Err(Error::Unfit {
            what: format!(
                "sessions do not keep their settings (role {role}, synchronous_commit {commit}, \
                 statement_timeout {statement_ms} ms): connect to the server itself, not to a pooler"
            ),
        });
    }
    match row.try_get::<_, Option<String>>("changeable")? {
        Some(table) => Err(Error::Unfit {
            what: format!(
                "`{APP}` may change `{table}`, and evidence is only ever added (L1): revoke it"
            ),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_must_keep_what_it_confirms() {
        let server = |change: fn(&mut Server)| {
            let mut server = Server {
                version: 150_004,
                synchronous_commit: "on".to_owned(),
                fsync: "on".to_owned(),
                full_page_writes: "on".to_owned(),
                is_read_only: false,
                login: "works".to_owned(),
                is_member: Some(true),
            };
            change(&mut server);
            let checked = server.check().and_then(|()| server.check_membership());
            checked.err().map(|it| (it.code().as_str(), it.to_string()))
        };
        assert_eq!(server(|_| ()), None);
        assert_eq!(server(|it| it.full_page_writes = "off".to_owned()), None);
        assert_eq!(
            server(|it| it.synchronous_commit = "local".to_owned()),
            None
        );
        type Change = fn(&mut Server);
        let changes: [(Change, &str, &str); 6] = [
            (|it| it.version = 140_011, "DATABASE_UNFIT", "version 14"),
            (|it| it.is_read_only = true, "DATABASE_UNFIT", "standby"),
            (
                |it| it.synchronous_commit = "off".to_owned(),
                "DATABASE_NOT_DURABLE",
                "synchronous_commit = off",
            ),
            (
                |it| it.fsync = "off".to_owned(),
                "DATABASE_NOT_DURABLE",
                "fsync = off",
            ),
            (
                |it| it.is_member = Some(false),
                "DATABASE_UNFIT",
                "no member",
            ),
            (|it| it.is_member = None, "DATABASE_UNFIT", "no role"),
        ];
        for (change, code, words) in changes {
            let (found, text) = server(change).unwrap();
            assert_eq!(found, code, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
}
