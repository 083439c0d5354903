//! The form of a decision segment: Parquet, zstd, a record of the log a row, body and evidence byte for byte. The
//! same records make the same bytes (L12).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, FixedSizeBinaryArray,
    FixedSizeBinaryBuilder, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::time::Time;
use crate::runtime::decisions::{Error, StoredDecision, id_filter};
use crate::substrate::db::{self, Client, Day};
use crate::substrate::objects::{ObjectKey, Objects};
use crate::substrate::tasks;

const LIST: &str = include_str!("sql/list_segments.sql");

/// As the archive has it: level 3 takes half again the time for a tenth less.
const ZSTD_LEVEL: i32 = 1;

/// A record with the columns beside it, which its body and evidence say too.
#[derive(Debug, Clone)]
pub struct Row {
    pub decision: StoredDecision,
    pub event_id: String,
    pub ts_utc: Time,
    pub outcome: String,
    pub degraded: bool,
    pub decided_at: Time,
    /// What it is found by; none in decisions of earlier releases.
    pub keys: Option<Vec<i64>>,
}

/// Where a segment rests: its key says which range it holds and which bytes.
///
/// # Errors
/// Never in practice: ids, numbers and digests make a key.
pub fn segment_key(
    run: &PlatformRunId,
    (first, last): (i64, i64),
    content: &Digest,
) -> Result<ObjectKey, ParseError> {
    let content = content.to_string();
    let hash16 = content.get(..16).unwrap_or_default();
    format!("{run}/dla/segments/{first:012}-{last:012}-{hash16}.parquet").parse()
}

fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let hash = || DataType::FixedSizeBinary(32);
    Arc::new(Schema::new(vec![
        Field::new("seq", DataType::Int64, false),
        Field::new("decision_id", hash(), false),
        Field::new("event_id", DataType::Utf8, false),
        Field::new("ts_utc", time(), false),
        Field::new("outcome", DataType::Utf8, false),
        Field::new("degraded", DataType::Boolean, false),
        Field::new("decided_at", time(), false),
        // Canonical CBOR, as it stood in the log.
        Field::new("body", DataType::Binary, false),
        Field::new("evidence", DataType::Binary, false),
        Field::new("body_hash", hash(), false),
        Field::new("evidence_hash", hash(), false),
        Field::new("link", hash(), false),
        // What a search finds it by: eight bytes a key, the lowest first. Not in segments of earlier releases.
        Field::new("keys", DataType::Binary, true),
    ]))
}

/// Encodes records of one run that follow one another.
///
/// # Errors
/// Those of the encoder.
pub fn encode(rows: &[Row]) -> Result<Bytes, ParquetError> {
    // Hardly two values are alike but outcomes: a dictionary would be built only to be given up.
    let properties = WriterProperties::builder()
        .set_created_by("fraudplat".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties))?;
    writer.write(&batch(rows)?)?;
    Ok(Bytes::from(writer.into_inner()?))
}

