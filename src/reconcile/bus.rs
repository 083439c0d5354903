//! Scans the streams of a run once, from the tips that READY pins to the cut: every record is
//! guarded as a consumer would, and held against the admitted events (L5).

use std::time::Duration;

use crate::contracts::groups::{ARCHIVE, CONTEXT_GROUPS, DECISION};
use crate::domain::offset::{Position, ShardRef};
use crate::domain::vocabulary::{EventClass, Stream};
use crate::reconcile::check::{Examples, Findings};
use crate::reconcile::index::{Index, head, place, short};
use crate::reconcile::references::References;
use crate::reconcile::{Audit, Error};
use crate::runtime::archive::Head;
use crate::runtime::guard::{self, Guarded, Refused};
use crate::substrate::bus::{BusRecord, ReadFrom, ReadLimit};

const LIMIT: ReadLimit = ReadLimit {
    records_max: 2_000,
    bytes_max: 8 << 20,
    wait_max: Duration::from_millis(50),
};
/// A bus may answer empty now and then; so often in a row, the log ends before its tip.
const EMPTY_READS_MAX: u32 = 100;

/// What one stream holds of the run, up to the cut.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Records whose run is readable and is this one.
    pub(super) of_run: i64,
    /// Those of them that the class's consumer has passed.
    pub(super) passed: i64,
    /// Records that the archive files under the run and has passed.
    pub(super) archived: i64,
    /// All that the archive would file under the run.
    filed: i64,
    /// Admitted events that were met, each once, and strangers.
    distinct: i64,
    repeats: i64,
    strangers: Examples,
    refused: i64,
    refusals: Examples,
}

/// The group that reads the class.
pub(super) fn consumer(class: EventClass) -> &'static str {
    let stream = class.stream();
    let context = CONTEXT_GROUPS.iter().find(|(_, read)| *read == stream);
    context.map_or(DECISION, |(group, _)| group)
}

pub(super) async fn scan(
    audit: &Audit<'_>,
    class: EventClass,
    index: &mut Index,
    references: &mut References,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for (shard, tip) in audit.cut.shards(class.stream()) {
        let passed = audit.positions.of(consumer(class), shard);
        let archived = audit.positions.of(ARCHIVE, shard);
        let mut at = audit.cut.ready.tips.position(shard).clone();
        let mut n_empty = 0;
        while !at.reaches(tip) {
            let from = ReadFrom::Position(at.clone());
            let read = audit
                .ground
                .bus
                .read(shard.stream, &shard.shard_id, from, LIMIT)
                .await?;
            let Some(last) = read.records.last() else {
                n_empty += 1;
                if read.shard_end || n_empty >= EMPTY_READS_MAX {
                    let (shard, tip) = (shard.clone(), tip.clone());
                    return Err(Error::LogEnds { shard, at, tip });
                }
                continue;
            };
            n_empty = 0;
            at = Position::After(last.sequence_number.clone());
            for record in read
                .records
                .iter()
                .filter(|it| tip.covers(&it.sequence_number))
            {
                let is_passed = passed.covers(&record.sequence_number);
                let is_archived = archived.covers(&record.sequence_number);
                let kept = tally.take(audit, shard, record, index, references);
                tally.passed += i64::from(kept == Kept::Ours && is_passed);
                tally.archived += i64::from(kept != Kept::NotOurs && is_archived);
            }
            (audit.progress)(shard.stream.as_str(), tally.of_run.unsigned_abs());
        }
    }
    Ok(tally)
}

/// Whose a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Ours,
    /// No consumer can read its run; the archive can.
    FiledOnly,
    NotOurs,
}

