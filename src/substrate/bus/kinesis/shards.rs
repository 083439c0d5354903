//! The shards of a stream with their lineage.

use aws_sdk_kinesis::types::Shard as Listed;

use crate::domain::offset::{ShardId, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::kinesis::answer::{Failure, Kind};
use crate::substrate::bus::kinesis::{KinesisBus, io_error};
use crate::substrate::bus::{Error, Shard};

const ACTION: &str = "listing shards";

impl KinesisBus {
    pub(super) async fn list_shards(&self, stream: Stream) -> Result<Vec<Shard>, Error> {
        let name = self.name(stream)?;
        let (mut shards, mut next) = (Vec::new(), None);
        loop {
            // A token names the stream too, and Kinesis takes only one of them.
            let is_first = next.is_none();
            let page = self.patiently(|| {
                let of_stream = is_first.then(|| name.to_owned());
                let request = self.client.list_shards().set_stream_name(of_stream);
                request.set_next_token(next.clone()).send()
            });
            let page = page.await.map_err(|failure| match failure.kind {
                Kind::NotFound => Error::NoSuchStream { stream },
                _ => io_error(ACTION, failure),
            })?;
            for listed in page.shards() {
                shards.push(shard(listed).map_err(|it| io_error(ACTION, it))?);
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(parents_first(shards));
            }
        }
    }

    /// Kinesis says the same of a stream and of a shard that do not exist.
    pub(super) async fn missing(&self, at: &ShardRef, failure: Failure) -> Error {
        match self.list_shards(at.stream).await {
            Err(error) => error,
            Ok(shards) if shards.iter().any(|it| it.shard_id == at.shard_id) => {
                io_error("read", failure)
            }
            Ok(_) => Error::NoSuchShard {
                stream: at.stream,
                shard_id: at.shard_id.clone(),
            },
        }
    }
}

fn shard(listed: &Listed) -> Result<Shard, Failure> {
    let hash = |text: Option<&str>| text.and_then(|it| it.parse().ok());
    let range = listed.hash_key_range();
    let first = hash(range.map(|it| it.starting_hash_key()));
    let last = hash(range.map(|it| it.ending_hash_key()));
    let (Some(first), Some(last)) = (first, last) else {
        return Err(Failure {
            kind: Kind::Unknown,
            cause: format!("shard {} has no hash range", listed.shard_id()),
        });
    };
    let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
    let numbers = listed.sequence_number_range();
    Ok(Shard {
        shard_id: ShardId(listed.shard_id().to_owned()),
        parents: parents
            .into_iter()
            .flatten()
            .map(|it| ShardId(it.to_owned()))
            .collect(),
        hash_range: (first, last),
        is_closed: numbers.is_some_and(|it| it.ending_sequence_number().is_some()),
    })
}

/// Ids grow with every reshard, so their order is that of the generations. A parent that Kinesis
/// no longer lists holds no records: the lineage begins behind it.
fn parents_first(mut shards: Vec<Shard>) -> Vec<Shard> {
    shards.sort_by(|one, other| one.shard_id.cmp(&other.shard_id));
    let ids: Vec<ShardId> = shards.iter().map(|it| it.shard_id.clone()).collect();
    for shard in &mut shards {
        shard.parents.retain(|it| ids.binary_search(it).is_ok());
    }
    shards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_first_and_those_that_are_gone_are_not_waited_for() {
        let shard = |id: &str, parents: &[&str]| Shard {
            shard_id: ShardId(id.to_owned()),
            parents: parents.iter().map(|it| ShardId((*it).to_owned())).collect(),
            hash_range: (0, 1),
            is_closed: false,
        };
        let listed = vec![
            shard("shardId-000000000010", &["shardId-000000000002"]),
            shard(
                "shardId-000000000002",
                &["shardId-000000000000", "shardId-000000000001"],
            ),
            shard("shardId-000000000001", &[]),
        ];
        let expect = vec![
            shard("shardId-000000000001", &[]),
            shard("shardId-000000000002", &["shardId-000000000001"]),
            shard("shardId-000000000010", &["shardId-000000000002"]),
        ];
        assert_eq!(parents_first(listed), expect);
    }
}