fn batch(rows: &[Row]) -> Result<RecordBatch, ParquetError> {
    let time = |value: fn(&Row) -> Time| -> ArrayRef {
        let micros = rows.iter().map(|row| Some(value(row).micros()));
        Arc::new(
            micros
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        )
    };
    let text = |value: fn(&Row) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
    };
    let bytes = |value: fn(&Row) -> &[u8]| -> ArrayRef {
        let mut array = BinaryBuilder::new();
        rows.iter().for_each(|row| array.append_value(value(row)));
        Arc::new(array.finish())
    };
    let hash = |value: fn(&Row) -> &Digest| -> Result<ArrayRef, ParquetError> {
        let mut array = FixedSizeBinaryBuilder::new(32);
        for row in rows {
            array.append_value(value(row).as_bytes())?;
        }
        Ok(Arc::new(array.finish()))
    };
    let seqs = rows.iter().map(|row| row.decision.seq);
    let degraded: Vec<bool> = rows.iter().map(|row| row.degraded).collect();
    let columns = vec![
        Arc::new(Int64Array::from_iter_values(seqs)) as ArrayRef,
        hash(|row| row.decision.decision_id.digest())?,
        text(|row| &row.event_id),
        time(|row| row.ts_utc),
        text(|row| &row.outcome),
        Arc::new(BooleanArray::from(degraded)),
        time(|row| row.decided_at),
        bytes(|row| &row.decision.body),
        bytes(|row| &row.decision.evidence),
        hash(|row| &row.decision.body_hash)?,
        hash(|row| &row.decision.evidence_hash)?,
        hash(|row| &row.decision.link)?,
        packed_keys(rows),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn packed_keys(rows: &[Row]) -> ArrayRef {
    let packed = rows.iter().map(|row| {
        let keys = row.keys.as_ref()?.iter();
        Some(keys.flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>())
    });
    Arc::new(packed.collect::<BinaryArray>())
}

fn unpacked_keys(packed: &[u8]) -> Vec<i64> {
    let (keys, _) = packed.as_chunks::<8>();
    keys.iter().map(|it| i64::from_le_bytes(*it)).collect()
}

/// A record of a segment and what it is found by.
type WithKeys = (StoredDecision, Option<Vec<i64>>);

fn decode(run: PlatformRunId, object: Bytes) -> Result<Vec<WithKeys>, ParquetError> {
    let mut decisions = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(object)?.build()? {
        let batch = batch?;
        let seqs: &Int64Array = column(&batch, "seq")?;
        let bodies: &BinaryArray = column(&batch, "body")?;
        let evidences: &BinaryArray = column(&batch, "evidence")?;
        let hash = |name| column::<FixedSizeBinaryArray>(&batch, name);
        let (ids, links) = (hash("decision_id")?, hash("link")?);
        let (body_hashes, evidence_hashes) = (hash("body_hash")?, hash("evidence_hash")?);
        let keys = batch.column_by_name("keys");
        let keys = keys.and_then(|it| it.as_any().downcast_ref::<BinaryArray>());
        let digest = |array: &FixedSizeBinaryArray, at: usize| {
            let digest = Digest::from_slice(array.value(at));
            digest.map_err(|cause| ParquetError::General(cause.to_string()))
        };
        for at in 0..batch.num_rows() {
            let found_by = keys.filter(|it| it.is_valid(at));
            let found_by = found_by.map(|it| unpacked_keys(it.value(at)));
            let decision = StoredDecision {
                run,
                seq: seqs.value(at),
                decision_id: DecisionId::from_digest(digest(ids, at)?),
                body: bodies.value(at).to_vec(),
                evidence: evidences.value(at).to_vec(),
                body_hash: digest(body_hashes, at)?,
                evidence_hash: digest(evidence_hashes, at)?,
                link: digest(links, at)?,
            };
            decisions.push((decision, found_by));
        }
    }
    Ok(decisions)
}

fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a A, ParquetError> {
    let column = batch.column_by_name(name);
    let column = column.filter(|it| it.null_count() == 0);
    let column = column.and_then(|it| it.as_any().downcast_ref());
    column.ok_or_else(|| {
        ParquetError::General(format!("column {name} is missing or of another type"))
    })
}

/// A manifest row.
#[derive(Debug, Clone)]
pub struct Segment {
    pub run: PlatformRunId,
    pub day: Day,
    pub first: i64,
    pub last: i64,
    pub last_link: Digest,
    pub key: ObjectKey,
    pub content_hash: Digest,
    pub id_filter: Vec<u8>,
}

impl Segment {
    pub(super) fn of(row: &db::Row) -> Result<Segment, Error> {
        Ok(Segment {
            run: row.get(0),
            day: row.get(1),
            first: row.get(2),
            last: row.get(3),
            last_link: row.get(4),
            key: row.get::<_, &str>(5).parse().map_err(Error::Key)?,
            content_hash: row.get(6),
            id_filter: row.get(7),
        })
    }

    /// How many decisions it holds.
    #[must_use]
    pub fn decisions(&self) -> i64 {
        self.last - self.first + 1
    }

    /// Its records in order, once it is what its row says. Their own hashes are not verified yet.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], [`Error::SegmentAltered`], and what else is wrong with it.
    pub async fn read(&self, objects: &dyn Objects) -> Result<Vec<StoredDecision>, Error> {
        let decisions = self.read_with_keys(objects).await?;
        Ok(decisions.into_iter().map(|(it, _)| it).collect())
    }

    /// The same, each with what it is found by.
    pub(super) async fn read_with_keys(
        &self,
        objects: &dyn Objects,
    ) -> Result<Vec<WithKeys>, Error> {
        let object = objects.get(&self.key).await?;
        let object = object.ok_or_else(|| Error::SegmentMissing {
            key: self.key.to_string(),
        })?;
        let segment = self.clone();
        tasks::blocking(move || segment.verify(object)).await
    }

    fn verify(&self, object: Bytes) -> Result<Vec<WithKeys>, Error> {
        let key = || self.key.to_string();
        let found = Digest::of_bytes(&object);
        if found != self.content_hash {
            return Err(Error::SegmentAltered {
                key: key(),
                expected: self.content_hash,
                found,
            });
        }
        let decoded = decode(self.run, object);
        let decisions = decoded.map_err(|source| Error::Parquet { key: key(), source })?;
        let differs = |what| Err(Error::SegmentDiffers { key: key(), what });
        let records = || decisions.iter().map(|(it, _)| it);
        let seqs = records().map(|it| it.seq);
        if !seqs.eq(self.first..=self.last) {
            return differs("it holds another range");
        }
        if records()
            .next_back()
            .is_none_or(|it| it.link != self.last_link)
        {
            return differs("it ends with another link");
        }
        let ids: Vec<DecisionId> = records().map(|it| it.decision_id).collect();
        if id_filter(ids.iter()) != self.id_filter {
            return differs("its filter is of other decisions");
        }
        Ok(decisions)
    }
}

/// At most `limit` segments of a run that end after `after`, in order of the chain; of all days.
///
/// # Errors
/// Those of the database.
pub async fn segments_after(
    client: &Client,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<Segment>, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[run, &after, &limit]).await?;
    rows.iter().map(Segment::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::decision::{ChainLink, record_hash};
    use crate::domain::ids::EventId;
    use crate::domain::vocabulary::EventClass;

    fn chain(n: i64) -> (PlatformRunId, Vec<Row>) {
        let run = PlatformRunId::from_digest(Digest::of_bytes(b"a run"));
        let mut link = ChainLink::genesis(&run);
        let mut rows = Vec::new();
        for seq in 1..=n {
            let event_id: EventId = format!("e{seq}").parse().expect("an event id");
            let body = vec![seq as u8; usize::try_from(seq % 7).expect("it is small")];
            let evidence = vec![0, 255, seq as u8];
            let (body_hash, evidence_hash) = (record_hash(&body), record_hash(&evidence));
            link = link.next(&body_hash, &evidence_hash);
            rows.push(Row {
                decision: StoredDecision {
                    run,
                    seq,
                    decision_id: DecisionId::of(&run, EventClass::Traffic, &event_id),
                    body,
                    evidence,
                    body_hash,
                    evidence_hash,
                    link: link.link,
                },
                event_id: event_id.to_string(),
                ts_utc: Time::from_micros(seq),
                outcome: "APPROVE".to_owned(),
                degraded: seq % 2 == 0,
                decided_at: Time::from_micros(seq + 1),
                keys: (seq % 3 > 0).then(|| vec![seq, -seq]),
            });
        }
        (run, rows)
    }

    fn manifest(run: PlatformRunId, rows: &[Row], content_hash: Digest) -> Segment {
        let (first, last) = (&rows[0].decision, &rows[rows.len() - 1].decision);
        let key = segment_key(&run, (first.seq, last.seq), &content_hash);
        Segment {
            run,
            day: Day(0),
            first: first.seq,
            last: last.seq,
            last_link: last.link,
            key: key.expect("a key"),
            content_hash,
            id_filter: id_filter(rows.iter().map(|it| &it.decision.decision_id)),
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_the_same_records_make_the_same_bytes() {
        let (run, rows) = chain(300);
        let object = encode(&rows).expect("it encodes");
        assert_eq!(object, encode(&rows).expect("it encodes"));
        let segment = manifest(run, &rows, Digest::of_bytes(&object));
        let read = segment.verify(object).expect("it is whole");
        let stored: Vec<_> = rows.into_iter().map(|it| (it.decision, it.keys)).collect();
        assert_eq!(read, stored);
    }

    #[test]
    fn every_single_bit_counts() {
        let (run, rows) = chain(3);
        let object = encode(&rows).expect("it encodes");
        let segment = manifest(run, &rows, Digest::of_bytes(&object));
        for at in 0..object.len() {
            let mut altered = object.to_vec();
            altered[at] ^= 1;
            let refused = segment.verify(altered.into());
            assert!(
                matches!(refused, Err(Error::SegmentAltered { .. })),
                "{at}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_row_of_another_segment_is_named() {
        let (run, rows) = chain(9);
        let object = encode(&rows[2..8]).expect("it encodes");
        let hash = Digest::of_bytes(&object);
        let right = manifest(run, &rows[2..8], hash);
        assert!(right.verify(object.clone()).is_ok());
        let wrong = |change: fn(&mut Segment)| {
            let mut row = right.clone();
            change(&mut row);
            let refused = row.verify(object.clone()).expect_err("it differs");
            assert_eq!(refused.code().as_str(), "CHAIN_BROKEN");
            refused.to_string()
        };
        let found = [
            wrong(|it| it.first -= 1),
            wrong(|it| it.last += 1),
            wrong(|it| it.last_link = it.content_hash),
            wrong(|it| it.id_filter[3] ^= 4),
        ];
        let ends = [
            "it holds another range",
            "it holds another range",
            "it ends with another link",
            "its filter is of other decisions",
        ];
        for (found, end) in found.iter().zip(ends) {
            assert!(found.ends_with(end), "{found}");
        }
    }

    #[test]
    fn what_is_no_parquet_is_refused() {
        let (run, rows) = chain(2);
        let segment = manifest(run, &rows, Digest::of_bytes(b"PAR1 or so"));
        let refused = segment.verify(Bytes::from_static(b"PAR1 or so"));
        assert!(matches!(refused, Err(Error::Parquet { .. })), "{refused:?}");
    }
}
