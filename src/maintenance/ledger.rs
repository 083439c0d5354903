//! The ledger of a day: every row of its evidence that no other object holds, word for word, as one object
//! written before the rows go. The same rows make the same object.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::pin;

use futures::TryStreamExt as _;

use crate::domain::digest::Digest;
use crate::maintenance::Error;
use crate::runtime::ground::Ground;
use crate::substrate::db::{Client, Day, ToSql};
use crate::substrate::objects::{ObjectKey, Put};

const READ: &str = include_str!("sql/read_ledger_rows.sql");
/// Text shrinks to a tenth; more effort gains little.
const ZSTD_LEVEL: i32 = 3;

/// What was written; no object where there was no row.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) key: Option<ObjectKey>,
    pub(super) hash: Option<Digest>,
    /// By table.
    rows: BTreeMap<String, i64>,
}

impl Ledger {
    /// `{"ig.batch": 12, …}`.
    pub(super) fn rows_json(&self) -> String {
        serde_json::to_string(&self.rows).expect("numbers are plain JSON")
    }
}

/// Writes the ledger of a group's day: a JSON object `{"table", "row"}` a line, compressed with zstd.
pub(super) async fn write(
    ground: &Ground,
    client: &Client,
    group: &str,
    day: Day,
) -> Result<Ledger, Error> {
    let mut ledger = Ledger::default();
    let mut lines = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(Error::Compress)?;
    let params: [&(dyn ToSql + Sync); 2] = [&group, &day];
    let mut rows = pin!(client.query_raw(READ, params).await?);
    while let Some(row) = rows.try_next().await? {
        *ledger.rows.entry(row.get(0)).or_default() += 1;
        let line: &str = row.get(1);
        writeln!(lines, "{line}").map_err(Error::Compress)?;
    }
    if ledger.rows.is_empty() {
        return Ok(ledger);
    }
    let body = lines.finish().map_err(Error::Compress)?;
    let hash = Digest::of_bytes(&body);
    let key = format!("retention/{group}/{day}/ledger-{hash}.ndjson.zst");
    let key: ObjectKey = key.parse().map_err(Error::Key)?;
    match ground.objects.put_new(&key, body.into()).await? {
        Put::Created | Put::Same => {}
        Put::Conflict { .. } => {
            return Err(Error::Conflict {
                key: key.to_string(),
            });
        }
    }
    ledger.key = Some(key);
    ledger.hash = Some(hash);
    Ok(ledger)
}
