//! Finds the runs that have traffic to decide and keeps one worker on each, under its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::contracts::decision_notice::DecisionWaiter;
use crate::contracts::groups::DECISION;
use crate::contracts::ready::Ready;
use crate::contracts::run_position::RunPosition;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId};
use crate::domain::keys::Pins;
use crate::domain::vocabulary::Stream;
use crate::engine::bundle::CompiledBundle;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::adopt::Resolving;
use crate::rtdl::decision::anchor::Anchors;
use crate::rtdl::decision::bundles::Bundles;
use crate::rtdl::decision::labels::Labels;
use crate::rtdl::decision::ladder::Thresholds;
use crate::rtdl::decision::looks::{Looked, Looks};
use crate::rtdl::decision::memory::Memory;
use crate::rtdl::decision::posture::{RunPosture, StoreErrors};
use crate::rtdl::decision::shadow::Shadows;
use crate::rtdl::decision::told::{Told, Waiter};
use crate::rtdl::decision::warm::WarmUps;
use crate::rtdl::decision::worker::Worker;
use crate::rtdl::decision::{join, snapshot, store};
use crate::runtime::ground::Ground;
use crate::runtime::lease::LeaseKey;
use crate::runtime::partitions::Partitions;
use crate::substrate::tasks::Tasks;
use crate::substrate::{db, meter};

const LIST_RUNS: &str = include_str!("sql/list_open_runs.sql");
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the decision role may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub batch_records_max: usize,
    pub batch_bytes_max: usize,
    /// How long a decision waits for context, from its admission.
    pub join_wait_ms: u64,
    pub posture: Thresholds,
    /// Of so many decisions the memory is written out at most once.
    pub snapshot_decisions: i64,
    pub memory: Memory,
    /// How often the log is looked at for decisions that somebody waits for and nobody told of.
    pub look_ms: u64,
}

/// The role; one a process.
pub struct Decision {
    ground: Ground,
    options: Options,
    bundles: Arc<Bundles>,
    shadows: Shadows,
    looked: Looked,
    told: Arc<Told>,
}

/// A run that is looked after.
struct Tended {
    is_over: Arc<AtomicBool>,
    store_errors: Arc<StoreErrors>,
    is_working: bool,
    is_done: bool,
}

/// A run as it was found.
struct Run {
    ready: Ready,
    is_over: Arc<AtomicBool>,
    store_errors: Arc<StoreErrors>,
    is_live: bool,
}

/// A live run's manifest is its name.
fn is_live(pins: &Pins, name: &str) -> bool {
    pins.manifest_fingerprint == ManifestFingerprint::of_live(pins.tenant_id.as_ref(), name)
}

impl Decision {
    /// A role that decides by one bundle.
    #[must_use]
    pub fn create(options: Options, ground: Ground, bundle: Arc<CompiledBundle>) -> Arc<Decision> {
        let bundles = Bundles::only(bundle, &ground.acting_as("svc:decision"));
        Decision::resolving(options, &ground, Arc::new(bundles), Shadows::default())
    }

    /// A role that decides by the bundles that are in force, which ask in its name, beside others that are
    /// only recorded.
    #[must_use]
    pub fn resolving(
        options: Options,
        ground: &Ground,
        bundles: Arc<Bundles>,
        shadows: Shadows,
    ) -> Arc<Decision> {
        Arc::new(Decision {
            told: Arc::new(Told::new(ground.counters.clone())),
            ground: ground.acting_as("svc:decision"),
            options,
            bundles,
            shadows,
            looked: Looked::new(),
        })
    }

    /// Lets others wait until this role has looked at every run.
    #[must_use]
    pub fn looks(&self) -> Looks {
        self.looked.looks()
    }

    /// Lets others wait for single decisions.
    #[must_use]
    pub fn waiter(&self) -> Arc<dyn DecisionWaiter> {
        Arc::new(Waiter(Arc::clone(&self.told)))
    }

    pub fn start(self: &Arc<Self>, tasks: &mut Tasks) {
        let (role, stop) = (Arc::clone(self), tasks.stop_token());
        tasks.spawn("decision", async move { role.tend(stop).await });
    }

    /// Tells those that wait in this process, whoever decides.
    pub fn start_telling(&self, tasks: &mut Tasks) {
        let (told, stop) = (Arc::clone(&self.told), tasks.stop_token());
        let look_every = Duration::from_millis(self.options.look_ms);
        let serve = told.serve(self.ground.clone(), look_every, stop);
        tasks.spawn("decision told", serve);
    }

