//! The job: READY, then the world in order over the lanes, paced or not, with a barrier a period
//! in lockstep.

use std::hash::Hasher;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::groups::WSP;
use crate::contracts::ready::{Ready, WorldFacts};
use crate::contracts::world::Arrival;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position};
use crate::domain::time::Time;
use crate::domain::vocabulary::FactType;
use crate::governance::counters::Counter;
use crate::ingress::world::WorldReader;
use crate::ingress::wsp::client::Gate;
use crate::ingress::wsp::cursor::Cursor;
use crate::ingress::wsp::lane::{Done, Lane, Refusal};
use crate::ingress::wsp::{Error, ready, store};
use crate::runtime::ground::Ground;
use crate::runtime::lease::{Lease, LeaseKey};
use crate::substrate::meter;

/// How a world is streamed. None of it changes what is decided (L9).
#[derive(Debug, Clone)]
pub struct Options {
    /// Event time per wall time; `None` as fast as the gate takes it.
    pub speedup: Option<f64>,
    /// Lanes, each with one request in flight; a customer's payments stay in one lane.
    pub concurrency: usize,
    /// Wait after each period of event time until everything sent has been passed.
    pub lockstep: Option<Duration>,
    /// Stop after this many arrivals of the world, leaving the run open.
    pub limit: Option<i64>,
    /// Arrivals in one request.
    pub arrivals_per_request: usize,
}

/// What was sent, as `wsp stream --json` prints it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub platform_run_id: String,
    pub arrivals: i64,
    pub events: u64,
    pub duplicates: u64,
    pub retries: u64,
    pub refused: u64,
    pub wall_s: f64,
    pub events_per_s: f64,
    /// Whether the end of the world was reached and RUN_ENDED said.
    pub ended: bool,
}

/// Arrivals decoded at a time.
const READ_ARRIVALS: usize = 4_096;
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long a period may take to be passed by everyone.
const PASS_MAX: Duration = Duration::from_secs(300);

/// Streams the world of `run` to the gate. Goes on where an earlier call stopped.
///
/// # Errors
/// [`Error`]; the place reached is saved, so the same call goes on from there.
pub async fn stream(
    ground: &Ground,
    gate: &Gate,
    run: &PlatformRunId,
    options: &Options,
    progress: &(dyn Fn(i64, i64) + Send + Sync),
    stop: &CancellationToken,
) -> Result<Report, Error> {
    let ground = &ground.acting_as("svc:wsp");
    let (ready, facts) = ready::find(ground, run).await?;
    let world = facts.world.ok_or(Error::NoWorld { run: *run })?;
    let natural_key = run.to_string();
    let fact = |fact_type| ground.fact(fact_type, &[&natural_key], Some(*run));
    store::say(ground, fact(FactType::RunReadySeen)).await?;
    let key = LeaseKey::new(WSP, run.to_string());
    let lease = key
        .take(&ground.db.get().await?, &ground.holder, "0")
        .await?;
    let lease = lease.ok_or(Error::Busy { run: *run })?;
    store::say(ground, fact(FactType::RunStarted)).await?;

    let end = options.limit.map_or(world.arrivals_count, |limit| {
        limit.min(world.arrivals_count)
    });
    let next: i64 = lease.position.parse().unwrap_or(0);
    let begun = Instant::now();
    let streamer = Streamer {
        ground,
        gate,
        ready: &ready,
        options,
        lease,
        cursor: Cursor::at(next),
        saved: begun,
        reached: Basis::default(),
        in_flight: 0,
        report: Report {
            platform_run_id: run.to_string(),
            ..Report::default()
        },
        refusals: Vec::new(),
        progress,
        end,
    };
    let mut report = streamer.run(&world, next, stop).await?;
    report.wall_s = begun.elapsed().as_secs_f64();
    report.events_per_s = report.events as f64 / report.wall_s.max(1e-9);
    if end == world.arrivals_count {
        store::say(ground, fact(FactType::RunEnded)).await?;
        report.ended = true;
    }
    Ok(report)
}

struct Streamer<'a> {
    ground: &'a Ground,
    gate: &'a Gate,
    ready: &'a Ready,
    options: &'a Options,
    lease: Lease,
    cursor: Cursor,
    saved: Instant,
    /// The furthest place of each shard that a receipt named.
    reached: Basis,
    in_flight: usize,
    report: Report,
    refusals: Vec<Refusal>,
    progress: &'a (dyn Fn(i64, i64) + Send + Sync),
    end: i64,
}

