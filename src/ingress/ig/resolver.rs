//! Batches whose publish nobody answers for: those of a dead epoch, those of unknown outcome. The
//! bus is asked; what is found there stands, what is not is published unchanged (L5, L6).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::contracts::envelope::AdmittedEvent;
use crate::contracts::groups;
use crate::domain::digest::Digest;
use crate::domain::keys::EventKey;
use crate::domain::offset::{Position, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::ingress::ig::batch::{Line, read_inflight};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::pipeline;
use crate::ingress::ig::publish::{Places, Publisher, Stopped};
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::settled::{self, Admitted};
use crate::ingress::ig::terminal::Published;
use crate::runtime::lease::LeaseKey;
use crate::substrate::bus::{BusRecord, ReadFrom, ReadLimit};
use crate::substrate::db::Day;

const LIST_OPEN: &str = include_str!("sql/list_open.sql");
const LIST_DEAD_GATES: &str = include_str!("sql/list_dead_gates.sql");
const READ_INFLIGHT: &str = include_str!("sql/read_inflight.sql");

/// Batches resolved together: each has its records in memory.
const OPEN_MAX: i64 = 8;

const SCAN: ReadLimit = ReadLimit {
    records_max: 2_000,
    bytes_max: 4 << 20,
    wait_max: Duration::ZERO,
};

/// Looks when told and from time to time, until stopped.
pub(super) async fn run(ig: Arc<Ig>, stop: CancellationToken) {
    let every = Duration::from_millis(ig.options.resolve_every_ms);
    loop {
        tokio::select! {
            () = ig.resolve_now.notified() => {}
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = pass(&ig).await {
            tracing::warn!(error = %error.chain(), "open batches are not resolved; trying again");
        }
    }
}

async fn pass(ig: &Ig) -> Result<(), Error> {
    let Some(held) = ig.held() else {
        return Ok(());
    };
    let wait = Duration::from_millis(ig.options.takeover_wait_ms);
    let is_dead_settled = held.since.elapsed() >= wait;
    resolve(ig, &ig.options.gate_id, held.epoch, is_dead_settled).await?;
    let client = ig.ground.db.get().await?;
    let dead = client
        .query(LIST_DEAD_GATES, &[&ig.options.gate_id])
        .await?;
    drop(client);
    for row in &dead {
        let gate_id: &str = row.get(0);
        let key = LeaseKey::new(groups::IG, gate_id);
        let taken = key
            .take(&ig.ground.db.get().await?, &ig.ground.holder, "")
            .await?;
        let Some(lease) = taken else { continue };
        tokio::time::sleep(wait).await;
        let resolved = resolve(ig, gate_id, lease.epoch, true).await;
        lease.release(&ig.ground.db.get().await?).await?;
        resolved?;
    }
    Ok(())
}

/// One open batch.
struct Open {
    day: Day,
    batch_id: i64,
    admitted_at: Time,
    lines: Vec<Line>,
    events: Vec<Admitted>,
    places: Places,
}

async fn resolve(ig: &Ig, gate_id: &str, epoch: i64, with_dead: bool) -> Result<(), Error> {
    let mut open = open_batches(ig, gate_id, epoch, with_dead).await?;
    if open.is_empty() {
        return Ok(());
    }
    look(ig, &mut open).await?;
    for mut batch in open {
        let publisher = Publisher {
            bus: ig.ground.bus.as_ref(),
            entropy: ig.entropy.as_ref(),
            give_up: &ig.give_up,
        };
        let n_found = batch.places.iter().flatten().count();
        match publisher.publish(&batch.lines, &mut batch.places).await {
            Ok(()) => {}
            Err(Stopped::GivenUp) => return Ok(()),
            Err(Stopped::Ambiguous { cause }) => {
                pipeline::ambiguous(ig, batch.day, batch.batch_id, epoch, &cause).await?;
                continue;
            }
        }
        tracing::info!(
            batch_id = batch.batch_id,
            records = batch.lines.len(),
            found = n_found,
            "open batch resolved"
        );
        let published = Published {
            day: batch.day,
            batch_id: batch.batch_id,
            admitted_at: batch.admitted_at,
            places: batch.places,
            events: Arc::new(batch.events),
        };
        ig.finish(gate_id, epoch, &[published]).await?;
    }
    Ok(())
}

/// What may be resolved now: a put whose outcome nobody knows may land until its timeout.
async fn open_batches(
    ig: &Ig,
    gate_id: &str,
    epoch: i64,
    with_dead: bool,
) -> Result<Vec<Open>, Error> {
    let client = ig.ground.db.get().await?;
    let rows = client
        .query(LIST_OPEN, &[&gate_id, &epoch, &OPEN_MAX])
        .await?;
    let settled_until = ig.ground.clock.now().minus_ms(ig.options.takeover_wait_ms);
    let mut open = Vec::new();
    for row in &rows {
        let (day, batch_id): (Day, i64) = (row.get(0), row.get(1));
        let is_dead = row.get::<_, i64>(3) < epoch;
        let ambiguous_at: Option<Time> = row.get(4);
        let is_settled = ambiguous_at.is_none_or(|at| at <= settled_until);
        if !is_settled || (is_dead && !with_dead) {
            continue;
        }
        // Between the two statements its own gate may have finished it.
        let Some(bytes) = client.query_opt(READ_INFLIGHT, &[&batch_id]).await? else {
            continue;
        };
        let lines = read_inflight(bytes.get(0))
            .map_err(|cause| Error::evidence("bytes of an open batch", cause))?;
        let events = settled::read_events(&client, day, batch_id).await?;
        let n_items = lines.iter().map(|it| it.item + 1).max().unwrap_or(0);
        open.push(Open {
            day,
            batch_id,
            admitted_at: row.get(2),
            lines,
            events,
            places: vec![None; usize::try_from(n_items).unwrap_or(0)],
        });
    }
    Ok(open)
}

/// What is looked for: batch, item, hash.
type Wanted = HashMap<Digest, (usize, usize, Digest)>;

/// Scans, from before the oldest batch to the tip, every shard that may hold one of the records.
async fn look(ig: &Ig, open: &mut [Open]) -> Result<(), Error> {
    let mut wanted = Wanted::new();
    let mut streams: BTreeSet<Stream> = BTreeSet::new();
    for (at, batch) in open.iter().enumerate() {
        for event in &batch.events {
            let key = EventKey {
                platform_run_id: event.run,
                event_class: event.class,
                event_id: event.event_id.clone(),
            };
            let item = usize::try_from(event.item).unwrap_or(usize::MAX);
            wanted.insert(key.digest(), (at, item, event.payload_hash));
            streams.insert(event.class.stream());
        }
    }
    let oldest = open
        .iter()
        .map(|it| it.admitted_at)
        .min()
        .unwrap_or_default();
    let from = oldest.minus_ms(ig.options.clock_skew_ms_max);
    for stream in streams {
        for shard in ig.ground.bus.shards(stream).await? {
            scan(ig, stream, &shard.shard_id, from, &wanted, open).await?;
        }
    }
    Ok(())
}

async fn scan(
    ig: &Ig,
    stream: Stream,
    shard: &ShardId,
    from: Time,
    wanted: &Wanted,
    open: &mut [Open],
) -> Result<(), Error> {
    let bus = ig.ground.bus.as_ref();
    // Later records are later publishes, of live batches.
    let Position::After(tip) = bus.tip(stream, shard).await? else {
        return Ok(());
    };
    let mut from = ReadFrom::ArrivedAt(from);
    loop {
        let read = bus.read(stream, shard, from, SCAN).await?;
        for record in &read.records {
            if let Some((at, item)) = found(wanted, record)
                && let Some(place) = open[at].places.get_mut(item)
            {
                // Two copies are legal; the first one is named.
                place.get_or_insert_with(|| (shard.clone(), record.sequence_number.clone()));
            }
        }
        match read.records.last() {
            Some(last) if last.sequence_number < tip => {
                from = ReadFrom::Position(Position::After(last.sequence_number.clone()));
            }
            _ => return Ok(()),
        }
    }
}

fn found(wanted: &Wanted, record: &BusRecord) -> Option<(usize, usize)> {
    let event: AdmittedEvent = serde_json::from_slice(&record.data).ok()?;
    let class = event.envelope.event_class.parse().ok()?;
    let (at, item, hash) = wanted.get(&event.envelope.key(class).digest())?;
    (*hash == event.payload_hash).then_some((*at, *item))
}
