//! The Kinesis bus under what no emulator does: a proxy fails its requests as a script says. After
//! every fault what is said to be stored is there once, what is refused is not there, and a reader
//! goes on without skip or repeat.

use std::time::{Duration, Instant};

use fraudplat::domain::offset::ShardId;
use fraudplat::substrate::bus::kinesis::{KinesisBus, Options};
use fraudplat::substrate::bus::{Bus, BusRecord, Error, PutOutcome, PutRecord, ReadFrom};
use serde_json::json;

use crate::aws_proxy::{AwsProxy, Fault};
use crate::bus_subject::{DEADLINE, OTHER, START, drain, limit, record};
use crate::kinesis::{PATIENT_MS, open, options, provisioned};
use crate::kinesis_server::KinesisServer;

pub(crate) const PUT: &str = "PutRecords";
pub(crate) const GET: &str = "GetRecords";
pub(crate) const ITERATOR: &str = "GetShardIterator";
pub(crate) const THROTTLED: Fault = Fault::Refuse {
    status: 400,
    code: "ProvisionedThroughputExceededException",
};
pub(crate) const HTTP_500: Fault = Fault::Refuse {
    status: 500,
    code: "InternalFailure",
};

/// Long after whoever waits for the answer has given up.
pub(crate) const NEVER: Duration = Duration::from_secs(600);

/// A stream of one shard, asked through a proxy and, to see what is there, directly.
pub(crate) struct World {
    pub(crate) proxy: AwsProxy,
    pub(crate) options: Options,
    /// Through the proxy.
    pub(crate) bus: KinesisBus,
    pub(crate) direct: KinesisBus,
    pub(crate) shard: ShardId,
}

pub(crate) async fn world() -> World {
    world_that_waits(PATIENT_MS).await
}

/// The same, and what goes through the proxy waits so long for an answer.
pub(crate) async fn world_that_waits(request_timeout_ms: u64) -> World {
    let server = KinesisServer::shared();
    let mut options = options(&server.endpoint_url, &[(OTHER, 1)]);
    let direct = provisioned(options.clone()).await;
    let proxy = AwsProxy::before(&server.endpoint_url).await;
    options.endpoint_url = Some(proxy.endpoint_url.clone());
    options.request_timeout_ms = request_timeout_ms;
    World {
        bus: open(options.clone()).await,
        options,
        proxy,
        direct,
        shard: ShardId("shardId-000000000000".to_owned()),
    }
}

impl World {
    pub(crate) async fn put(&self, records: &[(&str, &str)]) -> Vec<PutOutcome> {
        let records = records
            .iter()
            .map(|(key, data)| record(key, (*data).to_owned()));
        self.bus.put_records(OTHER, records.collect()).await
    }

    pub(crate) async fn stored(&self) -> Vec<String> {
        let records = drain(&self.direct, OTHER, &self.shard, 1_000).await;
        records.iter().map(text).collect()
    }

    pub(crate) async fn read(&self, from: ReadFrom) -> Result<Vec<String>, Error> {
        let batch = self
            .bus
            .read(OTHER, &self.shard, from, limit(100, Duration::ZERO));
        Ok(batch.await?.records.iter().map(text).collect())
    }

    /// What is there, once it is so much: who gave up on an answer may look before the server has written.
    pub(crate) async fn stored_in_the_end(&self, n_records: usize) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let there = self.stored().await;
            if n_records <= there.len() {
                return there;
            }
            assert!(Instant::now() < deadline, "{there:?}");
        }
    }
}

/// How long a reader hears nothing of what is throttled or lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks until it is answered. Told of a fault before its patience was over is nobody; a machine that stood still for
/// as long is none of the bus's.
pub(crate) async fn patiently<T>(why: &str, mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let began = Instant::now();
        match ask().await {
            Ok(answer) => return answer,
            Err(Error::Io { .. }) if PATIENCE < began.elapsed() && began < deadline => {}
            Err(error) => panic!("{why}: {error:?}"),
        }
    }
}

/// Options of a bus that gives up a request soon enough to try it again within a reader's patience.
pub(crate) fn hasty(options: &Options) -> Options {
    Options {
        request_timeout_ms: 1_000,
        ..options.clone()
    }
}

pub(crate) fn text(record: &BusRecord) -> String {
    String::from_utf8(record.data.to_vec()).unwrap()
}

