//! Binary COPY: the fastest way in for rows that a statement need not read back.

use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;

use super::{Error, ToSql, Transaction, Type};

/// Copies `rows` in through `sql`, a `COPY schema.table (columns) FROM STDIN BINARY`, inside the
/// transaction. Each row holds one value per entry of `types`, in the order of the columns; a row
/// of another length panics. Returns the number of rows added.
///
/// A conflict with a stored key fails the whole COPY ([`Error::Unique`]): use it where the keys
/// are known to be new, or into a temporary table.
///
/// # Errors
/// As any statement; the transaction is then of no further use.
pub async fn copy_in<'r, R>(
    tx: &Transaction<'_>,
    sql: &str,
    types: &[Type],
    rows: impl IntoIterator<Item = R>,
) -> Result<u64, Error>
where
    R: AsRef<[&'r (dyn ToSql + Sync)]>,
{
    let statement = tx.prepare_cached(sql).await?;
    let sink = tx.copy_in(&statement).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
    for row in rows {
        writer.as_mut().write(row.as_ref()).await?;
    }
    Ok(writer.finish().await?)
}
