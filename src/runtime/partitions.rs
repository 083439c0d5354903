//! Day partitions of evidence, made before the first row of a day needs them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::substrate::db::{self, Client, Day};

const ENSURE: &str = include_str!("sql/ensure_partitions.sql");

/// The partitions that one writer needs; clones share what is known to exist.
#[derive(Debug, Clone)]
pub struct Partitions {
    tables: &'static [&'static str],
    known: Arc<Mutex<BTreeSet<i64>>>,
}

impl Partitions {
    /// For the tables that are written together, such as `ig.batch` and `ig.event`.
    #[must_use]
    pub fn of(tables: &'static [&'static str]) -> Partitions {
        Partitions {
            tables,
            known: Arc::default(),
        }
    }

    /// Makes those of `day` and the day after, outside any transaction; a known day costs nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ensure(&self, client: &Client, day: Day) -> Result<(), db::Error> {
        let known = |days: &Mutex<BTreeSet<i64>>| {
            days.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&day.0)
        };
        if known(&self.known) {
            return Ok(());
        }
        client.query(ENSURE, &[&self.tables, &day]).await?;
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(day.0);
        Ok(())
    }
}
