//! The Action Layer as a part of the role `decision`: keeps a worker on every executor that it can lease.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::action_intent::IntentType;
use crate::contracts::groups::ACTIONS;
use crate::rtdl::actions::Error;
use crate::rtdl::actions::backoff::Bounds;
use crate::rtdl::actions::breaker::Limits;
use crate::rtdl::actions::executor::{Endpoint, Executor};
use crate::rtdl::actions::next::Patience;
use crate::rtdl::actions::worker::Worker;
use crate::runtime::ground::Ground;
use crate::runtime::lease::LeaseKey;
use crate::substrate::clock::Entropy;
use crate::substrate::db;
use crate::substrate::tasks::Tasks;

const FORGET: &str = include_str!("sql/forget_left.sql");
const COUNT_OPEN: &str = include_str!("sql/count_open_logged.sql");

const LOOK_EVERY: Duration = Duration::from_millis(500);
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// What the Action Layer may be told. Endpoints stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub attempts_max: u32,
    pub backoff_ms_first: u64,
    pub backoff_ms_max: u64,
    /// Under way at once, at one endpoint.
    pub calls_max: usize,
    pub breaker: Limits,
}

impl Options {
    pub(super) fn patience(&self) -> Patience {
        Patience {
            attempts_max: self.attempts_max,
            bounds: Bounds {
                first_ms: self.backoff_ms_first,
                ms_max: self.backoff_ms_max,
            },
        }
    }
}

/// The Action Layer of one process.
pub struct Actions {
    ground: Ground,
    options: Options,
    executors: Vec<Arc<Executor>>,
    entropy: Arc<dyn Entropy>,
}

impl Actions {
    #[must_use]
    pub fn create(
        options: Options,
        endpoints: Vec<Endpoint>,
        ground: &Ground,
        entropy: Arc<dyn Entropy>,
    ) -> Actions {
        let routed = endpoints.iter().flat_map(|it| it.intent_types.iter());
        let log = Executor::Log {
            routed: routed.cloned().collect(),
        };
        let webhooks = endpoints.into_iter().map(Executor::Webhook);
        Actions {
            ground: ground.acting_as("svc:decision"),
            options,
            executors: webhooks.chain([log]).map(Arc::new).collect(),
            entropy,
        }
    }

    /// Starts a task an executor; each ends soon after the stop.
    pub fn start(self: Arc<Self>, tasks: &mut Tasks) {
        let stop = tasks.stop_token();
        tasks.spawn("actions", async move { self.tend(stop).await });
    }

    /// Keeps a worker on every executor that no other process has.
    async fn tend(&self, stop: CancellationToken) {
        let mut workers: JoinSet<(usize, Result<(), Error>)> = JoinSet::new();
        let mut held = vec![false; self.executors.len()];
        let mut forgot: Option<Instant> = None;
        loop {
            if stop.is_cancelled() && workers.is_empty() {
                return;
            }
            if !stop.is_cancelled()
                && let Err(error) = self.take_free(&mut held, &mut workers, &stop).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no executor was leased; it tries again"
                );
            }
            if forgot.is_none_or(|it| it.elapsed() >= FORGET_EVERY) && !stop.is_cancelled() {
                forgot = Some(Instant::now());
                self.forget().await;
            }
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    let Ok((at, result)) = ended else {
                        tracing::error!("a worker of actions panicked: a law was broken");
                        stop.cancel();
                        continue;
                    };
                    held[at] = false;
                    if let Err(error) = result {
                        tracing::warn!(
                            executor = self.executors[at].name(),
                            error = &error as &dyn std::error::Error,
                            "worker of actions ended; its calls are made again"
                        );
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    async fn take_free(
        &self,
        held: &mut [bool],
        workers: &mut JoinSet<(usize, Result<(), Error>)>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let free = (0..held.len()).filter(|at| !held[*at]);
        for at in free.collect::<Vec<_>>() {
            let executor = Arc::clone(&self.executors[at]);
            let client = self.ground.db.get().await?;
            let key = LeaseKey::new(ACTIONS, executor.name());
            let Some(lease) = key.take(&client, &self.ground.holder, "-").await? else {
                continue;
            };
            let (ground, entropy) = (self.ground.clone(), Arc::clone(&self.entropy));
            let worker = Worker::new(ground, self.options, executor, entropy, lease);
            held[at] = true;
            let stop = stop.child_token();
            workers.spawn(async move { (at, Box::pin(worker.work(stop)).await) });
        }
        Ok(())
    }

    async fn forget(&self) {
        let forgotten = async {
            let client = self.ground.db.get().await?;
            Ok::<_, db::Error>(client.execute(FORGET, &[]).await?)
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(error = %error, "old actions were not forgotten; it tries again");
        }
    }
}

/// Open actions that are only logged: whoever drains waits for them, as they wait for nobody.
///
/// # Errors
/// Those of the database.
pub async fn open_logged(ground: &Ground, routed: &BTreeSet<IntentType>) -> Result<i64, db::Error> {
    let routed: Vec<&str> = routed.iter().map(IntentType::as_str).collect();
    let client = ground.db.get().await?;
    Ok(client.query_one(COUNT_OPEN, &[&routed]).await?.get(0))
}
