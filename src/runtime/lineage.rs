//! Which shards of a resharded stream may be read: a child starts when its parents are drained, so
//! that a key's records stay in order across generations.
//!
//! That a group has drained a shard is said by its lease's watermark: nothing more can come, so it
//! has seen all up to the end of time. Who waits for the lowest watermark is not held back by it.

use std::collections::BTreeSet;

use crate::domain::offset::{ShardId, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::runtime::consumer::Error;
use crate::runtime::ground::Ground;
use crate::runtime::lease::Lease;
use crate::substrate::bus::Shard;
use crate::substrate::db::{self, Client};

const READ_DRAINED: &str = include_str!("sql/read_drained.sql");

/// The watermark of a drained shard: 9999-12-31, a time that every column and form can hold.
pub const END_OF_TIME: Time = Time::from_micros(253_402_214_400_000_000);

/// The shards to read now. A parent that is no longer listed holds nothing.
pub fn ready<'a>(
    shards: &'a [Shard],
    drained: &'a BTreeSet<ShardId>,
) -> impl Iterator<Item = &'a Shard> {
    let listed: BTreeSet<&ShardId> = shards.iter().map(|it| &it.shard_id).collect();
    shards.iter().filter(move |shard| {
        let is_open = |it: &&ShardId| listed.contains(it) && !drained.contains(*it);
        !drained.contains(&shard.shard_id) && !shard.parents.iter().any(|it| is_open(&it))
    })
}

/// What the group has drained of a stream; nothing is asked where nothing was resharded.
///
/// # Errors
/// Those of the database.
pub async fn drained(
    ground: &Ground,
    group: &str,
    stream: Stream,
    shards: &[Shard],
) -> Result<BTreeSet<ShardId>, db::Error> {
    if !shards.iter().any(|it| it.is_closed) {
        return Ok(BTreeSet::new());
    }
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ_DRAINED).await?;
    let rows = client.query(&statement, &[&group, &END_OF_TIME]).await?;
    let scopes: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let of_stream = |shard: &&Shard| {
        let shard_id = shard.shard_id.clone();
        scopes.contains(&ShardRef { stream, shard_id }.to_string())
    };
    let drained = shards.iter().filter(of_stream);
    Ok(drained.map(|it| it.shard_id.clone()).collect())
}

/// Ends the lease of a shard that is read to its end, with all of it committed.
///
/// # Errors
/// Those of the lease: another may have taken over.
pub async fn finish(client: &Client, lease: &Lease) -> Result<(), Error> {
    lease.renew(client, Some(END_OF_TIME)).await?;
    lease.release(client).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(drained: &[&str], expect: &[&str]) {
        // a and b are split off the gone z; b and c become d.
        let shard = |id: &str, parents: &[&str]| Shard {
            shard_id: ShardId(id.to_owned()),
            parents: parents.iter().map(|it| ShardId((*it).to_owned())).collect(),
            hash_range: (0, 1),
            is_closed: false,
        };
        let shards = [
            shard("a", &["z"]),
            shard("b", &["z"]),
            shard("c", &[]),
            shard("d", &["b", "c"]),
        ];
        let drained = drained.iter().map(|it| ShardId((*it).to_owned())).collect();
        let found = ready(&shards, &drained).map(|it| it.shard_id.0.as_str());
        assert_eq!(found.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_child_waits_for_all_its_parents() {
        check(&[], &["a", "b", "c"]);
        check(&["b"], &["a", "c"]);
        check(&["b", "c"], &["a", "d"]);
        check(&["a", "b", "c", "d"], &[]);
    }
}
