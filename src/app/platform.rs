//! The ground of one process: what it stands on, opened in order and closed in reverse.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::app::auth;
use crate::app::profile::{self, Profile};
use crate::app::substrates::{self, Embedded, Substrates};
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::digest::Digest;
use crate::domain::vocabulary::SourceType;
use crate::governance::counters::Counters;
use crate::runtime::ground::Ground;
use crate::substrate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::substrate::data_dir::OwnedDataDir;
use crate::substrate::db::Db;

/// Everything a process opened.
pub(crate) struct Platform {
    pub(crate) profile: Profile,
    pub(crate) ground: Ground,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) data_dir: OwnedDataDir,
    /// Connected as the identity that may drop days of evidence.
    pub(crate) maintenance: Db,
    /// What this process runs itself; none on managed servers.
    pub(crate) own: Option<Embedded>,
    /// Set before Postgres is stopped.
    closing: CancellationToken,
}

impl Platform {
    /// Opens what the profile names, for the data directory that this process owns.
    ///
    /// # Errors
    /// What could not be opened, and why.
    pub(crate) async fn open(profile: Profile, data_dir: OwnedDataDir) -> anyhow::Result<Platform> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        auth::prepare(&profile, data_dir.path(), entropy.as_ref())?;
        let opened = substrates::open(&profile, &data_dir, &clock, &entropy).await?;
        let Substrates {
            bus,
            objects,
            db,
            maintenance,
            own,
        } = opened;
        let stamps = stamps(&profile);
        let ground = Ground {
            bus,
            objects,
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
            maintenance,
            own,
            closing: CancellationToken::new(),
        })
    }

    /// Resolves when the private Postgres ends without having been asked to.
    pub(crate) fn database_lost(&self) -> impl Future<Output = String> + Send + use<> {
        let exited = self.own.as_ref().map(|own| own.postgres.exited());
        let closing = self.closing.clone();
        async move {
            let Some(exited) = exited else {
                return std::future::pending().await;
            };
            let status = exited.await;
            if closing.is_cancelled() {
                std::future::pending::<()>().await;
            }
            status.map_or_else(|| "unseen".to_owned(), |status| status.to_string())
        }
    }

    /// Closes log and database. What was acknowledged is durable in any case.
    ///
    /// # Errors
    /// The last sync of the log, or a server that does not stop.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.closing.cancel();
        self.ground.db.close();
        self.maintenance.close();
        if let Some(Embedded { bus, postgres }) = self.own {
            bus.close().await.context("closing the event log")?;
            substrates::stop_postgres(postgres).await?;
        }
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
