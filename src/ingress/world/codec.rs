//! Arrivals and truth as Parquet: one file, one row group, the same bytes for the same rows (the
//! writer's own name and version are kept out of the file).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::contracts::world::{Arrival, Entities, Payment, Truth};
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::domain::vocabulary::LabelType;

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

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
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
        self.index.append_value(arrival.index);
        self.ts_utc.push(arrival.ts_utc.micros());
        self.arrival_seq.append_value(arrival.arrival_seq);
        let payment = arrival.payment.as_ref();
        self.amount_minor
            .append_option(payment.map(|it| it.amount_minor));
        for (column, (_, text)) in self.texts.iter_mut().zip(TEXTS) {
            column.append_option(text(arrival));
        }
        match payment.map(|it| &it.attributes).filter(|it| !it.is_empty()) {
            Some(attributes) => {
                let json = serde_json::to_string(attributes).map_err(|error| error.to_string())?;
                self.attributes.append_value(json);
            }
            None => self.attributes.append_null(),
        }
        Ok(())
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

/// Truth while a world is built: its few words are kept once, for there is a row a payment.
#[derive(Debug, Default)]
pub(crate) struct TruthRows {
    rows: Vec<TruthRow>,
    words: Vec<String>,
    known: HashMap<String, u32>,
}

#[derive(Debug)]
struct TruthRow {
    event_id: EventId,
    label_type: LabelType,
    effective_time: Time,
    observed_time: Time,
    value: u32,
    source: u32,
    scenario: u32,
}

impl TruthRows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn push(&mut self, truth: Truth) {
        let row = TruthRow {
            event_id: truth.event_id,
            label_type: truth.label_type,
            effective_time: truth.effective_time,
            observed_time: truth.observed_time,
            value: self.word(truth.value),
            source: self.word(truth.source),
            scenario: self.word(truth.scenario),
        };
        self.rows.push(row);
    }

    fn word(&mut self, word: String) -> u32 {
        if let Some(known) = self.known.get(&word) {
            return *known;
        }
        // No more words than rows, of which there are fewer than 2^32.
        let at = self.words.len() as u32;
        self.words.push(word.clone());
        self.known.insert(word, at);
        at
    }

    /// The Parquet bytes, as it becomes known; what becomes known at once stays in the order in
    /// which it was pushed.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, String> {
        self.rows.sort_by_key(|it| it.observed_time);
        let (rows, words) = (&self.rows, &self.words);
        let words = |of: fn(&TruthRow) -> u32| texts(rows, |it| &words[of(it) as usize]);
        let times = |of: fn(&TruthRow) -> Time| -> ArrayRef {
            let micros: Vec<i64> = self.rows.iter().map(|it| of(it).micros()).collect();
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
        };
        encode(vec![
            ("event_id", texts(rows, |it| it.event_id.as_str())),
            ("label_type", texts(rows, |it| it.label_type.as_str())),
            ("value", words(|it| it.value)),
            ("effective_time", times(|it| it.effective_time)),
            ("observed_time", times(|it| it.observed_time)),
            ("source", words(|it| it.source)),
            ("scenario", words(|it| it.scenario)),
        ])
    }
}

fn texts<'r>(rows: &'r [TruthRow], of: impl Fn(&'r TruthRow) -> &'r str) -> ArrayRef {
    let mut texts = StringBuilder::new();
    for row in rows {
        texts.append_value(of(row));
    }
    Arc::new(texts.finish())
}

fn encode(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, String> {
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
struct Columns<'b>(&'b RecordBatch);

impl<'b> Columns<'b> {
    fn array(&self, name: &str, data_type: &DataType) -> Result<&'b ArrayRef, String> {
        let array = self
            .0
            .column_by_name(name)
            .ok_or_else(|| format!("it has no column `{name}`"))?;
        match array.data_type() == data_type {
            true => Ok(array),
            false => Err(format!("column `{name}` has type {}", array.data_type())),
        }
    }

    fn texts(&self, name: &str) -> Result<&'b StringArray, String> {
        Ok(self.array(name, &DataType::Utf8)?.as_string())
    }

    fn ints(&self, name: &str) -> Result<&'b Int64Array, String> {
        Ok(self
            .array(name, &DataType::Int64)?
            .as_primitive::<Int64Type>())
    }

    fn times(&self, name: &str) -> Result<&'b TimestampMicrosecondArray, String> {
        Ok(self
            .array(name, &instant())?
            .as_primitive::<TimestampMicrosecondType>())
    }
}

fn word<T: std::str::FromStr<Err = impl std::fmt::Display>>(
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

/// Reads what [`TruthRows`] wrote.
pub(crate) fn truths_of(batch: &RecordBatch) -> Result<Vec<Truth>, String> {
    let columns = Columns(batch);
    let (event_id, label_type) = (columns.texts("event_id")?, columns.texts("label_type")?);
    let (value, source, scenario) = (
        columns.texts("value")?,
        columns.texts("source")?,
        columns.texts("scenario")?,
    );
    let (effective, observed) = (
        columns.times("effective_time")?,
        columns.times("observed_time")?,
    );
    let read = |row| {
        Ok(Truth {
            event_id: word(event_id, row)?,
            label_type: word(label_type, row)?,
            value: value.value(row).to_owned(),
            effective_time: Time::from_micros(effective.value(row)),
            observed_time: Time::from_micros(observed.value(row)),
            source: source.value(row).to_owned(),
            scenario: scenario.value(row).to_owned(),
        })
    };
    (0..batch.num_rows()).map(read).collect()
}
