//! One handler for the three context streams: reads the batch, writes it with its counts, turns
//! conflicts into quarantine rows and facts, counts after the commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::contracts::code::Code;
use crate::contracts::fact::{EvidenceRef, Fact};
use crate::domain::digest::Digest;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::keys::Pins;
use crate::domain::offset::OriginOffset;
use crate::domain::vocabulary::{EventClass, FactType, RefType};
use crate::governance::counters::Counter;
use crate::governance::facts;
use crate::rtdl::inlet::entry::{self, Entry};
use crate::rtdl::inlet::settle::{self, Stored, Verdict};
use crate::rtdl::inlet::store::{self, Count, QuarantineRow, Stamped};
use crate::runtime::consumer::{Batch, Error, Handler};
use crate::runtime::ground::Ground;
use crate::runtime::guard::Refused;
use crate::runtime::partitions::Partitions;
use crate::substrate::db::{self, Day, Transaction};

/// Each turn of a write finds rows that another shard's inlet put in since the turn before; they
/// run out as soon as the keys of one batch do.
const TURNS_MAX: u32 = 16;

pub(super) struct Inlet {
    ground: Ground,
    group: &'static str,
    partitions: Partitions,
}

/// A batch, read; what became of it is known only inside the transaction.
pub(super) struct Prepared {
    on: Stamped,
    first: String,
    last: String,
    entries: Vec<Entry>,
    refused: Vec<Refused>,
    /// What the last write found; it stands if the commit does.
    found: Mutex<Vec<Verdict>>,
}

impl Inlet {
    pub(super) fn new(ground: Ground, group: &'static str, partitions: Partitions) -> Inlet {
        Inlet {
            ground,
            group,
            partitions,
        }
    }
}

impl Inlet {
    fn read(&self, batch: &Batch) -> Prepared {
        let (mut entries, mut refused) = (Vec::with_capacity(batch.records.len()), Vec::new());
        let number = |record: Option<&Result<_, Box<Refused>>>| {
            let offset = record.map(|it: &Result<crate::runtime::guard::Guarded, _>| match it {
                Ok(guarded) => &guarded.origin_offset,
                Err(refused) => &refused.origin_offset,
            });
            offset
                .map(|it| it.sequence_number.to_string())
                .unwrap_or_default()
        };
        for record in &batch.records {
            let read = match record {
                Ok(guarded) => entry::read(guarded),
                Err(refused) => Err(refused.clone()),
            };
            match read {
                Ok(entry) => entries.push(entry),
                Err(it) => refused.push(*it),
            }
        }
        let stamps = &self.ground.stamps;
        Prepared {
            on: Stamped {
                group: self.group,
                shard: batch.shard.clone(),
                at: batch.read_at,
                stamps: serde_json::to_string(stamps).expect("stamps are plain JSON"),
            },
            first: number(batch.records.first()),
            last: number(batch.records.last()),
            entries,
            refused,
            found: Mutex::default(),
        }
    }
}

#[async_trait]
impl Handler for Inlet {
    type Prepared = Prepared;

    fn group(&self) -> &'static str {
        self.group
    }

    async fn prepare(&mut self, batch: &Batch) -> Result<Prepared, Error> {
        let prepared = self.read(batch);
        let client = self.ground.db.get().await?;
        self.partitions
            .ensure(&client, Day::of(prepared.on.at))
            .await?;
        Ok(prepared)
    }

    async fn write(&self, tx: &Transaction<'_>, prepared: &Prepared) -> Result<(), Error> {
        let verdicts = write_entries(tx, &prepared.entries).await?;
        let (rows, facts) = anomalies(&self.ground, prepared, &verdicts);
        store::quarantine(tx, &prepared.on, &rows).await?;
        let counts = prepared.counts(&verdicts);
        let counts: Vec<(Digest, Count)> =
            counts.into_iter().map(|(run, (_, it))| (run, it)).collect();
        store::count(tx, &prepared.on, (&prepared.first, &prepared.last), &counts).await?;
        facts::append(tx, &facts).await?;
        *prepared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = verdicts;
        Ok(())
    }

    fn committed(&mut self, prepared: &Prepared) {
        let verdicts = prepared
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counters = &self.ground.counters;
        let n = |count: i32| u64::try_from(count).unwrap_or_default();
        for (pins, count) in prepared.counts(&verdicts).values() {
            counters.add(pins, Counter::InletSeen, n(count.seen));
            counters.add(pins, Counter::InletDeduped, n(count.deduped));
            counters.add(pins, Counter::InletQuarantined, n(count.quarantined));
            counters.add(pins, Counter::ContextUpdates, n(count.written));
        }
        let anchors = prepared.entries.iter().zip(verdicts.iter());
        for (entry, verdict) in anchors.filter(|(it, _)| it.class == EventClass::FlowAnchor) {
            match verdict {
                Verdict::Write => counters.add(&entry.pins, Counter::FlowbindingWrites, 1),
                Verdict::Conflict { .. } => {
                    counters.add(&entry.pins, Counter::FlowbindingConflicts, 1);
                }
                Verdict::Repeat => {}
            }
        }
    }
}

