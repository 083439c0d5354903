//! What the gate's rows say among themselves: counts, batches, quarantine, what should be gone.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::domain::digest::Digest;
use crate::domain::vocabulary::EventClass;
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::index::Index;
use crate::reconcile::{Audit, Error};
use crate::runtime::outbox;
use crate::substrate::db::{Day, Row};
use crate::substrate::objects::ObjectKey;

const SUM_COUNTS: &str = include_str!("sql/sum_counts.sql");
const LIST_BATCHES: &str = include_str!("sql/list_batches.sql");
const LIST_QUARANTINE: &str = include_str!("sql/list_quarantine.sql");
const COUNT_OPEN_BYTES: &str = include_str!("sql/count_open_bytes.sql");

/// What the gate counted of the run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    admitted: BTreeMap<String, i64>,
    quarantined: i64,
}

/// A batch that admitted events of the run.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) day: Day,
    pub(super) batch_id: i64,
    pub(super) gate_id: String,
    /// Events of this run.
    pub(super) admitted: i64,
    pub(super) n_terminal: i64,
}

/// received = admitted + duplicate + quarantined; an event of an open batch is counted as admitted
/// and shows in `ig_open_batches`.
pub(super) async fn counts(audit: &Audit<'_>, findings: &mut Findings) -> Result<Counts, Error> {
    let client = audit.ground.db.get().await?;
    let rows = client
        .query(SUM_COUNTS, &[&audit.run, &audit.cut.since])
        .await?;
    let mut counts = Counts::default();
    let (mut received, mut settled, mut examples) = (0, 0, Examples::default());
    for row in &rows {
        let class: String = row.get(0);
        let (all, admitted): (i64, i64) = (row.get(1), row.get(2));
        let (duplicate, quarantined): (i64, i64) = (row.get(3), row.get(4));
        received += all;
        settled += admitted + duplicate + quarantined;
        if all != admitted + duplicate + quarantined {
            examples.add(|| class.clone());
        }
        counts.quarantined += quarantined;
        counts.admitted.insert(class, admitted);
    }
    findings.check("ig_received_is_settled", received, settled, examples);
    Ok(counts)
}

/// Every batch that admitted something has exactly one terminal row, or is open.
pub(super) async fn batches(
    audit: &Audit<'_>,
    findings: &mut Findings,
) -> Result<Vec<Batch>, Error> {
    let client = audit.ground.db.get().await?;
    let rows = client
        .query(LIST_BATCHES, &[&audit.run, &audit.cut.since])
        .await?;
    let read = |row: &Row| Batch {
        day: row.get(0),
        batch_id: row.get(1),
        gate_id: row.get(2),
        admitted: row.get(3),
        n_terminal: row.get(4),
    };
    let batches: Vec<Batch> = rows.iter().map(read).collect();
    let (mut open, mut repeated) = (Examples::default(), Examples::default());
    let (mut n_open, mut n_repeated) = (0, 0);
    for batch in &batches {
        let name = || format!("batch {} of {}", batch.batch_id, batch.day);
        match batch.n_terminal {
            0 => {
                n_open += 1;
                open.add(name);
            }
            1 => {}
            _ => {
                n_repeated += 1;
                repeated.add(name);
            }
        }
    }
    let n_batches = int(batches.len());
    findings.check(
        "ig_batches_end_once",
        n_batches,
        n_batches - n_repeated,
        repeated,
    );
    findings.none("ig_open_batches", n_open, open);
    Ok(batches)
}

/// The event rows of a class against its counts, and no event twice.
pub(super) async fn rows(
    audit: &Audit<'_>,
    class: EventClass,
    index: &Index,
    counts: &Counts,
    findings: &mut Findings,
) -> Result<(), Error> {
    let admitted = counts
        .admitted
        .get(class.as_str())
        .copied()
        .unwrap_or_default();
    let name = format!("ig_{class}_rows_equal_admitted");
    findings.check(name, admitted, index.len(), Examples::default());
    let repeated = index.name_repeated(audit).await?;
    findings.check(
        format!("ig_{class}_keys_distinct"),
        index.len(),
        index.n_keys(),
        repeated,
    );
    Ok(())
}

/// What reconciliation reads of a line.
#[derive(Debug, Deserialize)]
struct Line {
    item: i64,
    payload_hash: Option<Digest>,
}

/// Every quarantine row is counted, and its object holds its item.
pub(super) async fn quarantine(
    audit: &Audit<'_>,
    counts: &Counts,
    findings: &mut Findings,
) -> Result<(), Error> {
    let client = audit.ground.db.get().await?;
    let rows = client
        .query(LIST_QUARANTINE, &[&audit.run, &audit.cut.since])
        .await?;
    drop(client);
    let n_rows = int(rows.len());
    findings.check(
        "ig_quarantine_rows_equal_counts",
        counts.quarantined,
        n_rows,
        Examples::default(),
    );
    let (mut n_held, mut examples) = (0, Examples::default());
    for of_object in rows.chunk_by(|a, b| a.get::<_, &str>(0) == b.get::<_, &str>(0)) {
        let lines = lines(audit, of_object[0].get(0)).await?;
        for row in of_object {
            let (item, hash): (i32, Option<Digest>) = (row.get(1), row.get(4));
            if lines
                .get(&i64::from(item))
                .is_some_and(|line| hash.is_none() || *line == hash)
            {
                n_held += 1;
            } else {
                let (class, event_id): (&str, &str) = (row.get(2), row.get(3));
                examples.add(|| format!("{class}/{event_id} in {}", row.get::<_, &str>(0)));
            }
        }
    }
    findings.check(
        "quarantine_objects_hold_their_items",
        n_rows,
        n_held,
        examples,
    );
    Ok(())
}

/// The items of a quarantine object with their payload hashes; none where there is no object.
async fn lines(audit: &Audit<'_>, key: &str) -> Result<HashMap<i64, Option<Digest>>, Error> {
    let key: ObjectKey = key.parse().map_err(Error::Key)?;
    let body = audit.ground.objects.get(&key).await?.unwrap_or_default();
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    Ok(lines.map(|line| (line.item, line.payload_hash)).collect())
}

/// What must be gone when all is done: messages in the outbox, bytes of ended batches.
pub(super) async fn leftovers(audit: &Audit<'_>, findings: &mut Findings) -> Result<(), Error> {
    let waiting = outbox::waiting(&audit.ground.db).await?;
    findings.none("outbox_is_empty", waiting, Examples::default());
    let rows = audit
        .ground
        .db
        .get()
        .await?
        .query(COUNT_OPEN_BYTES, &[])
        .await?;
    let mut examples = Examples::default();
    examples.extend(
        rows.iter()
            .map(|row| format!("batch {}", row.get::<_, i64>(0))),
    );
    findings.none("inflight_of_ended_batches", int(rows.len()), examples);
    Ok(())
}