impl Tally {
    fn take(
        &mut self,
        audit: &Audit<'_>,
        shard: &ShardRef,
        record: &BusRecord,
        index: &mut Index,
        references: &mut References,
    ) -> Kept {
        let kept = match guard::guard(shard, record) {
            Ok(guarded) if guarded.event.envelope.platform_run_id != audit.run => Kept::NotOurs,
            Ok(guarded) => {
                self.admitted(shard, &guarded, index, references);
                Kept::Ours
            }
            Err(refused) => self.refused(audit, shard.stream, record, &refused),
        };
        self.of_run += i64::from(kept == Kept::Ours);
        self.filed += i64::from(kept != Kept::NotOurs);
        kept
    }

    fn admitted(
        &mut self,
        shard: &ShardRef,
        guarded: &Guarded,
        index: &mut Index,
        references: &mut References,
    ) {
        let event = &guarded.event;
        let key = short(&event.envelope.key(guarded.class).digest());
        let payload = head(&event.payload_hash);
        let number = guarded.origin_offset.sequence_number.as_str();
        let stands = place(&shard.shard_id.0, number);
        references.meet(shard.stream, stands, payload, &key);
        let rows = index.find(&key);
        for row in rows
            .iter_mut()
            .filter(|row| row.payload == payload && row.place == stands)
        {
            row.is_at_place = true;
        }
        match rows.iter_mut().find(|row| row.payload == payload) {
            Some(row) if row.is_on_bus => self.repeats += 1,
            Some(row) => {
                row.is_on_bus = true;
                self.distinct += 1;
            }
            None => {
                self.distinct += 1;
                let name = &event.envelope.event_id;
                self.strangers
                    .add(|| format!("{}/{name} at {shard}/{number}", guarded.class));
            }
        }
    }

    fn refused(
        &mut self,
        audit: &Audit<'_>,
        stream: Stream,
        record: &BusRecord,
        refused: &Refused,
    ) -> Kept {
        let kept = match &refused.event {
            Some(event) if event.envelope.platform_run_id == audit.run => Kept::Ours,
            Some(_) => Kept::NotOurs,
            None if Head::of(stream, &record.data).1.platform_run_id == Some(audit.run) => {
                Kept::FiledOnly
            }
            None => Kept::NotOurs,
        };
        if kept != Kept::NotOurs {
            self.refused += 1;
            let at = &refused.origin_offset;
            let (shard, number) = (&at.shard_id, &at.sequence_number);
            self.refusals
                .add(|| format!("{} at {stream}/{shard}/{number}", refused.code));
        }
        kept
    }
}

/// What the scan of one class says about the bus and its readers' progress.
pub(super) async fn report(
    audit: &Audit<'_>,
    class: EventClass,
    index: &Index,
    tally: Tally,
    findings: &mut Findings,
) -> Result<(), Error> {
    let group = consumer(class);
    let reaches = match class {
        EventClass::Traffic => "decision_position_reaches_traffic_tip".to_owned(),
        _ => format!("{group}_position_reaches_tip"),
    };
    findings.check(reaches, tally.of_run, tally.passed, Examples::default());
    if audit.options.has_archive {
        let name = format!("archive_position_reaches_{class}_tip");
        findings.check(name, tally.filed, tally.archived, Examples::default());
    }
    let ended = index.count(|entry| !entry.is_open);
    let at_place = index.count(|entry| !entry.is_open && entry.is_at_place);
    let lost = index
        .name(audit, |entry| !entry.is_open && !entry.is_at_place)
        .await?;
    findings.check(
        format!("bus_{class}_stands_at_eb_ref"),
        ended,
        at_place,
        lost,
    );
    let mut strangers = tally.strangers;
    let absent = index.name(audit, |entry| !entry.is_on_bus).await?;
    strangers.extend(absent.names().map(|name| format!("{name} absent")));
    let name = format!("bus_{class}_events_equal_admitted");
    findings.check(name, index.n_keys(), tally.distinct, strangers);
    findings.none(
        format!("bus_{class}_refused_by_guard"),
        tally.refused,
        tally.refusals,
    );
    let repeats = tally.repeats;
    findings.check(
        format!("bus_{class}_repeats_noted"),
        repeats,
        repeats,
        Examples::default(),
    );
    Ok(())
}