/// Writes what is new. It first takes all to be new; if some is not, it reads what stands there
/// and decides again.
async fn write_entries(tx: &Transaction<'_>, entries: &[Entry]) -> Result<Vec<Verdict>, db::Error> {
    let mut stored = Stored::default();
    for _ in 0..TURNS_MAX {
        let verdicts = settle::settle(entries, stored);
        let fresh = entries.iter().zip(&verdicts);
        let fresh = fresh.filter(|(_, verdict)| **verdict == Verdict::Write);
        let fresh: Vec<&Entry> = fresh.map(|(entry, _)| entry).collect();
        if store::insert(tx, &fresh).await? {
            return Ok(verdicts);
        }
        stored = store::read(tx, entries).await?;
    }
    let what = format!("{TURNS_MAX} readings of the same keys differ");
    Err(db::Error::form("context batch", &what))
}

/// The quarantine rows of a batch in order of the bus, and the facts that go with them.
fn anomalies(
    ground: &Ground,
    prepared: &Prepared,
    verdicts: &[Verdict],
) -> (Vec<QuarantineRow>, Vec<Fact>) {
    let (mut rows, mut facts) = (Vec::new(), Vec::new());
    for refused in &prepared.refused {
        rows.push(row_of(refused));
        if let (Code::PayloadHashMismatch, Some(event)) = (refused.code, &refused.event) {
            let envelope = &event.envelope;
            let hash = event.payload_hash.to_string();
            let run = envelope.platform_run_id;
            let class = storable(&envelope.event_class);
            let key = [&run.to_string(), &class, envelope.event_id.as_str(), &hash];
            let fact = ground.fact(FactType::PayloadHashMismatch, &key, Some(run));
            facts.push(particulars(fact, &refused.origin_offset, &refused.detail));
        }
    }
    for (entry, verdict) in prepared.entries.iter().zip(verdicts) {
        let Verdict::Conflict { first } = verdict else {
            continue;
        };
        let fact_type = match entry.class {
            EventClass::FlowAnchor => FactType::FlowbindingConflict,
            _ => FactType::PayloadHashMismatch,
        };
        let (run, hash) = (entry.pins.platform_run_id, entry.payload_hash.to_string());
        let key = [
            &run.to_string(),
            entry.class.as_str(),
            entry.event_id.as_str(),
            &hash,
        ];
        let detail = format!("the payload hashes to {hash}, the first was {first}");
        let fact = ground.fact(fact_type, &key, Some(run));
        facts.push(particulars(fact, &entry.origin_offset, &detail));
        rows.push(QuarantineRow {
            sequence_number: entry.origin_offset.sequence_number.to_string(),
            run: Some(*run.digest()),
            event_class: Some(entry.class.to_string()),
            event_id: Some(entry.event_id.to_string()),
            payload_hash: Some(entry.payload_hash),
            code: fact_type.as_str(),
            detail,
        });
    }
    (rows, facts)
}

fn row_of(refused: &Refused) -> QuarantineRow {
    let event = refused.event.as_ref();
    let envelope = event.map(|it| &it.envelope);
    QuarantineRow {
        sequence_number: refused.origin_offset.sequence_number.to_string(),
        run: envelope.map(|it| *it.platform_run_id.digest()),
        event_class: envelope.map(|it| storable(&it.event_class)),
        event_id: envelope.map(|it| it.event_id.to_string()),
        payload_hash: event.map(|it| it.payload_hash),
        code: refused.code.as_str(),
        detail: storable(&refused.detail),
    }
}

/// A text column takes every character but NUL, and a record must not block its shard with one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn particulars(mut fact: Fact, at: &OriginOffset, detail: &str) -> Fact {
    let place = format!("{}/{}/{}", at.stream, at.shard_id, at.sequence_number);
    fact.refs.push(EvidenceRef {
        ref_type: RefType::EbOriginOffset,
        ref_id: place,
    });
    fact.details.insert("detail".to_owned(), detail.to_owned());
    fact
}

impl Prepared {
    /// What each run counts, in order of its id; records of no readable run under zeros.
    fn counts(&self, verdicts: &[Verdict]) -> BTreeMap<Digest, (Pins, Count)> {
        let mut counts: BTreeMap<Digest, (Pins, Count)> = BTreeMap::new();
        for (entry, verdict) in self.entries.iter().zip(verdicts) {
            let of_run = counts.entry(*entry.pins.platform_run_id.digest());
            let (_, count) = of_run.or_insert_with(|| (entry.pins.clone(), Count::default()));
            count.seen += 1;
            match verdict {
                Verdict::Write => count.written += 1,
                Verdict::Repeat => count.deduped += 1,
                Verdict::Conflict { .. } => count.quarantined += 1,
            }
        }
        for refused in &self.refused {
            let pins = refused
                .event
                .as_ref()
                .map_or_else(no_pins, |it| it.envelope.pins());
            let of_run = counts.entry(*pins.platform_run_id.digest());
            let (_, count) = of_run.or_insert_with(|| (pins, Count::default()));
            count.seen += 1;
            count.quarantined += 1;
        }
        counts
    }
}

fn no_pins() -> Pins {
    let zeros = Digest::from_bytes([0; 32]);
    Pins {
        platform_run_id: PlatformRunId::from_digest(zeros),
        scenario_run_id: ScenarioRunId::from_digest(zeros),
        manifest_fingerprint: ManifestFingerprint::from_digest(zeros),
        tenant_id: None,
    }
}
