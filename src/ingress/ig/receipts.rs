//! Receipts as segments, off the hot path: objects of many receipts, one a run and range of
//! batches. The manifest row commits with the worker's position (L4); what fails is repeated, and what a
//! dead gate left is written by another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::groups;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::governance::counters::Counter;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::http::VERDICT_BYTES;
use crate::ingress::ig::quarantine::{object_key, put};
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::settled;
use crate::runtime::lease::{self, Lease, LeaseKey, Settled};
use crate::substrate::db::{Client, Day, Transaction};
use crate::substrate::objects::ObjectKey;

const LIST_BATCHES: &str = include_str!("sql/list_batches.sql");
const INSERT_SEGMENT: &str = include_str!("sql/insert_segment.sql");
const READ_LAST: &str = include_str!("sql/read_last_segment.sql");
const LIST_DEAD: &str = include_str!("sql/list_dead_receipts.sql");
const INSERT_WRITE_FAILED: &str = include_str!("sql/insert_write_failed.sql");

/// The position before the first batch; then it is the last batch written.
const START: &str = "0/0";
/// Batches looked at together; more follow in the next turn.
const LIST_MAX: i64 = 512;
/// How often the receipts of dead gates are looked for.
const DEAD_EVERY: Duration = Duration::from_secs(2);

/// Receipts that wait to be written, and who wants them written now.
#[derive(Default)]
pub(super) struct Pending {
    n_receipts: AtomicUsize,
    enough: Notify,
    asked: AtomicU64,
    done: watch::Sender<u64>,
}

impl Pending {
    /// A batch is terminal.
    pub(super) fn add(&self, n_receipts: usize, enough: usize) {
        if self.n_receipts.fetch_add(n_receipts, Ordering::Relaxed) + n_receipts >= enough {
            self.enough.notify_one();
        }
    }
}

impl Ig {
    /// Returns when the receipts of every batch that is terminal now are written.
    pub async fn flush_receipts(&self) {
        let asked = self.receipts.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.receipts.enough.notify_one();
        let mut done = self.receipts.done.subscribe();
        let ended = done.wait_for(|done| *done >= asked).await;
        drop(ended);
    }
}

