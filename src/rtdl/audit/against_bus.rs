//! Holds the archive against the bus, as far as the bus still keeps what a range stands on. The one place of the
//! audit that reads the bus, and only when it is asked to: a replay stands on the archive alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{OriginOffset, Position, SequenceNumber, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::engine::event::LabelRecord;
use crate::rtdl::audit::Error;
use crate::rtdl::audit::replay::basis_shards;
use crate::runtime::archive::{ArchiveReader, Folder};
use crate::runtime::decisions::StoredDecision;
use crate::runtime::ground::Ground;
use crate::runtime::guard;
use crate::substrate::bus::{self, BusRecord, ReadFrom, ReadLimit};

const LIMIT: ReadLimit = ReadLimit {
    records_max: 2_000,
    bytes_max: 8 << 20,
    wait_max: Duration::from_millis(50),
};
/// A bus may answer empty now and then; so often in a row, it keeps no more.
const EMPTY_READS_MAX: u32 = 100;

/// Compares every payment and label of the run up to the basis of a decision. Returns how many stand in both.
///
/// # Errors
/// [`Error::Basis`] for the first record that the two do not agree on, and those of the substrates.
pub async fn against_bus(ground: &Ground, last: &StoredDecision) -> Result<u64, Error> {
    let opened = [last.open()?];
    let reader = ArchiveReader::new(ground.db.clone(), ground.objects.clone());
    let mut n_equal = 0;
    for shard in basis_shards(&opened) {
        let up_to = opened[0].1.basis.position(&shard).clone();
        let Some(mut kept) = kept(ground, &last.run, &shard, &up_to).await? else {
            continue;
        };
        let folder = Folder::Run(last.run);
        let mut scan = reader
            .scan(folder, &shard, &Position::Start, &up_to)
            .await?;
        while let Some(records) = scan.next().await? {
            for record in records {
                n_equal += u64::from(kept.meet(&last.run, &shard, &record)?);
            }
        }
        if let Some(number) = kept.hashes.keys().next() {
            return Err(differs(
                &shard,
                number,
                "it is on the bus and not in the archive",
            ));
        }
    }
    Ok(n_equal)
}

/// What the bus keeps of a run in a shard, and from which of its records on.
struct Kept {
    from: SequenceNumber,
    hashes: BTreeMap<SequenceNumber, Digest>,
}

impl Kept {
    /// Whether the bus keeps this archived record, which must then be the same.
    fn meet(
        &mut self,
        run: &PlatformRunId,
        shard: &ShardRef,
        record: &BusRecord,
    ) -> Result<bool, Error> {
        let number = &record.sequence_number;
        let Some(hash) = hash_of(run, shard, record).filter(|_| self.from <= *number) else {
            return Ok(false);
        };
        match self.hashes.remove(number) {
            Some(on_bus) if on_bus == hash => Ok(true),
            Some(_) => Err(differs(shard, number, "its hash on the bus is another")),
            None => Err(differs(
                shard,
                number,
                "it is in the archive and not on the bus",
            )),
        }
    }
}

fn differs(shard: &ShardRef, number: &SequenceNumber, what: &'static str) -> Error {
    let offset = OriginOffset {
        stream: shard.stream,
        shard_id: shard.shard_id.clone(),
        sequence_number: number.clone(),
    };
    Error::Basis { offset, what }
}

/// The payload hash of an honest record of the run; a label, which carries none, is hashed whole.
fn hash_of(run: &PlatformRunId, shard: &ShardRef, record: &BusRecord) -> Option<Digest> {
    if shard.stream == Stream::Labels {
        let is_ours = LabelRecord::read(&record.data).is_some_and(|(of, _)| of == *run);
        return is_ours.then(|| Digest::of_bytes(&record.data));
    }
    let guarded = guard::guard(shard, record).ok()?;
    let is_ours = guarded.event.envelope.platform_run_id == *run;
    is_ours.then_some(guarded.event.payload_hash)
}

/// `None` where the bus keeps nothing of the shard.
async fn kept(
    ground: &Ground,
    run: &PlatformRunId,
    shard: &ShardRef,
    up_to: &Position,
) -> Result<Option<Kept>, Error> {
    let mut kept: Option<Kept> = None;
    let (mut at, mut n_empty) = (Position::Start, 0);
    while !at.reaches(up_to) && n_empty < EMPTY_READS_MAX {
        let from = ReadFrom::Position(at.clone());
        let read = ground.bus.read(shard.stream, &shard.shard_id, from, LIMIT);
        let read = match read.await {
            Err(bus::Error::NoSuchShard { .. }) => break,
            read => read?,
        };
        let (Some(first), Some(last)) = (read.records.first(), read.records.last()) else {
            n_empty += 1;
            if read.shard_end {
                break;
            }
            continue;
        };
        n_empty = 0;
        at = Position::After(last.sequence_number.clone());
        let kept = kept.get_or_insert_with(|| Kept {
            from: first.sequence_number.clone(),
            hashes: BTreeMap::new(),
        });
        let covered = read.records.iter();
        for record in covered.filter(|it| up_to.covers(&it.sequence_number)) {
            if let Some(hash) = hash_of(run, shard, record) {
                kept.hashes.insert(record.sequence_number.clone(), hash);
            }
        }
    }
    Ok(kept)
}
