//! The gate as a role: its options, its state, its tasks.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::attributes::Attributes;
use crate::contracts::decision_notice::DecisionWaiter;
use crate::contracts::groups;
use crate::domain::ids::PlatformRunId;
use crate::governance::counters::Counter;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::queue::Queue;
use crate::ingress::ig::rates::Rates;
use crate::ingress::ig::runs::Runs;
use crate::ingress::ig::settled::{Admitted, Batches};
use crate::ingress::ig::tokenise::Tokeniser;
use crate::ingress::ig::validate::Schemas;
use crate::ingress::ig::wait::Waits;
use crate::ingress::ig::{http, pipeline, receipts, resolver};
use crate::runtime::ground::Ground;
use crate::runtime::lease::{self, LEASE_MS, Lease, LeaseKey};
use crate::runtime::partitions::Partitions;
use crate::substrate::bus::RECORD_BYTES_MAX;
use crate::substrate::clock::Entropy;
use crate::substrate::tasks::Tasks;

/// What a record carries beside the envelope.
const RECORD_OVERHEAD_BYTES: usize = 1_024;
const RENEW_EVERY: Duration = Duration::from_millis(LEASE_MS as u64 / 4);
const TAKE_EVERY: Duration = Duration::from_millis(250);

const TABLES: &[&str] = &[
    "ig.batch",
    "ig.batch_count",
    "ig.event",
    "ig.batch_terminal",
    "ig.batch_ambiguous",
    "ig.quarantine",
    "ig.receipt_segment",
    "ig.receipt_write_failed",
];

/// The limits of a gate. They bound what it takes, never what a taken event means (L9).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Names the gate across restarts: 1 to 32 of `[a-z0-9-]`. Two processes never share it.
    pub gate_id: String,
    pub body_bytes_max: usize,
    /// How long a client may take to send a body.
    pub body_ms_max: u64,
    pub events_per_request_max: usize,
    pub event_bytes_max: usize,
    pub json_depth_max: usize,
    /// Bytes of bodies from their first byte until their events are on the bus.
    pub queue_bytes_max: usize,
    pub queue_events_max: usize,
    pub batch_events_max: usize,
    pub batch_bytes_max: usize,
    /// How long a request waits for its verdicts before it is told `PUBLISH_IN_FLIGHT`.
    pub request_ms_max: u64,
    /// What `Retry-After` says at least.
    pub retry_after_s: u32,
    /// Requests are refused while the oldest one in hand waits longer.
    pub backlog_ms_max: u64,
    /// Of one producer; none: no limit.
    pub producer_events_per_s: Option<NonZero<u32>>,
    /// How long `?wait=decision` waits where the request does not say, and at most.
    pub decision_wait_ms: u64,
    pub decision_wait_ms_max: u64,
    /// Events whose decisions are waited for, over all requests.
    pub decision_waits_max: usize,
    pub dedupe_horizon_days: u32,
    /// How far a live event may be ahead of the gate's clock.
    pub future_tolerance_ms: u64,
    /// How long after a takeover a put of the dead gate may still land; 0 where the gate and the
    /// bus die together.
    pub takeover_wait_ms: u64,
    /// How far the bus's clock may be behind the gate's.
    pub clock_skew_ms_max: u64,
    pub resolve_every_ms: u64,
    /// A receipt segment is written when this many wait, or after the idle time.
    pub segment_receipts_min: usize,
    pub segment_idle_ms: u64,
    /// Settled events that are remembered for repeats.
    pub recent_events_max: usize,
    /// How long a drain tries before it leaves work for the next start.
    pub drain_ms_max: u64,
    /// What payments may carry in `attributes`; none: any names and types.
    pub attributes: Option<Attributes>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            gate_id: "gate-0".to_owned(),
            body_bytes_max: 8 << 20,
            body_ms_max: 30_000,
            events_per_request_max: 5_000,
            event_bytes_max: 256 << 10,
            json_depth_max: 16,
            queue_bytes_max: 64 << 20,
            queue_events_max: 40_000,
            batch_events_max: 4_000,
            batch_bytes_max: 8 << 20,
            request_ms_max: 10_000,
            retry_after_s: 1,
            backlog_ms_max: 5_000,
            producer_events_per_s: None,
            decision_wait_ms: 5_000,
            decision_wait_ms_max: 30_000,
            decision_waits_max: 4_096,
            dedupe_horizon_days: 30,
            future_tolerance_ms: 300_000,
            takeover_wait_ms: 0,
            clock_skew_ms_max: 5_000,
            resolve_every_ms: 1_000,
            segment_receipts_min: 2_000,
            segment_idle_ms: 1_000,
            recent_events_max: 100_000,
            drain_ms_max: 20_000,
            attributes: None,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        let legal_name = (1..=32).contains(&self.gate_id.len())
            && self
                .gate_id
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
        let rules = [
            (legal_name, "gate_id is 1 to 32 of [a-z0-9-]"),
            (
                self.event_bytes_max + RECORD_OVERHEAD_BYTES <= RECORD_BYTES_MAX,
                "event_bytes_max must leave room in a record of the bus",
            ),
            (
                self.body_bytes_max <= self.queue_bytes_max,
                "queue_bytes_max must hold one body",
            ),
            (
                self.events_per_request_max <= self.queue_events_max,
                "queue_events_max must hold one request",
            ),
            (
                self.queue_bytes_max < u32::MAX as usize,
                "queue_bytes_max must be below 4 GiB",
            ),
            (
                self.decision_wait_ms <= self.decision_wait_ms_max,
                "decision_wait_ms must not pass decision_wait_ms_max",
            ),
            (
                0 < self.batch_events_max && 0 < self.dedupe_horizon_days,
                "batch_events_max and dedupe_horizon_days must not be 0",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(Error::Options((*rule).to_owned())),
        }
    }
}

