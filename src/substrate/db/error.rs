//! What can go wrong with the database, sorted by what a caller may do next: ask again, settle an
//! unknown outcome first, or give up.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::contracts::code::Code;
use crate::substrate::tls;

/// The driver's own error, for signatures that `?` turns into [`Error`].
pub type DriverError = tokio_postgres::Error;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection was had: nothing was sent, nothing happened.
    #[error("the database is unavailable: {what}")]
    Unavailable {
        what: &'static str,
        #[source]
        source: Option<DriverError>,
    },
    /// The connection broke under a statement: if that was a COMMIT, nobody knows whether it
    /// happened until the database is asked (L4: the position row tells).
    #[error("the connection to the database was lost")]
    Lost {
        #[source]
        source: DriverError,
    },
    /// Serialization failure, deadlock or a lock not had in time: rolled back, may be sent again.
    #[error("the transaction lost a race with another (SQLSTATE {code})")]
    Conflict {
        code: String,
        #[source]
        source: DriverError,
    },
    #[error("a row with this key exists (constraint {constraint})")]
    Unique {
        constraint: String,
        #[source]
        source: DriverError,
    },
    /// Refused by the server for any other reason. `FP001` is L1: evidence is append-only.
    #[error("the database refused: {message} (SQLSTATE {code})")]
    Sql {
        code: String,
        message: String,
        #[source]
        source: DriverError,
    },
    /// The statement and the program disagree: a type, a column, a number of rows.
    #[error("a statement was used wrongly")]
    Misuse {
        #[source]
        source: DriverError,
    },
    /// A stored form that this release cannot read: not written by it, or damaged.
    #[error("a stored {what} cannot be read: {cause}")]
    Form { what: &'static str, cause: String },
    #[error("the database URL is wrong: {what}")]
    Url { what: String },
    /// Who answers is not whom we were to speak to.
    #[error("the database server is not trusted: {why}")]
    Untrusted {
        why: String,
        #[source]
        source: DriverError,
    },
    /// The certificates to trust cannot be had.
    #[error("the database connection cannot be protected")]
    Trust(#[from] tls::Error),
    #[error("reading the password of `{path}`")]
    PasswordFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// An answered commit could be gone after a crash.
    #[error("the database server has {setting} = {found}: what it confirms may be lost in a crash")]
    NotDurable {
        setting: &'static str,
        found: String,
    },
    /// Reached, but not to be worked with.
    #[error("the database server cannot be used: {what}")]
    Unfit { what: String },
    #[error("migrating the database")]
    Migrate {
        #[source]
        source: Box<refinery::Error>,
    },
    /// The schema was made by a newer or another executable; this one must not touch it.
    #[error("the database schema is not this executable's: {what}")]
    Schema { what: String },
}

impl Error {
    /// A stored form that does not parse.
    #[must_use]
    pub fn form(what: &'static str, cause: &dyn std::fmt::Display) -> Error {
        Error::Form {
            what,
            cause: cause.to_string(),
        }
    }

    /// Whether the failed statement may have taken effect all the same: settle by reading before
    /// sending anything again.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Error::Lost { .. })
    }

    /// Whether nothing took effect and the same transaction may succeed when sent again as it is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Conflict { .. } | Error::Unavailable { .. })
    }

    /// What an operator reads about it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Url { .. } | Error::Trust(_) | Error::PasswordFile { .. } => {
                Code::ProfileInvalid
            }
            Error::Untrusted { .. } => Code::DatabaseUntrusted,
            Error::NotDurable { .. } => Code::DatabaseNotDurable,
            Error::Unfit { .. } | Error::Schema { .. } => Code::DatabaseUnfit,
            Error::Unavailable { .. }
            | Error::Lost { .. }
            | Error::Conflict { .. }
            | Error::Unique { .. }
            | Error::Sql { .. }
            | Error::Misuse { .. }
            | Error::Form { .. }
            | Error::Migrate { .. } => Code::SubstrateUnavailable,
        }
    }

    /// The server's five characters, where the server spoke.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Error::Conflict { code, .. } | Error::Sql { code, .. } => Some(code),
            Error::Unique { .. } => Some("23505"),
            _ => None,
        }
    }
}