/// `S`, `?`, or the code of a refusal.
pub(crate) fn told(outcomes: &[PutOutcome]) -> Vec<String> {
    let word = |it: &PutOutcome| match it {
        PutOutcome::Stored(_) => "S".to_owned(),
        PutOutcome::Unknown { .. } => "?".to_owned(),
        PutOutcome::Refused { code } => format!("{code:?}"),
    };
    outcomes.iter().map(word).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_whole_says_whether_it_may_have_been_applied() {
    let refuse = |status, code| Fault::Refuse { status, code };
    let late = Fault::Delay(NEVER);
    for (fault, expect, is_there) in [
        (THROTTLED, "Throttled", false),
        (refuse(400, "LimitExceededException"), "Throttled", false),
        (
            refuse(400, "ResourceNotFoundException"),
            "NoSuchStream",
            false,
        ),
        (refuse(400, "AccessDeniedException"), "Denied", false),
        (refuse(400, "ValidationException"), "Unavailable", false),
        (HTTP_500, "?", false),
        (refuse(503, "ServiceUnavailable"), "?", false),
        (Fault::FailAfter, "?", true),
        (Fault::Lose, "?", false),
        (Fault::LoseReply, "?", true),
        (Fault::Reset, "?", false),
        (late, "?", true),
        (
            Fault::Tell {
                name: "Records",
                value: json!([]),
            },
            "?",
            true,
        ),
        (Fault::Pass, "S", true),
    ] {
        let world = match &fault {
            Fault::Delay(_) => world_that_waits(8_000).await,
            _ => world().await,
        };
        let why = format!("{fault:?}");
        world.proxy.script(PUT, [fault]);
        // A second record of the key would be in a second request.
        let outcomes = world.put(&[("a", "1"), ("b", "2"), ("a", "3")]).await;
        let second = match expect {
            "S" => "S",
            "?" => "Unavailable",
            code => code,
        };
        assert_eq!(told(&outcomes), [expect, expect, second], "{why}");
        let expect: &[&str] = match (expect, is_there) {
            ("S", _) => &["1", "2", "3"],
            (_, true) => &["1", "2"],
            (_, false) => &[],
        };
        let mut there = world.stored_in_the_end(expect.len()).await;
        there.sort();
        assert_eq!(there, expect, "{why}");
        // One request and no retry behind the caller's back.
        let n_requests = 1 + usize::from(second == "S");
        assert_eq!(world.proxy.seen(PUT).len(), n_requests, "{why}");
        assert_eq!(told(&world.put(&[("a", "4")]).await), ["S"], "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_was_sent_nothing() {
    let world = world().await;
    let mut options = world.options.clone();
    // Held, so that it is nobody else's; nobody listens on it.
    let gone = tokio::net::TcpSocket::new_v4().unwrap();
    gone.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = gone.local_addr().unwrap();
    options.endpoint_url = Some(format!("http://{address}"));
    let bus = open(options.clone()).await;
    let outcomes = bus.put_records(OTHER, vec![record("a", "1")]).await;
    assert_eq!(told(&outcomes), ["Unavailable"]);
    options.endpoint_url = Some("http://no-such-host.invalid".to_owned());
    let bus = open(options).await;
    let outcomes = bus.put_records(OTHER, vec![record("a", "1")]).await;
    assert_eq!(told(&outcomes), ["Unavailable"]);
    let read = bus
        .read(OTHER, &world.shard, START, limit(1, Duration::ZERO))
        .await;
    assert!(matches!(read, Err(Error::Io { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_fails_holds_back_its_keys_and_nothing_else() {
    let world = world().await;
    world.proxy.script(
        PUT,
        [Fault::RefuseRecords {
            places: vec![1],
            code: "ProvisionedThroughputExceededException",
        }],
    );
    let records = [
        ("a", "a1"),
        ("b", "b1"),
        ("a", "a2"),
        ("b", "b2"),
        ("c", "c1"),
        ("a", "a3"),
    ];
    let outcomes = world.put(&records).await;
    assert_eq!(
        told(&outcomes),
        ["S", "Throttled", "S", "HeldBack", "S", "S"]
    );
    // Sent again, as the gate does, they come behind nothing of their key.
    assert_eq!(
        told(&world.put(&[("b", "b1"), ("b", "b2")]).await),
        ["S", "S"]
    );
    let there = world.stored().await;
    let of_key = |key: char| {
        there
            .iter()
            .filter(|it| it.starts_with(key))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of_key('a'), ["a1", "a2", "a3"]);
    assert_eq!(of_key('b'), ["b1", "b2"]);
    assert_eq!(of_key('c'), ["c1"]);
}

/// `InternalFailure` of a record leaves it open: both ends of what it may mean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_failed_inside_the_service_is_unknown() {
    let (places, code) = (vec![1], "InternalFailure");
    let applied = Fault::DenyRecords {
        places: places.clone(),
        code,
    };
    for (fault, expect) in [
        (Fault::RefuseRecords { places, code }, vec!["a1", "c1"]),
        (applied, vec!["a1", "b1", "c1"]),
    ] {
        let world = world().await;
        world.proxy.script(PUT, [fault]);
        let outcomes = world
            .put(&[("a", "a1"), ("b", "b1"), ("c", "c1"), ("b", "b2")])
            .await;
        assert_eq!(told(&outcomes), ["S", "?", "S", "HeldBack"]);
        let mut there = world.stored().await;
        there.sort();
        assert_eq!(there, expect);
    }
}

/// Two thousand records in fours of a key: as many a request as the keys allow, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_load_are_full_and_keep_the_order_of_keys() {
    let world = world().await;
    world.proxy.script(
        PUT,
        [
            Fault::Delay(Duration::from_millis(50)),
            Fault::Pass,
            Fault::Delay(Duration::from_millis(30)),
        ],
    );
    let records =
        |round: usize| (0..500).map(move |key| record(&format!("{key}"), format!("{key}/{round}")));
    let put: Vec<PutRecord> = (0..4).flat_map(records).collect();
    let outcomes = world.bus.put_records(OTHER, put).await;
    assert!(
        outcomes
            .iter()
            .all(|it| matches!(it, PutOutcome::Stored(_)))
    );
    let seen = world.proxy.seen(PUT);
    let sizes: Vec<usize> = seen
        .iter()
        .map(|it| it.body["Records"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [500; 4]);
    let there = world.stored().await;
    assert_eq!(there.len(), 2_000);
    for key in 0..500 {
        let of_key: Vec<_> = there
            .iter()
            .filter(|it| it.starts_with(&format!("{key}/")))
            .collect();
        assert_eq!(
            of_key,
            [0, 1, 2, 3]
                .map(|it| format!("{key}/{it}"))
                .iter()
                .collect::<Vec<_>>()
        );
    }
}
