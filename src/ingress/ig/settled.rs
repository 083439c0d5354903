//! Batches that are on the bus, and the receipts that they give; batches in flight, and who waits
//! for them. A receipt is a function of stored rows, so a repeat gets the first one byte for byte.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::contracts::receipt::{Receipt, SCHEMA_VERSION};
use crate::contracts::stamps::Stamps;
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, PlatformRunId, TenantId};
use crate::domain::offset::{OriginOffset, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, IngestResult};
use crate::ingress::ig::batch::{Batch, Decision, Fitness, Place};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::publish::Places;
use crate::runtime::ground::Ground;
use crate::substrate::db::{Client, Day, Row};

const READ_SETTLED: &str = include_str!("sql/read_settled.sql");
const READ_MANY: &str = include_str!("sql/read_settled_many.sql");
const READ_EVENTS: &str = include_str!("sql/read_events.sql");

/// How often another gate's open batch is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// An admitted event, as far as its receipt needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) item: i32,
    pub(super) run: PlatformRunId,
    pub(super) tenant: Option<TenantId>,
    pub(super) class: EventClass,
    pub(super) event_id: EventId,
    pub(super) payload_hash: Digest,
}

/// The admitted events of a batch.
pub(super) fn admitted(batch: &Batch, decisions: &[Decision]) -> Vec<Admitted> {
    let events = batch.events.iter().zip(decisions);
    let admitted = events.filter_map(|(event, decision)| match (decision, &event.fitness) {
        (Decision::Admitted(place), Fitness::Fit { class, .. }) => Some(Admitted {
            item: place.item,
            run: event.run.id,
            tenant: event.run.pins().tenant_id.clone(),
            class: *class,
            event_id: event.event_id.clone(),
            payload_hash: event.payload_hash,
        }),
        _ => None,
    });
    admitted.collect()
}

/// A batch with its terminal row.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) batch_id: i64,
    pub(super) admitted_at: Time,
    pub(super) stamps: Stamps,
    pub(super) places: Places,
    /// Known where this process admitted them; else they are read when they are needed.
    pub(super) events: Option<Arc<Vec<Admitted>>>,
}

impl Settled {
    /// The receipt of one of its events.
    ///
    /// # Errors
    /// [`Error::Evidence`] when the terminal row has no place for it.
    pub(super) fn receipt(&self, event: &Admitted) -> Result<Receipt, Error> {
        let place = usize::try_from(event.item).ok();
        let place = place.and_then(|at| self.places.get(at)?.as_ref());
        let (shard_id, sequence_number) = place.ok_or_else(|| {
            Error::evidence(
                "terminal row",
                format!("batch {} lacks an item", self.batch_id),
            )
        })?;
        let mut stamps = self.stamps.clone();
        stamps.tenant_id = event.tenant.clone();
        Ok(Receipt {
            schema_version: SCHEMA_VERSION,
            platform_run_id: event.run,
            event_class: event.class,
            event_id: event.event_id.clone(),
            result: IngestResult::Admitted,
            payload_hash: event.payload_hash,
            eb_ref: OriginOffset {
                stream: event.class.stream(),
                shard_id: shard_id.clone(),
                sequence_number: sequence_number.clone(),
            },
            batch_id: self.batch_id,
            admitted_at: self.admitted_at,
            code: None,
            stamps,
        })
    }
}

/// The batch from its rows; `None` while it has no terminal row.
pub(super) async fn read(
    client: &Client,
    day: Day,
    batch_id: i64,
) -> Result<Option<Settled>, Error> {
    let statement = client.prepare_cached(READ_SETTLED).await?;
    let row = client.query_opt(&statement, &[&day, &batch_id]).await?;
    row.map(|row| settled(batch_id, &row)).transpose()
}

/// Of several batches those that have their terminal row.
pub(super) async fn read_many(
    client: &Client,
    day: Day,
    batches: &[i64],
) -> Result<BTreeMap<i64, Settled>, Error> {
    let statement = client.prepare_cached(READ_MANY).await?;
    let rows = client.query(&statement, &[&day, &batches]).await?;
    let read = |row: &Row| {
        let batch_id = row.get(8);
        Ok((batch_id, settled(batch_id, row)?))
    };
    rows.iter().map(read).collect()
}

fn settled(batch_id: i64, row: &Row) -> Result<Settled, Error> {
    let refused = |cause| Error::evidence("batch row", cause);
    let stamps = Stamps {
        service_release_id: row.get(1),
        environment: row.get::<_, &str>(2).parse().map_err(refused)?,
        mode: row.get::<_, &str>(3).parse().map_err(refused)?,
        policy_rev: row.get(4),
        run_config_digest: row.get(5),
        bundle_slot: None,
        tenant_id: None,
    };
    let shards: Vec<Option<String>> = row.get(6);
    let numbers: Vec<Option<&str>> = row.get(7);
    let place = |(shard, number): (Option<String>, Option<&str>)| match (shard, number) {
        (Some(shard), Some(number)) => {
            let number = number.parse().map_err(refused)?;
            Ok(Some((ShardId(shard), number)))
        }
        _ => Ok(None),
    };
    let places = shards.into_iter().zip(numbers).map(place);
    Ok(Settled {
        batch_id,
        admitted_at: row.get(0),
        stamps,
        places: places.collect::<Result<_, Error>>()?,
        events: None,
    })
}

