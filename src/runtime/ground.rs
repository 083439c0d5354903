//! What every role stands on: the three substrates, the clock, the counters, and who it is.

use std::sync::Arc;

use crate::contracts::fact::Fact;
use crate::contracts::permission::{Caller, Corridor};
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::FactType;
use crate::governance::corridor::{self, Denied, Guard};
use crate::governance::counters::Counters;
use crate::substrate::bus::Bus;
use crate::substrate::clock::Clock;
use crate::substrate::db::Db;
use crate::substrate::objects::Objects;

#[derive(Clone)]
pub struct Ground {
    pub bus: Arc<dyn Bus>,
    pub objects: Arc<dyn Objects>,
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub counters: Counters,
    pub stamps: Stamps,
    /// This service as an actor (L10), such as `svc:ig`.
    pub actor: Actor,
    /// Unique to this process: who holds its leases.
    pub holder: String,
}

impl Ground {
    /// The same ground under another service's name.
    #[must_use]
    pub fn acting_as(&self, actor_id: &str) -> Ground {
        let mut ground = self.clone();
        if let Ok(actor_id) = actor_id.parse() {
            ground.actor.actor_id = actor_id;
        }
        ground
    }

    /// The guard of the corridors that this ground leads to.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard::new(corridor::Ground {
            counters: self.counters.clone(),
            clock: self.clock.clone(),
            stamps: self.stamps.clone(),
            actor: self.actor.clone(),
        })
    }

    /// Lets this service through a corridor under its own name, judged as over HTTP.
    ///
    /// # Errors
    /// [`Denied`]: another service's ground was taken; it is counted and left as a fact.
    pub async fn enter(&self, corridor: Corridor) -> Result<(), Denied> {
        let caller = Caller::in_process(&self.actor);
        if corridor.admits(&caller.roles) {
            return Ok(());
        }
        let guard = self.guard();
        let denied = guard.check(Ok(&caller), corridor);
        if let Err(error) = guard.write(&self.db).await {
            tracing::warn!(error = %error, "the fact of a denial was not written");
        }
        denied
    }

    /// A fact of this service, observed now.
    #[must_use]
    pub fn fact(
        &self,
        fact_type: FactType,
        natural_key: &[&str],
        run: Option<PlatformRunId>,
    ) -> Fact {
        let (actor, stamps) = (self.actor.clone(), self.stamps.clone());
        Fact::new(fact_type, natural_key, run, actor, self.clock.now(), stamps)
    }
}
