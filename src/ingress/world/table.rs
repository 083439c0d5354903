//! The files of a dataset as tables of cells: Parquet and CSV, only the columns that a mapping
//! reads. Files are read once, so what is hashed is what is parsed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::contracts::mapping::{Csv, FileFormat};
use crate::domain::digest::Digest;
use crate::ingress::world::cell::{Cell, Column};
use crate::ingress::world::error::Error;
use crate::ingress::world::lookup::{self, Lookup};

const BATCH_ROWS: usize = 16_384;

/// The byte order mark that some programs write before a CSV header.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A file as bytes, with its columns known.
#[derive(Debug)]
pub(crate) struct File {
    /// As the mapping names it.
    pub(crate) name: String,
    /// As whoever reads a message finds it: where it was read, if that has another name.
    pub(crate) shown: String,
    pub(crate) digest: Digest,
    /// Every column that a mapping may name.
    pub(crate) schema: SchemaRef,
    /// Those that stand in the file itself.
    own: SchemaRef,
    form: Form,
    bytes: Bytes,
    /// Files whose columns join the rows of this one.
    lookups: Vec<Arc<Lookup>>,
}

#[derive(Debug, Clone)]
enum Form {
    Parquet,
    Csv(Format),
}

impl File {
    /// Reads the file at `path`; `name` is what the mapping calls it.
    ///
    /// # Errors
    /// An unreadable file, or one that is not of its format.
    pub(crate) fn open(
        name: &str,
        path: &Path,
        format: Option<FileFormat>,
        csv: Option<&Csv>,
    ) -> Result<File, Error> {
        let read = std::fs::read(path).map_err(|source| Error::File {
            path: path.display().to_string(),
            source,
        });
        let bytes = Bytes::from(read?);
        let digest = Digest::of_bytes(&bytes);
        let shown = match path.ends_with(name) {
            true => name.to_owned(),
            false => path.display().to_string(),
        };
        let named_csv = name.to_ascii_lowercase().ends_with(".csv");
        let (form, schema, bytes) = match format {
            Some(FileFormat::Parquet) => open_parquet(&shown, bytes)?,
            Some(FileFormat::Csv) => open_csv(&shown, bytes, csv)?,
            None if named_csv => open_csv(&shown, bytes, csv)?,
            None => open_parquet(&shown, bytes)?,
        };
        Ok(File {
            name: name.to_owned(),
            shown,
            digest,
            own: schema.clone(),
            schema,
            form,
            bytes,
            lookups: Vec::new(),
        })
    }

    /// The file with the columns that a lookup brings.
    pub(crate) fn with(mut self, lookup: Arc<Lookup>) -> File {
        let fields = self.schema.fields().iter().chain(lookup.fields());
        self.schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        self.lookups.push(lookup);
        self
    }

    /// The batches with the columns `names`, in this order.
    pub(crate) fn read(&self, names: &[String]) -> Result<Vec<RecordBatch>, Error> {
        if self.lookups.is_empty() {
            return self.read_own(names);
        }
        let own = names.iter().filter(|it| !lookup::brings(&self.lookups, it));
        let keys = self.lookups.iter().map(|it| &it.column);
        let own: BTreeSet<String> = own.chain(keys).cloned().collect();
        let batches = self.read_own(&own.into_iter().collect::<Vec<_>>())?;
        let widen = |batch: &RecordBatch| lookup::widen(batch, names, &self.lookups);
        let wide: Result<Vec<RecordBatch>, ArrowError> = batches.iter().map(widen).collect();
        wide.map_err(|cause| self.broken(&cause))
    }

