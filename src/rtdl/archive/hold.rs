//! What one shard's writer holds until it is worth a segment, and what segments it becomes.

use std::collections::BTreeMap;

use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::domain::digest::Digest;
use crate::domain::offset::{Position, SequenceNumber};
use crate::domain::vocabulary::Stream;
use crate::runtime::archive::{self, Folder, Head, Row};
use crate::substrate::bus::BusRecord;

/// Records in order, not yet archived.
#[derive(Debug, Default)]
pub(super) struct Hold {
    records: Vec<BusRecord>,
    bytes: usize,
}

/// One segment, encoded.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) folder: Folder,
    pub(super) first: SequenceNumber,
    pub(super) last: SequenceNumber,
    pub(super) records: usize,
    pub(super) content: Bytes,
    pub(super) content_hash: Digest,
}

impl Hold {
    pub(super) fn add(&mut self, records: Vec<BusRecord>) {
        let size = |it: &BusRecord| it.data.len() + it.partition_key.len();
        self.bytes += records.iter().map(size).sum::<usize>();
        self.records.extend(records);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The position that holds after these records.
    pub(super) fn end(&self) -> Option<Position> {
        self.records
            .last()
            .map(|it| Position::After(it.sequence_number.clone()))
    }

    /// Empties the hold.
    pub(super) fn take(&mut self) -> Vec<BusRecord> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

/// One segment a folder, in order of the folders. The same records make the same bytes.
pub(super) fn segments(stream: Stream, records: Vec<BusRecord>) -> Result<Vec<Made>, ParquetError> {
    let mut folders: BTreeMap<Folder, Vec<Row>> = BTreeMap::new();
    for record in records {
        let (folder, head) = Head::of(stream, &record.data);
        folders
            .entry(folder)
            .or_default()
            .push(Row { record, head });
    }
    let mut made = Vec::with_capacity(folders.len());
    for (folder, rows) in folders {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            continue;
        };
        let content = archive::encode(&rows)?;
        made.push(Made {
            folder,
            first: first.record.sequence_number.clone(),
            last: last.record.sequence_number.clone(),
            records: rows.len(),
            content_hash: Digest::of_bytes(&content),
            content,
        });
    }
    Ok(made)
}