/// Writes segments until the last batch is terminal and written.
pub(super) async fn run(ig: Arc<Ig>, finished: CancellationToken) {
    let idle = Duration::from_millis(ig.options.segment_idle_ms);
    let mut lease = None;
    let mut dead_looked = Instant::now();
    loop {
        let is_last = finished.is_cancelled();
        let is_idle = tokio::select! {
            () = ig.receipts.enough.notified() => false,
            () = tokio::time::sleep(idle), if !is_last => true,
            () = finished.cancelled() => true,
        };
        let asked = ig.receipts.asked.load(Ordering::SeqCst);
        let is_asked = asked > *ig.receipts.done.borrow();
        ig.receipts.n_receipts.store(0, Ordering::Relaxed);
        let gate_id = &ig.options.gate_id;
        match turn(&ig, gate_id, &mut lease, is_idle || is_asked || is_last).await {
            Ok(()) => {
                ig.receipts.done.send_replace(asked);
                if is_last {
                    break;
                }
                if dead_looked.elapsed() >= DEAD_EVERY {
                    dead_looked = Instant::now();
                    if let Err(error) = write_of_dead_gates(&ig).await {
                        tracing::warn!(error = %error.chain(), "receipts of a dead gate are not written; trying again");
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error.chain(), "receipts are not written; trying again");
                lease = None;
                let waited = tokio::time::timeout(idle, ig.give_up.cancelled()).await;
                if waited.is_ok() {
                    break;
                }
            }
        }
    }
    // Nobody waits for a worker that has ended.
    ig.receipts.done.send_replace(u64::MAX);
    if let Some(lease) = lease
        && let Ok(client) = ig.ground.db.get().await
        && let Err(error) = lease.release(&client).await
    {
        tracing::warn!(error = %Error::from(error).chain(), "the receipts' lease was not released; it expires");
    }
}

/// Writes what is enough for segments; with `all` also what is less.
async fn turn(ig: &Ig, gate_id: &str, held: &mut Option<Lease>, all: bool) -> Result<(), Error> {
    let lease = match held.take() {
        Some(lease) => {
            lease.renew(&ig.ground.db.get().await?, None).await?;
            lease
        }
        None => take(ig, gate_id).await?,
    };
    let lease = held.insert(lease);
    loop {
        let range = next_range(ig, gate_id, &lease.position, all).await?;
        let Some(range) = range else { return Ok(()) };
        if let Err(error) = write(ig, gate_id, lease, &range).await {
            failed(ig, gate_id, &range, &error).await;
            return Err(error);
        }
    }
}

/// The lease of a gate's receipts. Where its position is lost, the manifest says what is written.
async fn take(ig: &Ig, gate_id: &str) -> Result<Lease, Error> {
    let mut client = ig.ground.db.get().await?;
    let key = LeaseKey::new(groups::RECEIPTS, gate_id);
    let taken = key.take(&client, &ig.ground.holder, START).await?;
    let mut lease = taken.ok_or(Error::NotHolder)?;
    if lease.position == START
        && let Some(row) = client.query_opt(READ_LAST, &[&gate_id]).await?
    {
        let (day, last): (Day, i64) = (row.get(0), row.get(1));
        let to = format!("{}/{last}", day.0);
        let tx = client.transaction().await?;
        lease.advance(&tx, &to, None).await?;
        tx.commit().await?;
        lease.moved(to);
    }
    Ok(lease)
}

/// Writes what gates that are gone left: their batches were resolved, their receipts are nobody else's.
pub(super) async fn write_of_dead_gates(ig: &Ig) -> Result<(), Error> {
    let client = ig.ground.db.get().await?;
    let dead = client.query(LIST_DEAD, &[&ig.options.gate_id]).await?;
    drop(client);
    for row in &dead {
        let gate_id: &str = row.get(0);
        let mut lease = None;
        let written = turn(ig, gate_id, &mut lease, true).await;
        if let Some(lease) = lease {
            lease.release(&ig.ground.db.get().await?).await?;
        }
        match written {
            // Another process was faster.
            Ok(()) | Err(Error::NotHolder) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What the worker of a gate has passed, where it ever began.
pub(super) async fn passed(client: &Client, gate_id: &str) -> Result<Option<(Day, i64)>, Error> {
    let key = LeaseKey::new(groups::RECEIPTS, gate_id);
    let read = key.read(client).await?;
    read.map(|(_, position)| parse_position(&position))
        .transpose()
}

fn parse_position(position: &str) -> Result<(Day, i64), Error> {
    let read = || {
        let (day, batch_id) = position.split_once('/')?;
        Some((Day(day.parse().ok()?), batch_id.parse().ok()?))
    };
    read().ok_or_else(|| Error::evidence("position of receipts", position))
}

/// Batches of one day whose receipts come next.
struct Range {
    day: Day,
    /// In order; those without events too, so that the position passes them.
    batches: Vec<i64>,
    n_receipts: i64,
}

impl Range {
    fn first(&self) -> i64 {
        self.batches.first().copied().unwrap_or_default()
    }

    fn last(&self) -> i64 {
        self.batches.last().copied().unwrap_or_default()
    }
}

async fn next_range(
    ig: &Ig,
    gate_id: &str,
    position: &str,
    all: bool,
) -> Result<Option<Range>, Error> {
    let (day, batch_id) = parse_position(position)?;
    let client = ig.ground.db.get().await?;
    let statement = client.prepare_cached(LIST_BATCHES).await?;
    let rows = client
        .query(&statement, &[&gate_id, &day, &batch_id, &LIST_MAX])
        .await?;
    let enough = i64::try_from(ig.options.segment_receipts_min).unwrap_or(i64::MAX);
    let mut range: Option<Range> = None;
    for row in &rows {
        let (day, is_terminal): (Day, bool) = (row.get(0), row.get(3));
        let is_full = |it: &Range| it.day != day || it.n_receipts >= enough;
        // Segments keep the order of batches, so an open batch ends the range.
        if !is_terminal || range.as_ref().is_some_and(is_full) {
            break;
        }
        let range = range.get_or_insert(Range {
            day,
            batches: Vec::new(),
            n_receipts: 0,
        });
        range.batches.push(row.get(1));
        range.n_receipts += i64::from(row.get::<_, i32>(2));
    }
    Ok(range.filter(|it| all || it.n_receipts >= enough))
}

/// The receipts of one run in a range.
#[derive(Default)]
struct Segment {
    n_receipts: i32,
    body: Vec<u8>,
}

/// A segment whose object is durable.
pub(super) struct Made {
    run: PlatformRunId,
    n_receipts: i32,
    key: ObjectKey,
    hash: Digest,
}

/// Makes the segments of some batches of a gate and day, of one run or of all; puts their objects.
pub(super) async fn make(
    ig: &Ig,
    gate_id: &str,
    (day, batches): (Day, &[i64]),
    n_receipts: usize,
    of_run: Option<PlatformRunId>,
) -> Result<Vec<Made>, Error> {
    let mut segments: BTreeMap<PlatformRunId, Segment> = BTreeMap::new();
    let client = ig.ground.db.get().await?;
    for batch_id in batches {
        collect(
            ig,
            &client,
            (day, *batch_id),
            &mut segments,
            n_receipts,
            of_run,
        )
        .await?;
    }
    drop(client);
    let (first, last) = (batches.first().unwrap_or(&0), batches.last().unwrap_or(&0));
    let mut made = Vec::with_capacity(segments.len());
    for (run, segment) in segments {
        let hash = Digest::of_bytes(&segment.body);
        let key = object_key(&format!(
            "{run}/ig/receipts/{day}/{gate_id}-{first}-{last}-{hash}.ndjson"
        ))?;
        put(ig.ground.objects.as_ref(), &key, segment.body.into()).await?;
        let n_receipts = segment.n_receipts;
        made.push(Made {
            run,
            n_receipts,
            key,
            hash,
        });
    }
    Ok(made)
}

/// Appends the manifest rows of segments over one range of batches.
pub(super) async fn append(
    ig: &Ig,
    tx: &Transaction<'_>,
    gate_id: &str,
    (day, first, last): (Day, i64, i64),
    made: &[Made],
) -> Result<(), Error> {
    let now = ig.ground.clock.now();
    let insert = tx.prepare_cached(INSERT_SEGMENT).await?;
    for it in made {
        let (run, key) = (&it.run, it.key.as_str());
        tx.execute(
            &insert,
            &[
                &day,
                run,
                &gate_id,
                &first,
                &last,
                &it.n_receipts,
                &key,
                &it.hash,
                &now,
            ],
        )
        .await?;
    }
    Ok(())
}

/// Counts segments that are in.
pub(super) async fn count_written(ig: &Ig, made: Vec<Made>) {
    for it in made {
        count(ig, it.run, Counter::ReceiptsWritten, it.n_receipts).await;
    }
}

async fn write(ig: &Ig, gate_id: &str, lease: &mut Lease, range: &Range) -> Result<(), Error> {
    let n_receipts = usize::try_from(range.n_receipts).unwrap_or_default();
    let made = make(ig, gate_id, (range.day, &range.batches), n_receipts, None).await?;
    let to = format!("{}/{}", range.day.0, range.last());
    let mut client = ig.ground.db.get().await?;
    ig.partitions.ensure(&client, range.day).await?;
    let tx = client.transaction().await?;
    append(
        ig,
        &tx,
        gate_id,
        (range.day, range.first(), range.last()),
        &made,
    )
    .await?;
    lease.advance(&tx, &to, None).await?;
    if let Err(error) = tx.commit().await.map_err(crate::substrate::db::Error::from) {
        if !error.outcome_unknown() {
            return Err(error.into());
        }
        let client = ig.ground.db.get().await?;
        if lease.settle(&client, &to).await? == Settled::RolledBack {
            return Err(lease::Error::Db(error).into());
        }
    }
    lease.moved(to);
    count_written(ig, made).await;
    Ok(())
}

/// Appends a batch's receipts to the segments of their runs, which get at most `n_receipts`.
async fn collect(
    ig: &Ig,
    client: &Client,
    (day, batch_id): (Day, i64),
    segments: &mut BTreeMap<PlatformRunId, Segment>,
    n_receipts: usize,
    of_run: Option<PlatformRunId>,
) -> Result<(), Error> {
    let settled = match ig.batches.recent(batch_id) {
        Some(settled) => settled,
        None => match settled::read(client, day, batch_id).await? {
            Some(settled) => Arc::new(settled),
            None => return Ok(()),
        },
    };
    let events = match &settled.events {
        Some(events) => events.clone(),
        None => Arc::new(settled::read_events(client, day, batch_id).await?),
    };
    let wanted = events
        .iter()
        .filter(|it| of_run.is_none_or(|run| run == it.run));
    for event in wanted {
        let receipt = settled.receipt(event)?;
        let segment = segments.entry(event.run).or_default();
        if segment.body.is_empty() {
            segment.body.reserve(VERDICT_BYTES * n_receipts);
        }
        serde_json::to_writer(&mut segment.body, &receipt)
            .map_err(|cause| Error::evidence("receipt", cause))?;
        segment.body.push(b'\n');
        segment.n_receipts += 1;
    }
    Ok(())
}

/// A failure is an appended transition; that it cannot be appended either is only logged.
async fn failed(ig: &Ig, gate_id: &str, range: &Range, error: &Error) {
    let appended = async {
        let client = ig.ground.db.get().await?;
        let (first, last) = (range.first(), range.last());
        let cause: String = error.to_string().chars().take(500).collect();
        let now = ig.ground.clock.now();
        client
            .execute(
                INSERT_WRITE_FAILED,
                &[&range.day, &gate_id, &first, &last, &cause, &now],
            )
            .await?;
        let mut runs = BTreeMap::new();
        for batch_id in &range.batches {
            for event in settled::read_events(&client, range.day, *batch_id).await? {
                *runs.entry(event.run).or_default() += 1;
            }
        }
        Ok::<BTreeMap<PlatformRunId, i32>, Error>(runs)
    };
    match appended.await {
        Ok(runs) => {
            for (run, n) in runs {
                count(ig, run, Counter::ReceiptWriteFailed, n).await;
            }
        }
        Err(error) => {
            tracing::warn!(error = %error.chain(), "a receipt write failed, and so did the row that says so");
        }
    }
}

async fn count(ig: &Ig, run: PlatformRunId, counter: Counter, n: i32) {
    if let Ok(Some(run)) = ig.runs.find(&ig.ground, run).await {
        let n = u64::try_from(n).unwrap_or_default();
        ig.ground.counters.add(run.pins(), counter, n);
    }
}
