//! Leases with fenced positions (L4): who consumes what, how far it has come, under which epoch.

use std::borrow::Cow;

use crate::domain::time::Time;
use crate::planted;
use crate::substrate::db::{self, Client, Db, Transaction};

const TAKE: &str = include_str!("sql/take_lease.sql");
const RENEW: &str = include_str!("sql/renew_lease.sql");
const ADVANCE: &str = include_str!("sql/advance_lease.sql");
const READ: &str = include_str!("sql/read_lease.sql");
const RELEASE: &str = include_str!("sql/release_lease.sql");
const RELEASE_ALL: &str = include_str!("sql/release_all_leases.sql");
const LIST: &str = include_str!("sql/list_leases.sql");

/// How long a silent holder keeps its lease.
pub const LEASE_MS: i64 = 10_000;

/// What is leased: one scope of one group, such as `context` over `stream/shard`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    pub group: String,
    pub scope: String,
}

/// A lease in hand. `position` is what this holder last knows to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub key: LeaseKey,
    pub epoch: i64,
    pub position: String,
    /// When it was taken, what the holder before had surely seen: all that was on the bus by then.
    pub watermark: Option<Time>,
}

/// A row as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    pub key: LeaseKey,
    pub epoch: i64,
    pub holder: String,
    pub expires_at: Time,
    pub position: String,
    pub watermark: Option<Time>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another holder took over, or the position is not the one read: throw memory away.
    #[error("the lease of {group}/{scope} was lost")]
    Lost { group: String, scope: String },
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<db::DriverError> for Error {
    fn from(error: db::DriverError) -> Error {
        Error::Db(error.into())
    }
}

/// What became of a commit whose reply was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Committed,
    RolledBack,
}

impl LeaseKey {
    #[must_use]
    pub fn new(group: &str, scope: impl Into<String>) -> LeaseKey {
        LeaseKey {
            group: group.to_owned(),
            scope: scope.into(),
        }
    }

    /// Takes the lease if it is free, expired, or already this holder's; `initial` is the position
    /// of a scope that nobody held before. `None`: another holds it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn take(
        &self,
        client: &Client,
        holder: &str,
        initial: &str,
    ) -> Result<Option<Lease>, db::Error> {
        let statement = client.prepare_cached(TAKE).await?;
        let row = client
            .query_opt(
                &statement,
                &[&self.group, &self.scope, &holder, &LEASE_MS, &initial],
            )
            .await?;
        Ok(row.map(|row| Lease {
            key: self.clone(),
            epoch: row.get(0),
            position: row.get(1),
            watermark: row.get(2),
        }))
    }

    /// The epoch and position that are committed now, if the scope was ever held.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(&self, client: &Client) -> Result<Option<(i64, String)>, db::Error> {
        let statement = client.prepare_cached(READ).await?;
        let row = client
            .query_opt(&statement, &[&self.group, &self.scope])
            .await?;
        Ok(row.map(|row| (row.get(0), row.get(1))))
    }

    fn lost(&self) -> Error {
        Error::Lost {
            group: self.group.clone(),
            scope: self.scope.clone(),
        }
    }
}

impl Lease {
    /// Keeps the lease alive without progress, and says how far the group has surely seen.
    ///
    /// # Errors
    /// [`Error::Lost`] when another took over.
    pub async fn renew(&self, client: &Client, watermark: Option<Time>) -> Result<(), Error> {
        let statement = client.prepare_cached(RENEW).await?;
        let key = &self.key;
        let rows = client
            .execute(
                &statement,
                &[&key.group, &key.scope, &self.epoch, &LEASE_MS, &watermark],
            )
            .await?;
        if rows == 1 { Ok(()) } else { Err(key.lost()) }
    }

    /// Moves the position inside the transaction that holds its effects. After the commit call
    /// [`Lease::moved`].
    ///
    /// # Errors
    /// [`Error::Lost`] when the epoch or the position is not this lease's: roll back.
    pub async fn advance(
        &self,
        tx: &Transaction<'_>,
        to: &str,
        watermark: Option<Time>,
    ) -> Result<(), Error> {
        let statement = tx.prepare_cached(ADVANCE).await?;
        let key = &self.key;
        let mine = (self.epoch, Cow::Borrowed(self.position.as_str()));
        let (epoch, position) = planted!(MissingFence, self.whatever_stands(tx).await?, mine);
        let rows = tx
            .execute(
                &statement,
                &[
                    &key.group,
                    &key.scope,
                    &epoch,
                    &position.as_ref(),
                    &to,
                    &LEASE_MS,
                    &watermark,
                ],
            )
            .await?;
        if rows == 1 { Ok(()) } else { Err(key.lost()) }
    }

    #[cfg(feature = "planted-bugs")]
    async fn whatever_stands(&self, tx: &Transaction<'_>) -> Result<(i64, Cow<'_, str>), Error> {
        let key = &self.key;
        let row = tx.query_one(READ, &[&key.group, &key.scope]).await?;
        Ok((row.get(0), Cow::Owned(row.get(1))))
    }

    /// The transaction with [`Lease::advance`] committed.
    pub fn moved(&mut self, to: String) {
        self.position = to;
    }

    /// Settles a commit whose reply was lost, by reading the row.
    ///
    /// # Errors
    /// [`Error::Lost`] when another epoch holds the scope, or the position is neither.
    pub async fn settle(&self, client: &Client, to: &str) -> Result<Settled, Error> {
        match self.key.read(client).await? {
            Some((epoch, position)) if epoch == self.epoch && position == to => {
                Ok(Settled::Committed)
            }
            Some((epoch, position)) if epoch == self.epoch && position == self.position => {
                Ok(Settled::RolledBack)
            }
            _ => Err(self.key.lost()),
        }
    }

    /// Gives the lease up, so that the next holder need not wait.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn release(&self, client: &Client) -> Result<(), db::Error> {
        let statement = client.prepare_cached(RELEASE).await?;
        client
            .execute(&statement, &[&self.key.group, &self.key.scope, &self.epoch])
            .await?;
        Ok(())
    }
}

/// Expires every lease: for the sole owner of a data directory, whose predecessor is dead.
///
/// # Errors
/// Those of the database.
pub async fn release_all(db: &Db) -> Result<u64, db::Error> {
    Ok(db.get().await?.execute(RELEASE_ALL, &[]).await?)
}

/// Every lease, by group and scope.
///
/// # Errors
/// Those of the database.
pub async fn list(client: &Client) -> Result<Vec<LeaseRow>, db::Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[]).await?;
    let read = |row: &db::Row| LeaseRow {
        key: LeaseKey {
            group: row.get(0),
            scope: row.get(1),
        },
        epoch: row.get(2),
        holder: row.get(3),
        expires_at: row.get(4),
        position: row.get(5),
        watermark: row.get(6),
    };
    Ok(rows.iter().map(read).collect())
}
