//! The statements of the inlets. All of them run in the transaction that moves the position.

use futures::future::try_join3;

use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::ShardRef;
use crate::domain::time::Time;
use crate::rtdl::inlet::entry::Entry;
use crate::rtdl::inlet::settle::Stored;
use crate::substrate::db::{Day, DriverError, Error, Statement, Transaction};

const INSERT_PARTS: &str = include_str!("sql/insert_frame_parts.sql");
const INSERT_BINDINGS: &str = include_str!("sql/insert_flow_bindings.sql");
const READ_FRAMES: &str = include_str!("sql/read_frame_hashes.sql");
const READ_FLOWS: &str = include_str!("sql/read_flow_hashes.sql");
const QUARANTINE: &str = include_str!("sql/append_quarantine.sql");
const COUNT: &str = include_str!("sql/append_counts.sql");

/// What every row of a batch shares.
#[derive(Debug, Clone)]
pub(super) struct Stamped {
    pub(super) group: &'static str,
    pub(super) shard: ShardRef,
    pub(super) at: Time,
    /// Stamps in JSON.
    pub(super) stamps: String,
}

/// A row of `rtdl.inlet_quarantine`.
#[derive(Debug, Clone)]
pub(super) struct QuarantineRow {
    pub(super) sequence_number: String,
    pub(super) run: Option<Digest>,
    pub(super) event_class: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) payload_hash: Option<Digest>,
    pub(super) code: &'static str,
    pub(super) detail: String,
}

/// What a batch counted of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) seen: i32,
    pub(super) written: i32,
    pub(super) deduped: i32,
    pub(super) quarantined: i32,
}

/// Writes the entries, bindings first, behind a savepoint. Whether every one of them was new; if
/// not, none is in.
pub(super) async fn insert(tx: &Transaction<'_>, entries: &[&Entry]) -> Result<bool, Error> {
    let (Some(first), expected) = (entries.first(), entries.len() as u64) else {
        return Ok(true);
    };
    let parts = tx.prepare_cached(INSERT_PARTS).await?;
    let bindings = tx.prepare_cached(INSERT_BINDINGS).await?;
    let has_flows = first.flow_key.is_some();
    // Polled together, the three travel together, in this order.
    let (_, bound, written) = try_join3(
        tx.batch_execute("SAVEPOINT inlet"),
        async {
            match has_flows {
                true => insert_bindings(tx, &bindings, entries).await,
                false => Ok(expected),
            }
        },
        insert_parts(tx, &parts, entries),
    )
    .await?;
    if bound == expected && written == expected {
        return Ok(true);
    }
    tx.batch_execute("ROLLBACK TO SAVEPOINT inlet").await?;
    Ok(false)
}

async fn insert_bindings(
    tx: &Transaction<'_>,
    statement: &Statement,
    entries: &[&Entry],
) -> Result<u64, DriverError> {
    let bound = entries.iter().filter_map(|it| Some((it.flow_key?, *it)));
    let mut bound: Vec<(Digest, &Entry)> = bound.collect();
    bound.sort_unstable_by_key(|(key, _)| *key);
    let flows: Vec<Digest> = bound.iter().map(|(key, _)| *key).collect();
    let frames: Vec<Digest> = bound.iter().map(|(_, it)| it.frame_key).collect();
    let hashes: Vec<Digest> = bound.iter().map(|(_, it)| it.payload_hash).collect();
    tx.execute(statement, &[&flows, &frames, &hashes]).await
}

