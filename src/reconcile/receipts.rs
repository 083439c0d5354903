//! Receipts: every segment object is there with its hash, and holds exactly the receipts of its
//! batches, each naming the place of the terminal row. A segment at a time.

use std::collections::{BTreeMap, HashMap};

use crate::contracts::receipt::Receipt;
use crate::domain::digest::Digest;
use crate::domain::vocabulary::IngestResult;
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::gate::Batch;
use crate::reconcile::index::{self, Places};
use crate::reconcile::{Audit, Error};
use crate::substrate::db::{Day, Row};
use crate::substrate::objects::ObjectKey;

const LIST: &str = include_str!("sql/list_receipt_segments.sql");
const READ_EVENTS: &str = include_str!("sql/read_segment_events.sql");

/// A manifest row.
struct Segment {
    day: Day,
    gate_id: String,
    first: i64,
    last: i64,
    receipts: i64,
    object_key: String,
    content_hash: Digest,
}

/// An admitted event that must have a receipt, under its class and id.
struct Expected {
    batch_id: i64,
    payload_hash: Digest,
    place: Option<(String, String)>,
}

type Owed = HashMap<(String, String), Expected>;

#[derive(Default)]
struct Tally {
    n_segments: i64,
    n_intact: i64,
    intact: Examples,
    n_receipts: i64,
    n_matched: i64,
    matched: Examples,
    n_owed: i64,
    n_missing: i64,
    missing: Examples,
}

pub(super) async fn audit(
    audit: &Audit<'_>,
    batches: &[Batch],
    findings: &mut Findings,
) -> Result<(), Error> {
    let rows = audit
        .ground
        .db
        .get()
        .await?
        .query(LIST, &[&audit.run, &audit.cut.since])
        .await?;
    let segments: Vec<Segment> = rows.iter().map(segment_of).collect();
    let mut tally = Tally::default();
    uncovered(&segments, batches, &mut tally);
    for segment in &segments {
        tally.segment(audit, segment).await?;
        (audit.progress)("receipts", tally.n_receipts.unsigned_abs());
    }
    let (n_shared, shared) = overlaps(&segments);
    findings.check(
        "receipt_segments_intact",
        tally.n_segments,
        tally.n_intact,
        tally.intact,
    );
    findings.none("receipt_segments_overlapping", n_shared, shared);
    let n_held = tally.n_owed - tally.n_missing;
    findings.check(
        "admitted_events_have_receipts",
        tally.n_owed,
        n_held,
        tally.missing,
    );
    findings.check(
        "receipts_match_admitted_events",
        tally.n_receipts,
        tally.n_matched,
        tally.matched,
    );
    Ok(())
}

fn segment_of(row: &Row) -> Segment {
    Segment {
        day: row.get(0),
        gate_id: row.get(1),
        first: row.get(2),
        last: row.get(3),
        receipts: i64::from(row.get::<_, i32>(4)),
        object_key: row.get(5),
        content_hash: row.get(6),
    }
}

/// Ended batches that no segment covers: their receipts are missing.
fn uncovered(segments: &[Segment], batches: &[Batch], tally: &mut Tally) {
    let mut by_gate: BTreeMap<&str, Vec<&Segment>> = BTreeMap::new();
    for segment in segments {
        by_gate.entry(&segment.gate_id).or_default().push(segment);
    }
    for batch in batches.iter().filter(|batch| batch.n_terminal > 0) {
        let of_gate = by_gate
            .get(batch.gate_id.as_str())
            .map_or(&[][..], Vec::as_slice);
        let up_to = of_gate.partition_point(|segment| segment.first <= batch.batch_id);
        if !of_gate[..up_to]
            .iter()
            .any(|segment| batch.batch_id <= segment.last)
        {
            tally.n_owed += batch.admitted;
            tally.n_missing += batch.admitted;
            tally
                .missing
                .add(|| format!("all of batch {}", batch.batch_id));
        }
    }
}