/// The gate. Shared by its handlers and tasks.
pub struct Ig {
    pub(super) options: Options,
    pub(super) ground: Ground,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) tokeniser: Tokeniser,
    pub(super) schemas: Schemas,
    pub(super) runs: Runs,
    pub(super) queue: Queue,
    pub(super) rates: Rates,
    /// As many bodies are decompressed at once as there are cores: what each holds meanwhile is no
    /// room of the queue yet.
    pub(super) decoders: Arc<Semaphore>,
    pub(super) batches: Batches,
    pub(super) waits: Waits,
    pub(super) receipts: receipts::Pending,
    pub(super) partitions: Partitions,
    pub(super) resolve_now: Notify,
    /// Requests are refused.
    pub(super) stopping: CancellationToken,
    /// The drain took too long: what is left waits for the next start.
    pub(super) give_up: CancellationToken,
    held: watch::Sender<Option<Held>>,
}

/// The lease in hand.
#[derive(Clone)]
struct Held {
    lease: Lease,
    since: Instant,
}

/// An epoch, and when it was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch {
    pub(super) epoch: i64,
    pub(super) since: Instant,
}

impl Ig {
    /// # Errors
    /// [`Error::Options`] when the limits contradict one another.
    pub fn create(
        options: Options,
        ground: Ground,
        entropy: Arc<dyn Entropy>,
        token_key: [u8; 32],
        decisions: Arc<dyn DecisionWaiter>,
    ) -> Result<Arc<Ig>, Error> {
        options.check()?;
        let mut ground = ground.acting_as("svc:ig");
        // A receipt is read back from rows that hold neither.
        ground.stamps.bundle_slot = None;
        ground.stamps.tenant_id = None;
        Ok(Arc::new(Ig {
            decoders: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
            )),
            queue: Queue::new(
                options.queue_bytes_max,
                options.queue_events_max,
                Duration::from_millis(options.backlog_ms_max),
            ),
            rates: Rates::new(
                options.producer_events_per_s,
                options.events_per_request_max,
            ),
            batches: Batches::new(options.recent_events_max),
            waits: Waits::new(decisions, options.decision_waits_max),
            receipts: receipts::Pending::default(),
            schemas: Schemas::compile(options.attributes.as_ref()),
            options,
            ground,
            entropy,
            tokeniser: Tokeniser::new(token_key),
            runs: Runs::default(),
            partitions: Partitions::of(TABLES),
            resolve_now: Notify::new(),
            stopping: CancellationToken::new(),
            give_up: CancellationToken::new(),
            held: watch::Sender::new(None),
        }))
    }

    /// Starts the tasks; a second call does nothing. On stop they refuse requests, finish what is
    /// queued, write its receipts and release the leases.
    pub fn start(self: &Arc<Self>, tasks: &mut Tasks) {
        let Some(jobs) = self.queue.receiver() else {
            return;
        };
        let stop = tasks.stop_token();
        let (to_publish, publish) = mpsc::channel(pipeline::STAGE_BATCHES_MAX);
        let (to_finish, finish) = mpsc::channel(pipeline::STAGE_BATCHES_MAX);
        // Cancelled when the last terminal row is written; then when the last receipt is.
        let (finished, drained) = (CancellationToken::new(), CancellationToken::new());
        tasks.spawn(
            "ig admit",
            pipeline::admit(self.clone(), jobs, to_publish, stop.clone()),
        );
        tasks.spawn(
            "ig publish",
            pipeline::publish(self.clone(), publish, to_finish),
        );
        let (ig, done) = (self.clone(), finished.clone().drop_guard());
        tasks.spawn("ig finish", async move {
            pipeline::finish(ig, finish).await;
            drop(done);
        });
        let (ig, done) = (self.clone(), drained.clone().drop_guard());
        tasks.spawn("ig receipts", async move {
            receipts::run(ig, finished).await;
            drop(done);
        });
        tasks.spawn("ig resolver", resolver::run(self.clone(), stop.clone()));
        tasks.spawn("ig stop", watch_stop(self.clone(), stop, drained.clone()));
        tasks.spawn("ig lease", keep_lease(self.clone(), drained));
    }

    /// The routes, below the process's own.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        http::api().with_state(self.clone())
    }

    /// Whether the gate holds its lease and takes events.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.held.borrow().is_some() && !self.stopping.is_cancelled()
    }

    /// Has the resolver look at open batches now, and not when its time comes.
    pub fn resolve_now(&self) {
        self.resolve_now.notify_one();
    }

    /// The epoch in hand, waiting for it; `None` when the gate gives up.
    pub(super) async fn epoch(&self) -> Option<i64> {
        let mut held = self.held.subscribe();
        tokio::select! {
            held = held.wait_for(Option::is_some) => held.ok()?.as_ref().map(|it| it.lease.epoch),
            () = self.give_up.cancelled() => None,
        }
    }

    /// The epoch in hand, if there is one now.
    pub(super) fn held(&self) -> Option<Epoch> {
        self.held.borrow().as_ref().map(|it| Epoch {
            epoch: it.lease.epoch,
            since: it.since,
        })
    }

    /// Counts events under their runs.
    pub(super) async fn count(&self, events: &[Admitted], counter: Counter) {
        let mut by_run: BTreeMap<PlatformRunId, u64> = BTreeMap::new();
        for event in events {
            *by_run.entry(event.run).or_default() += 1;
        }
        for (run, n) in by_run {
            if let Ok(Some(run)) = self.runs.find(&self.ground, run).await {
                self.ground.counters.add(run.pins(), counter, n);
            }
        }
    }
}

