//! The admission transaction: dedupe, event rows, counts, the bytes of the open batch, quarantine
//! rows and their facts, all or nothing (L3, L5, L6).

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use crate::contracts::code::Code;
use crate::contracts::fact::{EvidenceRef, Fact};
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::PlatformRunId;
use crate::domain::time::{MICROS_PER_DAY, Time};
use crate::domain::vocabulary::{FactType, RefType};
use crate::governance::facts;
use crate::ingress::ig::batch::{Batch, Counts, Decision, Inflight, Known, Place, Received};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::validate::Fault;
use crate::runtime::ground::Ground;
use crate::substrate::db::{BinaryCopyInWriter, Client, Day, Row, ToSql, Transaction, Type};
use crate::substrate::objects::ObjectKey;

const NEXT_IDS: &str = include_str!("sql/next_batch_ids.sql");
const INSERT_DEDUPE: &str = include_str!("sql/insert_dedupe.sql");
const READ_DEDUPE: &str = include_str!("sql/read_dedupe.sql");
const INSERT_BATCH: &str = include_str!("sql/insert_batch.sql");
const INSERT_COUNTS: &str = include_str!("sql/insert_counts.sql");
const INSERT_INFLIGHT: &str = include_str!("sql/insert_inflight.sql");
const COPY_EVENTS: &str = include_str!("sql/copy_events.sql");
const INSERT_QUARANTINE: &str = include_str!("sql/insert_quarantine.sql");
const FIND_BATCH: &str = include_str!("sql/find_batch.sql");

/// The object that holds the payload of a quarantined event, by its place in the batch.
pub(super) type Kept = BTreeMap<usize, ObjectKey>;

/// Who admits.
pub(super) struct Admitter<'g> {
    pub(super) ground: &'g Ground,
    pub(super) gate_id: &'g str,
    pub(super) epoch: i64,
    pub(super) horizon_days: u32,
}

/// What became of one try.
pub(super) enum Attempt {
    Committed(Vec<Decision>, Inflight),
    /// Rolled back: events turned out to be anomalies whose payloads are not kept yet, and no
    /// transaction waits for an object.
    Unkept(Vec<Decision>),
    /// An earlier try of this batch had committed after all.
    Earlier,
    /// COMMIT was sent and its reply was lost.
    Unknown(Vec<Decision>, Inflight),
}