/// The admitted events of a batch from its rows, by item.
pub(super) async fn read_events(
    client: &Client,
    day: Day,
    batch_id: i64,
) -> Result<Vec<Admitted>, Error> {
    let statement = client.prepare_cached(READ_EVENTS).await?;
    let rows = client.query(&statement, &[&day, &batch_id]).await?;
    let refused = |cause| Error::evidence("event row", cause);
    let event = |row: &Row| {
        let tenant: Option<&str> = row.get(2);
        Ok(Admitted {
            item: row.get(0),
            run: row.get(1),
            tenant: tenant.map(str::parse).transpose().map_err(refused)?,
            class: row.get::<_, &str>(3).parse().map_err(refused)?,
            event_id: row.get::<_, &str>(4).parse().map_err(refused)?,
            payload_hash: row.get(5),
        })
    };
    rows.iter().map(event).collect()
}

type Waited = watch::Sender<Option<Arc<Settled>>>;

/// What is in flight, and what settled lately.
pub(super) struct Batches {
    state: Mutex<State>,
    /// How many receipts' worth is remembered; the rows know the rest.
    events_max: usize,
}

#[derive(Default)]
struct State {
    in_flight: BTreeMap<i64, Waited>,
    recent: HashMap<i64, Arc<Settled>>,
    order: VecDeque<i64>,
    n_events: usize,
}

impl Batches {
    pub(super) fn new(events_max: usize) -> Batches {
        Batches {
            state: Mutex::default(),
            events_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batch's transaction committed in this process.
    pub(super) fn begin(&self, batch_id: i64) {
        self.lock()
            .in_flight
            .insert(batch_id, watch::Sender::new(None));
    }

    /// The batch has its terminal row; whoever waits goes on.
    pub(super) fn settle(&self, settled: Arc<Settled>) {
        let mut state = self.lock();
        let waited = state.in_flight.remove(&settled.batch_id);
        state.remember(settled.clone(), self.events_max);
        drop(state);
        if let Some(waited) = waited {
            waited.send_replace(Some(settled));
        }
    }

    /// The lease was lost: another gate may settle what is in flight here, and this one is not told.
    /// Whoever waits looks at the rows instead.
    pub(super) fn forget_in_flight(&self) {
        self.lock().in_flight.clear();
    }

    pub(super) fn recent(&self, batch_id: i64) -> Option<Arc<Settled>> {
        self.lock().recent.get(&batch_id).cloned()
    }

    /// The batch once it is terminal; `None` when it is not by the deadline.
    pub(super) async fn wait(
        &self,
        ground: &Ground,
        place: Place,
        deadline: Instant,
    ) -> Result<Option<Arc<Settled>>, Error> {
        loop {
            let waited = {
                let state = self.lock();
                if let Some(settled) = state.recent.get(&place.batch_id) {
                    return Ok(Some(settled.clone()));
                }
                state
                    .in_flight
                    .get(&place.batch_id)
                    .map(watch::Sender::subscribe)
            };
            if let Some(mut waited) = waited {
                let settled = waited.wait_for(Option::is_some);
                match tokio::time::timeout_at(deadline, settled).await {
                    Ok(Ok(settled)) => return Ok(settled.clone()),
                    Ok(Err(_)) => continue,
                    Err(_) => return Ok(None),
                }
            }
            let client = ground.db.get().await?;
            let settled = read(&client, place.day, place.batch_id).await?;
            drop(client);
            if let Some(settled) = settled {
                let settled = Arc::new(settled);
                self.lock().remember(settled.clone(), self.events_max);
                return Ok(Some(settled));
            }
            let next = Instant::now() + LOOK_EVERY;
            if next > deadline {
                return Ok(None);
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

impl State {
    fn remember(&mut self, settled: Arc<Settled>, events_max: usize) {
        self.n_events += settled.places.len().max(1);
        let batch_id = settled.batch_id;
        match self.recent.insert(batch_id, settled) {
            Some(before) => self.n_events -= before.places.len().max(1),
            None => self.order.push_back(batch_id),
        }
        while self.n_events > events_max && self.order.len() > 1 {
            let oldest = self.order.pop_front();
            if let Some(gone) = oldest.and_then(|it| self.recent.remove(&it)) {
                self.n_events -= gone.places.len().max(1);
            }
        }
    }
}
