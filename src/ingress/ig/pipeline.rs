//! The three stages of a batch, each a task: admit (what queued during the last commit is the next
//! batch), publish in batch order, write the terminal row. A stage works while the next one does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::time::Time;
use crate::domain::vocabulary::FactType;
use crate::governance::counters::Counter;
use crate::governance::facts;
use crate::ingress::ig::batch::{Batch, Decision, Inflight, Line};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::publish::{Publisher, Stopped};
use crate::ingress::ig::queue::{Job, Room};
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::settled::{Admitted, admitted};
use crate::ingress::ig::store::{self, Admitter, Attempt, Kept};
use crate::ingress::ig::terminal::{self, Published};
use crate::ingress::ig::{batch, quarantine};
use crate::planted;
use crate::substrate::db::Day;

const INSERT_AMBIGUOUS: &str = include_str!("sql/insert_ambiguous.sql");

/// Batches between two stages: one in work, one waiting.
pub(super) const STAGE_BATCHES_MAX: usize = 2;
/// Ids taken from the sequence at once.
const BATCH_IDS: i32 = 64;
/// Terminal rows of one transaction.
const TERMINALS_MAX: usize = 16;
const RETRY_MS_MAX: u64 = 1_000;

/// A batch whose transaction committed, on its way to the bus.
pub(super) struct InFlight {
    day: Day,
    batch_id: i64,
    admitted_at: Time,
    epoch: i64,
    n_items: usize,
    lines: Vec<Line>,
    events: Arc<Vec<Admitted>>,
    /// Given back when the records need no memory any more.
    room: Vec<Room>,
}

