//! Arrivals as Parquet: one file, one row group, the same bytes for the same rows (the writer's own
//! name and version are kept out of the file). Truth is beside it, in `truth`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::contracts::world::{Arrival, Entities, Payment};
use crate::domain::time::Time;

/// Rows of one arrivals object: about 10 MB, decoded by record batch.
pub const ARRIVALS_ROWS_MAX: usize = 250_000;

type Text = (&'static str, fn(&Arrival) -> Option<&str>);

/// The text columns of an arrival; `attributes` are JSON beside them.
const TEXTS: [Text; 14] = [
    ("event_id", |it| Some(it.event_id.as_str())),
    ("kind", |it| Some(it.kind.as_str())),
    ("merchant_id", |it| Some(&it.merchant_id)),
    ("mcc", |it| it.mcc.as_deref()),
    ("country", |it| it.country.as_deref()),
    ("customer_id", |it| it.entities.customer_id.as_deref()),
    ("account_id", |it| it.entities.account_id.as_deref()),
    ("card_id", |it| it.entities.card_id.as_deref()),
    ("device_id", |it| it.entities.device_id.as_deref()),
    ("ip", |it| it.entities.ip.as_deref()),
    ("terminal_id", |it| it.entities.terminal_id.as_deref()),
    ("beneficiary_id", |it| it.entities.beneficiary_id.as_deref()),
    ("currency", |it| {
        it.payment.as_ref().map(|it| it.currency.as_str())
    }),
    ("channel", |it| {
        it.payment.as_ref().map(|it| it.channel.as_str())
    }),
];

pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// An arrival as its columns have it.
#[derive(Debug)]
pub(crate) struct ArrivalRow<'a> {
    pub(crate) index: i64,
    pub(crate) ts_micros: i64,
    pub(crate) arrival_seq: i64,
    pub(crate) amount_minor: Option<i64>,
    /// In the order of the columns: event_id, kind, merchant_id, mcc, country, customer_id,
    /// account_id, card_id, device_id, ip, terminal_id, beneficiary_id, currency, channel.
    pub(crate) texts: [Option<&'a str>; TEXTS.len()],
    /// JSON with sorted keys.
    pub(crate) attributes: Option<&'a str>,
}

/// Collects arrivals column by column.
#[derive(Debug, Default)]
pub(crate) struct ArrivalColumns {
    index: Int64Builder,
    ts_utc: Vec<i64>,
    arrival_seq: Int64Builder,
    amount_minor: Int64Builder,
    texts: [StringBuilder; TEXTS.len()],
    attributes: StringBuilder,
}

impl ArrivalColumns {
    pub(crate) fn len(&self) -> usize {
        self.ts_utc.len()
    }

    pub(crate) fn push(&mut self, arrival: &Arrival) -> Result<(), String> {
        let payment = arrival.payment.as_ref();
        let attributes = payment.map(|it| &it.attributes).filter(|it| !it.is_empty());
        let attributes = attributes.map(serde_json::to_string).transpose();
        let attributes = attributes.map_err(|error| error.to_string())?;
        self.push_row(&ArrivalRow {
            index: arrival.index,
            ts_micros: arrival.ts_utc.micros(),
            arrival_seq: arrival.arrival_seq,
            amount_minor: payment.map(|it| it.amount_minor),
            texts: TEXTS.map(|(_, text)| text(arrival)),
            attributes: attributes.as_deref(),
        });
        Ok(())
    }

    pub(crate) fn push_row(&mut self, row: &ArrivalRow<'_>) {
        self.index.append_value(row.index);
        self.ts_utc.push(row.ts_micros);
        self.arrival_seq.append_value(row.arrival_seq);
        self.amount_minor.append_option(row.amount_minor);
        for (column, text) in self.texts.iter_mut().zip(row.texts) {
            column.append_option(text);
        }
        self.attributes.append_option(row.attributes);
    }

    /// The Parquet bytes of what was pushed.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, String> {
        let ts_utc = TimestampMicrosecondArray::from(self.ts_utc).with_timezone("UTC");
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("index", Arc::new(self.index.finish())),
            ("ts_utc", Arc::new(ts_utc)),
            ("arrival_seq", Arc::new(self.arrival_seq.finish())),
        ];
        for (column, (name, _)) in self.texts.iter_mut().zip(TEXTS) {
            columns.push((name, Arc::new(column.finish())));
        }
        columns.push(("amount_minor", Arc::new(self.amount_minor.finish())));
        columns.push(("attributes", Arc::new(self.attributes.finish())));
        encode(columns)
    }
}

