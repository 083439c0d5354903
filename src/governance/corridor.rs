//! The guard of every corridor: asks the table, counts who is turned away, and leaves a fact of it,
//! one an hour for the same caller at the same corridor, so that nobody can fill the log by knocking.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::contracts::fact::Fact;
use crate::contracts::permission::{Caller, Corridor, Unproven};
use crate::contracts::stamps::{Actor, Stamps};
use crate::domain::ids::FactId;
use crate::domain::time::Time;
use crate::domain::vocabulary::FactType;
use crate::governance::counters::Counters;
use crate::governance::facts;
use crate::substrate::clock::Clock;
use crate::substrate::db::{self, Db};

/// Why a caller is not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody knows who it is.
    #[error("the caller is not known ({0})")]
    Unknown(Unproven),
    /// It is known, and none of its roles may do this.
    #[error("{actor} has no role for {corridor}", actor = .0.actor_id, corridor = .1)]
    NotAllowed(Actor, Corridor),
}

/// What a guard stands on.
pub struct Ground {
    pub counters: Counters,
    pub clock: Arc<dyn Clock>,
    pub stamps: Stamps,
    /// In whose name a fact about an unknown caller is left.
    pub actor: Actor,
}

/// The guard of a process's corridors.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    ground: Ground,
    seen: Mutex<Seen>,
    rung: Notify,
}

/// Facts of this hour. As many as there are callers and kinds of fault, times corridors.
#[derive(Default)]
struct Seen {
    hour: i64,
    said: BTreeSet<FactId>,
    pending: Vec<Fact>,
}

const HOUR_MICROS: i64 = 3_600_000_000;
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Guard {
    #[must_use]
    pub fn new(ground: Ground) -> Guard {
        Guard(Arc::new(Inner {
            ground,
            seen: Mutex::default(),
            rung: Notify::new(),
        }))
    }

    /// Lets a caller through a corridor, or says why not.
    ///
    /// # Errors
    /// [`Denied`]; it is counted, and its fact is written by [`Guard::write`].
    pub fn check(
        &self,
        caller: Result<&Caller, Unproven>,
        corridor: Corridor,
    ) -> Result<(), Denied> {
        let denied = match caller {
            Ok(caller) if corridor.admits(&caller.roles) => return Ok(()),
            Ok(caller) => Denied::NotAllowed(caller.actor.clone(), corridor),
            Err(unproven) => Denied::Unknown(unproven),
        };
        self.0.ground.counters.add_denied(corridor);
        self.remember(&denied, corridor);
        Err(denied)
    }

    fn remember(&self, denied: &Denied, corridor: Corridor) {
        let fact = fact(&self.0.ground, denied, corridor, self.0.ground.clock.now());
        let hour = fact.observed_time.micros().div_euclid(HOUR_MICROS);
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.hour != hour {
            seen.hour = hour;
            seen.said.clear();
        }
        if seen.said.insert(fact.fact_id) {
            tracing::warn!(corridor = %corridor, cause = %denied, "a caller was turned away");
            seen.pending.push(fact);
            self.0.rung.notify_one();
        }
    }

    /// Appends the facts that are not written yet.
    ///
    /// # Errors
    /// Those of the database; the facts are kept for the next try.
    pub async fn write(&self, db: &Db) -> Result<(), db::Error> {
        let pending = {
            let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut seen.pending)
        };
        let written = facts::append_alone(db, &pending).await;
        if written.is_err() {
            let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.pending.extend(pending);
        }
        written
    }

    /// Writes facts as they come, until told to stop, and what is left then.
    pub async fn run(self, db: Db, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.0.rung.notified() => {}
                () = stop.cancelled() => {}
            }
            if let Err(error) = self.write(&db).await {
                tracing::warn!(error = %error, "facts of denials wait for the database");
                self.0.rung.notify_one();
                drop(tokio::time::timeout(WRITE_AGAIN, stop.cancelled()).await);
            }
        }
    }
}

