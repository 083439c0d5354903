//! Splits and merges under load: lineage, the end of a parent, the order of keys across generations,
//! and nothing lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, StreamStatus};
use fraudplat::domain::offset::{Position, ShardId};
use fraudplat::substrate::bus::kinesis::KinesisBus;
use fraudplat::substrate::bus::{Bus, PutOutcome, PutRecord, Shard};

use crate::bus_subject::{DEADLINE, START, STREAM, WAIT, after, limit, record};
use crate::kinesis::{operator, options, provisioned};
use crate::kinesis_server::KinesisServer;

const KEYS: usize = 24;

struct World {
    bus: KinesisBus,
    client: Client,
    name: String,
}

async fn world(server: &KinesisServer, shards: u32) -> World {
    let options = options(&server.endpoint_url, &[(STREAM, shards)]);
    World {
        name: options.streams[&STREAM].name.clone(),
        bus: provisioned(options).await,
        client: operator(&server.endpoint_url),
    }
}

impl World {
    async fn open_shards(&self) -> Vec<Shard> {
        let shards = self.bus.shards(STREAM).await.unwrap();
        shards.into_iter().filter(|it| !it.is_closed).collect()
    }

    async fn active(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let request = self.client.describe_stream_summary();
            let answer = request.stream_name(&self.name).send().await.unwrap();
            let summary = answer.stream_description_summary.unwrap();
            if summary.stream_status == StreamStatus::Active {
                return;
            }
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }

    async fn split(&self, shard: &Shard) {
        let (first, last) = shard.hash_range;
        let middle = first + (last - first) / 2;
        let request = self.client.split_shard().stream_name(&self.name);
        let request = request.shard_to_split(&shard.shard_id.0);
        let request = request.new_starting_hash_key(middle.to_string());
        request.send().await.unwrap();
        self.active().await;
    }

    async fn merge(&self, one: &Shard, next: &Shard) {
        let request = self.client.merge_shards().stream_name(&self.name);
        let request = request.shard_to_merge(&one.shard_id.0);
        let request = request.adjacent_shard_to_merge(&next.shard_id.0);
        request.send().await.unwrap();
        self.active().await;
    }

    async fn scale_to(&self, n_shards: i32) {
        let request = self.client.update_shard_count().stream_name(&self.name);
        let request = request.scaling_type(ScalingType::UniformScaling);
        let request = request.target_shard_count(n_shards);
        request.send().await.unwrap();
        self.active().await;
    }

    /// Puts one numbered record of each key after the other until told to stop; what is refused is
    /// put again, as the gate does. Returns how many each key has.
    async fn put_until(&self, stop: &AtomicBool) -> usize {
        let deadline = Instant::now() + DEADLINE;
        for number in 0.. {
            if stop.load(Ordering::SeqCst) {
                return number;
            }
            let mut open: Vec<PutRecord> = (0..KEYS)
                .map(|key| record(&format!("key-{key}"), number.to_string()))
                .collect();
            while !open.is_empty() {
                assert!(Instant::now() < deadline, "puts do not come through");
                let outcomes = self.bus.put_records(STREAM, open.clone()).await;
                let refused = open
                    .into_iter()
                    .zip(outcomes)
                    .filter_map(|(record, outcome)| {
                        assert!(
                            !matches!(outcome, PutOutcome::Unknown { .. }),
                            "{outcome:?}"
                        );
                        matches!(outcome, PutOutcome::Refused { .. }).then_some(record)
                    });
                open = refused.collect();
            }
        }
        unreachable!("it counts for ever");
    }

