//! A worker's bundle over time: resolved when it begins and again about once a second, put in force between
//! two batches, never within one. What went wrong on the way is a fact, one a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::contracts::bundle_resolver::ScopeKey;
use crate::contracts::decision::BundleState;
use crate::contracts::fact::Fact;
use crate::contracts::ready::Ready;
use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::domain::vocabulary::FactType;
use crate::engine::bundle::{CompiledBundle, PRIMARY_SLOT};
use crate::governance::facts;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::bundles::{Bundles, InForce};
use crate::rtdl::decision::worker::Worker;
use crate::runtime::ground::Ground;

/// How often a worker looks whether its bundle is still the one in force.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);

/// Where a worker's bundle comes from.
pub(super) struct Resolving {
    bundles: Arc<Bundles>,
    /// The run's tenant never changes.
    scope: ScopeKey,
    /// How the bundle was come by.
    pub(super) state: BundleState,
    /// The anomaly that a fact was left of, while it lasts.
    told: Option<Digest>,
    /// None before the first look.
    looked: Option<Instant>,
}

impl Resolving {
    /// The bundle that a new worker begins with.
    ///
    /// # Errors
    /// Those of [`Bundles::in_force`].
    pub(super) async fn begin(
        bundles: &Arc<Bundles>,
        ready: &Ready,
        ground: &mut Ground,
    ) -> Result<(Resolving, Arc<CompiledBundle>), Error> {
        let scope = bundles.scope(ready.pins.tenant_id.as_ref(), PRIMARY_SLOT);
        let InForce { bundle, resolution } = bundles.in_force(&scope).await?;
        ground.stamps.policy_rev = bundle.policy_digest.to_string();
        let resolving = Resolving {
            bundles: Arc::clone(bundles),
            scope,
            state: resolution.state,
            told: None,
            looked: None,
        };
        Ok((resolving, bundle))
    }
}

impl Worker {
    /// Looks which bundle is in force, where it is time, and decides by it from the next batch on.
    pub(super) async fn resolve(&mut self) -> Result<(), Error> {
        let looked = self.resolving.looked;
        if looked.is_some_and(|it| it.elapsed() < RESOLVE_EVERY) {
            return Ok(());
        }
        let in_force = self
            .resolving
            .bundles
            .in_force(&self.resolving.scope)
            .await?;
        let resolution = in_force.resolution.digest();
        let anomaly = in_force.resolution.is_anomaly().then_some(resolution);
        if anomaly.is_some() && anomaly != self.resolving.told {
            let fact = self.anomaly(&in_force, &resolution);
            facts::append_alone(&self.ground.db, &[fact]).await?;
        }
        self.resolving.told = anomaly;
        let state = in_force.resolution.state;
        let before = std::mem::replace(&mut self.resolving.state, state);
        match in_force.bundle.bundle_digest == self.bundle.bundle_digest {
            true => drop(self.wanted.remove(PRIMARY_SLOT)),
            false => self.adopt(in_force.bundle, before).await,
        }
        self.resolving.looked = Some(Instant::now());
        Ok(())
    }

    /// Puts a bundle in force, between two batches. Where one that was promoted has other features, the one
    /// before it decides until they are warm. Where the one before must not decide any more, or none did,
    /// the memory is let go instead, and brought back under the new features when the next event comes:
    /// decisions pause so long. Where none may decide no features are needed, so the memory stays.
    async fn adopt(&mut self, bundle: Arc<CompiledBundle>, before: BundleState) {
        let state = self.resolving.state;
        let is_promotion = state == BundleState::Resolved && before == state;
        let needs = (state != BundleState::None).then_some(&bundle.feature_set_digest);
        let is_warm = needs.is_none_or(|it| self.is_warm(it));
        if is_promotion && !is_warm {
            self.want(&bundle);
            return;
        }
        let (run, from) = (self.run(), self.bundle.bundle_digest);
        tracing::info!(run = %run, from = %from, to = %bundle.bundle_digest, "another bundle is in force");
        self.ground.stamps.policy_rev = bundle.policy_digest.to_string();
        self.wanted.remove(PRIMARY_SLOT);
        if needs.is_some() {
            if !is_warm {
                // Whoever goes back to the bundle before has not far to go.
                self.snapshot().await;
                self.state = None;
            }
            self.remembered = Arc::clone(&bundle);
        }
        self.bundle = bundle;
    }

    fn anomaly(&self, in_force: &InForce, resolution: &Digest) -> Fact {
        let (run, scope) = (*self.run(), &self.resolving.scope);
        let tenant = scope.tenant_id.as_ref().map_or("", TenantId::as_str);
        let (run_text, seq) = (run.to_string(), (self.position.seq + 1).to_string());
        let resolution = resolution.to_string();
        // From which decision on, so that the same trouble later is another fact (L2).
        let natural_key = [&run_text, scope.bundle_slot.as_str(), &seq, &resolution];
        let fact_type = FactType::IncompatibleBundleResolution;
        let mut fact = self.ground.fact(fact_type, &natural_key, Some(run));
        let mut say = |name: &str, value: String| fact.details.insert(name.to_owned(), value);
        say("environment", scope.environment.to_string());
        say("mode", scope.mode.to_string());
        say("bundle_slot", scope.bundle_slot.clone());
        say("tenant_id", tenant.to_owned());
        say("decides", in_force.bundle.bundle_digest.to_string());
        say(
            "bundle_state",
            state_word(in_force.resolution.state).to_owned(),
        );
        for tried in &in_force.resolution.steps {
            let digest = tried.bundle_digest.map(|it| format!(" {it}"));
            let why = tried.why.as_ref().map(|it| format!(": {it}"));
            let (digest, why) = (digest.unwrap_or_default(), why.unwrap_or_default());
            say(
                tried.step.as_str(),
                format!("{}{digest}{why}", tried.result),
            );
        }
        fact
    }
}

const fn state_word(state: BundleState) -> &'static str {
    match state {
        BundleState::Resolved => "RESOLVED",
        BundleState::Fallback => "FALLBACK",
        BundleState::None => "NONE",
    }
}
