//! Decision segments: what a day of the decision log leaves behind. One a run and range of its chain, written
//! once the range is full or its day is over, off the hot path of those who decide.
//!
//! **Invariant:** a segment holds a chain that was verified from its genesis on, so what is dropped was proven whole.
//! **Invariant:** the manifest row commits with the position of its run (L4). A crash before it leaves an orphan
//! object, and the next pass makes the same bytes again.

use async_trait::async_trait;

use crate::contracts::decision::ChainLink;
use crate::contracts::groups::{DECISION, SEGMENTS};
use crate::contracts::ready::Ready;
use crate::contracts::run_position::RunPosition;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::keys::Pins;
use crate::domain::time::Time;
use crate::governance::counters::Counter;
use crate::maintenance::Error;
use crate::maintenance::pass::Pass;
use crate::runtime::commit::{self, Effects};
use crate::runtime::consumer;
use crate::runtime::decisions::{self, Row, StoredDecision, id_filter};
use crate::runtime::lease::{Lease, LeaseKey};
use crate::runtime::partitions::Partitions;
use crate::substrate::db::{self, Client, Day, Transaction};
use crate::substrate::objects::{ObjectKey, Put};
use crate::substrate::tasks;

const LIST_OWED: &str = include_str!("sql/list_owed_runs.sql");
const READ: &str = include_str!("sql/read_unwritten.sql");
const READ_READY: &str = include_str!("sql/read_run_ready.sql");
const INSERT: &str = include_str!("sql/insert_segment.sql");
const INSERT_FAILED: &str = include_str!("sql/insert_segment_failed.sql");

const TABLES: &[&str] = &["dla.decision_segment", "dla.segment_write_failed"];
/// A page of who reads the log: a decision is some 4 KiB, so a segment fits in memory many times over.
const DECISIONS_MAX: usize = 2_000;
/// Bodies and evidence of a segment; passed by one decision at most.
const BYTES_MAX: usize = 32 << 20;

/// What a pass wrote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    pub(super) segments: u64,
    pub(super) decisions: u64,
}

/// Writes what is due of every run. A run whose chain does not hold stays as it is, and holds up no other.
pub(super) async fn write(pass: &mut Pass<'_>) -> Result<Written, Error> {
    let mut written = Written::default();
    if pass.dry_run {
        return Ok(written);
    }
    let partitions = Partitions::of(TABLES);
    for run in owed(pass).await? {
        match write_run(pass, &partitions, run, &mut written).await {
            Ok(()) => {}
            Err(error @ (Error::Chain { .. } | Error::Conflict { .. })) => {
                tracing::error!(run = %run, error = %error, "decisions stay without a segment");
            }
            Err(error) => return Err(error),
        }
        if !pass.goes_on().await? {
            break;
        }
    }
    Ok(written)
}

