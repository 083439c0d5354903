//! Where evidence rests: objects that are written once and never changed (L1). Keys are
//! run-scoped paths; there are no folders.

pub mod local;
pub mod memory;
pub mod s3;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::contracts::code::Code;
use crate::domain::digest::{Digest, ParseError};

/// A key such as `run_…/sr/run_facts_view.json`: 1..=1024 bytes of `[A-Za-z0-9._=/-]`, without
/// empty, `.` or `..` segments, so that no implementation can be walked out of its root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ObjectKey, ParseError> {
        let legal_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._=/-".contains(&byte);
        let legal = (1..=1024).contains(&text.len())
            && text.bytes().all(legal_byte)
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !legal {
            return Err(ParseError {
                found: text.chars().take(80).collect(),
                expected: "an object key of [A-Za-z0-9._=/-] without empty or dotted segments",
            });
        }
        Ok(ObjectKey(text.to_owned()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Written now and durable.
    Created,
    /// The same bytes were there: a retry.
    Same,
    /// Other bytes stand under this key; they stay (L3).
    Conflict { stored: Digest },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: ObjectKey,
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{action} of object `{key}` failed")]
    Io {
        action: &'static str,
        key: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("object `{key}` is evidence; it is not removed")]
    Evidence { key: String },
    /// Asking again would be refused again: as somebody else, or with other rights.
    #[error("{action} of object `{key}` is not allowed to these credentials")]
    Denied {
        action: &'static str,
        key: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Asked to slow down, as often as was tried.
    #[error("{action} of object `{key}` failed: the store asks to slow down")]
    Throttled {
        action: &'static str,
        key: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the object store has no bucket `{bucket}`")]
    NoBucket {
        bucket: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Wrong before anything was asked of the store.
    #[error("the object store is set up wrongly")]
    Setup {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("object `{key}` has {size} bytes; the range {start}..{end} lies outside")]
    Range {
        key: String,
        size: u64,
        start: u64,
        end: u64,
    },
}

/// Where the objects stand that are no evidence, below a run.
const REMOVABLE: &str = "/rtdl/snapshots/";

/// What every store asks before it removes.
///
/// # Errors
/// [`Error::Evidence`].
fn check_removable(key: &ObjectKey) -> Result<(), Error> {
    let below_run = key
        .as_str()
        .split_once('/')
        .map_or("", |(run, _)| &key.as_str()[run.len()..]);
    match below_run.starts_with(REMOVABLE) {
        true => Ok(()),
        false => Err(Error::Evidence {
            key: key.to_string(),
        }),
    }
}

impl Error {
    /// What an operator reads about it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::Denied { .. } => Code::ObjectsDenied,
            Error::NoBucket { .. } => Code::BucketMissing,
            Error::Setup { .. } => Code::ProfileInvalid,
            Error::Io { .. } | Error::Throttled { .. } => Code::SubstrateUnavailable,
            Error::Range { .. } | Error::Evidence { .. } => Code::Internal,
        }
    }
}

#[async_trait]
pub trait Objects: Send + Sync {
    /// Writes once (`If-None-Match: *`); of racing writers one creates and the others learn what
    /// stands there. Returns once the object is durable, also when it stood there before. After an
    /// error the object may be there or not: put it again. A key that is a whole-segment prefix of
    /// another (`a` and `a/b`) is not portable: the local store refuses the second with an error.
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, Error>;

    /// `None` if nothing was ever written there.
    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, Error>;

    /// The bytes `start..end`; `None` if nothing was ever written there.
    ///
    /// # Errors
    /// [`Error::Range`] when the range is not within the object; the empty range at its end is.
    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error>;

    /// Keys that begin with `prefix` and follow `after`, in byte order, at most `limit`. The prefix
    /// is text, not a folder: `run_1/a` also finds `run_1/ab`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error>;

    /// Removes a snapshot of memory, the only kind of object that is no evidence; nothing happens where
    /// there is none. A reader that holds it goes on.
    ///
    /// # Errors
    /// [`Error::Evidence`] for any other key: nothing is removed (L1).
    async fn remove(&self, key: &ObjectKey) -> Result<(), Error>;

    /// A link that reads the object without further rights until it expires.
    async fn presign(&self, key: &ObjectKey, expires_in: Duration) -> Result<String, Error>;

    /// Requests that write, since the store was opened, refused ones and repeats included: what a store asks
    /// to be paid for.
    fn puts(&self) -> u64;
}
