//! A scenario's world put to rest object by object while it is made.

use bytes::Bytes;

use crate::contracts::ready::{PinnedObject, WorldFacts};
use crate::domain::digest::Digest;
use crate::domain::ids::ManifestFingerprint;
use crate::ingress::world::error::Error;
use crate::ingress::world::materialise::{World, off_thread, put, put_facts, stored};
use crate::ingress::world::scenario::generate::{Part, Summary, generate};
use crate::ingress::world::scenario::model::Model;
use crate::ingress::world::scenario::yaml::ScenarioPlan;
use crate::substrate::objects::Objects;

/// Objects that wait to be stored while the next are made.
const WAITING_MAX: usize = 1;

/// Makes the plan's world on so many threads and stores it. `progress(done, total)` counts
/// payments, of which the total is a guess until the end; it is not called for a world that is
/// there already.
///
/// Writes what `materialise` writes for a data set, in the same order.
///
/// # Errors
/// Other bytes under a world's key (L3), an object that is not what the facts pin (L8), a store
/// that fails.
pub async fn materialise_scenario(
    objects: &dyn Objects,
    plan: &ScenarioPlan,
    n_threads: usize,
    mut progress: impl FnMut(u64, u64) + Send + 'static,
) -> Result<World, Error> {
    let world = plan.manifest_fingerprint();
    if let Some(facts) = stored(objects, &world).await? {
        return Ok(World {
            manifest_fingerprint: world,
            facts,
            reused: true,
        });
    }
    let model = Model::of(plan.scenario(), plan.seed());
    let (to_store, mut made) = tokio::sync::mpsc::channel::<Part>(WAITING_MAX);
    let making = off_thread(move || {
        let mut emit = |part| {
            // Nobody takes it: the store has failed, and says why.
            to_store.blocking_send(part).map_err(|_| Error::Stopped)
        };
        generate(model, n_threads, &mut progress, &mut emit)
    });
    let storing = async {
        let mut pinned = Vec::new();
        while let Some(part) = made.recv().await {
            let key = format!("worlds/{world}/arrivals-{:04}.parquet", pinned.len());
            match pin(objects, key, part).await {
                Ok(object) => pinned.push(object),
                Err(error) => {
                    made.close();
                    return Err(error);
                }
            }
        }
        Ok(pinned)
    };
    let (summary, arrivals) = tokio::join!(making, storing);
    let arrivals = arrivals?;
    let facts = facts(objects, &world, summary?, arrivals).await?;
    Ok(World {
        manifest_fingerprint: world,
        facts,
        reused: false,
    })
}

async fn facts(
    objects: &dyn Objects,
    world: &ManifestFingerprint,
    summary: Summary,
    arrivals: Vec<PinnedObject>,
) -> Result<WorldFacts, Error> {
    let key = format!("worlds/{world}/truth.parquet");
    let facts = WorldFacts {
        arrivals,
        truth: pin(objects, key, summary.truth).await?,
        arrivals_count: summary.arrivals,
        payments_count: summary.payments,
        first_ts: summary.first_ts,
        last_ts: summary.last_ts,
    };
    put_facts(objects, world, &facts).await?;
    Ok(facts)
}

async fn pin(objects: &dyn Objects, key: String, part: Part) -> Result<PinnedObject, Error> {
    let digest = Digest::of_bytes(&part.bytes);
    put(objects, &key, Bytes::from(part.bytes)).await?;
    Ok(PinnedObject {
        key,
        digest,
        rows: part.rows,
    })
}
