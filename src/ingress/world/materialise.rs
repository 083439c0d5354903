//! Puts a world to rest, once: every object create-once under the world's fingerprint, and last the
//! facts that pin them. A world that is there is verified and used as it is.

use bytes::Bytes;

use crate::contracts::ready::{PinnedObject, WorldFacts};
use crate::domain::digest::Digest;
use crate::domain::ids::ManifestFingerprint;
use crate::ingress::world::build::{Built, build};
use crate::ingress::world::error::Error;
use crate::ingress::world::plan::Plan;
use crate::substrate::objects::{ObjectKey, Objects, Put};

/// A world at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    pub manifest_fingerprint: ManifestFingerprint,
    pub facts: WorldFacts,
    /// It was there before, and every object of it was verified.
    pub reused: bool,
}

/// Reads the plan's dataset and stores its world. `progress(done, total)` counts arrivals; it is
/// not called for a world that is there already. The computation leaves the async threads alone.
///
/// Writes `worlds/{manifest_fingerprint}/arrivals-NNNN.parquet`, `truth.parquet` and last
/// `world_facts.json`, which is what makes it complete: a writer that died before leaves objects
/// that the next one finds to be the same bytes.
///
/// # Errors
/// A faulty mapping, file or row (nothing was written), other bytes under a world's key (L3), an
/// object that is not what the facts pin (L8).
pub async fn materialise(
    objects: &dyn Objects,
    plan: Plan,
    mut progress: impl FnMut(u64, u64) + Send + 'static,
) -> Result<World, Error> {
    let (plan, loaded) = off_thread(move || plan.load().map(|loaded| (plan, loaded))).await?;
    let world = loaded.manifest_fingerprint;
    if let Some(facts) = stored(objects, &world).await? {
        return Ok(World {
            manifest_fingerprint: world,
            facts,
            reused: true,
        });
    }
    let Built {
        objects: parts,
        facts,
    } = off_thread(move || build(&plan, loaded, &mut progress)).await?;
    for (key, body) in parts {
        put(objects, &key, body).await?;
    }
    put_facts(objects, &world, &facts).await?;
    Ok(World {
        manifest_fingerprint: world,
        facts,
        reused: false,
    })
}

pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// Puts the facts, which make a world complete: last.
pub(crate) async fn put_facts(
    objects: &dyn Objects,
    world: &ManifestFingerprint,
    facts: &WorldFacts,
) -> Result<(), Error> {
    let key = facts_key(world);
    let body = serde_json::to_vec(facts).map_err(|error| Error::Malformed {
        key: key.clone(),
        cause: error.to_string(),
    })?;
    put(objects, &key, Bytes::from(body)).await
}

fn facts_key(world: &ManifestFingerprint) -> String {
    format!("worlds/{world}/world_facts.json")
}

pub(crate) async fn put(objects: &dyn Objects, key: &str, body: Bytes) -> Result<(), Error> {
    match objects.put_new(&parse_key(key)?, body).await? {
        Put::Created | Put::Same => Ok(()),
        Put::Conflict { stored } => Err(Error::Conflict {
            key: key.to_owned(),
            stored,
        }),
    }
}

/// The facts of a complete world, after a look at every object of it.
pub(crate) async fn stored(
    objects: &dyn Objects,
    world: &ManifestFingerprint,
) -> Result<Option<WorldFacts>, Error> {
    let key = facts_key(world);
    let Some(body) = objects.get(&parse_key(&key)?).await? else {
        return Ok(None);
    };
    let facts: WorldFacts = serde_json::from_slice(&body).map_err(|error| Error::Malformed {
        key,
        cause: error.to_string(),
    })?;
    for pinned in facts.arrivals.iter().chain([&facts.truth]) {
        fetch(objects, pinned).await?;
    }
    Ok(Some(facts))
}

/// The bytes of a pinned object, verified.
pub(crate) async fn fetch(objects: &dyn Objects, pinned: &PinnedObject) -> Result<Bytes, Error> {
    let key = pinned.key.clone();
    let Some(bytes) = objects.get(&parse_key(&key)?).await? else {
        return Err(Error::Missing { key });
    };
    let found = Digest::of_bytes(&bytes);
    if found != pinned.digest {
        return Err(Error::Digest {
            key,
            pinned: pinned.digest,
            found,
        });
    }
    Ok(bytes)
}

fn parse_key(key: &str) -> Result<ObjectKey, Error> {
    key.parse().map_err(|cause| Error::Malformed {
        key: key.to_owned(),
        cause: format!("{cause}"),
    })
}
