//! Truth as Parquet. What a label says and when is in every file; what really was, and what was
//! stopped, only where it may differ from the label: worlds of data sets keep their bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;

use crate::contracts::world::{FRAUD, Truth};
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::domain::vocabulary::LabelType;
use crate::ingress::world::codec::{Columns, encode, word};

/// A row of truth as its columns have it.
#[derive(Debug)]
pub(crate) struct TruthRow<'a> {
    pub(crate) event_id: &'a str,
    pub(crate) label_type: LabelType,
    pub(crate) value: &'a str,
    pub(crate) effective_micros: i64,
    /// `None`: nobody ever learns of it.
    pub(crate) observed_micros: Option<i64>,
    pub(crate) source: &'a str,
    pub(crate) scenario: &'a str,
    pub(crate) is_fraud: bool,
    pub(crate) is_blocked: bool,
}

/// Collects truth column by column, in the order in which it becomes known.
#[derive(Debug, Default)]
pub(crate) struct TruthColumns {
    event_id: StringBuilder,
    label_type: StringBuilder,
    value: StringBuilder,
    effective: Vec<i64>,
    observed: Vec<Option<i64>>,
    source: StringBuilder,
    scenario: StringBuilder,
    /// `is_fraud` and `is_blocked`.
    reality: Option<[BooleanBuilder; 2]>,
}

impl TruthColumns {
    /// With the columns of what really was.
    pub(crate) fn with_reality() -> TruthColumns {
        TruthColumns {
            reality: Some(Default::default()),
            ..TruthColumns::default()
        }
    }

    pub(crate) fn push(&mut self, row: &TruthRow<'_>) {
        self.event_id.append_value(row.event_id);
        self.label_type.append_value(row.label_type.as_str());
        self.value.append_value(row.value);
        self.effective.push(row.effective_micros);
        self.observed.push(row.observed_micros);
        self.source.append_value(row.source);
        self.scenario.append_value(row.scenario);
        if let Some([is_fraud, is_blocked]) = &mut self.reality {
            is_fraud.append_value(row.is_fraud);
            is_blocked.append_value(row.is_blocked);
        }
    }

    pub(crate) fn finish(mut self) -> Result<Vec<u8>, String> {
        let effective = TimestampMicrosecondArray::from(self.effective).with_timezone("UTC");
        let observed = TimestampMicrosecondArray::from(self.observed).with_timezone("UTC");
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("event_id", Arc::new(self.event_id.finish())),
            ("label_type", Arc::new(self.label_type.finish())),
            ("value", Arc::new(self.value.finish())),
            ("effective_time", Arc::new(effective)),
            ("observed_time", Arc::new(observed)),
            ("source", Arc::new(self.source.finish())),
            ("scenario", Arc::new(self.scenario.finish())),
        ];
        if let Some([mut is_fraud, mut is_blocked]) = self.reality {
            columns.push(("is_fraud", Arc::new(is_fraud.finish())));
            columns.push(("is_blocked", Arc::new(is_blocked.finish())));
        }
        encode(columns)
    }
}

/// Truth while a data set is read: its few words are kept once, for there is a row a payment.
#[derive(Debug, Default)]
pub(crate) struct TruthRows {
    rows: Vec<Held>,
    words: Vec<String>,
    known: HashMap<String, u32>,
}

#[derive(Debug)]
struct Held {
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

    /// Of what is learnt, and is as the label says: all that a data set can tell.
    pub(crate) fn push(&mut self, truth: Truth, observed_time: Time) {
        let row = Held {
            event_id: truth.event_id,
            label_type: truth.label_type,
            effective_time: truth.effective_time,
            observed_time,
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
        let mut columns = TruthColumns::default();
        let word = |at: u32| self.words[at as usize].as_str();
        for row in &self.rows {
            columns.push(&TruthRow {
                event_id: row.event_id.as_str(),
                label_type: row.label_type,
                value: word(row.value),
                effective_micros: row.effective_time.micros(),
                observed_micros: Some(row.observed_time.micros()),
                source: word(row.source),
                scenario: word(row.scenario),
                is_fraud: word(row.value) == FRAUD,
                is_blocked: false,
            });
        }
        columns.finish()
    }
}

/// Reads what [`TruthColumns`] wrote. A file without the columns of what really was says that all
/// is as labelled.
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
    let (is_fraud, is_blocked) = (flags(batch, "is_fraud")?, flags(batch, "is_blocked")?);
    let read = |row| {
        let says_fraud = value.value(row) == FRAUD;
        Ok(Truth {
            event_id: word(event_id, row)?,
            label_type: word(label_type, row)?,
            value: value.value(row).to_owned(),
            effective_time: Time::from_micros(effective.value(row)),
            observed_time: observed
                .is_valid(row)
                .then(|| Time::from_micros(observed.value(row))),
            source: source.value(row).to_owned(),
            scenario: scenario.value(row).to_owned(),
            is_fraud: is_fraud.map_or(says_fraud, |it| it.value(row)),
            is_blocked: is_blocked.is_some_and(|it| it.value(row)),
        })
    };
    (0..batch.num_rows()).map(read).collect()
}

fn flags<'b>(batch: &'b RecordBatch, name: &str) -> Result<Option<&'b BooleanArray>, String> {
    if batch.column_by_name(name).is_none() {
        return Ok(None);
    }
    let array = Columns(batch).array(name, &DataType::Boolean)?;
    Ok(Some(array.as_boolean()))
}