/// Who, where, and in which hour of UTC.
fn fact(ground: &Ground, denied: &Denied, corridor: Corridor, now: Time) -> Fact {
    let fact_type = match corridor {
        Corridor::EvidenceResolve => FactType::RefAccessDenied,
        _ => FactType::CorridorDenied,
    };
    let (who, actor) = match denied {
        Denied::Unknown(unproven) => (
            format!("anonymous/{}/{}", unproven.kind, unproven.fault),
            ground.actor.clone(),
        ),
        Denied::NotAllowed(actor, _) => (actor.actor_id.to_string(), actor.clone()),
    };
    let hour = Time::from_micros(now.micros().div_euclid(HOUR_MICROS) * HOUR_MICROS);
    let key = [&who, corridor.as_str(), &hour.to_string()];
    let stamps = ground.stamps.clone();
    let mut fact = Fact::new(fact_type, &key, None, actor, now, stamps);
    fact.details.insert("caller".to_owned(), who);
    fact.details
        .insert("corridor".to_owned(), corridor.to_string());
    fact.details.insert("cause".to_owned(), denied.to_string());
    fact
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::permission::{CallerRole, CredentialFault, CredentialKind};
    use crate::domain::digest::Digest;
    use crate::domain::vocabulary::{Environment, Mode, SourceType};
    use crate::substrate::clock::SetClock;

    fn guard(clock: &SetClock) -> Guard {
        let stamps = Stamps {
            service_release_id: "test".to_owned(),
            environment: Environment::LocalParity,
            mode: Mode::Fraud,
            policy_rev: "none".to_owned(),
            run_config_digest: Digest::of_bytes(b""),
            bundle_slot: None,
            tenant_id: None,
        };
        Guard::new(Ground {
            counters: Counters::new(stamps.clone()),
            clock: Arc::new(clock.clone()),
            stamps,
            actor: actor("svc:fraudplat"),
        })
    }

    fn actor(name: &str) -> Actor {
        Actor {
            actor_id: name.parse().unwrap(),
            source_type: SourceType::System,
        }
    }

    fn pending(guard: &Guard) -> Vec<String> {
        let seen = guard.0.seen.lock().unwrap();
        let shown = |it: &Fact| format!("{} {}", it.fact_type, it.natural_key.join(" "));
        seen.pending.iter().map(shown).collect()
    }

    #[test]
    fn a_denial_is_counted_each_time_and_said_once_an_hour() {
        let clock = SetClock::at("2026-01-01T10:59:59Z".parse().unwrap());
        let guard = guard(&clock);
        let till = Caller {
            actor: actor("till:1"),
            roles: [CallerRole::Producer].into(),
        };
        let stranger = Unproven {
            kind: CredentialKind::ApiKey,
            fault: CredentialFault::Unknown,
        };
        assert_eq!(guard.check(Ok(&till), Corridor::IgIngest), Ok(()));
        assert!(pending(&guard).is_empty());
        for _ in 0..3 {
            assert!(guard.check(Ok(&till), Corridor::EvidenceResolve).is_err());
            assert!(guard.check(Err(stranger), Corridor::IgIngest).is_err());
        }
        let hour = "2026-01-01T10:00:00.000000Z";
        assert_eq!(
            pending(&guard),
            [
                format!("REF_ACCESS_DENIED till:1 EVIDENCE_RESOLVE {hour}"),
                format!("CORRIDOR_DENIED anonymous/api_key/unknown IG_INGEST {hour}"),
            ]
        );
        clock.set("2026-01-01T11:00:00Z".parse().unwrap());
        assert!(guard.check(Err(stranger), Corridor::IgIngest).is_err());
        assert_eq!(pending(&guard).len(), 3);
        let text = guard.0.ground.counters.render();
        assert!(text.contains("corridor=\"IG_INGEST\"} 4"), "{text}");
        assert!(text.contains("corridor=\"EVIDENCE_RESOLVE\"} 3"), "{text}");
        assert!(text.contains("corridor=\"COMMANDS\"} 0"), "{text}");
    }
}
