//! A file that is looked up: its columns join the rows of the payments by a key, under the lookup's
//! name, as `sender.first_chargeback_date`. A row without a match has none of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::ingress::world::cell::{Cell, Column};
use crate::ingress::world::error::{Error, ROW_FAULTS_MAX, RowFault};
use crate::ingress::world::table::File;

/// A lookup in memory.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// The payments' column that holds the key.
    pub(crate) column: String,
    rows: HashMap<String, u32>,
    /// Every column of the file; `None` for a file without rows.
    batch: Option<RecordBatch>,
    fields: Vec<Arc<Field>>,
}

impl Lookup {
    /// Reads the file; two rows of one key are refused, for which of them is meant is not known.
    /// `line` is that of the mapping which named the key.
    ///
    /// # Errors
    /// A file that breaks off, a key that repeats.
    pub(crate) fn read(
        name: &str,
        file: &File,
        column: &str,
        key: &str,
        line: u64,
    ) -> Result<Lookup, Error> {
        let names: Vec<String> = file
            .schema
            .fields()
            .iter()
            .map(|it| it.name().clone())
            .collect();
        let broken = |cause: ArrowError| file.broken(&cause);
        let batches = file.read(&names)?;
        let batch = match batches.as_slice() {
            [] => None,
            batches => {
                let schema = batches[0].schema();
                Some(arrow::compute::concat_batches(&schema, batches).map_err(broken)?)
            }
        };
        let mut rows = HashMap::new();
        let mut faults = Vec::new();
        let mut total = 0;
        let keys = batch.as_ref().map(|batch| keys(batch, key)).transpose();
        for (row, text) in keys.map_err(broken)?.into_iter().flatten().enumerate() {
            let Some(text) = text else { continue };
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            let Some(first) = rows.insert(text, row) else {
                continue;
            };
            total += 1;
            if faults.len() < ROW_FAULTS_MAX {
                faults.push(RowFault {
                    file: file.shown.clone(),
                    row: u64::from(row) + 1,
                    column: key.to_owned(),
                    found: "a key".to_owned(),
                    message: format!("the key is that of row {} too", first + 1),
                    mapping_line: line,
                });
            }
        }
        if total > 0 {
            return Err(Error::Rows { faults, total });
        }
        let field = |field: &Arc<Field>| {
            let name = format!("{name}.{}", field.name());
            Arc::new(Field::new(name, field.data_type().clone(), true))
        };
        Ok(Lookup {
            column: column.to_owned(),
            rows,
            batch,
            fields: file.schema.fields().iter().map(field).collect(),
        })
    }

    /// The columns that it adds.
    pub(crate) fn fields(&self) -> &[Arc<Field>] {
        &self.fields
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|it| it.name() == name)
    }

    /// One of its columns beside the rows of `batch`.
    fn beside(&self, batch: &RecordBatch, at: usize) -> Result<ArrayRef, ArrowError> {
        let Some(own) = &self.batch else {
            let empty = arrow::array::new_null_array(self.fields[at].data_type(), batch.num_rows());
            return Ok(empty);
        };
        let row = |key: Option<String>| key.and_then(|key| self.rows.get(&key).copied());
        let rows: Vec<Option<u32>> = keys(batch, &self.column)?.into_iter().map(row).collect();
        take(own.column(at), &UInt32Array::from(rows), None)
    }
}

/// Whether a name is one that a lookup brings.
pub(crate) fn brings(lookups: &[Arc<Lookup>], name: &str) -> bool {
    lookups.iter().any(|it| it.position(name).is_some())
}

/// The columns `names`, those of `batch` and those that the lookups bring beside its rows.
///
/// # Errors
/// A key column that cannot be read.
pub(crate) fn widen(
    batch: &RecordBatch,
    names: &[String],
    lookups: &[Arc<Lookup>],
) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for name in names {
        let brought = lookups.iter().find_map(|it| Some((it, it.position(name)?)));
        let array = match brought {
            Some((lookup, at)) => lookup.beside(batch, at)?,
            None => batch.column(batch.schema().index_of(name)?).clone(),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &rows)
}

/// The text of a key column, row by row; `None` where it is absent. 17 and "17" are one key.
fn keys(batch: &RecordBatch, column: &str) -> Result<Vec<Option<String>>, ArrowError> {
    let column = Column::new(batch.column(batch.schema().index_of(column)?))?;
    let text = |row| {
        let mut text = String::new();
        match column.cell(row) {
            Cell::Null => None,
            cell => cell.write(&mut text).then_some(text),
        }
    };
    Ok((0..batch.num_rows()).map(text).collect())
}