/// Batches jobs until the stop; then what is queued, and ends.
pub(super) async fn admit(
    ig: Arc<Ig>,
    mut jobs: mpsc::Receiver<Job>,
    next: mpsc::Sender<InFlight>,
    stop: CancellationToken,
) {
    let mut ids = VecDeque::new();
    let mut last_at = Time::default();
    loop {
        let first = tokio::select! {
            job = jobs.recv() => job,
            () = stop.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        let Some(first) = first else { return };
        let (events, parts, room) = gather(&ig, first, &mut jobs);
        // The gate's own times never go back, whatever its clock does.
        last_at = last_at.max(ig.ground.clock.now());
        let Some(batch_id) = next_id(&ig, &mut ids).await else {
            return;
        };
        let batch = Batch::new(batch_id, last_at, events);
        planted!(
            AcknowledgeBeforeCommit,
            tokio::time::sleep(Duration::from_millis(500)).await,
            ()
        );
        let Some((decisions, inflight, epoch)) = admit_batch(&ig, &batch).await else {
            return;
        };
        count(&ig, &batch, &decisions);
        let flight = (!inflight.lines.is_empty()).then(|| InFlight {
            day: batch.day,
            batch_id,
            admitted_at: batch.admitted_at,
            epoch,
            n_items: batch.firsts.len(),
            lines: inflight.lines,
            events: Arc::new(admitted(&batch, &decisions)),
            room,
        });
        if flight.is_some() {
            ig.batches.begin(batch_id);
        }
        let mut decisions = decisions.into_iter();
        for (n_events, answer) in parts {
            // A caller that left is no fault; its events are admitted all the same.
            drop(answer.send(decisions.by_ref().take(n_events).collect()));
        }
        if let Some(flight) = flight
            && next.send(flight).await.is_err()
        {
            return;
        }
    }
}

type Part = (usize, tokio::sync::oneshot::Sender<Vec<Decision>>);

/// Takes what is queued, up to the limits of a batch.
fn gather(
    ig: &Ig,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
) -> (Vec<batch::Received>, Vec<Part>, Vec<Room>) {
    let (mut events, mut parts, mut room) = (Vec::new(), Vec::new(), Vec::new());
    let mut n_bytes = 0;
    let mut job = Some(first);
    while let Some(mut taken) = job {
        n_bytes += taken.room.bytes.num_permits();
        parts.push((taken.events.len(), taken.answer));
        events.append(&mut taken.events);
        room.push(taken.room);
        let is_full =
            events.len() >= ig.options.batch_events_max || n_bytes >= ig.options.batch_bytes_max;
        job = if is_full { None } else { jobs.try_recv().ok() };
    }
    (events, parts, room)
}

async fn next_id(ig: &Ig, ids: &mut VecDeque<i64>) -> Option<i64> {
    let mut attempt = 0;
    while ids.is_empty() {
        let taken = async {
            let client = ig.ground.db.get().await?;
            store::next_batch_ids(&client, BATCH_IDS).await
        };
        match taken.await {
            Ok(taken) => ids.extend(taken),
            Err(error) => pause(ig, "batch ids", &mut attempt, &error).await?,
        }
    }
    ids.pop_front()
}

/// Tries until the batch is in; `None` when the gate gives up.
async fn admit_batch(ig: &Ig, batch: &Batch) -> Option<(Vec<Decision>, Inflight, i64)> {
    let mut kept = Kept::new();
    let mut unkept = Some(batch.decide(&std::collections::HashMap::new()));
    let mut sent = None;
    let mut attempt = 0;
    loop {
        let epoch = ig.epoch().await?;
        match try_admit(
            ig,
            batch,
            epoch,
            &mut kept,
            unkept.as_deref(),
            sent.is_some(),
        )
        .await
        {
            Ok(Attempt::Committed(decisions, inflight)) => {
                return Some((decisions, inflight, epoch));
            }
            Ok(Attempt::Unkept(decisions)) => unkept = Some(decisions),
            Ok(Attempt::Unknown(decisions, inflight)) => {
                tracing::warn!(
                    batch_id = batch.batch_id,
                    "commit of unknown outcome; settling"
                );
                unkept = None;
                sent = Some((decisions, inflight, epoch));
            }
            Ok(Attempt::Earlier) if sent.is_some() => return sent,
            Err(Error::Db(crate::substrate::db::Error::Unique { .. })) if sent.is_some() => {
                return sent;
            }
            Ok(Attempt::Earlier) => {
                tracing::error!(batch_id = batch.batch_id, "a batch id was used twice");
                return None;
            }
            Err(error) => pause(ig, "a batch", &mut attempt, &error).await?,
        }
    }
}

async fn try_admit(
    ig: &Ig,
    batch: &Batch,
    epoch: i64,
    kept: &mut Kept,
    unkept: Option<&[Decision]>,
    is_settling: bool,
) -> Result<Attempt, Error> {
    if let Some(decisions) = unkept {
        let gate_id = &ig.options.gate_id;
        quarantine::keep(ig.ground.objects.as_ref(), gate_id, batch, decisions, kept).await?;
    }
    let mut client = ig.ground.db.get().await?;
    ig.partitions.ensure(&client, batch.day).await?;
    if is_settling && store::batch_exists(&client, batch).await? {
        return Ok(Attempt::Earlier);
    }
    let admitter = Admitter {
        ground: &ig.ground,
        gate_id: &ig.options.gate_id,
        epoch,
        horizon_days: ig.options.dedupe_horizon_days,
    };
    admitter.attempt(&mut client, batch, kept).await
}

fn count(ig: &Ig, batch: &Batch, decisions: &[Decision]) {
    let counters = &ig.ground.counters;
    let runs = batch.runs();
    for ((run, _), counts) in batch.counts(decisions) {
        let Some(pins) = runs.get(&run) else { continue };
        let add = |counter, n: i32| counters.add(pins, counter, u64::try_from(n).unwrap_or(0));
        add(Counter::IgReceived, counts.received);
        add(Counter::Duplicate, counts.duplicate);
        add(Counter::Quarantined, counts.quarantined);
    }
}

/// Publishes batches in their order until the stage before ends.
pub(super) async fn publish(
    ig: Arc<Ig>,
    mut flights: mpsc::Receiver<InFlight>,
    next: mpsc::Sender<Published>,
) {
    let publisher = Publisher {
        bus: ig.ground.bus.as_ref(),
        entropy: ig.entropy.as_ref(),
        give_up: &ig.give_up,
    };
    while let Some(flight) = flights.recv().await {
        let mut places = vec![None; flight.n_items];
        let end = publisher.publish(&flight.lines, &mut places).await;
        drop(flight.room);
        match end {
            Ok(()) => {
                let published = Published {
                    day: flight.day,
                    batch_id: flight.batch_id,
                    admitted_at: flight.admitted_at,
                    places,
                    events: flight.events,
                };
                if next.send(published).await.is_err() {
                    return;
                }
            }
            Err(Stopped::GivenUp) => {
                tracing::warn!(
                    batch_id = flight.batch_id,
                    "left in flight for the next start"
                );
            }
            Err(Stopped::Ambiguous { cause }) => {
                let mut attempt = 0;
                while let Err(error) =
                    ambiguous(&ig, flight.day, flight.batch_id, flight.epoch, &cause).await
                {
                    if pause(&ig, "an ambiguous batch", &mut attempt, &error)
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
                ig.count(&flight.events, Counter::PublishAmbiguous).await;
                ig.resolve_now.notify_one();
            }
        }
    }
}

/// L5: an unknown outcome is a state, with a fact; the resolver looks at the bus.
pub(super) async fn ambiguous(
    ig: &Ig,
    day: Day,
    batch_id: i64,
    epoch: i64,
    cause: &str,
) -> Result<(), Error> {
    let cause: String = cause.chars().take(500).collect();
    let (batch, epoch_text) = (batch_id.to_string(), epoch.to_string());
    let natural_key = [ig.options.gate_id.as_str(), &batch, &epoch_text];
    let mut fact = ig
        .ground
        .fact(FactType::PublishAmbiguous, &natural_key, None);
    fact.details.insert("cause".to_owned(), cause.clone());
    let mut client = ig.ground.db.get().await?;
    let tx = client.transaction().await?;
    let statement = tx.prepare_cached(INSERT_AMBIGUOUS).await?;
    tx.execute(
        &statement,
        &[&day, &batch_id, &epoch, &cause, &ig.ground.clock.now()],
    )
    .await?;
    facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    Ok(())
}

/// Writes terminal rows until the stage before ends; what waited goes into one transaction.
pub(super) async fn finish(ig: Arc<Ig>, mut batches: mpsc::Receiver<Published>) {
    let mut published = Vec::new();
    while batches.recv_many(&mut published, TERMINALS_MAX).await > 0 {
        let mut attempt = 0;
        loop {
            let Some(epoch) = ig.epoch().await else {
                return;
            };
            match ig.finish(&ig.options.gate_id, epoch, &published).await {
                Ok(()) => break,
                Err(error) => {
                    if pause(&ig, "terminal rows", &mut attempt, &error)
                        .await
                        .is_none()
                    {
                        return;
                    }
                }
            }
        }
        published.clear();
    }
}

impl Ig {
    /// Terminal rows of a gate's batches, then everyone who waits for them.
    pub(super) async fn finish(
        &self,
        gate_id: &str,
        epoch: i64,
        published: &[Published],
    ) -> Result<(), Error> {
        let mut client = self.ground.db.get().await?;
        let settled =
            terminal::finish(&self.ground, &mut client, gate_id, epoch, published).await?;
        drop(client);
        for (batch, settled) in published.iter().zip(settled) {
            let Some(settled) = settled else {
                tracing::warn!(
                    batch_id = batch.batch_id,
                    "the lease was lost; its holder resolves"
                );
                self.resolve_now.notify_one();
                continue;
            };
            self.batches.settle(settled);
            self.count(&batch.events, Counter::Admitted).await;
            self.receipts
                .add(batch.events.len(), self.options.segment_receipts_min);
        }
        Ok(())
    }
}

/// Waits before another try; `None` when the gate gives up.
pub(super) async fn pause(ig: &Ig, what: &str, attempt: &mut u32, error: &Error) -> Option<()> {
    *attempt += 1;
    if *attempt % 10 == 1 {
        tracing::warn!(what, attempt = *attempt, error = %error.chain(), "not written; trying again");
    }
    let wait = Duration::from_millis((10 << (*attempt).min(7)).min(RETRY_MS_MAX));
    let given_up = tokio::time::timeout(wait, ig.give_up.cancelled()).await;
    given_up.is_err().then_some(())
}