    /// Follows the lineage until each key has this many records, and checks their order.
    async fn follow(&self, n_records: usize) {
        let mut places = BTreeMap::new();
        let mut drained: BTreeSet<ShardId> = BTreeSet::new();
        let mut next_of_key: BTreeMap<String, usize> = BTreeMap::new();
        let deadline = Instant::now() + DEADLINE;
        let is_done = |next_of_key: &BTreeMap<String, usize>| {
            next_of_key.len() == KEYS && next_of_key.values().all(|it| *it == n_records)
        };
        while !is_done(&next_of_key) {
            assert!(Instant::now() < deadline, "{n_records}: {next_of_key:?}");
            for shard in self.bus.shards(STREAM).await.unwrap() {
                let is_ready = shard.parents.iter().all(|it| drained.contains(it));
                if !is_ready || drained.contains(&shard.shard_id) {
                    continue;
                }
                let from = places.entry(shard.shard_id.clone()).or_insert(START);
                let read = self.bus.read(
                    STREAM,
                    &shard.shard_id,
                    from.clone(),
                    limit(50, Duration::ZERO),
                );
                let batch = read.await.unwrap();
                for record in batch.records {
                    let next = next_of_key.entry(record.partition_key).or_default();
                    assert_eq!(record.data, next.to_string());
                    *next += 1;
                    *from = after(&record.sequence_number);
                }
                if batch.shard_end {
                    assert!(shard.is_closed, "{} ended and is open", shard.shard_id);
                    drained.insert(shard.shard_id);
                }
            }
        }
        // The end is said again to who asks again, and a closed shard has a tip.
        for shard_id in &drained {
            let from = places[shard_id].clone();
            let read = self
                .bus
                .read(STREAM, shard_id, from.clone(), limit(50, WAIT));
            let batch = read.await.unwrap();
            assert!(batch.shard_end && batch.records.is_empty());
            let tip = self.bus.tip(STREAM, shard_id).await.unwrap();
            let tip = match tip {
                Position::Start => START,
                Position::After(number) => after(&number),
            };
            assert_eq!(tip, from);
        }
    }

    /// Every open shard's range, without gap, and every parent listed before its children.
    async fn check_lineage(&self) {
        let mut ranges: Vec<_> = self
            .open_shards()
            .await
            .iter()
            .map(|it| it.hash_range)
            .collect();
        ranges.sort_unstable();
        assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, u128::MAX));
        assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        let mut seen = BTreeSet::new();
        for shard in self.bus.shards(STREAM).await.unwrap() {
            assert!(
                shard.parents.iter().all(|it| seen.contains(it)),
                "{shard:?}"
            );
            seen.insert(shard.shard_id);
        }
    }
}

/// One shard is split, one of its children again, two neighbours of different age are merged, and
/// where the server can, the whole is scaled up and down.
async fn reshards_under_load(server: &KinesisServer, can_scale: bool) {
    let world = world(server, 2).await;
    let stop = AtomicBool::new(false);
    let operate = async {
        let shards = world.open_shards().await;
        world.split(&shards[0]).await;
        let shards = world.open_shards().await;
        assert_eq!(shards.len(), 3);
        let child = shards.iter().find(|it| !it.parents.is_empty()).unwrap();
        world.split(child).await;
        world.check_lineage().await;
        let mut shards = world.open_shards().await;
        shards.sort_by_key(|it| it.hash_range);
        world.merge(&shards[2], &shards[3]).await;
        let all = world.bus.shards(STREAM).await.unwrap();
        let merged = all.iter().find(|it| it.parents.len() == 2).unwrap();
        let parents: BTreeSet<_> = merged.parents.iter().collect();
        assert_eq!(
            parents,
            BTreeSet::from([&shards[2].shard_id, &shards[3].shard_id])
        );
        assert_eq!(
            merged.hash_range,
            (shards[2].hash_range.0, shards[3].hash_range.1)
        );
        world.check_lineage().await;
        if can_scale {
            world.scale_to(6).await;
            world.scale_to(3).await;
            world.check_lineage().await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    let (n_records, ()) = tokio::join!(world.put_until(&stop), operate);
    assert!(0 < n_records);
    world.follow(n_records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinesalite_reshards_under_load() {
    reshards_under_load(KinesisServer::shared(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinesis_local_reshards_under_load() {
    reshards_under_load(KinesisServer::shared_local(), true).await;
}