    /// Keeps a worker on every run that it can lease, until stopped.
    async fn tend(&self, stop: CancellationToken) {
        let partitions = Partitions::of(store::TABLES);
        let mut tended: BTreeMap<PlatformRunId, Tended> = BTreeMap::new();
        let mut workers: JoinSet<(PlatformRunId, Result<(), Error>)> = JoinSet::new();
        loop {
            if stop.is_cancelled() && workers.is_empty() {
                return;
            }
            if !stop.is_cancelled() {
                let look = self.look(&partitions, &mut tended, &mut workers, &stop);
                match look.await {
                    Ok(()) => self.looked.done(),
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "runs could not be looked for; it tries again"
                        );
                    }
                }
            }
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    let Ok((run, result)) = ended else {
                        tracing::error!("a decision worker panicked: a law was broken");
                        stop.cancel();
                        continue;
                    };
                    let was_drained = result.is_ok();
                    if let Err(error) = result {
                        if error.is_of_the_store() && let Some(tended) = tended.get(&run) {
                            tended.store_errors.note(self.ground.clock.now(), 1);
                        }
                        tracing::warn!(run = %run, error = &error as &dyn std::error::Error, "decision worker ended; its memory is dropped");
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    if let Some(tended) = tended.get_mut(&run) {
                        tended.is_working = false;
                        tended.is_done = was_drained && tended.is_over.load(Ordering::SeqCst);
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.looked.asked() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    async fn look(
        &self,
        partitions: &Partitions,
        tended: &mut BTreeMap<PlatformRunId, Tended>,
        workers: &mut JoinSet<(PlatformRunId, Result<(), Error>)>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let client = self.ground.db.get().await?;
        let statement = client.prepare_cached(LIST_RUNS).await?;
        let rows = client.query(&statement, &[]).await?;
        let mut listed = BTreeSet::new();
        for row in rows {
            let ready: Ready = serde_json::from_slice(row.get(0))
                .map_err(|cause| db::Error::form("READY", &cause))?;
            let run = ready.pins.platform_run_id;
            listed.insert(run);
            let known = tended.entry(run).or_insert_with(|| Tended {
                is_over: Arc::default(),
                store_errors: Arc::default(),
                is_working: false,
                is_done: false,
            });
            known.is_over.store(row.get(1), Ordering::SeqCst);
            if known.is_working || known.is_done {
                continue;
            }
            let found = Run {
                is_live: is_live(&ready.pins, row.get(2)),
                ready,
                is_over: Arc::clone(&known.is_over),
                store_errors: Arc::clone(&known.store_errors),
            };
            if let Some(worker) = self.worker(&client, partitions, found).await? {
                known.is_working = true;
                let stop = stop.child_token();
                let work = meter::task("decision worker", Box::pin(worker.work(stop)));
                workers.spawn(async move { (run, work.await) });
            }
        }
        // Closed runs are not thought of for ever.
        tended.retain(|run, it| it.is_working || listed.contains(run));
        Ok(())
    }

    /// A worker with its lease, unless another process has it.
    async fn worker(
        &self,
        client: &db::Client,
        partitions: &Partitions,
        found: Run,
    ) -> Result<Option<Worker>, Error> {
        let Run {
            ready,
            is_over,
            store_errors,
            is_live,
        } = found;
        let run = ready.pins.platform_run_id;
        let initial = RunPosition::initial(&run, &ready.tips).to_text();
        let key = LeaseKey::new(DECISION, run.to_string());
        let Some(lease) = key.take(client, &self.ground.holder, &initial).await? else {
            return Ok(None);
        };
        let mut position =
            RunPosition::parse(&lease.position).map_err(|cause| Error::Position {
                run,
                cause: cause.to_string(),
            })?;
        position.widen(&ready.tips);
        let mut ground = self.ground.clone();
        let (resolving, bundle) = Resolving::begin(&self.bundles, &ready, &mut ground).await?;
        let shards = self.ground.bus.shards(Stream::Traffic).await?;
        let labels = Labels::new(self.ground.bus.shards(Stream::Labels).await?);
        if let Some(seen_at) = lease.watermark {
            let traffic = shards.iter().map(|it| it.of(Stream::Traffic));
            for shard in traffic.chain(labels.shard_refs()) {
                let at = position.basis.position(&shard);
                self.ground.bus.recall(&shard, at, seen_at);
            }
        }
        let mut worker = Worker {
            ground,
            options: self.options.clone(),
            remembered: Arc::clone(&bundle),
            bundle,
            resolving,
            wanted: BTreeMap::new(),
            warm_ups: WarmUps::default(),
            n_broken_shadows: self.shadows.n_broken,
            partitions: partitions.clone(),
            told: Arc::clone(&self.told),
            ready,
            shards,
            drained: BTreeSet::new(),
            labels,
            context_scopes: join::context_scopes(&self.ground).await?,
            context_drained: 0,
            is_over,
            anchors: Anchors::new(run, position.seq),
            lease,
            position,
            state: None,
            posture: RunPosture::new(self.options.posture, is_live),
            forces: Vec::new(),
            store_errors,
            snapshots: snapshot::Writer::new(self.options.snapshot_decisions),
            batch_no: 0,
            renewed: Instant::now(),
        };
        for bundle in &self.shadows.bundles {
            worker.want(bundle);
        }
        Ok(Some(worker))
    }
}
