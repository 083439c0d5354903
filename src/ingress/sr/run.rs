//! Creates a run, or finds that it is there.

use bytes::Bytes;

use crate::contracts::ready::{Ready, RunFacts, SCHEMA_VERSION, WorldFacts};
use crate::domain::digest::Digest;
use crate::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId, TenantId};
use crate::domain::keys::Pins;
use crate::domain::offset::{Basis, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::ingress::sr::{Error, store};
use crate::runtime::ground::Ground;
use crate::substrate::objects::{ObjectKey, Put};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub manifest_fingerprint: ManifestFingerprint,
    /// The scenario's, mapping's or live run's name.
    pub name: String,
    pub label: String,
    pub tenant_id: Option<TenantId>,
    pub semantic_digest: Digest,
    /// `None` for a live run.
    pub world: Option<WorldFacts>,
}

/// A run as it stands now.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub facts: RunFacts,
    pub ready: Ready,
    /// It was there before.
    pub existed: bool,
}

/// Pins the run: facts to the object store, the row and READY in one transaction. Repeating it,
/// also after a crash in between, gives the same run.
///
/// # Errors
/// [`Error::OtherFacts`] when the key of the run holds a different world (L3).
pub async fn create(ground: &Ground, new: &NewRun) -> Result<Pinned, Error> {
    let pins = pins(new);
    let run = pins.platform_run_id;
    let key: ObjectKey = format!("{run}/sr/run_facts_view.json")
        .parse()
        .expect("a run id makes a legal key");
    let facts = RunFacts {
        schema_version: SCHEMA_VERSION,
        pins,
        name: new.name.clone(),
        label: new.label.clone(),
        semantic_digest: new.semantic_digest,
        world: new.world.clone(),
        created_at: ground.clock.now(),
        actor: ground.actor.clone(),
        stamps: ground.stamps.clone(),
    };
    let (facts, bytes) = write_once(ground, &key, facts).await?;
    let existed = store::ready(&ground.db, &run).await?.is_some();
    if !existed {
        let ready = Ready {
            schema_version: SCHEMA_VERSION,
            pins: facts.pins.clone(),
            run_facts_ref: key.to_string(),
            run_facts_digest: Digest::of_bytes(&bytes),
            tips: tips(ground).await?,
            actor: ground.actor.clone(),
            ready_at: ground.clock.now(),
            stamps: ground.stamps.clone(),
        };
        store::append(&ground.db, &facts, &ready).await?;
    }
    // Read back: of two that raced, one READY stands.
    let ready = store::ready(&ground.db, &run).await?;
    let ready = ready.ok_or_else(|| Error::Facts {
        run,
        cause: "its row vanished".to_owned(),
    })?;
    Ok(Pinned {
        facts,
        ready,
        existed,
    })
}

fn pins(new: &NewRun) -> Pins {
    let world = &new.manifest_fingerprint;
    let tenant = new.tenant_id.as_ref();
    Pins {
        platform_run_id: PlatformRunId::of(world, &new.semantic_digest, tenant, &new.label),
        scenario_run_id: ScenarioRunId::of(world, &new.name),
        manifest_fingerprint: *world,
        tenant_id: new.tenant_id.clone(),
    }
}

/// Writes the facts, or takes those that stand there: they differ only in when and by whom.
async fn write_once(
    ground: &Ground,
    key: &ObjectKey,
    facts: RunFacts,
) -> Result<(RunFacts, Bytes), Error> {
    let run = facts.pins.platform_run_id;
    let unreadable = |cause: String| Error::Facts { run, cause };
    let bytes = serde_json::to_vec_pretty(&facts).map_err(|cause| unreadable(cause.to_string()))?;
    let bytes = Bytes::from(bytes);
    match ground.objects.put_new(key, bytes.clone()).await? {
        Put::Created | Put::Same => Ok((facts, bytes)),
        Put::Conflict { .. } => {
            let stored = ground.objects.get(key).await?;
            let stored = stored.ok_or_else(|| unreadable("the object vanished".to_owned()))?;
            let known: RunFacts =
                serde_json::from_slice(&stored).map_err(|cause| unreadable(cause.to_string()))?;
            match difference(&known, &facts) {
                None => Ok((known, stored)),
                Some(difference) => Err(Error::OtherFacts {
                    run,
                    difference: difference.to_owned(),
                }),
            }
        }
    }
}

fn difference(known: &RunFacts, asked: &RunFacts) -> Option<&'static str> {
    if known.pins != asked.pins {
        return Some("other pins");
    }
    (known.world != asked.world).then_some("another world")
}

/// The newest position of every shard: the run's consumers need nothing older.
async fn tips(ground: &Ground) -> Result<Basis, Error> {
    let mut tips = Basis::default();
    for stream in Stream::ALL {
        for shard in ground.bus.shards(*stream).await? {
            let tip = ground.bus.tip(*stream, &shard.shard_id).await?;
            tips.advance(
                &ShardRef {
                    stream: *stream,
                    shard_id: shard.shard_id,
                },
                tip,
            );
        }
    }
    Ok(tips)
}