pub(super) async fn next_batch_ids(client: &Client, n: i32) -> Result<Vec<i64>, Error> {
    let statement = client.prepare_cached(NEXT_IDS).await?;
    let rows = client.query(&statement, &[&n]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(super) async fn batch_exists(client: &Client, batch: &Batch) -> Result<bool, Error> {
    let statement = client.prepare_cached(FIND_BATCH).await?;
    let row = client
        .query_one(&statement, &[&batch.day, &batch.batch_id])
        .await?;
    Ok(row.get(0))
}

/// What the dedupe index knows under these keys.
pub(super) async fn known(
    client: &Client,
    keys: &[Digest],
) -> Result<HashMap<Digest, Known>, Error> {
    let statement = client.prepare_cached(READ_DEDUPE).await?;
    let rows = client.query(&statement, &[&keys]).await?;
    Ok(rows.iter().map(read_known).collect())
}

fn read_known(row: &Row) -> (Digest, Known) {
    let place = Place {
        day: row.get(2),
        batch_id: row.get(3),
        item: row.get(4),
    };
    let payload_hash = row.get(1);
    (
        row.get(0),
        Known {
            payload_hash,
            place,
        },
    )
}

impl Admitter<'_> {
    /// One try at the whole transaction.
    pub(super) async fn attempt(
        &self,
        client: &mut Client,
        batch: &Batch,
        kept: &Kept,
    ) -> Result<Attempt, Error> {
        let tx = client.transaction().await?;
        let known = self.dedupe(&tx, batch).await?;
        if known.values().any(|it| it.place.batch_id == batch.batch_id) {
            return Ok(Attempt::Earlier);
        }
        let decisions = batch.decide(&known);
        let is_unkept = |(at, decision): (usize, &Decision)| {
            matches!(decision, Decision::Quarantined(_)) && !kept.contains_key(&at)
        };
        if decisions.iter().enumerate().any(is_unkept) {
            return Ok(Attempt::Unkept(decisions));
        }
        let inflight = batch.records(&decisions);
        // Polled together, they travel together.
        let counts = batch.counts(&decisions);
        tokio::try_join!(
            self.insert_batch(&tx, batch, inflight.lines.len()),
            insert_counts(&tx, batch, &counts),
            insert_inflight(&tx, batch, &inflight),
        )?;
        copy_events(&tx, batch, &decisions).await?;
        self.quarantine(&tx, batch, &decisions, kept).await?;
        match tx.commit().await.map_err(Error::from) {
            Ok(()) => Ok(Attempt::Committed(decisions, inflight)),
            Err(Error::Db(cause)) if cause.outcome_unknown() => {
                Ok(Attempt::Unknown(decisions, inflight))
            }
            Err(error) => Err(error),
        }
    }

    /// Puts the first events of their keys into the index; returns what stood there before.
    async fn dedupe(
        &self,
        tx: &Transaction<'_>,
        batch: &Batch,
    ) -> Result<HashMap<Digest, Known>, Error> {
        let firsts = || {
            batch
                .firsts
                .iter()
                .map(|it| (&batch.events[it.at], it.item))
        };
        let mut inserted: Vec<i32> = Vec::new();
        if !batch.firsts.is_empty() {
            let keys: Vec<Digest> = firsts().map(|(it, _)| it.key).collect();
            let hashes: Vec<Digest> = firsts().map(|(it, _)| it.payload_hash).collect();
            let items: Vec<i32> = firsts().map(|(_, item)| item).collect();
            let horizons: Vec<Option<Day>> = firsts()
                .map(|(it, _)| self.horizon(it, batch.admitted_at))
                .collect();
            let runs: Vec<PlatformRunId> = firsts().map(|(it, _)| it.run.id).collect();
            let statement = tx.prepare_cached(INSERT_DEDUPE).await?;
            let rows = tx
                .query(
                    &statement,
                    &[
                        &batch.batch_id,
                        &batch.day,
                        &keys,
                        &hashes,
                        &items,
                        &horizons,
                        &runs,
                    ],
                )
                .await?;
            inserted = rows.iter().map(|row| row.get(0)).collect();
        }
        inserted.sort_unstable();
        let is_lost = |item: &i32| inserted.binary_search(item).is_err();
        let lost: Vec<Digest> = firsts()
            .filter(|(_, item)| is_lost(item))
            .map(|(it, _)| it.key)
            .collect();
        let asked = [batch.late_keys.as_slice(), &lost].concat();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let statement = tx.prepare_cached(READ_DEDUPE).await?;
        let rows = tx.query(&statement, &[&asked]).await?;
        let mut known: HashMap<Digest, Known> = rows.iter().map(read_known).collect();
        // A late event may be the repeat of one that this very batch admits.
        known.retain(|_, it| it.place.batch_id != batch.batch_id || is_lost(&it.place.item));
        if !lost.iter().all(|key| known.contains_key(key)) {
            // Pruned between the two statements: another try inserts it.
            return Err(Error::evidence("dedupe", "a row vanished"));
        }
        Ok(known)
    }

    /// The last day on which a repeat may come; none for a world run, pruned after its end.
    fn horizon(&self, event: &Received, admitted_at: Time) -> Option<Day> {
        let micros = i64::from(self.horizon_days) * MICROS_PER_DAY;
        let last = event.ts_utc.max(admitted_at).plus_micros(micros);
        (!event.run.is_world()).then(|| Day::of(last))
    }

    async fn insert_batch(
        &self,
        tx: &Transaction<'_>,
        batch: &Batch,
        n_admitted: usize,
    ) -> Result<(), Error> {
        let stamps = &self.ground.stamps;
        let n_admitted = i32::try_from(n_admitted).expect("a batch is far below 2^31");
        let statement = tx.prepare_cached(INSERT_BATCH).await?;
        let rows = tx
            .execute(
                &statement,
                &[
                    &batch.day,
                    &batch.batch_id,
                    &self.gate_id,
                    &self.epoch,
                    &batch.admitted_at,
                    &n_admitted,
                    &stamps.service_release_id,
                    &stamps.environment.as_str(),
                    &stamps.mode.as_str(),
                    &stamps.policy_rev,
                    &stamps.run_config_digest,
                ],
            )
            .await?;
        if rows == 1 {
            Ok(())
        } else {
            Err(Error::NotHolder)
        }
    }

    async fn quarantine(
        &self,
        tx: &Transaction<'_>,
        batch: &Batch,
        decisions: &[Decision],
        kept: &Kept,
    ) -> Result<(), Error> {
        let mut refused = Vec::new();
        for (at, decision) in decisions.iter().enumerate() {
            if let (Decision::Quarantined(fault), Some(key)) = (decision, kept.get(&at)) {
                refused.push((at, &batch.events[at], fault, key));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let ids: Vec<Digest> = refused
            .iter()
            .map(|it| quarantine_id(it.1, it.2.code))
            .collect();
        let items: Vec<i32> = refused
            .iter()
            .map(|it| i32::try_from(it.0).unwrap_or(i32::MAX))
            .collect();
        let runs: Vec<PlatformRunId> = refused.iter().map(|it| it.1.run.id).collect();
        let classes: Vec<&str> = refused.iter().map(|it| it.1.class.as_ref()).collect();
        let events: Vec<&str> = refused.iter().map(|it| it.1.event_id.as_str()).collect();
        let hashes: Vec<Digest> = refused.iter().map(|it| it.1.payload_hash).collect();
        let codes: Vec<&str> = refused.iter().map(|it| it.2.code.as_str()).collect();
        let details: Vec<&str> = refused.iter().map(|it| it.2.detail.as_str()).collect();
        let keys: Vec<&str> = refused.iter().map(|it| it.3.as_str()).collect();
        let statement = tx.prepare_cached(INSERT_QUARANTINE).await?;
        tx.execute(
            &statement,
            &[
                &batch.day,
                &batch.batch_id,
                &batch.admitted_at,
                &ids,
                &items,
                &runs,
                &classes,
                &events,
                &hashes,
                &codes,
                &details,
                &keys,
            ],
        )
        .await?;
        let told: Vec<Fact> = refused
            .iter()
            .map(|(_, event, fault, key)| self.fact(event, fault, key))
            .collect();
        facts::append(tx, &told).await?;
        Ok(())
    }

    /// At most one fact a run, class, event, payload and code (L2).
    fn fact(&self, event: &Received, fault: &Fault, key: &ObjectKey) -> Fact {
        let fact_type = match fault.code {
            Code::PayloadHashMismatch => FactType::PayloadHashMismatch,
            _ => FactType::SchemaInvalid,
        };
        let (run, hash) = (event.run.id.to_string(), event.payload_hash.to_string());
        let natural_key = [
            run.as_str(),
            event.class.as_ref(),
            event.event_id.as_str(),
            hash.as_str(),
            fault.code.as_str(),
        ];
        let mut fact = self
            .ground
            .fact(fact_type, &natural_key, Some(event.run.id));
        fact.refs = vec![EvidenceRef {
            ref_type: RefType::ExternalRef,
            ref_id: key.to_string(),
        }];
        let details = [("code", fault.code.as_str()), ("detail", &fault.detail)];
        fact.details = details.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        fact
    }
}

/// One fault of one payload of one event, however often it is sent (L2).
fn quarantine_id(event: &Received, code: Code) -> Digest {
    let tagged = Tagged::new("quarantine")
        .display(event.run.id)
        .text(&event.class)
        .display(&event.event_id);
    tagged.display(event.payload_hash).display(code).digest()
}

async fn insert_counts(
    tx: &Transaction<'_>,
    batch: &Batch,
    counts: &BTreeMap<(PlatformRunId, &str), Counts>,
) -> Result<(), Error> {
    let runs: Vec<PlatformRunId> = counts.keys().map(|it| it.0).collect();
    let classes: Vec<&str> = counts.keys().map(|it| it.1).collect();
    let column = |of: fn(&Counts) -> i32| counts.values().map(of).collect::<Vec<i32>>();
    let (received, admitted) = (column(|it| it.received), column(|it| it.admitted));
    let (duplicate, quarantined) = (column(|it| it.duplicate), column(|it| it.quarantined));
    let statement = tx.prepare_cached(INSERT_COUNTS).await?;
    tx.execute(
        &statement,
        &[
            &batch.day,
            &batch.batch_id,
            &runs,
            &classes,
            &received,
            &admitted,
            &duplicate,
            &quarantined,
        ],
    )
    .await?;
    Ok(())
}

async fn insert_inflight(
    tx: &Transaction<'_>,
    batch: &Batch,
    inflight: &Inflight,
) -> Result<(), Error> {
    if inflight.lines.is_empty() {
        return Ok(());
    }
    let statement = tx.prepare_cached(INSERT_INFLIGHT).await?;
    let bytes: &[u8] = &inflight.bytes;
    tx.execute(&statement, &[&batch.batch_id, &batch.day, &bytes])
        .await?;
    Ok(())
}

async fn copy_events(
    tx: &Transaction<'_>,
    batch: &Batch,
    decisions: &[Decision],
) -> Result<(), Error> {
    let admitted = batch.events.iter().zip(decisions);
    let admitted: Vec<(&Received, i32, &str, &str)> = admitted
        .filter_map(|(event, decision)| match decision {
            Decision::Admitted(place) => Some((
                event,
                place.item,
                event.class.as_ref(),
                event.event_id.as_str(),
            )),
            _ => None,
        })
        .collect();
    if admitted.is_empty() {
        return Ok(());
    }
    let types = [
        Type::DATE,
        Type::INT8,
        Type::INT4,
        Type::BYTEA,
        Type::BYTEA,
        Type::TEXT,
        Type::TEXT,
        Type::BYTEA,
        Type::TIMESTAMPTZ,
    ];
    let statement = tx.prepare_cached(COPY_EVENTS).await?;
    let sink = tx.copy_in(&statement).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    for (event, item, class, event_id) in &admitted {
        let row: [&(dyn ToSql + Sync); 9] = [
            &batch.day,
            &batch.batch_id,
            item,
            &event.key,
            &event.run.id,
            class,
            event_id,
            &event.payload_hash,
            &event.ts_utc,
        ];
        writer.as_mut().write(&row).await?;
    }
    writer.finish().await?;
    Ok(())
}
