//! The form of a segment: Parquet, zstd, in order of sequence number, in row groups small enough
//! that a point lookup need not read the rest. The same rows make the same bytes (L12).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, FixedSizeBinaryArray, FixedSizeBinaryBuilder,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

use crate::domain::digest::Digest;
use crate::domain::offset::SequenceNumber;
use crate::domain::time::Time;
use crate::runtime::archive::Head;
use crate::substrate::bus::BusRecord;

/// Small enough to decode for one record, large enough to compress well.
const ROW_GROUP_ROWS: usize = 5_000;
/// The footer's list of the first sequence number of every row group: numbers order by length,
/// then text, which Parquet's own statistics cannot say.
const FIRSTS: &str = "fraudplat.row_group_firsts";
/// The wall between speed and size: level 3 takes half again the time for a tenth less.
const ZSTD_LEVEL: i32 = 1;

/// One record with the columns beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub record: BusRecord,
    pub head: Head,
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("sequence_number", DataType::Utf8, false),
        Field::new("platform_run_id", DataType::Utf8, true),
        Field::new("event_class", DataType::Utf8, true),
        Field::new("event_id", DataType::Utf8, true),
        Field::new("partition_key", DataType::Utf8, false),
        Field::new("ts_utc", time(), true),
        Field::new("admitted_at", time(), true),
        Field::new("arrived_at", time(), false),
        Field::new("payload_hash", DataType::FixedSizeBinary(32), true),
        // The bytes that stood on the bus.
        Field::new("record", DataType::Binary, false),
    ]))
}

/// Encodes rows that are in order of their sequence numbers.
///
/// # Errors
/// Those of the encoder.
pub fn encode(rows: &[Row]) -> Result<Bytes, ParquetError> {
    let groups = || rows.chunks(ROW_GROUP_ROWS);
    let firsts = groups().filter_map(|group| group.first());
    let firsts: Vec<&str> = firsts
        .map(|it| it.record.sequence_number.as_str())
        .collect();
    let properties = properties(firsts.join(","))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties))?;
    for group in groups() {
        writer.write(&batch(group)?)?;
        writer.flush()?;
    }
    Ok(Bytes::from(writer.into_inner()?))
}

fn properties(firsts: String) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by("fraudplat".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new(FIRSTS.to_owned(), firsts)]));
    for column in [
        "sequence_number",
        "event_id",
        "partition_key",
        "payload_hash",
        "record",
    ] {
        // Every value differs: a dictionary would be built only to be given up.
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    Ok(properties.build())
}

fn batch(rows: &[Row]) -> Result<RecordBatch, ParquetError> {
    let text = |value: fn(&Row) -> Option<&str>| -> ArrayRef {
        let mut array = StringBuilder::new();
        rows.iter().for_each(|row| array.append_option(value(row)));
        Arc::new(array.finish())
    };
    let time = |value: fn(&Row) -> Option<Time>| -> ArrayRef {
        let micros = rows.iter().map(|row| value(row).map(Time::micros));
        Arc::new(
            micros
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        )
    };
    let mut runs = StringBuilder::new();
    let mut hashes = FixedSizeBinaryBuilder::new(32);
    let mut records = BinaryBuilder::new();
    for row in rows {
        runs.append_option(row.head.platform_run_id.map(|run| run.to_string()));
        match &row.head.payload_hash {
            Some(hash) => hashes.append_value(hash.as_bytes())?,
            None => hashes.append_null(),
        }
        records.append_value(&row.record.data);
    }
    let columns = vec![
        text(|row| Some(row.record.sequence_number.as_str())),
        Arc::new(runs.finish()) as ArrayRef,
        text(|row| row.head.event_class.as_deref()),
        text(|row| row.head.event_id.as_deref()),
        text(|row| Some(&row.record.partition_key)),
        time(|row| row.head.ts_utc),
        time(|row| row.head.admitted_at),
        time(|row| Some(row.record.arrived_at)),
        Arc::new(hashes.finish()),
        Arc::new(records.finish()),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// What is read back of a row: the record as it stood on the bus, and the hash beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archived {
    pub(super) record: BusRecord,
    pub(super) payload_hash: Option<Digest>,
}

/// Decodes every row, or those of some row groups.
pub(super) fn decode<R: ChunkReader + 'static>(
    object: R,
    metadata: ParquetMetaData,
    groups: Option<Vec<usize>>,
) -> Result<Vec<Archived>, ParquetError> {
    // The schema that Arrow writes beside Parquet's own says nothing more, and its reader panics on one that was
    // altered.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options)?;
    let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(object, metadata)
        .with_batch_size(ROW_GROUP_ROWS);
    if let Some(groups) = groups {
        reader = reader.with_row_groups(groups);
    }
    let mut rows = Vec::new();
    for batch in reader.build()? {
        rows_of(&batch?, &mut rows)?;
    }
    Ok(rows)
}