pub(crate) fn encode(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let fields = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| said(&error))?;
    let level = ZstdLevel::try_new(3).map_err(|error| said(&error))?;
    let properties = WriterProperties::builder()
        .set_created_by("fraudplat world v1".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(None)
        .build();
    // The Arrow schema would carry the library's own encoding of it.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)
        .map_err(|error| said(&error))?;
    writer.write(&batch).map_err(|error| said(&error))?;
    writer.into_inner().map_err(|error| said(&error))
}

/// A batch's columns by name.
pub(crate) struct Columns<'b>(pub(crate) &'b RecordBatch);

impl<'b> Columns<'b> {
    pub(crate) fn array(&self, name: &str, data_type: &DataType) -> Result<&'b ArrayRef, String> {
        let array = self
            .0
            .column_by_name(name)
            .ok_or_else(|| format!("it has no column `{name}`"))?;
        match array.data_type() == data_type {
            true => Ok(array),
            false => Err(format!("column `{name}` has type {}", array.data_type())),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<&'b StringArray, String> {
        Ok(self.array(name, &DataType::Utf8)?.as_string())
    }

    pub(crate) fn ints(&self, name: &str) -> Result<&'b Int64Array, String> {
        Ok(self
            .array(name, &DataType::Int64)?
            .as_primitive::<Int64Type>())
    }

    pub(crate) fn times(&self, name: &str) -> Result<&'b TimestampMicrosecondArray, String> {
        Ok(self
            .array(name, &instant())?
            .as_primitive::<TimestampMicrosecondType>())
    }
}

pub(crate) fn word<T: std::str::FromStr<Err = impl std::fmt::Display>>(
    array: &StringArray,
    row: usize,
) -> Result<T, String> {
    if array.is_null(row) {
        return Err("a value that must be there is absent".to_owned());
    }
    array
        .value(row)
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

/// Reads what [`ArrivalColumns`] wrote.
pub(crate) fn arrivals_of(batch: &RecordBatch) -> Result<Vec<Arrival>, String> {
    let columns = Columns(batch);
    let mut texts = Vec::new();
    for (name, _) in TEXTS {
        texts.push(columns.texts(name)?);
    }
    let (index, ts_utc) = (columns.ints("index")?, columns.times("ts_utc")?);
    let (arrival_seq, amount_minor) = (columns.ints("arrival_seq")?, columns.ints("amount_minor")?);
    let attributes = columns.texts("attributes")?;
    let mut arrivals = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let text = |nth: usize| {
            let array = texts[nth];
            array.is_valid(row).then(|| array.value(row).to_owned())
        };
        let payment = match amount_minor.is_valid(row) {
            false => None,
            true => Some(Payment {
                amount_minor: amount_minor.value(row),
                currency: text(12).ok_or("a payment has no currency")?,
                channel: word(texts[13], row)?,
                attributes: match attributes.is_valid(row) {
                    true => serde_json::from_str(attributes.value(row))
                        .map_err(|error| error.to_string())?,
                    false => std::collections::BTreeMap::new(),
                },
            }),
        };
        arrivals.push(Arrival {
            index: index.value(row),
            event_id: word(texts[0], row)?,
            ts_utc: Time::from_micros(ts_utc.value(row)),
            kind: word(texts[1], row)?,
            merchant_id: text(2).ok_or("an arrival has no merchant")?,
            arrival_seq: arrival_seq.value(row),
            mcc: text(3),
            country: text(4),
            entities: Entities {
                customer_id: text(5),
                account_id: text(6),
                card_id: text(7),
                device_id: text(8),
                ip: text(9),
                terminal_id: text(10),
                beneficiary_id: text(11),
            },
            payment,
        });
    }
    Ok(arrivals)
}
