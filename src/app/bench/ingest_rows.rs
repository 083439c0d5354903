//! What the gate is measured against: rows into `ig.dedupe`, the table that every admitted event
//! enters by its key, as fast as Postgres takes them and one a transaction.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::bench::ingest::CONNECTIONS;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::time::Time;
use crate::substrate::db::{Client, Day, Db, ToSql, Type, copy_in};

const COPY: &str = include_str!("sql/copy_rows.sql");
const INSERT: &str = include_str!("sql/insert_row.sql");
const DELETE: &str = include_str!("sql/delete_rows.sql");
const ROWS_PER_COPY: usize = 1_000;
const TYPES: &[Type] = &[
    Type::BYTEA,
    Type::BYTEA,
    Type::INT8,
    Type::INT4,
    Type::DATE,
    Type::DATE,
    Type::BYTEA,
];

struct Row {
    key: Digest,
    batch_id: i64,
    item: i32,
    day: Day,
}

impl Row {
    fn new(kind: &str, round: usize, n: usize) -> Row {
        let key = Tagged::new("bench_row")
            .text(kind)
            .display(round)
            .display(n);
        Row {
            key: key.digest(),
            batch_id: -1,
            item: i32::try_from(n).unwrap_or(i32::MAX),
            day: Day::of(Time::default()),
        }
    }

    fn columns(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.key,
            &self.key,
            &self.batch_id,
            &self.item,
            &self.day,
            &self.day,
            &self.key,
        ]
    }
}

/// Rows a second by COPY BINARY, a transaction per 1,000, on one connection.
pub(crate) async fn copied(db: &Db, round: usize, n: usize) -> anyhow::Result<f64> {
    let rows: Vec<Row> = (0..n).map(|n| Row::new("copy", round, n)).collect();
    let mut client = db.get().await?;
    let began = Instant::now();
    for rows in rows.chunks(ROWS_PER_COPY) {
        let tx = client.transaction().await?;
        let columns: Vec<[&(dyn ToSql + Sync); 7]> = rows.iter().map(Row::columns).collect();
        copy_in(&tx, COPY, TYPES, columns).await?;
        tx.commit().await?;
    }
    Ok(n as f64 / began.elapsed().as_secs_f64())
}

/// Rows a second by INSERT, one a transaction, on 16 connections at once.
pub(crate) async fn inserted(db: &Db, round: usize, n: usize) -> anyhow::Result<f64> {
    let rows: Arc<Vec<Row>> = Arc::new((0..n).map(|n| Row::new("insert", round, n)).collect());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(db.get().await?);
    }
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for (nth, client) in clients.into_iter().enumerate() {
        writers.spawn(insert_some(client, rows.clone(), nth));
    }
    while let Some(written) = writers.join_next().await {
        written.context("a writer panicked")??;
    }
    Ok(n as f64 / began.elapsed().as_secs_f64())
}

async fn insert_some(client: Client, rows: Arc<Vec<Row>>, nth: usize) -> anyhow::Result<()> {
    let statement = client.prepare_cached(INSERT).await?;
    for row in rows.iter().skip(nth).step_by(CONNECTIONS) {
        client.execute(&statement, &row.columns()).await?;
    }
    Ok(())
}

/// One row in a transaction of its own.
pub(crate) async fn insert_one(client: &Client, n: usize) -> anyhow::Result<()> {
    let statement = client.prepare_cached(INSERT).await?;
    let row = Row::new("one", 0, n);
    client.execute(&statement, &row.columns()).await?;
    Ok(())
}

/// Takes away what the bench put there.
pub(crate) async fn remove(db: &Db) -> anyhow::Result<()> {
    db.get().await?.execute(DELETE, &[]).await?;
    Ok(())
}
