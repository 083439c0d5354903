//! Streams that are split and merged while they are read: inlets, archive and decisions go on with
//! the children when the parents are drained.

use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use aws_sdk_kinesis::types::StreamStatus;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{EventClass, Stream};
use fraudplat::substrate::aws::Credentials;
use fraudplat::substrate::bus::Shard;
use fraudplat::substrate::bus::kinesis::{KinesisBus, Options, StreamOptions};
use fraudplat::substrate::clock::{SystemClock, SystemEntropy};

use crate::decider::Run;
use crate::kinesis_server::KinesisServer;
use crate::labels::{self, FEATURES, label, labelled};
use crate::world::{eventually, world};

const RESHARDED: [Stream; 3] = [Stream::FlowAnchor, Stream::Traffic, Stream::Labels];

struct Resharded {
    run: Run,
    client: Client,
    options: Options,
}

/// A run on kinesalite, with two shards a stream.
async fn resharded() -> Resharded {
    let server = KinesisServer::shared();
    let of_stream = |stream: &Stream| {
        let options = StreamOptions {
            name: stream.to_string(),
            shards: 2,
            retention_hours: 24,
        };
        (*stream, options)
    };
    let options = Options {
        endpoint_url: Some(server.endpoint_url.clone()),
        region: Some("us-east-1".to_owned()),
        ca_file: None,
        connect_timeout_ms: 60_000,
        request_timeout_ms: 120_000,
        reads_per_second_max: 200,
        streams: Stream::ALL.iter().map(of_stream).collect(),
    };
    let credentials = Credentials::Keys {
        id: "test".to_owned(),
        secret: "test".to_owned(),
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let bus = KinesisBus::open(options.clone(), &credentials, clock, entropy);
    let bus = bus.await.unwrap();
    bus.provision().await.unwrap();
    let mut world = world().await;
    world.ground.bus = Arc::new(bus);
    let credentials = aws_sdk_kinesis::config::Credentials::new("test", "test", None, None, "test");
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(&server.endpoint_url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(credentials);
    Resharded {
        run: Run::over(world).await,
        client: Client::from_conf(config.build()),
        options,
    }
}

impl Resharded {
    async fn open_shards(&self, stream: Stream) -> Vec<Shard> {
        let shards = self.run.world.ground.bus.shards(stream).await.unwrap();
        let mut shards: Vec<_> = shards.into_iter().filter(|it| !it.is_closed).collect();
        shards.sort_by_key(|it| it.hash_range);
        shards
    }

    async fn split_first(&self, stream: Stream) {
        let shard = self.open_shards(stream).await.remove(0);
        let middle = shard.hash_range.0 + (shard.hash_range.1 - shard.hash_range.0) / 2;
        let request = self.client.split_shard();
        let request = request.stream_name(&self.options.streams[&stream].name);
        let request = request.shard_to_split(&shard.shard_id.0);
        let request = request.new_starting_hash_key(middle.to_string());
        request.send().await.unwrap();
        self.active(stream).await;
    }

    async fn merge_last(&self, stream: Stream) {
        let shards = self.open_shards(stream).await;
        let [.., one, next] = &shards[..] else {
            panic!("nothing to merge: {shards:?}");
        };
        let request = self.client.merge_shards();
        let request = request.stream_name(&self.options.streams[&stream].name);
        let request = request.shard_to_merge(&one.shard_id.0);
        let request = request.adjacent_shard_to_merge(&next.shard_id.0);
        request.send().await.unwrap();
        self.active(stream).await;
    }

    async fn active(&self, stream: Stream) {
        let name = &self.options.streams[&stream].name;
        eventually("the stream is active", async || {
            let request = self.client.describe_stream_summary().stream_name(name);
            let summary = request.send().await.unwrap().stream_description_summary;
            summary.unwrap().stream_status == StreamStatus::Active
        })
        .await;
    }

    /// Says of these payments that they were fraud, known from the first payment on.
    async fn say(&self, seqs: RangeInclusive<i64>) {
        let known: Time = "2025-01-01T00:00:00Z".parse().unwrap();
        let label = |seq| label(&self.run.pins, seq, known, "CONFIRMED_FRAUD");
        labels::put(&self.run, seqs.map(label).collect()).await;
    }

    async fn decided(&self) -> i64 {
        let sql = "SELECT count(*) FROM dla.decision";
        self.run.world.number(sql).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_through_splits_and_merges() {
    let mut it = resharded().await;
    let bundle = labelled(FEATURES);
    it.run.store(&bundle).await;
    it.say(1..=10).await;
    it.run.pay(50).await;
    // Between two lives of the worker, which then finds parents and children together.
    for stream in RESHARDED {
        it.split_first(stream).await;
    }
    it.say(11..=20).await;
    it.run.pay(50).await;
    it.run.decide_under(&bundle).await;
    // While it reads: children appear when it stands at the tip.
    let (first, second) = (it.run.expect(40), it.run.expect(40));
    let operate = async {
        for seqs in [first, second] {
            let wanted = *seqs.end();
            it.say(wanted - 9..=wanted).await;
            for class in &EventClass::ALL[..3] {
                it.run.put(*class, seqs.clone()).await;
            }
            it.run.world.run_inlets().await;
            it.run.put(EventClass::Traffic, seqs).await;
            eventually("all so far is decided", async || {
                it.decided().await >= wanted
            })
            .await;
            for stream in RESHARDED {
                it.merge_last(stream).await;
            }
        }
    };
    tokio::join!(it.run.decide_under(&bundle), operate);
    it.say(181..=190).await;
    it.run.pay(50).await;
    it.run.decide_under(&bundle).await;

    let world = &it.run.world;
    // Every context of every payment was there in time.
    let parts = world.number("SELECT count(*) FROM rtdl.frame_part").await;
    assert_eq!(parts, 3 * 230);
    // Two shards, one split, two merges: six shards, of which one is open.
    let sql = "SELECT count(*) FILTER (WHERE watermark >= '9999-12-31'), count(*)
               FROM runtime.lease WHERE group_name = 'context_flow_anchor'";
    let client = world.db.owner.get().await.unwrap();
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (5, 6));
    // Of the labels too: fifty, of which the last decision knows all.
    let (body, evidence) = it.run.log().await.pop().unwrap();
    let tips = world.tips(&[Stream::Labels]).await;
    let known = tips.0.iter();
    let known = known.filter(|(shard, tip)| {
        evidence
            .basis
            .0
            .get(*shard)
            .is_some_and(|it| it.reaches(tip))
    });
    assert_eq!((known.count(), tips.0.len()), (6, 6), "{evidence:?}");
    // All were made at one time: by their ids are they before or after each other.
    let is_before = |seq: &i64| format!("e{seq}") <= body.event_id.to_string();
    let is_fraud = |seq: &i64| matches!(seq, 1..=20 | 131..=140 | 171..=190);
    let all: Vec<i64> = (1..=230).filter(is_before).collect();
    let frauds = all.iter().filter(|it| is_fraud(it)).count();
    assert_eq!(labels::share(&body), frauds as f64 / all.len() as f64);
    it.run.replay().await;
}
