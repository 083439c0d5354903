//! The order of a world: (ts, table, source row), where the source row is the place of a row after
//! its table was sorted by the mapping's `order_by`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{CastOptions, SortColumn, cast_with_options, concat, lexsort_to_indices};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::ingress::world::table::Table;

/// One row's place. The derived order is the world's: no two rows share (table, rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) ts_micros: i64,
    pub(crate) table: u32,
    pub(crate) rank: u32,
    pub(crate) batch: u32,
    pub(crate) row: u32,
}

/// For every row of the table, batch after batch, its place after sorting by the columns.
///
/// # Errors
/// Columns whose types differ from file to file.
pub(crate) fn ranks(table: &Table, order_by: &[usize]) -> Result<Vec<u32>, ArrowError> {
    let rows = table.batches.iter().map(|it| it.rows).sum::<usize>();
    let rows = u32::try_from(rows)
        .map_err(|_| ArrowError::ComputeError("more than 2^32 rows".to_owned()))?;
    if order_by.is_empty() || rows == 0 {
        return Ok((0..rows).collect());
    }
    let mut columns = Vec::new();
    for column in order_by {
        let parts: Vec<&dyn Array> = table
            .batches
            .iter()
            .map(|it| it.columns[*column].array())
            .collect();
        columns.push(by_default(numbers(concat(&parts)?)));
    }
    // Ties stay as they stand, whatever the sort does with them.
    columns.push(by_default(Arc::new(UInt32Array::from_iter_values(0..rows))));
    let sorted = lexsort_to_indices(&columns, None)?;
    let mut ranks = vec![0; rows as usize];
    for (rank, row) in (0..).zip(sorted.values()) {
        ranks[*row as usize] = rank;
    }
    Ok(ranks)
}

fn by_default(values: ArrayRef) -> SortColumn {
    SortColumn {
        values,
        options: None,
    }
}

/// Text that is integers throughout is ordered as integers: in a CSV file 9 comes before 10.
fn numbers(values: ArrayRef) -> ArrayRef {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    match values.data_type() {
        DataType::Utf8 => cast_with_options(&values, &DataType::Int64, &strict).unwrap_or(values),
        _ => values,
    }
}