/// The lanes and where they report.
struct Lanes {
    work: Vec<mpsc::Sender<Vec<Arrival>>>,
    done: mpsc::Receiver<Result<Done, Error>>,
    tasks: JoinSet<()>,
}

impl Streamer<'_> {
    async fn run(
        mut self,
        world: &WorldFacts,
        from: i64,
        stop: &CancellationToken,
    ) -> Result<Report, Error> {
        let mut lanes = self.lanes(stop);
        let result = self.feed(&mut lanes, world, from, stop).await;
        drop(std::mem::take(&mut lanes.work));
        let mut drained = result;
        while self.in_flight > 0 && drained.is_ok() {
            drained = self.absorb(&mut lanes).await;
        }
        store::save(self.ground, &mut self.lease, self.cursor.next()).await?;
        self.lease.release(&self.ground.db.get().await?).await?;
        lanes.tasks.shutdown().await;
        drained?;
        if stop.is_cancelled() && self.cursor.next() < self.end {
            return Err(Error::Stopped {
                at: self.cursor.next(),
            });
        }
        self.report.arrivals = self.cursor.next() - from;
        match self.refusals.first() {
            None => Ok(self.report),
            Some(first) => Err(Error::Refused {
                refused: self.report.refused,
                event_id: first.event_id.clone(),
                code: first.code.clone(),
                detail: first.detail.clone(),
            }),
        }
    }

    fn lanes(&self, stop: &CancellationToken) -> Lanes {
        let n_lanes = self.options.concurrency.max(1);
        let (report, done) = mpsc::channel(n_lanes * 2);
        let mut tasks = JoinSet::new();
        let work = (0..n_lanes).map(|_| {
            // One request in flight and one ready: a lane never waits for the reader.
            let (work, receiver) = mpsc::channel(1);
            let lane = Lane {
                gate: self.gate.clone(),
                pins: self.ready.pins.clone(),
                work: receiver,
                report: report.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(meter::task("streamer", lane.run()));
            work
        });
        Lanes {
            work: work.collect(),
            done,
            tasks,
        }
    }

    async fn feed(
        &mut self,
        lanes: &mut Lanes,
        world: &WorldFacts,
        from: i64,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut reader = WorldReader::open(self.ground.objects.clone(), world.clone(), from);
        let mut waiting: Vec<Vec<Arrival>> = vec![Vec::new(); lanes.work.len()];
        let mut pace = Pace::new(self.options.speedup);
        let mut period_end: Option<Time> = None;
        loop {
            let arrivals = reader.next(READ_ARRIVALS).await?;
            if arrivals.is_empty() {
                break;
            }
            for arrival in arrivals {
                if arrival.index >= self.end || stop.is_cancelled() {
                    return self.send_rest(lanes, &mut waiting).await;
                }
                if self.is_period_over(&mut period_end, arrival.ts_utc) {
                    self.send_rest(lanes, &mut waiting).await?;
                    self.pass(lanes, stop).await?;
                    // The next period begins when this one has been passed, and not otherwise.
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                }
                if pace.is_ahead(arrival.ts_utc) {
                    self.send_rest(lanes, &mut waiting).await?;
                    pace.wait(arrival.ts_utc, stop).await;
                }
                let lane = lane_of(&arrival, lanes.work.len());
                waiting[lane].push(arrival);
                if waiting[lane].len() >= self.options.arrivals_per_request {
                    let full = std::mem::take(&mut waiting[lane]);
                    self.send(lanes, lane, full).await?;
                }
            }
        }
        self.send_rest(lanes, &mut waiting).await?;
        if self.options.lockstep.is_some() {
            self.pass(lanes, stop).await?;
        }
        Ok(())
    }

    async fn send_rest(
        &mut self,
        lanes: &mut Lanes,
        waiting: &mut [Vec<Arrival>],
    ) -> Result<(), Error> {
        for (lane, arrivals) in waiting.iter_mut().enumerate() {
            if !arrivals.is_empty() {
                self.send(lanes, lane, std::mem::take(arrivals)).await?;
            }
        }
        Ok(())
    }

    /// Hands a request to its lane; while the lane is busy, absorbs what others report.
    async fn send(
        &mut self,
        lanes: &mut Lanes,
        lane: usize,
        arrivals: Vec<Arrival>,
    ) -> Result<(), Error> {
        let sender = lanes.work[lane].clone();
        loop {
            tokio::select! {
                permit = sender.reserve() => {
                    let Ok(permit) = permit else { return self.absorb(lanes).await };
                    permit.send(arrivals);
                    self.in_flight += 1;
                    return Ok(());
                }
                Some(result) = lanes.done.recv() => self.take(result?).await?,
            }
        }
    }

    async fn absorb(&mut self, lanes: &mut Lanes) -> Result<(), Error> {
        match lanes.done.recv().await {
            Some(result) => self.take(result?).await,
            None => Err(Error::Stopped {
                at: self.cursor.next(),
            }),
        }
    }

    async fn take(&mut self, done: Done) -> Result<(), Error> {
        self.in_flight -= 1;
        done.indexes
            .iter()
            .for_each(|index| self.cursor.done(*index));
        self.report.events += done.events;
        self.report.duplicates += done.duplicates;
        self.report.retries += done.retries;
        self.report.refused += done.refused.len() as u64;
        self.refusals.extend(done.refused.into_iter().take(1));
        self.refusals.truncate(10);
        merge(&mut self.reached, &done.reached);
        self.ground
            .counters
            .add(&self.ready.pins, Counter::WspSent, done.events);
        (self.progress)(self.cursor.next(), self.end);
        if self.saved.elapsed() >= SAVE_EVERY {
            self.saved = Instant::now();
            store::save(self.ground, &mut self.lease, self.cursor.next()).await?;
        }
        Ok(())
    }

    fn is_period_over(&self, period_end: &mut Option<Time>, ts: Time) -> bool {
        let Some(period) = self.options.lockstep else {
            return false;
        };
        let micros = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
        let end_of = |ts: Time| Time::from_micros((ts.micros().div_euclid(micros) + 1) * micros);
        let is_over = period_end.is_some_and(|end| ts >= end);
        if is_over || period_end.is_none() {
            *period_end = Some(end_of(ts));
        }
        is_over
    }

    /// Waits until every group has passed everything that was sent, or until stopped.
    async fn pass(&mut self, lanes: &mut Lanes, stop: &CancellationToken) -> Result<(), Error> {
        while self.in_flight > 0 {
            self.absorb(lanes).await?;
        }
        tokio::select! {
            passed = self.passed() => passed,
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn passed(&self) -> Result<(), Error> {
        let run = self.ready.pins.platform_run_id;
        let begun = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            self.gate.flush(&run).await;
            let progress = self.gate.progress(&run).await?;
            if progress
                .as_ref()
                .is_some_and(|progress| progress.has_passed(&self.reached))
            {
                return Ok(());
            }
            if begun.elapsed() > PASS_MAX {
                let behind = format!("{progress:?}");
                return Err(Error::Behind {
                    waited_s: PASS_MAX.as_secs(),
                    behind,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// A customer's payments stay in one lane, so that they reach the bus in order.
fn lane_of(arrival: &Arrival, n_lanes: usize) -> usize {
    let key = arrival
        .entities
        .customer_id
        .as_deref()
        .unwrap_or(&arrival.merchant_id);
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(key.as_bytes());
    usize::try_from(hasher.finish() % n_lanes as u64).unwrap_or(0)
}

fn merge(reached: &mut Basis, more: &Basis) {
    for (shard, position) in &more.0 {
        let known = reached.0.entry(shard.clone()).or_insert(Position::Start);
        if !known.reaches(position) {
            *known = position.clone();
        }
    }
}

/// Keeps event time at `speedup` times wall time.
struct Pace {
    speedup: Option<f64>,
    begun: Option<(Instant, Time)>,
}

impl Pace {
    fn new(speedup: Option<f64>) -> Pace {
        Pace {
            speedup,
            begun: None,
        }
    }

    /// When an event of this time is due.
    fn due(&mut self, ts: Time) -> Option<Instant> {
        let speedup = self.speedup?;
        let (begun, first) = *self.begun.get_or_insert_with(|| (Instant::now(), ts));
        let elapsed_us = (ts.micros() - first.micros()).max(0) as f64 / speedup;
        Some(begun + Duration::from_micros(elapsed_us as u64))
    }

    fn is_ahead(&mut self, ts: Time) -> bool {
        self.due(ts).is_some_and(|due| due > Instant::now())
    }

    async fn wait(&mut self, ts: Time, stop: &CancellationToken) {
        let Some(due) = self.due(ts) else { return };
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = stop.cancelled() => {}
        }
    }
}
