//! Reads the archive by manifest: all of a run up to a position, or single records by offset.
//! What is missing or altered is an error that names it (L8); nothing is read from the bus instead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use tokio::time::Instant;

use crate::contracts::groups;
use crate::domain::digest::Digest;
use crate::domain::offset::{Basis, OriginOffset, Position, SequenceNumber, ShardRef};
use crate::runtime::archive::segment::{self, Archived};
use crate::runtime::archive::sparse::Sparse;
use crate::runtime::archive::{Error, Flush, Folder};
use crate::runtime::guard;
use crate::substrate::bus::BusRecord;
use crate::substrate::db::{self, Db};
use crate::substrate::objects::{ObjectKey, Objects};

const LIST: &str = include_str!("sql/list_segments.sql");
const COVERAGE: &str = include_str!("sql/coverage.sql");

/// Holds the footer of any segment within the writer's limits.
const FOOTER_BYTES: u64 = 64 << 10;
/// How often a wait looks at the coverage: about as long as one write-out takes.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The archive of one platform; clones share its substrates.
#[derive(Clone)]
pub struct ArchiveReader {
    db: Db,
    objects: Arc<dyn Objects>,
}

/// A manifest row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub key: ObjectKey,
    pub bytes: u64,
    pub content_hash: Digest,
    pub first: SequenceNumber,
    pub last: SequenceNumber,
    pub records: u64,
}

impl ArchiveReader {
    #[must_use]
    pub fn new(db: Db, objects: Arc<dyn Objects>) -> ArchiveReader {
        ArchiveReader { db, objects }
    }

