//! Reads the log across days that have left: rows where they stand, segments where they do not.

use std::collections::BTreeSet;

use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::runtime::decisions::filter::words;
use crate::runtime::decisions::{Error, Segment, StoredDecision};
use crate::runtime::ground::Ground;
use crate::substrate::db::Client;

const READ_AFTER: &str = include_str!("sql/read_after.sql");
const READ_AT: &str = include_str!("sql/read_at.sql");
const FIND: &str = include_str!("sql/find.sql");
const LAST_SEQ: &str = include_str!("sql/last_seq.sql");
const NEXT_SEGMENT: &str = include_str!("sql/next_left_segment.sql");
const FIND_SEGMENTS: &str = include_str!("sql/find_left_segments.sql");

/// At most `limit` decisions of a run that follow `after` in its chain, in order. A gap that no segment fills is
/// shown as it is.
///
/// # Errors
/// A segment that is missing or altered, and those of the substrates.
pub async fn after(
    ground: &Ground,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredDecision>, Error> {
    let (mut found, mut at, mut left) = (Vec::new(), after, limit);
    while left > 0 {
        let piece = piece(ground, run, at, left).await?;
        let Some(last) = piece.last() else { break };
        at = last.seq;
        left -= i64::try_from(piece.len()).expect("a page is bounded");
        found.extend(piece);
    }
    Ok(found)
}

/// What comes next, from one source.
async fn piece(
    ground: &Ground,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredDecision>, Error> {
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ_AFTER).await?;
    let rows = client.query(&statement, &[run, &after, &limit]).await?;
    let mut rows: Vec<StoredDecision> = rows.iter().map(StoredDecision::read).collect();
    rows.truncate(dense(&rows));
    let next = rows.first().map(|row| row.seq);
    if next == Some(after + 1) {
        return Ok(rows);
    }
    let segment = next_segment(&client, run, after).await?;
    drop(client);
    let fills = |it: &Segment| next.is_none_or(|next| it.first.max(after + 1) < next);
    let Some(segment) = segment.filter(fills) else {
        return Ok(rows);
    };
    let mut decisions = segment.read(ground.objects.as_ref()).await?;
    // A row that stands is the log.
    decisions.retain(|it| after < it.seq && next.is_none_or(|next| it.seq < next));
    decisions.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(decisions)
}

/// How many records come before the first gap.
fn dense(rows: &[StoredDecision]) -> usize {
    let is_gap = |pair: &[StoredDecision]| pair[0].seq + 1 < pair[1].seq;
    let gap = rows.windows(2).position(is_gap);
    gap.map_or(rows.len(), |at| at + 1)
}

/// The first segment of days that have left which holds anything after `after`.
pub(super) async fn next_segment(
    client: &Client,
    run: &PlatformRunId,
    after: i64,
) -> Result<Option<Segment>, Error> {
    let statement = client.prepare_cached(NEXT_SEGMENT).await?;
    let row = client.query_opt(&statement, &[run, &after]).await?;
    row.as_ref().map(Segment::of).transpose()
}

/// The decisions of a run at some places of its chain, in order; what is not there is left out.
///
/// # Errors
/// As [`after`].
pub async fn at(
    ground: &Ground,
    run: &PlatformRunId,
    seqs: &[i64],
) -> Result<Vec<StoredDecision>, Error> {
    let client = ground.db.get().await?;
    let rows = client.query(READ_AT, &[run, &seqs]).await?;
    let mut found: Vec<StoredDecision> = rows.iter().map(StoredDecision::read).collect();
    let mut missing: BTreeSet<i64> = seqs.iter().copied().collect();
    found.iter().for_each(|it| {
        missing.remove(&it.seq);
    });
    while let Some(seq) = missing.first().copied() {
        let Some(segment) = next_segment(&client, run, seq - 1).await? else {
            break;
        };
        let decisions = segment.read(ground.objects.as_ref()).await?;
        let wanted = decisions.into_iter().filter(|it| missing.contains(&it.seq));
        found.extend(wanted);
        missing.retain(|seq| segment.last < *seq);
    }
    found.sort_by_key(|it| it.seq);
    Ok(found)
}

/// The decisions by id, ordered by run and seq. One that has left is found by the filters of the manifest, which are
/// read through: 4 KiB for every 2,000 decisions that have left.
///
/// # Errors
/// [`Error::Unknown`] for the first that is not there, and as [`after`].
pub async fn find(ground: &Ground, ids: &[DecisionId]) -> Result<Vec<StoredDecision>, Error> {
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(FIND).await?;
    let rows = client.query(&statement, &[&ids]).await?;
    let mut found: Vec<StoredDecision> = rows.iter().map(StoredDecision::read).collect();
    let known: BTreeSet<DecisionId> = found.iter().map(|it| it.decision_id).collect();
    for id in ids.iter().filter(|id| !known.contains(id)) {
        let left = find_left(ground, &client, id).await?;
        found.push(left.ok_or(Error::Unknown(*id))?);
    }
    found.sort_by_key(|it| (it.run, it.seq));
    Ok(found)
}

async fn find_left(
    ground: &Ground,
    client: &Client,
    id: &DecisionId,
) -> Result<Option<StoredDecision>, Error> {
    let statement = client.prepare_cached(FIND_SEGMENTS).await?;
    let words = words(id);
    for row in client.query(&statement, &[&words.as_slice()]).await? {
        let decisions = Segment::of(&row)?.read(ground.objects.as_ref()).await?;
        if let Some(found) = decisions.into_iter().find(|it| it.decision_id == *id) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The place of the newest decision of a run; 0 where there is none.
///
/// # Errors
/// Those of the database.
pub async fn last_seq(ground: &Ground, run: &PlatformRunId) -> Result<i64, Error> {
    let client = ground.db.get().await?;
    Ok(client.query_one(LAST_SEQ, &[run]).await?.get(0))
}