fn rows_of(batch: &RecordBatch, rows: &mut Vec<Archived>) -> Result<(), ParquetError> {
    let numbers: &StringArray = column(batch, "sequence_number")?;
    let keys: &StringArray = column(batch, "partition_key")?;
    let arrived: &TimestampMicrosecondArray = column(batch, "arrived_at")?;
    let hashes: &FixedSizeBinaryArray = column(batch, "payload_hash")?;
    let records: &BinaryArray = column(batch, "record")?;
    for at in 0..batch.num_rows() {
        let sequence_number = numbers.value(at).parse();
        let sequence_number = sequence_number.map_err(|cause| external(&cause))?;
        let payload_hash = hashes
            .is_valid(at)
            .then(|| Digest::from_slice(hashes.value(at)));
        rows.push(Archived {
            record: BusRecord {
                sequence_number,
                partition_key: keys.value(at).to_owned(),
                arrived_at: Time::from_micros(arrived.value(at)),
                data: Bytes::copy_from_slice(records.value(at)),
            },
            payload_hash: payload_hash.transpose().map_err(|cause| external(&cause))?,
        });
    }
    Ok(())
}

fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, ParquetError> {
    let column = batch
        .column_by_name(name)
        .and_then(|it| it.as_any().downcast_ref());
    column.ok_or_else(|| {
        ParquetError::General(format!("column {name} is missing or of another type"))
    })
}

fn external(cause: &dyn std::fmt::Display) -> ParquetError {
    ParquetError::General(cause.to_string())
}

/// Reads bytes of a segment that nothing has proven yet: on some that were altered the libraries panic, and here that
/// is a refusal like any other.
pub(super) fn unproven<T>(
    read: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, ParquetError> {
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(external(&"its bytes are no segment's")))
}

/// Where a row group lies in an object of so many bytes.
pub(super) fn range_of(group: &RowGroupMetaData, bytes: u64) -> Result<(u64, u64), ParquetError> {
    let (mut start, mut end) = (bytes, 0);
    for column in group.columns() {
        let at = column.dictionary_page_offset();
        let at = u64::try_from(at.unwrap_or_else(|| column.data_page_offset()));
        let size = u64::try_from(column.compressed_size());
        let (Ok(at), Ok(size)) = (at, size) else {
            return Err(external(
                &"a column lies before the beginning of the object",
            ));
        };
        start = start.min(at);
        end = end.max(at.saturating_add(size));
    }
    match start < end && end <= bytes {
        true => Ok((start, end)),
        false => Err(external(&"a row group lies beyond the end of the object")),
    }
}

/// The row groups that may hold any of `numbers`, ascending.
pub(super) fn groups_of(
    metadata: &ParquetMetaData,
    numbers: &[SequenceNumber],
) -> Result<Vec<usize>, ParquetError> {
    let listed = metadata.file_metadata().key_value_metadata();
    let listed = listed.and_then(|all| all.iter().find(|it| it.key == FIRSTS)?.value.as_deref());
    let firsts = listed.ok_or_else(|| external(&"the list of row groups is missing"))?;
    let firsts: Result<Vec<SequenceNumber>, _> = firsts.split(',').map(str::parse).collect();
    let firsts = firsts.map_err(|cause| external(&cause))?;
    if firsts.len() != metadata.num_row_groups() {
        return Err(external(
            &"the list of row groups is not as long as the row groups",
        ));
    }
    let holding =
        |number: &SequenceNumber| firsts.partition_point(|it| it <= number).checked_sub(1);
    let mut groups: Vec<usize> = numbers.iter().filter_map(holding).collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}
