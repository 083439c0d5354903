//! The ground of one process: the data directory with its private Postgres, log and objects,
//! opened in order and closed in reverse.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::app::auth;
use crate::app::profile::{self, Profile};
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::digest::Digest;
use crate::domain::vocabulary::{SourceType, Stream};
use crate::governance::counters::Counters;
use crate::runtime::ground::Ground;
use crate::runtime::lease;
use crate::substrate::bus::embedded::{self, EmbeddedBus};
use crate::substrate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::substrate::data_dir::OwnedDataDir;
use crate::substrate::db::private::{self, PrivatePostgres};
use crate::substrate::db::{self, Db, PoolOptions, migrate};
use crate::substrate::objects::local::LocalObjects;

/// Everything a process opened.
pub(crate) struct Platform {
    pub(crate) profile: Profile,
    pub(crate) ground: Ground,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) data_dir: OwnedDataDir,
    pub(crate) bus: Arc<EmbeddedBus>,
    /// Connected as the identity that may drop days of evidence.
    pub(crate) maintenance: Db,
    postgres: PrivatePostgres,
    /// Set before Postgres is stopped.
    closing: CancellationToken,
}

impl Platform {
    /// Opens the embedded substrates in a data directory that this process owns: the log, the
    /// objects, the private Postgres with its schema up to date. Leases of a dead predecessor end:
    /// the lock on the directory proves that nobody holds them.
    ///
    /// # Errors
    /// What could not be opened, and why.
    pub(crate) async fn open(profile: Profile, data_dir: OwnedDataDir) -> anyhow::Result<Platform> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        auth::prepare(&profile, data_dir.path(), entropy.as_ref())?;
        let postgres = PrivatePostgres::start(&data_dir, &postgres_options(&profile, &entropy))
            .await
            .context("starting the private Postgres")?;
        let migrations = Db::open(&postgres.owner(), &pool_options("fraudplat migrate", 2))?;
        migrate::migrate(&migrations)
            .await
            .context("bringing the schema up to date")?;
        migrations.close();
        let db = Db::open(
            &postgres.app(),
            &pool_options("fraudplat", profile.substrates.connections_max),
        )?;
        let maintenance = Db::open(&postgres.owner(), &maintenance_options())?;
        lease::release_all(&db).await?;

        let (bus_dir, bus_options) = (data_dir.bus(), bus_options(&profile, &clock));
        let objects_dir = data_dir.objects().join(&profile.substrates.bucket);
        let opened = tokio::task::spawn_blocking(move || {
            let bus = EmbeddedBus::open(&bus_dir, bus_options).context("opening the event log")?;
            let objects = LocalObjects::open(&objects_dir).context("opening the object store")?;
            anyhow::Ok((bus, objects))
        });
        let (bus, objects) = opened.await??;
        let bus = Arc::new(bus);
        let stamps = stamps(&profile);
        let ground = Ground {
            bus: bus.clone(),
            objects: Arc::new(objects),
            db,
            clock,
            counters: Counters::new(stamps.clone()),
            stamps,
            actor: Actor {
                actor_id: "svc:fraudplat".parse().context("the service's name")?,
                source_type: SourceType::System,
            },
            holder: format!("{}-{}", std::process::id(), entropy.name(12)),
        };
        Ok(Platform {
            profile,
            ground,
            entropy,
            data_dir,
            bus,
            maintenance,
            postgres,
            closing: CancellationToken::new(),
        })
    }

    /// Resolves when the private Postgres ends without having been asked to.
    pub(crate) fn database_lost(&self) -> impl Future<Output = String> + Send + use<> {
        let (exited, closing) = (self.postgres.exited(), self.closing.clone());
        async move {
            let status = exited.await;
            if closing.is_cancelled() {
                std::future::pending::<()>().await;
            }
            status.map_or_else(|| "unseen".to_owned(), |status| status.to_string())
        }
    }

    /// The migrations that the database of `data_dir` lacks, in order; nothing is changed.
    ///
    /// # Errors
    /// A database that does not start or answer.
    pub(crate) async fn pending_migrations(
        profile: &Profile,
        data_dir: &OwnedDataDir,
    ) -> anyhow::Result<Vec<String>> {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let postgres = PrivatePostgres::start(data_dir, &postgres_options(profile, &entropy))
            .await
            .context("starting the private Postgres")?;
        let db = Db::open(&postgres.owner(), &pool_options("fraudplat migrate", 1))?;
        let pending = migrate::check(&db).await;
        db.close();
        postgres
            .stop()
            .await
            .context("stopping the private Postgres")?;
        Ok(pending?)
    }

    /// Closes log and database. What was acknowledged is durable in any case.
    ///
    /// # Errors
    /// The last sync of the log, or a server that does not stop.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.closing.cancel();
        self.ground.db.close();
        self.maintenance.close();
        self.bus.close().await.context("closing the event log")?;
        self.postgres
            .stop()
            .await
            .context("stopping the private Postgres")?;
        Ok(())
    }
}

/// What every evidence surface carries under this profile.
fn stamps(profile: &Profile) -> Stamps {
    Stamps {
        service_release_id: profile::release(),
        environment: profile.environment,
        mode: profile.mode,
        policy_rev: "none".to_owned(),
        run_config_digest: profile.config_digest(),
        bundle_slot: None,
        tenant_id: profile.semantics.tenant_id.clone(),
    }
}

/// The same ground, stamped with the policy set in force.
pub(crate) fn under_policy(ground: &Ground, policy_digest: &Digest, bundle_slot: &str) -> Ground {
    let mut ground = ground.clone();
    ground.stamps.policy_rev = policy_digest.to_string();
    ground.stamps.bundle_slot = Some(bundle_slot.to_owned());
    ground.counters = Counters::new(ground.stamps.clone());
    ground
}

fn pool_options(application_name: &str, connections_max: usize) -> PoolOptions {
    PoolOptions {
        application_name: application_name.to_owned(),
        connections_max,
        ..PoolOptions::default()
    }
}

/// The private server's owner acts as the maintenance identity. Its proofs read whole days.
fn maintenance_options() -> PoolOptions {
    PoolOptions {
        statement_ms_max: 600_000,
        idle_in_transaction_ms_max: 60_000,
        acting_as: Some(db::MAINTENANCE),
        ..pool_options("fraudplat maintenance", 2)
    }
}

fn postgres_options(profile: &Profile, entropy: &Arc<dyn Entropy>) -> private::Options {
    let mut options = private::Options::new(Arc::clone(entropy));
    options.binaries_dir = profile.substrates.postgres_bin_dir.clone();
    options.search_path = profile::search_path();
    options.unpacked_root = Some(profile::user_cache_dir().join("postgres"));
    options
}

fn bus_options(profile: &Profile, clock: &Arc<dyn Clock>) -> embedded::Options {
    let stream_options = |stream: &Stream| {
        let options = profile.streams.of(*stream);
        let retention = Duration::from_secs(u64::from(options.retention_hours) * 3_600);
        embedded::StreamOptions {
            stream: *stream,
            shards: options.shards,
            retention: Some(retention),
        }
    };
    embedded::Options {
        streams: Stream::ALL.iter().map(stream_options).collect(),
        clock: Arc::clone(clock),
    }
}
