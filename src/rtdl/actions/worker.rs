//! One executor's worker: claims what is due, keeps a bounded number of calls under way, and records what has
//! ended since the last record, all at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::ActionIntentId;
use crate::governance::counters::Counter;
use crate::rtdl::actions::breaker::{Breaker, State};
use crate::rtdl::actions::executor::{Executor, Tried};
use crate::rtdl::actions::next::{self, Next, Patience};
use crate::rtdl::actions::store::{self, Claimed, Finished};
use crate::rtdl::actions::{Error, Options};
use crate::runtime::ground::Ground;
use crate::runtime::lease::Lease;
use crate::substrate::clock::Entropy;
use crate::substrate::db;

/// A third of the lease: two renewals may fail before it lapses.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// How long a due action waits at most for a worker that has nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(200);
/// Claimed at once: so many times what may be under way.
const CLAIM_ROUNDS: usize = 4;
/// A record that the database does not take is tried so often; then what it says is found out again, by the
/// same calls under the same keys.
const RECORD_TRIES_MAX: u32 = 20;

pub(super) struct Worker {
    pub(super) ground: Ground,
    pub(super) options: Options,
    pub(super) executor: Arc<Executor>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) lease: Lease,
    breaker: Breaker,
    /// Executor and epoch: whose claims these are.
    claimant: String,
    claimed: VecDeque<Claimed>,
    calls: JoinSet<Called>,
    renewed: Instant,
}

/// A call that has ended.
struct Called {
    claimed: Claimed,
    tried: Tried,
    started_at: crate::domain::time::Time,
}

impl Worker {
    pub(super) fn new(
        ground: Ground,
        options: Options,
        executor: Arc<Executor>,
        entropy: Arc<dyn Entropy>,
        lease: Lease,
    ) -> Worker {
        Worker {
            claimant: format!("{}/{}", executor.name(), lease.epoch),
            breaker: Breaker::new(options.breaker),
            ground,
            options,
            executor,
            entropy,
            lease,
            claimed: VecDeque::new(),
            calls: JoinSet::new(),
            renewed: Instant::now(),
        }
    }

    /// Works until stopped; then what is under way ends and is recorded, and the lease is released. What is
    /// only logged is worked off to the last.
    pub(super) async fn work(mut self, stop: CancellationToken) -> Result<(), Error> {
        let ends_empty = matches!(*self.executor, Executor::Log { .. });
        loop {
            let is_stopping = stop.is_cancelled();
            let room = match is_stopping && !ends_empty {
                true => 0,
                false => self.begin().await?,
            };
            if self.calls.is_empty() && (is_stopping || room == 0) {
                self.give_back().await?;
                if is_stopping {
                    break;
                }
            }
            let called = self.ended(&stop).await;
            self.record(called).await?;
            if self.renewed.elapsed() >= RENEW_EVERY {
                let client = self.ground.db.get().await?;
                self.lease.renew(&client, None).await?;
                self.renewed = Instant::now();
            }
        }
        self.lease.release(&self.ground.db.get().await?).await?;
        Ok(())
    }

    /// Begins as many calls as there is room and work for. Returns the room.
    async fn begin(&mut self) -> Result<usize, Error> {
        let now = self.ground.clock.now();
        let room = self.breaker.room(now, self.options.calls_max);
        if room > 0 && self.claimed.is_empty() && self.calls.len() < room {
            let rounds = match self.breaker.state() {
                State::Closed { .. } => room * CLAIM_ROUNDS,
                State::Open { .. } | State::HalfOpen => 1,
            };
            self.claim(now, rounds).await?;
        }
        while self.calls.len() < room {
            let Some(claimed) = self.claimed.pop_front() else {
                break;
            };
            let (executor, started_at) = (Arc::clone(&self.executor), self.ground.clock.now());
            self.calls.spawn(async move {
                let (no, body) = (claimed.attempt_no, claimed.body.clone());
                let tried = executor
                    .attempt(&claimed.intent, no, body, started_at)
                    .await;
                Called {
                    claimed,
                    tried,
                    started_at,
                }
            });
        }
        Ok(room)
    }