/// From the stop on requests are refused; a drain that does not end is cut short.
async fn watch_stop(ig: Arc<Ig>, stop: CancellationToken, drained: CancellationToken) {
    stop.cancelled().await;
    ig.stopping.cancel();
    let limit = Duration::from_millis(ig.options.drain_ms_max);
    if tokio::time::timeout(limit, drained.cancelled())
        .await
        .is_err()
    {
        tracing::warn!("the gate's drain took too long; the next start goes on");
        ig.give_up.cancel();
    }
}

/// Takes the lease, keeps it, takes it again when it was lost; releases it after the drain.
async fn keep_lease(ig: Arc<Ig>, drained: CancellationToken) {
    let key = LeaseKey::new(groups::IG, ig.options.gate_id.clone());
    loop {
        let wait = match hold(&ig, &key).await {
            Ok(true) => RENEW_EVERY,
            Ok(false) => TAKE_EVERY,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the gate's lease is not renewed; trying again");
                TAKE_EVERY
            }
        };
        if tokio::time::timeout(wait, drained.cancelled())
            .await
            .is_ok()
        {
            break;
        }
    }
    if let Some(held) = ig.held.send_replace(None)
        && let Err(error) = release(&ig, &held.lease).await
    {
        tracing::warn!(error = %error.chain(), "the gate's lease was not released; it expires");
    }
}

/// Renews the lease in hand, or takes a free one; says whether one is in hand.
async fn hold(ig: &Ig, key: &LeaseKey) -> Result<bool, Error> {
    let client = ig.ground.db.get().await?;
    let held = ig.held.borrow().clone();
    if let Some(Held { lease, .. }) = held {
        match lease.renew(&client, None).await {
            Ok(()) => return Ok(true),
            Err(lease::Error::Lost { .. }) => {
                tracing::warn!(epoch = lease.epoch, "the gate lost its lease");
                ig.held.send_replace(None);
                ig.batches.forget_in_flight();
            }
            Err(error) => return Err(error.into()),
        }
    }
    let taken = key.take(&client, &ig.ground.holder, "").await?;
    let is_taken = taken.is_some();
    if let Some(lease) = taken {
        let since = Instant::now();
        ig.held.send_replace(Some(Held { lease, since }));
        ig.resolve_now.notify_one();
    }
    Ok(is_taken)
}

async fn release(ig: &Ig, lease: &Lease) -> Result<(), Error> {
    lease.release(&ig.ground.db.get().await?).await?;
    Ok(())
}