    /// How far the archive is complete, by shard, for every run alike: a shard holds records of
    /// many. A shard that is not named was not archived yet.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn coverage(&self) -> Result<Basis, Error> {
        let client = self.db.get().await?;
        let statement = client.prepare_cached(COVERAGE).await?;
        let mut basis = Basis::default();
        for row in client.query(&statement, &[&groups::ARCHIVE]).await? {
            let position: &str = row.get(1);
            let position = position.parse();
            let position = position.map_err(|cause| db::Error::form("position", &cause))?;
            basis.0.insert(row.get(0), position);
        }
        Ok(basis)
    }

    /// Refuses when the archive has not come to `wanted` in the shard.
    ///
    /// # Errors
    /// [`Error::Behind`], else those of the database.
    pub async fn require(&self, shard: &ShardRef, wanted: &Position) -> Result<(), Error> {
        let archived = self.coverage().await?.position(shard).clone();
        if archived.reaches(wanted) {
            return Ok(());
        }
        Err(Error::Behind {
            shard: shard.to_string(),
            archived,
            wanted: wanted.clone(),
        })
    }

    /// Rings `flush` until the archive has come to `wanted` in every shard, as lockstep and drain
    /// need it.
    ///
    /// # Errors
    /// [`Error::Behind`] after `wait_max`, else those of the database.
    pub async fn wait_for(
        &self,
        wanted: &Basis,
        flush: &Flush,
        wait_max: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + wait_max;
        loop {
            let coverage = self.coverage().await?;
            let zero = Position::Start;
            let archived = |shard: &String| coverage.0.get(shard).unwrap_or(&zero);
            let behind = wanted
                .0
                .iter()
                .find(|(shard, position)| !archived(shard).reaches(position));
            let Some((shard, position)) = behind else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(Error::Behind {
                    shard: shard.clone(),
                    archived: archived(shard).clone(),
                    wanted: position.clone(),
                });
            }
            flush.ask();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The manifest rows of a folder and shard that hold anything after `after`, up to `up_to`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn segments(
        &self,
        folder: Folder,
        shard: &ShardRef,
        after: &Position,
        up_to: &SequenceNumber,
    ) -> Result<Vec<Segment>, Error> {
        let after = match after {
            Position::Start => "",
            Position::After(number) => number.as_str(),
        };
        let (folder, stream) = (folder.to_string(), shard.stream.as_str());
        let client = self.db.get().await?;
        let statement = client.prepare_cached(LIST).await?;
        let rows = client
            .query(
                &statement,
                &[&folder, &stream, &shard.shard_id.0, &after, &up_to.as_str()],
            )
            .await?;
        Ok(rows.iter().map(segment_of).collect::<Result<_, _>>()?)
    }

    /// Every record of the folder in a shard after `after`, up to and including `up_to`, in order.
    ///
    /// # Errors
    /// [`Error::Behind`] when the archive has not come that far, else those of the database.
    pub async fn scan(
        &self,
        folder: Folder,
        shard: &ShardRef,
        after: &Position,
        up_to: &Position,
    ) -> Result<Scan<'_>, Error> {
        self.require(shard, up_to).await?;
        let segments = match up_to {
            Position::Start => Vec::new(),
            Position::After(last) => self.segments(folder, shard, after, last).await?,
        };
        Ok(Scan {
            reader: self,
            after: after.clone(),
            up_to: up_to.clone(),
            segments: segments.into(),
        })
    }

    /// Single records of a run by their places. Reads the row groups that hold them and no more.
    /// A record whose payload hash does not verify makes its whole segment be checked.
    ///
    /// # Errors
    /// [`Error::RecordMissing`] for a place that the archive has passed without such a record,
    /// [`Error::Behind`] for one that it has not come to, and what is wrong with a segment.
    pub async fn fetch(
        &self,
        folder: Folder,
        offsets: &[OriginOffset],
    ) -> Result<BTreeMap<OriginOffset, BusRecord>, Error> {
        let mut by_shard: BTreeMap<ShardRef, Vec<SequenceNumber>> = BTreeMap::new();
        for offset in offsets {
            let shard = ShardRef {
                stream: offset.stream,
                shard_id: offset.shard_id.clone(),
            };
            by_shard
                .entry(shard)
                .or_default()
                .push(offset.sequence_number.clone());
        }
        let mut found = BTreeMap::new();
        for (shard, mut numbers) in by_shard {
            numbers.sort_unstable();
            numbers.dedup();
            self.fetch_of_shard(folder, &shard, &numbers, &mut found)
                .await?;
        }
        Ok(found)
    }

    async fn fetch_of_shard(
        &self,
        folder: Folder,
        shard: &ShardRef,
        numbers: &[SequenceNumber],
        found: &mut BTreeMap<OriginOffset, BusRecord>,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            return Ok(());
        };
        self.require(shard, &Position::After(last.clone())).await?;
        // From the first number on, itself included: a segment may end with it.
        let all = self.segments(folder, shard, &Position::Start, last).await?;
        for segment in all.iter().filter(|it| *first <= it.last) {
            let from = numbers.partition_point(|it| *it < segment.first);
            let to = numbers.partition_point(|it| *it <= segment.last);
            let wanted = &numbers[from..to];
            if wanted.is_empty() {
                continue;
            }
            for row in self.rows(shard, segment, wanted).await? {
                let offset = offset_of(shard, &row.record.sequence_number);
                found.insert(offset, row.record);
            }
        }
        let missing = numbers.iter().map(|it| offset_of(shard, it));
        match missing.into_iter().find(|it| !found.contains_key(it)) {
            Some(offset) => Err(Error::RecordMissing { offset }),
            None => Ok(()),
        }
    }

    /// The wanted rows of a segment, by its row groups.
    async fn rows(
        &self,
        shard: &ShardRef,
        segment: &Segment,
        wanted: &[SequenceNumber],
    ) -> Result<Vec<Archived>, Error> {
        let parquet = |source| parquet(segment, source);
        let (metadata, mut object) = self.footer(segment).await?;
        let groups = segment::groups_of(&metadata, wanted).map_err(parquet)?;
        for group in &groups {
            let (start, end) =
                segment::range_of(metadata.row_group(*group), segment.bytes).map_err(parquet)?;
            object.add(start, self.range(segment, start, end).await?);
        }
        let decode = || segment::decode(object, metadata, Some(groups));
        let mut rows = segment::unproven(decode).map_err(parquet)?;
        rows.retain(|row| wanted.binary_search(&row.record.sequence_number).is_ok());
        if !rows.iter().all(|row| is_honest(shard, row)) {
            // Either the record came like that from the bus, or the segment was altered.
            self.whole(segment).await?;
        }
        Ok(rows)
    }

    async fn footer(&self, segment: &Segment) -> Result<(ParquetMetaData, Sparse), Error> {
        let mut object = Sparse::new(segment.bytes);
        let mut fetched = FOOTER_BYTES.min(segment.bytes);
        loop {
            let start = segment.bytes - fetched;
            let tail = self.range(segment, start, segment.bytes).await?;
            let mut reader = ParquetMetaDataReader::new();
            match segment::unproven(|| reader.try_parse_sized(&tail, segment.bytes)) {
                Ok(()) => {
                    let metadata = reader.finish().map_err(|source| parquet(segment, source))?;
                    object.add(start, tail);
                    return Ok((metadata, object));
                }
                Err(ParquetError::NeedMoreData(needed))
                    if fetched < needed as u64 && needed as u64 <= segment.bytes =>
                {
                    fetched = needed as u64;
                }
                Err(source) => return Err(parquet(segment, source)),
            }
        }
    }

    async fn range(&self, segment: &Segment, start: u64, end: u64) -> Result<Bytes, Error> {
        let bytes = self.objects.get_range(&segment.key, start, end).await?;
        bytes.ok_or_else(|| missing(segment))
    }

    /// Every row of a segment whose bytes are those of the manifest.
    async fn whole(&self, segment: &Segment) -> Result<Vec<Archived>, Error> {
        let object = self.objects.get(&segment.key).await?;
        let object = object.ok_or_else(|| missing(segment))?;
        let found = Digest::of_bytes(&object);
        if found != segment.content_hash {
            return Err(Error::Altered {
                key: segment.key.to_string(),
                expected: segment.content_hash,
                found,
            });
        }
        let parquet = |source| parquet(segment, source);
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&object)
            .map_err(parquet)?;
        let rows = segment::decode(object, metadata, None).map_err(parquet)?;
        check(segment, &rows)?;
        Ok(rows)
    }
}

