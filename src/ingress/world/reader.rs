//! Reads a pinned world back: arrivals as a stream from any index on, truth by the time it becomes
//! known. Every object is verified once, before its first row is believed.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::contracts::ready::{PinnedObject, WorldFacts};
use crate::contracts::world::{Arrival, Truth};
use crate::ingress::world::codec;
use crate::ingress::world::error::Error;
use crate::ingress::world::materialise::fetch;
use crate::ingress::world::truth::truths_of;
use crate::substrate::objects::Objects;

/// Rows decoded at a time: a few milliseconds of work between two awaits.
const DECODE_ROWS: usize = 4_096;

/// A cursor over the arrivals of a world.
pub struct WorldReader {
    objects: Arc<dyn Objects>,
    facts: WorldFacts,
    /// The object to open next.
    object: usize,
    /// The index that the next row has.
    next_index: i64,
    rows: Option<Rows>,
    decoded: std::vec::IntoIter<Arrival>,
}

/// What is left of one object.
struct Rows {
    key: String,
    reader: ParquetRecordBatchReader,
}

impl WorldReader {
    /// Starts at the arrival with this index (0-based); beyond the last, the stream is empty.
    /// Opens nothing yet.
    #[must_use]
    pub fn open(objects: Arc<dyn Objects>, facts: WorldFacts, from_index: i64) -> WorldReader {
        WorldReader {
            objects,
            facts,
            object: 0,
            next_index: from_index.max(0),
            rows: None,
            decoded: Vec::new().into_iter(),
        }
    }

    /// The index of the arrival that comes next.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.next_index
    }

    /// The next arrivals in order, at least one and at most `max`; empty at the end.
    ///
    /// # Errors
    /// An object that is absent, not the pinned one, or not what an arrivals object holds (L8).
    pub async fn next(&mut self, max: usize) -> Result<Vec<Arrival>, Error> {
        while self.decoded.len() == 0 && self.decode().await? {}
        let batch: Vec<Arrival> = self.decoded.by_ref().take(max.max(1)).collect();
        self.next_index += batch.len() as i64;
        Ok(batch)
    }

    /// Decodes a batch, or opens an object; `false` at the end of the world.
    async fn decode(&mut self) -> Result<bool, Error> {
        let Some(rows) = &mut self.rows else {
            return self.open_next().await;
        };
        let malformed = |cause: String| Error::Malformed {
            key: rows.key.clone(),
            cause,
        };
        let Some(batch) = rows.reader.next() else {
            self.rows = None;
            return Ok(true);
        };
        let batch = batch.map_err(|error| malformed(error.to_string()))?;
        let arrivals = codec::arrivals_of(&batch).map_err(malformed)?;
        let expected = self.next_index..;
        if let Some((arrival, index)) = arrivals
            .iter()
            .zip(expected)
            .find(|(it, index)| it.index != *index)
        {
            return Err(malformed(format!(
                "arrival {} stands in place {index}",
                arrival.index
            )));
        }
        self.decoded = arrivals.into_iter();
        Ok(true)
    }

    async fn open_next(&mut self) -> Result<bool, Error> {
        let Some(pinned) = self.facts.arrivals.get(self.object) else {
            return Ok(false);
        };
        let before: i64 = self.facts.arrivals[..self.object]
            .iter()
            .map(|it| it.rows)
            .sum();
        self.object += 1;
        let skipped = self.next_index - before;
        if pinned.rows <= skipped {
            return Ok(true);
        }
        self.rows = Some(Rows {
            key: pinned.key.clone(),
            reader: reader(self.objects.as_ref(), pinned, skipped).await?,
        });
        Ok(true)
    }
}

impl std::fmt::Debug for WorldReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorldReader")
            .field("next_index", &self.next_index)
            .finish_non_exhaustive()
    }
}

async fn reader(
    objects: &dyn Objects,
    pinned: &PinnedObject,
    skipped: i64,
) -> Result<ParquetRecordBatchReader, Error> {
    let bytes = fetch(objects, pinned).await?;
    let malformed = |cause: String| Error::Malformed {
        key: pinned.key.clone(),
        cause,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .map_err(|error| malformed(error.to_string()))?;
    let rows = builder.metadata().file_metadata().num_rows();
    if rows != pinned.rows {
        return Err(malformed(format!(
            "it holds {rows} rows, {} are pinned",
            pinned.rows
        )));
    }
    let skipped = usize::try_from(skipped).unwrap_or(0);
    let builder = builder.with_batch_size(DECODE_ROWS).with_offset(skipped);
    builder
        .build()
        .map_err(|error| malformed(error.to_string()))
}

/// The truth of a world by observed time; what becomes known at once stands in the order of the
/// arrivals, and what never becomes known stands last.
///
/// # Errors
/// As [`WorldReader::next`].
pub async fn read_truth(objects: &dyn Objects, facts: &WorldFacts) -> Result<Vec<Truth>, Error> {
    let mut truths = Vec::new();
    for batch in reader(objects, &facts.truth, 0).await? {
        let read = batch
            .map_err(|error| error.to_string())
            .and_then(|it| truths_of(&it));
        truths.extend(read.map_err(|cause| Error::Malformed {
            key: facts.truth.key.clone(),
            cause,
        })?);
    }
    Ok(truths)
}