/// Segments of one gate that share batches; they come in order of gate and first batch.
fn overlaps(segments: &[Segment]) -> (i64, Examples) {
    let (mut n_shared, mut shared) = (0, Examples::default());
    for pair in segments.windows(2) {
        if pair[0].gate_id == pair[1].gate_id && pair[1].first <= pair[0].last {
            n_shared += 1;
            shared.add(|| pair[1].object_key.clone());
        }
    }
    (n_shared, shared)
}

impl Tally {
    async fn segment(&mut self, audit: &Audit<'_>, segment: &Segment) -> Result<(), Error> {
        let mut owed = owed(audit, segment).await?;
        self.n_segments += 1;
        self.n_owed += int(owed.len());
        let key: ObjectKey = segment.object_key.parse().map_err(Error::Key)?;
        let body = audit.ground.objects.get(&key).await?;
        let lines = body
            .iter()
            .flat_map(|body| body.split(|byte| *byte == b'\n'));
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        let is_honest = body
            .as_ref()
            .is_some_and(|body| Digest::of_bytes(body) == segment.content_hash);
        if is_honest && int(lines.len()) == segment.receipts {
            self.n_intact += 1;
        } else {
            self.intact.add(|| segment.object_key.clone());
        }
        for (at, line) in lines.into_iter().enumerate() {
            self.receipt(audit, segment, at, line, &mut owed);
        }
        self.n_missing += int(owed.len());
        let mut names: Vec<String> = owed
            .keys()
            .map(|(class, id)| format!("{class}/{id}"))
            .collect();
        names.sort_unstable();
        self.missing.extend(names);
        Ok(())
    }

    fn receipt(
        &mut self,
        audit: &Audit<'_>,
        segment: &Segment,
        at: usize,
        line: &[u8],
        owed: &mut Owed,
    ) {
        self.n_receipts += 1;
        let Ok(receipt) = serde_json::from_slice::<Receipt>(line) else {
            self.matched
                .add(|| format!("line {} of {}", at + 1, segment.object_key));
            return;
        };
        let name = (
            receipt.event_class.to_string(),
            receipt.event_id.to_string(),
        );
        let expected = owed.remove(&name);
        if expected.is_some_and(|expected| expected.is_told_by(&receipt))
            && receipt.platform_run_id == audit.run
        {
            self.n_matched += 1;
        } else {
            self.matched.add(|| format!("{}/{}", name.0, name.1));
        }
    }
}

impl Expected {
    fn is_told_by(&self, receipt: &Receipt) -> bool {
        let stands = (
            &receipt.eb_ref.shard_id.0,
            receipt.eb_ref.sequence_number.as_str(),
        );
        let place = self
            .place
            .as_ref()
            .map(|(shard, number)| (shard, number.as_str()));
        receipt.result == IngestResult::Admitted
            && receipt.batch_id == self.batch_id
            && receipt.payload_hash == self.payload_hash
            && receipt.eb_ref.stream == receipt.event_class.stream()
            && Some(stands) == place
    }
}

/// The admitted events of the segment's batches. An open batch owes no receipt yet.
async fn owed(audit: &Audit<'_>, segment: &Segment) -> Result<Owed, Error> {
    let client = audit.ground.db.get().await?;
    let statement = client.prepare_cached(READ_EVENTS).await?;
    let rows = client
        .query(
            &statement,
            &[
                &audit.run,
                &segment.day,
                &segment.gate_id,
                &segment.first,
                &segment.last,
            ],
        )
        .await?;
    let key_of = |row: &Row| (row.get(0), row.get(1));
    let places: Places = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => index::places(&client, key_of(first), key_of(last)).await?,
        _ => return Ok(Owed::new()),
    };
    let mut owed = Owed::with_capacity(rows.len());
    for row in &rows {
        let (batch_id, item): (i64, i32) = (row.get(1), row.get(2));
        let Some(of_batch) = places.get(&batch_id) else {
            continue;
        };
        let at = usize::try_from(item).ok();
        let expected = Expected {
            batch_id,
            payload_hash: row.get(5),
            place: at.and_then(|at| of_batch.get(at)?.clone()),
        };
        owed.insert((row.get(3), row.get(4)), expected);
    }
    Ok(owed)
}