/// A scan under way: a segment at a time, so that memory stays within one.
pub struct Scan<'a> {
    reader: &'a ArchiveReader,
    after: Position,
    up_to: Position,
    segments: VecDeque<Segment>,
}

impl Scan<'_> {
    /// The records of the next segment, exactly as the bus gave them, or `None` at the end. Give
    /// each to [`guard::guard`], as a consumer of the bus does: it verifies the payload hash.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], [`Error::Altered`], and what else is wrong with a segment.
    pub async fn next(&mut self) -> Result<Option<Vec<BusRecord>>, Error> {
        let Some(segment) = self.segments.pop_front() else {
            return Ok(None);
        };
        if self
            .segments
            .front()
            .is_some_and(|next| next.first <= segment.last)
        {
            return Err(disagrees(
                &segment,
                "the segment after it overlaps it".to_owned(),
            ));
        }
        let rows = self.reader.whole(&segment).await?;
        let records = rows.into_iter().map(|row| row.record);
        let inside = |record: &BusRecord| {
            let number = &record.sequence_number;
            !self.after.covers(number) && self.up_to.covers(number)
        };
        Ok(Some(records.filter(inside).collect()))
    }
}

fn segment_of(row: &db::Row) -> Result<Segment, db::Error> {
    let number = |at: usize| row.get::<_, &str>(at).parse();
    let form = |cause: &dyn std::fmt::Display| db::Error::form("archive segment", cause);
    Ok(Segment {
        key: row
            .get::<_, &str>(0)
            .parse()
            .map_err(|cause| form(&cause))?,
        bytes: u64::try_from(row.get::<_, i64>(1)).map_err(|cause| form(&cause))?,
        content_hash: row.get(2),
        first: number(3).map_err(|cause| form(&cause))?,
        last: number(4).map_err(|cause| form(&cause))?,
        records: u64::try_from(row.get::<_, i32>(5)).map_err(|cause| form(&cause))?,
    })
}

fn check(segment: &Segment, rows: &[Archived]) -> Result<(), Error> {
    let number = |row: Option<&Archived>| row.map(|it| it.record.sequence_number.clone());
    let range = (number(rows.first()), number(rows.last()));
    if range != (Some(segment.first.clone()), Some(segment.last.clone())) {
        return Err(disagrees(segment, format!("it holds the range {range:?}")));
    }
    if rows.len() as u64 != segment.records {
        return Err(disagrees(
            segment,
            format!("it holds {} records", rows.len()),
        ));
    }
    let ascends =
        |pair: &[Archived]| pair[0].record.sequence_number < pair[1].record.sequence_number;
    if !rows.windows(2).all(ascends) {
        return Err(disagrees(
            segment,
            "its records are out of order".to_owned(),
        ));
    }
    Ok(())
}

/// Whether the hash beside the record, if there is one, is that of its payload.
fn is_honest(shard: &ShardRef, row: &Archived) -> bool {
    let Some(hash) = row.payload_hash else {
        return true;
    };
    guard::guard(shard, &row.record).is_ok_and(|it| it.event.payload_hash == hash)
}

fn offset_of(shard: &ShardRef, number: &SequenceNumber) -> OriginOffset {
    OriginOffset {
        stream: shard.stream,
        shard_id: shard.shard_id.clone(),
        sequence_number: number.clone(),
    }
}

fn missing(segment: &Segment) -> Error {
    Error::SegmentMissing {
        key: segment.key.to_string(),
    }
}

fn disagrees(segment: &Segment, what: String) -> Error {
    Error::Disagrees {
        key: segment.key.to_string(),
        what,
    }
}

fn parquet(segment: &Segment, source: ParquetError) -> Error {
    Error::Parquet {
        key: segment.key.to_string(),
        source,
    }
}