async fn insert_parts(
    tx: &Transaction<'_>,
    statement: &Statement,
    entries: &[&Entry],
) -> Result<u64, DriverError> {
    let mut rows = entries.to_vec();
    rows.sort_unstable_by_key(|it| it.frame_key);
    let part = rows.first().map_or(0, |it| it.part());
    let frames: Vec<Digest> = rows.iter().map(|it| it.frame_key).collect();
    let events: Vec<&str> = rows.iter().map(|it| it.event_id.as_str()).collect();
    let hashes: Vec<Digest> = rows.iter().map(|it| it.payload_hash).collect();
    let payloads: Vec<&[u8]> = rows.iter().map(|it| it.payload.as_slice()).collect();
    let offsets = || rows.iter().map(|it| &it.origin_offset);
    let shards: Vec<&str> = offsets().map(|it| it.shard_id.0.as_str()).collect();
    let numbers: Vec<&str> = offsets().map(|it| it.sequence_number.as_str()).collect();
    let admitted: Vec<Time> = rows.iter().map(|it| it.admitted_at).collect();
    let runs: Vec<PlatformRunId> = rows.iter().map(|it| it.pins.platform_run_id).collect();
    tx.execute(
        statement,
        &[
            &frames, &part, &events, &hashes, &payloads, &shards, &numbers, &admitted, &runs,
        ],
    )
    .await
}

/// What stands under the keys of the entries.
pub(super) async fn read(tx: &Transaction<'_>, entries: &[Entry]) -> Result<Stored, Error> {
    let mut stored = Stored::default();
    let Some(first) = entries.first() else {
        return Ok(stored);
    };
    let frames: Vec<Digest> = entries.iter().map(|it| it.frame_key).collect();
    let flows: Vec<Digest> = entries.iter().filter_map(|it| it.flow_key).collect();
    let statement = tx.prepare_cached(READ_FRAMES).await?;
    for row in tx.query(&statement, &[&frames, &first.part()]).await? {
        stored.frames.insert(row.get(0), row.get(1));
    }
    if !flows.is_empty() {
        let statement = tx.prepare_cached(READ_FLOWS).await?;
        for row in tx.query(&statement, &[&flows]).await? {
            stored.flows.insert(row.get(0), row.get(1));
        }
    }
    Ok(stored)
}

pub(super) async fn quarantine(
    tx: &Transaction<'_>,
    on: &Stamped,
    rows: &[QuarantineRow],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let numbers: Vec<&str> = rows.iter().map(|it| it.sequence_number.as_str()).collect();
    let runs: Vec<Option<Digest>> = rows.iter().map(|it| it.run).collect();
    let classes: Vec<Option<&str>> = rows.iter().map(|it| it.event_class.as_deref()).collect();
    let events: Vec<Option<&str>> = rows.iter().map(|it| it.event_id.as_deref()).collect();
    let hashes: Vec<Option<Digest>> = rows.iter().map(|it| it.payload_hash).collect();
    let codes: Vec<&str> = rows.iter().map(|it| it.code).collect();
    let details: Vec<&str> = rows.iter().map(|it| it.detail.as_str()).collect();
    let (stream, shard) = (on.shard.stream.as_str(), on.shard.shard_id.0.as_str());
    let statement = tx.prepare_cached(QUARANTINE).await?;
    tx.execute(
        &statement,
        &[
            &Day::of(on.at),
            &on.group,
            &stream,
            &shard,
            &on.at,
            &on.stamps,
            &numbers,
            &runs,
            &classes,
            &events,
            &hashes,
            &codes,
            &details,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn count(
    tx: &Transaction<'_>,
    on: &Stamped,
    range: (&str, &str),
    counts: &[(Digest, Count)],
) -> Result<(), Error> {
    let runs: Vec<Digest> = counts.iter().map(|(run, _)| *run).collect();
    let column = |value: fn(&Count) -> i32| -> Vec<i32> {
        counts.iter().map(|(_, count)| value(count)).collect()
    };
    let (seen, written) = (column(|it| it.seen), column(|it| it.written));
    let (deduped, quarantined) = (column(|it| it.deduped), column(|it| it.quarantined));
    let (stream, shard) = (on.shard.stream.as_str(), on.shard.shard_id.0.as_str());
    let statement = tx.prepare_cached(COUNT).await?;
    tx.execute(
        &statement,
        &[
            &Day::of(on.at),
            &on.group,
            &stream,
            &shard,
            &range.0,
            &range.1,
            &on.at,
            &on.stamps,
            &runs,
            &seen,
            &written,
            &deduped,
            &quarantined,
        ],
    )
    .await?;
    Ok(())
}
