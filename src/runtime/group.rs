//! A consumer group over one stream: takes the lease of every shard that it can get, runs one
//! consumer a shard, takes up what others drop, and a resharded stream's children after their parents.

use std::collections::BTreeMap;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::offset::{ShardId, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::runtime::consumer::{self, Error, Handler, Options};
use crate::runtime::ground::Ground;
use crate::runtime::lease::{Lease, LeaseKey};
use crate::runtime::lineage;
use crate::substrate::meter;

/// How often free shards are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What makes a group.
pub struct Group<F> {
    pub name: &'static str,
    pub stream: Stream,
    pub options: Options,
    /// Makes the handler of a shard.
    pub handler: F,
}

/// Runs the group until stopped; then its consumers finish their batch and release their leases.
pub async fn run<F, H>(group: Group<F>, ground: Ground, stop: CancellationToken)
where
    F: Fn(&ShardRef) -> H + Send + Sync,
    H: Handler + 'static,
{
    let (own, options) = (ground.clone(), group.options);
    let members = Members {
        name: group.name,
        stream: group.stream,
        consume: move |shard: ShardRef, lease: Lease, stop: CancellationToken| {
            let (ground, handler) = (own.clone(), (group.handler)(&shard));
            async move { consumer::run(&ground, shard, lease, handler, options, stop).await }
        },
    };
    run_members(members, ground, stop).await;
}

/// A group whose members consume in their own way.
pub struct Members<F> {
    pub name: &'static str,
    pub stream: Stream,
    /// Consumes one leased shard until stopped, and releases the lease then; at the shard's end it
    /// calls [`lineage::finish`].
    pub consume: F,
}

/// As [`run`], for members of any kind.
pub async fn run_members<F, C>(group: Members<F>, ground: Ground, stop: CancellationToken)
where
    F: Fn(ShardRef, Lease, CancellationToken) -> C + Send + Sync,
    C: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut running: JoinSet<(ShardId, Result<(), Error>)> = JoinSet::new();
    let mut held: BTreeMap<ShardId, ()> = BTreeMap::new();
    loop {
        if stop.is_cancelled() && running.is_empty() {
            return;
        }
        if !stop.is_cancelled()
            && let Err(error) = take_free(&group, &ground, &stop, &mut held, &mut running).await
        {
            tracing::warn!(
                group = group.name,
                error = &error as &dyn std::error::Error,
                "no lease was taken; it tries again"
            );
        }
        tokio::select! {
            Some(ended) = running.join_next() => {
                let Ok((shard_id, result)) = ended else {
                    tracing::error!(group = group.name, "a consumer panicked: a law was broken");
                    stop.cancel();
                    continue;
                };
                held.remove(&shard_id);
                if let Err(error) = result {
                    tracing::warn!(group = group.name, shard = %shard_id, error = &error as &dyn std::error::Error, "consumer ended");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

async fn take_free<F, C>(
    group: &Members<F>,
    ground: &Ground,
    stop: &CancellationToken,
    held: &mut BTreeMap<ShardId, ()>,
    running: &mut JoinSet<(ShardId, Result<(), Error>)>,
) -> Result<(), Error>
where
    F: Fn(ShardRef, Lease, CancellationToken) -> C + Send + Sync,
    C: Future<Output = Result<(), Error>> + Send + 'static,
{
    let shards = ground.bus.shards(group.stream).await?;
    let drained = lineage::drained(ground, group.name, group.stream, &shards).await?;
    for shard in lineage::ready(&shards, &drained) {
        if held.contains_key(&shard.shard_id) {
            continue;
        }
        let shard_ref = ShardRef {
            stream: group.stream,
            shard_id: shard.shard_id.clone(),
        };
        let key = LeaseKey::new(group.name, shard_ref.to_string());
        let client = ground.db.get().await?;
        let Some(lease) = key.take(&client, &ground.holder, "start").await? else {
            continue;
        };
        if let (Some(seen_at), Ok(position)) = (lease.watermark, lease.position.parse()) {
            ground.bus.recall(&shard_ref, &position, seen_at);
        }
        let shard_id = shard.shard_id.clone();
        let consumed = (group.consume)(shard_ref, lease, stop.child_token());
        held.insert(shard_id.clone(), ());
        let consumed = meter::task(group.name, consumed);
        running.spawn(async move { (shard_id, consumed.await) });
    }
    Ok(())
}
