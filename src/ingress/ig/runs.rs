//! The runs that events may name: looked up once, their end looked for at most once a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::contracts::ready::RunFacts;
use crate::domain::digest::Digest;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId, TenantId};
use crate::domain::keys::Pins;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::validate::Rules;
use crate::runtime::ground::Ground;
use crate::substrate::db::Row;
use crate::substrate::objects::ObjectKey;

const READ: &str = include_str!("sql/read_run.sql");
const READ_END: &str = include_str!("sql/read_run_end.sql");

/// An end is noticed, and a new run found, at most this much later.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// Beyond this many, names that are no runs (they are the sender's to invent) and runs that have ended are
/// forgotten: who asks for one again is answered from the rows.
const KNOWN_MAX: usize = 4_096;

/// A known run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: PlatformRunId,
    pub(super) rules: Rules,
}

impl Run {
    pub(super) fn pins(&self) -> &Pins {
        &self.rules.pins
    }

    /// World runs end; their dedupe rows are pruned then, not after a horizon.
    pub(super) fn is_world(&self) -> bool {
        self.rules.world_range.is_some()
    }
}

#[derive(Default)]
pub(super) struct Runs {
    known: Mutex<HashMap<PlatformRunId, Known>>,
}

#[derive(Clone)]
struct Known {
    /// `None`: there was no such run when it was looked for.
    run: Option<Arc<Run>>,
    looked_at: Instant,
}

impl Runs {
    /// The run, with an end that is at most a second old; `None` if there is none of this name.
    ///
    /// # Errors
    /// Those of the database and of the objects; [`Error::Evidence`] when the run's facts are
    /// missing or not those that the run names (L8).
    pub(super) async fn find(
        &self,
        ground: &Ground,
        id: PlatformRunId,
    ) -> Result<Option<Arc<Run>>, Error> {
        let known = self.lock().get(&id).cloned();
        let fresh = |it: &Known| it.looked_at.elapsed() < STALE_AFTER;
        let run = match known {
            Some(known) if fresh(&known) => return Ok(known.run),
            // An end has no end.
            Some(Known { run: Some(run), .. }) if run.rules.is_closed => return Ok(Some(run)),
            Some(Known { run: Some(run), .. }) => Some(refreshed(ground, run).await?),
            _ => read(ground, id).await?.map(Arc::new),
        };
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, it| it.run.as_ref().is_some_and(|run| !run.rules.is_closed));
        }
        let looked_at = Instant::now();
        known.insert(
            id,
            Known {
                run: run.clone(),
                looked_at,
            },
        );
        Ok(run)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PlatformRunId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn refreshed(ground: &Ground, run: Arc<Run>) -> Result<Arc<Run>, Error> {
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ_END).await?;
    let is_closed: bool = client.query_one(&statement, &[&run.id]).await?.get(0);
    if !is_closed {
        return Ok(run);
    }
    let rules = Rules {
        is_closed,
        ..run.rules.clone()
    };
    Ok(Arc::new(Run { id: run.id, rules }))
}

async fn read(ground: &Ground, id: PlatformRunId) -> Result<Option<Run>, Error> {
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ).await?;
    let Some(row) = client.query_opt(&statement, &[&id]).await? else {
        return Ok(None);
    };
    drop(client);
    let pins = pins(id, &row)?;
    let facts = facts(ground, row.get(3), row.get(4)).await?;
    if facts.pins != pins {
        return Err(Error::evidence("run facts", "their pins are another run's"));
    }
    let rules = Rules {
        pins,
        world_range: facts.world.map(|world| (world.first_ts, world.last_ts)),
        is_closed: row.get(5),
    };
    Ok(Some(Run { id, rules }))
}

fn pins(id: PlatformRunId, row: &Row) -> Result<Pins, Error> {
    let tenant: Option<&str> = row.get(2);
    let tenant: Option<TenantId> = tenant
        .map(str::parse)
        .transpose()
        .map_err(|cause| Error::evidence("tenant of a run", cause))?;
    Ok(Pins {
        platform_run_id: id,
        scenario_run_id: row.get::<_, ScenarioRunId>(0),
        manifest_fingerprint: row.get::<_, ManifestFingerprint>(1),
        tenant_id: tenant,
    })
}

async fn facts(ground: &Ground, key: &str, digest: Digest) -> Result<RunFacts, Error> {
    let key: ObjectKey = key
        .parse()
        .map_err(|cause| Error::evidence("key of run facts", cause))?;
    let Some(body) = ground.objects.get(&key).await? else {
        return Err(Error::evidence("run facts", format!("{key} is missing")));
    };
    if Digest::of_bytes(&body) != digest {
        let cause = format!("{key} is not what READY named");
        return Err(Error::evidence("run facts", cause));
    }
    serde_json::from_slice(&body).map_err(|cause| Error::evidence("run facts", cause))
}