/// Runs that are decided further than they stand in segments.
async fn owed(pass: &Pass<'_>) -> Result<Vec<PlatformRunId>, Error> {
    let client = pass.ground.db.get().await?;
    let form = |cause: &dyn std::error::Error| db::Error::form("position", cause);
    let mut runs = Vec::new();
    for row in client.query(LIST_OWED, &[&DECISION, &SEGMENTS]).await? {
        let (scope, decided): (&str, &str) = (row.get(0), row.get(1));
        let run: PlatformRunId = scope.parse().map_err(|cause| form(&cause))?;
        let decided = RunPosition::parse(decided).map_err(|cause| form(&cause))?;
        let written: Option<&str> = row.get(2);
        let written = written.map(parse).transpose()?;
        if written.map_or(0, |it| it.seq) < decided.seq {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// The last link that stands in a segment, as the lease row holds it.
fn text(chain: &ChainLink) -> String {
    format!("{} {}", chain.seq, chain.link)
}

fn parse(position: &str) -> Result<ChainLink, Error> {
    let read = || {
        let (seq, link) = position.split_once(' ')?;
        let (seq, link) = (seq.parse().ok()?, link.parse().ok()?);
        Some(ChainLink { seq, link })
    };
    let wrong = || Error::Position(position.to_owned());
    read().ok_or_else(wrong)
}

async fn write_run(
    pass: &mut Pass<'_>,
    partitions: &Partitions,
    run: PlatformRunId,
    written: &mut Written,
) -> Result<(), Error> {
    let client = pass.ground.db.get().await?;
    let genesis = text(&ChainLink::genesis(&run));
    let key = LeaseKey::new(SEGMENTS, run.to_string());
    let Some(mut lease) = key.take(&client, &pass.ground.holder, &genesis).await? else {
        return Ok(());
    };
    let done = write_ranges(pass, &client, partitions, (run, &mut lease), written).await;
    lease.release(&client).await?;
    done
}

async fn write_ranges(
    pass: &mut Pass<'_>,
    client: &Client,
    partitions: &Partitions,
    (run, lease): (PlatformRunId, &mut Lease),
    written: &mut Written,
) -> Result<(), Error> {
    let pins = pins(client, &run).await?;
    loop {
        let chain = parse(&lease.position)?;
        let range = next_range(pass, client, &run, &chain).await?;
        let Some(range) = range else { return Ok(()) };
        let (day, n) = (range.day, range.rows.len() as u64);
        partitions.ensure(client, day).await?;
        let ends = (chain.seq + 1, chain.seq + range.rows.len() as i64);
        let counters = &pass.ground.counters;
        if let Err(error) = write_range(pass, run, lease, &chain, range).await {
            failed(pass, client, (&run, day, ends), &error).await;
            counters.add(&pins, Counter::SegmentWriteFailed, n);
            return Err(error);
        }
        counters.add(&pins, Counter::SegmentDecisionsWritten, n);
        written.segments += 1;
        written.decisions += n;
        if !pass.goes_on().await? {
            return Ok(());
        }
    }
}

async fn pins(client: &Client, run: &PlatformRunId) -> Result<Pins, Error> {
    let row = client.query_one(READ_READY, &[run]).await?;
    let ready: Result<Ready, _> = serde_json::from_slice(row.get(0));
    let ready = ready.map_err(|cause| db::Error::form("READY", &cause))?;
    Ok(ready.pins)
}

/// Records of one day that follow one another.
struct Range {
    day: Day,
    rows: Vec<Row>,
}

/// The next range of a run, if it is due.
async fn next_range(
    pass: &Pass<'_>,
    client: &Client,
    run: &PlatformRunId,
    chain: &ChainLink,
) -> Result<Option<Range>, Error> {
    let statement = client.prepare_cached(READ).await?;
    let limit = i64::try_from(DECISIONS_MAX).expect("it is small");
    let rows = client.query(&statement, &[run, &chain.seq, &limit]).await?;
    let mut range: Option<Range> = None;
    let (mut bytes, mut is_full) = (0, rows.len() == DECISIONS_MAX);
    for row in &rows {
        let day: Day = row.get(13);
        if range.as_ref().is_some_and(|it| it.day != day) || BYTES_MAX <= bytes {
            is_full = true;
            break;
        }
        let row = read(row);
        bytes += row.decision.body.len() + row.decision.evidence.len();
        let rows = Vec::new();
        let range = range.get_or_insert(Range { day, rows });
        range.rows.push(row);
    }
    Ok(range.filter(|it| is_full || it.day < pass.as_of))
}

fn read(row: &db::Row) -> Row {
    Row {
        decision: StoredDecision::read(row),
        event_id: row.get(8),
        ts_utc: row.get(9),
        outcome: row.get(10),
        degraded: row.get(11),
        decided_at: row.get(12),
        keys: row.get(14),
    }
}

/// Object first, then row and position in one transaction.
async fn write_range(
    pass: &Pass<'_>,
    run: PlatformRunId,
    lease: &mut Lease,
    chain: &ChainLink,
    range: Range,
) -> Result<(), Error> {
    let (ground, chain) = (pass.ground, *chain);
    let made = tasks::blocking(move || make(run, chain, range)).await?;
    match ground
        .objects
        .put_new(&made.key, made.content.clone())
        .await?
    {
        Put::Created | Put::Same => {}
        Put::Conflict { .. } => {
            let key = made.key.to_string();
            return Err(Error::Conflict { key });
        }
    }
    let to = text(&made.last);
    let stamps = serde_json::to_string(&ground.stamps).expect("stamps are plain JSON");
    let manifest = Manifest {
        made,
        at: ground.clock.now(),
        stamps,
    };
    commit::commit(ground, lease, &manifest, &to, None).await?;
    lease.moved(to);
    Ok(())
}

/// A segment, encoded.
struct Made {
    run: PlatformRunId,
    day: Day,
    first: i64,
    last: ChainLink,
    ts: (Time, Time),
    decided_at: (Time, Time),
    id_filter: Vec<u8>,
    key: ObjectKey,
    content: bytes::Bytes,
    content_hash: Digest,
}

/// Verifies that the records follow from the chain so far, and encodes them. Pure.
fn make(run: PlatformRunId, chain: ChainLink, range: Range) -> Result<Made, Error> {
    let rows = &range.rows;
    let mut last = chain;
    for row in rows {
        let (seq, next) = (row.decision.seq, last.check(&row.decision.chain_record()));
        last = next.map_err(|why| Error::Chain { run, seq, why })?;
    }
    let span = |time: fn(&Row) -> Time| {
        let times = || rows.iter().map(time);
        let none = Time::from_micros(0);
        (times().min().unwrap_or(none), times().max().unwrap_or(none))
    };
    let content = decisions::encode(rows).map_err(Error::Encode)?;
    let content_hash = Digest::of_bytes(&content);
    let first = chain.seq + 1;
    let key = decisions::segment_key(&run, (first, last.seq), &content_hash);
    Ok(Made {
        run,
        day: range.day,
        first,
        last,
        ts: span(|it| it.ts_utc),
        decided_at: span(|it| it.decided_at),
        id_filter: id_filter(rows.iter().map(|it| &it.decision.decision_id)),
        key: key.map_err(Error::Key)?,
        content,
        content_hash,
    })
}

struct Manifest {
    made: Made,
    at: Time,
    stamps: String,
}

#[async_trait]
impl Effects for Manifest {
    fn group(&self) -> &'static str {
        SEGMENTS
    }

    async fn write(&self, tx: &Transaction<'_>) -> Result<(), consumer::Error> {
        let it = &self.made;
        let bytes = i64::try_from(it.content.len()).expect("a segment is bounded");
        let statement = tx.prepare_cached(INSERT).await?;
        tx.execute(
            &statement,
            &[
                &it.day,
                &it.run,
                &it.first,
                &it.last.seq,
                &it.last.link,
                &it.ts.0,
                &it.ts.1,
                &it.decided_at.0,
                &it.decided_at.1,
                &it.id_filter,
                &it.key.as_str(),
                &bytes,
                &it.content_hash,
                &self.at,
                &self.stamps,
            ],
        )
        .await?;
        Ok(())
    }
}

/// A failure is an appended transition; that it cannot be appended either is only logged.
async fn failed(
    pass: &Pass<'_>,
    client: &Client,
    (run, day, (first, last)): (&PlatformRunId, Day, (i64, i64)),
    error: &Error,
) {
    let ground = pass.ground;
    let cause: String = error.to_string().chars().take(500).collect();
    let (now, stamps) = (ground.clock.now(), serde_json::to_string(&ground.stamps));
    let stamps = stamps.expect("stamps are plain JSON");
    let appended = client
        .execute(
            INSERT_FAILED,
            &[&day, run, &first, &last, &cause, &now, &stamps],
        )
        .await;
    if let Err(error) = appended {
        tracing::warn!(error = %error, "a segment was not written, and neither was the row that says so");
    }
}