impl From<DriverError> for Error {
    fn from(source: DriverError) -> Error {
        let Some(db) = source.as_db_error() else {
            return if lost_without_a_word(&source) {
                Error::Lost { source }
            } else {
                Error::Misuse { source }
            };
        };
        let code = db.code().code().to_owned();
        match kind_of(&code) {
            Kind::Lost => Error::Lost { source },
            Kind::Conflict => Error::Conflict { code, source },
            Kind::Unique => Error::Unique {
                constraint: db.constraint().unwrap_or("unnamed").to_owned(),
                source,
            },
            Kind::Other => Error::Sql {
                message: db.message().to_owned(),
                code,
                source,
            },
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Error {
        let (what, source) = match error {
            PoolError::Timeout(_) => ("no connection in time", None),
            PoolError::Backend(source) => return refused_connection(source),
            PoolError::Closed => ("the pool is closed", None),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                ("the pool is misbuilt", None)
            }
        };
        Error::Unavailable { what, source }
    }
}

/// A wrong password or a missing database will not heal; a server that starts or is full will.
fn refused_connection(source: DriverError) -> Error {
    let passes = |code: &SqlState| {
        *code == SqlState::CANNOT_CONNECT_NOW
            || *code == SqlState::TOO_MANY_CONNECTIONS
            || kind_of(code.code()) == Kind::Lost
    };
    if let Some(why) = distrust(&source) {
        return Error::Untrusted { why, source };
    }
    // What the driver found wrong before it asked, or when it was asked for a password.
    if source.to_string() == "invalid configuration" {
        let what = source.source().map(ToString::to_string);
        return Error::Url {
            what: what.unwrap_or_default(),
        };
    }
    match source.as_db_error().map(|it| passes(it.code())) {
        Some(false) => Error::from(source),
        Some(true) | None => Error::Unavailable {
            what: "no connection",
            source: Some(source),
        },
    }
}

/// Why a handshake will fail again: a certificate, a server without TLS. A wire that broke during
/// one says nothing about whom it led to.
fn distrust(error: &DriverError) -> Option<String> {
    if !error.to_string().starts_with("error performing TLS") {
        return None;
    }
    let cause = error.source()?;
    match cause.downcast_ref::<io::Error>() {
        None => Some(cause.to_string()),
        Some(broken) => {
            let refusal = broken.get_ref()?.downcast_ref::<rustls::Error>()?;
            Some(refusal.to_string())
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Lost,
    Conflict,
    Unique,
    Other,
}

/// 57P01 and its like end the session. The server may say so after it has committed and before
/// its answer to the COMMIT is out, so they count as lost, not as refused.
fn kind_of(code: &str) -> Kind {
    match code {
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "40003" => Kind::Lost,
        "40001" | "40P01" | "55P03" => Kind::Conflict,
        "23505" => Kind::Unique,
        _ if code.starts_with("08") => Kind::Lost,
        _ => Kind::Other,
    }
}

/// The driver keeps its kinds to itself. Broken pipes carry an `io::Error`; a protocol out of step
/// has only its words. A value that could not be encoded carries one too, but was never sent.
fn lost_without_a_word(error: &DriverError) -> bool {
    let text = error.to_string();
    let io = error.source().is_some_and(|it| it.is::<io::Error>());
    error.is_closed()
        || (io && !text.starts_with("error encoding"))
        || text.starts_with("unexpected message")
        || text.starts_with("error parsing response")
        || text.starts_with("timeout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_may_be_done_next() {
        for (code, kind) in [
            ("57P01", Kind::Lost),
            ("08006", Kind::Lost),
            ("40001", Kind::Conflict),
            ("40P01", Kind::Conflict),
            ("23505", Kind::Unique),
            ("23503", Kind::Other),
            ("57014", Kind::Other),
            ("FP001", Kind::Other),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