    async fn claim(&mut self, now: crate::domain::time::Time, limit: usize) -> Result<(), Error> {
        let client = self.ground.db.get().await?;
        let mut types = store::open_types(&client).await?;
        types.retain(|it| self.executor.takes(it));
        if !types.is_empty() {
            let (lease, claimant) = (&self.lease, &self.claimant);
            let claimed = store::claim(&client, lease, claimant, &types, now, limit).await?;
            self.claimed.extend(claimed);
        }
        Ok(())
    }

    /// What is claimed while nothing may be called: whoever comes next takes it at once.
    async fn give_back(&mut self) -> Result<(), Error> {
        if !self.claimed.is_empty() {
            let client = self.ground.db.get().await?;
            store::unclaim(&client, &self.claimant, self.claimed.iter()).await?;
            self.claimed.clear();
        }
        Ok(())
    }

    /// What has ended since it was asked last: at least one, or nothing after a while.
    async fn ended(&mut self, stop: &CancellationToken) -> Vec<Called> {
        let mut called = Vec::new();
        let first = tokio::select! {
            Some(ended) = self.calls.join_next() => Some(ended),
            () = tokio::time::sleep(IDLE_WAIT) => None,
            () = stop.cancelled(), if !stop.is_cancelled() => None,
        };
        let mut next = first;
        while let Some(ended) = next {
            // A call that panicked is a law broken: it shows where the worker is joined.
            called
                .push(ended.unwrap_or_else(|cause| std::panic::resume_unwind(cause.into_panic())));
            next = self.calls.try_join_next();
        }
        called
    }

    async fn record(&mut self, called: Vec<Called>) -> Result<(), Error> {
        if called.is_empty() {
            return Ok(());
        }
        let now = self.ground.clock.now();
        let patience: Patience = self.options.patience();
        let mut finished: Vec<Finished> = called
            .into_iter()
            .map(|it| Finished {
                next: next::next(patience, it.claimed.failures, &it.tried, now, self.draw()),
                claimed: it.claimed,
                tried: it.tried,
                started_at: it.started_at,
                ended_at: now,
            })
            .collect();
        for it in &finished {
            self.heard(now, it.tried.is_ill);
        }
        finished.sort_by_key(|it| it.claimed.intent.action_intent_id);
        let moved = self.recorded(&finished.iter().collect::<Vec<_>>()).await?;
        for it in &finished {
            let intent = &it.claimed.intent;
            let counter = match it.next {
                _ if !moved.contains(&intent.action_intent_id) => continue,
                Next::Done => Counter::ActionSuccess,
                Next::Dead { .. } => Counter::ActionFailed,
                Next::Again { .. } => continue,
            };
            self.ground.counters.add(&intent.pins, counter, 1);
        }
        Ok(())
    }

    async fn recorded(
        &self,
        finished: &[&Finished],
    ) -> Result<std::collections::BTreeSet<ActionIntentId>, Error> {
        let mut tries = 0;
        loop {
            let name = self.executor.name();
            match store::record(&self.ground, name, &self.claimant, finished).await {
                Err(Error::Db(cause)) if tries < RECORD_TRIES_MAX && again(&cause) => {
                    tries += 1;
                    tracing::warn!(executor = name, tries, error = %cause, "attempts were not recorded; it tries again");
                    tokio::time::sleep(Duration::from_millis(20 << tries.min(6))).await;
                }
                other => return other,
            }
        }
    }

    fn heard(&mut self, now: crate::domain::time::Time, is_ill: bool) {
        let before = self.breaker.state();
        self.breaker.heard(now, is_ill);
        let name = self.executor.name();
        match (before, self.breaker.state()) {
            (State::Closed { .. }, State::Open { .. }) => {
                tracing::warn!(endpoint = name, "endpoint is not well; its breaker opens");
            }
            (State::HalfOpen, State::Closed { .. }) => {
                tracing::warn!(
                    endpoint = name,
                    "endpoint is well again; its breaker closes"
                );
            }
            _ => {}
        }
    }

    fn draw(&self) -> u64 {
        let mut bytes = [0u8; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

fn again(cause: &db::Error) -> bool {
    cause.is_retryable() || cause.outcome_unknown()
}