    fn read_own(&self, names: &[String]) -> Result<Vec<RecordBatch>, Error> {
        let broken = |cause: ArrowError| self.broken(&cause);
        let mut at = Vec::new();
        for name in names {
            at.push(self.own.index_of(name).map_err(broken)?);
        }
        // Readers deliver projected columns in file order.
        let wanted: BTreeSet<usize> = at.iter().copied().collect();
        let sorted: Vec<usize> = wanted.into_iter().collect();
        let batches: Result<Vec<RecordBatch>, ArrowError> = match &self.form {
            Form::Parquet => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(self.bytes.clone());
                let builder = builder.map_err(|cause| self.broken(&cause))?;
                let mask = ProjectionMask::roots(builder.parquet_schema(), sorted.iter().copied());
                let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
                builder
                    .build()
                    .map_err(|cause| self.broken(&cause))?
                    .collect()
            }
            Form::Csv(format) => {
                let builder = ReaderBuilder::new(self.own.clone()).with_format(format.clone());
                let builder = builder
                    .with_batch_size(BATCH_ROWS)
                    .with_projection(sorted.clone());
                let reader = builder
                    .build_buffered(self.bytes.as_ref())
                    .map_err(broken)?;
                reader.collect()
            }
        };
        let order: Vec<usize> = at
            .iter()
            .map(|it| sorted.partition_point(|sorted| sorted < it))
            .collect();
        let projected = batches.and_then(|it| it.iter().map(|it| it.project(&order)).collect());
        projected.map_err(broken)
    }

    pub(crate) fn broken(&self, cause: &dyn std::fmt::Display) -> Error {
        let format = match self.form {
            Form::Parquet => "Parquet file",
            Form::Csv(_) => "CSV file",
        };
        format_error(&self.name, format, cause)
    }
}

fn format_error(file: &str, format: &'static str, cause: &dyn std::fmt::Display) -> Error {
    Error::Format {
        file: file.to_owned(),
        format,
        cause: cause.to_string(),
    }
}

fn open_parquet(name: &str, bytes: Bytes) -> Result<(Form, SchemaRef, Bytes), Error> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .map_err(|cause| format_error(name, "Parquet file", &cause))?;
    Ok((Form::Parquet, builder.schema().clone(), bytes))
}

/// Every column is text: guessing types would turn the id `007` into 7.
fn open_csv(
    name: &str,
    bytes: Bytes,
    csv: Option<&Csv>,
) -> Result<(Form, SchemaRef, Bytes), Error> {
    let bytes = match bytes.starts_with(BOM) {
        true => bytes.slice(BOM.len()..),
        false => bytes,
    };
    let default = Csv::default();
    let csv = csv.unwrap_or(&default);
    let delimiter = u8::try_from(csv.delimiter.value).unwrap_or(b',');
    let format = Format::default()
        .with_header(csv.header)
        .with_delimiter(delimiter);
    let (inferred, _) = format
        .infer_schema(bytes.as_ref(), Some(1))
        .map_err(|cause| format_error(name, "CSV file", &cause))?;
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    let schema = Schema::new(inferred.fields().iter().map(text).collect::<Vec<_>>());
    Ok((Form::Csv(format), Arc::new(schema), bytes))
}

/// The rows of one or more files, in the columns that a mapping reads.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) files: Vec<String>,
    pub(crate) batches: Vec<Batch>,
}

#[derive(Debug)]
pub(crate) struct Batch {
    /// Index into the table's files.
    pub(crate) file: usize,
    /// Rows of the file before this batch.
    pub(crate) rows_before: u64,
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// # Errors
    /// A file that breaks off or holds a value beyond 64 bits.
    pub(crate) fn read(files: &[File], names: &[String]) -> Result<Table, Error> {
        let mut batches = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let mut rows_before = 0;
            for batch in file.read(names)? {
                let columns: Result<Vec<Column>, ArrowError> =
                    batch.columns().iter().map(Column::new).collect();
                batches.push(Batch {
                    file: at,
                    rows_before,
                    rows: batch.num_rows(),
                    columns: columns.map_err(|cause| file.broken(&cause))?,
                });
                rows_before += batch.num_rows() as u64;
            }
        }
        let files = files.iter().map(|it| it.shown.clone()).collect();
        Ok(Table { files, batches })
    }
}

impl Batch {
    pub(crate) fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        self.columns[column].cell(row)
    }
}
