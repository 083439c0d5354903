//! S3 when it refuses, hesitates or breaks off: what is told, what is tried again, and that a lost
//! reply is never taken for a conflict.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fraudplat::contracts::code::Code;
use fraudplat::domain::digest::Digest;
use fraudplat::substrate::aws::Credentials;
use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::objects::s3::{Encryption, Options, S3Objects};
use fraudplat::substrate::objects::{Error, ObjectKey, Objects, Put};

use futures::{StreamExt as _, stream};

use crate::objects::{bucket, open, options};
use crate::s3_server::{Answer, S3Server, seaweed};
use crate::tcp_proxy::{TcpProxy, Wire};

pub(crate) const LARGE_BYTES: usize = 20 << 20;

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

/// Bytes that differ everywhere, so that a part in the wrong place shows.
pub(crate) fn body(n_bytes: usize) -> Bytes {
    let words = (0..n_bytes.div_ceil(4)).map(|it| (it as u32).to_le_bytes());
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(n_bytes);
    Bytes::from(bytes)
}

/// A server and, through a wire of the test's, a client of a fresh bucket on it; the second client
/// has a wire that always works.
pub(crate) struct World {
    pub(crate) server: S3Server,
    pub(crate) proxy: TcpProxy,
    pub(crate) direct: S3Objects,
    pub(crate) name: String,
}

pub(crate) async fn world() -> World {
    let server = S3Server::start().await;
    let direct = bucket(server.address, |_| ()).await;
    let proxy = TcpProxy::to(server.address).await;
    // Bucket names are counted; the server has only this one.
    let heads = server.take_heads();
    let name = heads[0].uri.path().trim_matches('/').to_owned();
    World {
        server,
        proxy,
        direct,
        name,
    }
}

impl World {
    pub(crate) fn options(&self) -> Options {
        options(self.proxy.address, &self.name)
    }

    /// Of a client that soon gives up a silent wire. A machine that stands still may cost it a try or two that were
    /// none the worse: it has more of them.
    pub(crate) fn hasty(&self) -> Options {
        Options {
            attempt_ms_max: 2_000,
            bytes_per_s_min: 2 << 20,
            attempts_max: 15,
            ..self.options()
        }
    }

    /// A client without open connections, so that the script begins with its first.
    pub(crate) async fn client(&self) -> S3Objects {
        open(self.options()).await
    }

    pub(crate) async fn client_that_tries(&self, attempts_max: u32) -> S3Objects {
        open(Options {
            attempts_max,
            ..self.options()
        })
        .await
    }

    /// A hasty client whose first connection is such a wire.
    pub(crate) async fn through(&self, wire: &Wire) -> S3Objects {
        open(self.options_through(wire).await).await
    }

    /// The same; it tries once.
    pub(crate) async fn once_through(&self, wire: &Wire) -> S3Objects {
        let options = self.options_through(wire).await;
        let attempts_max = 1;
        open(Options {
            attempts_max,
            ..options
        })
        .await
    }

    async fn options_through(&self, wire: &Wire) -> Options {
        let proxy = TcpProxy::to(self.server.address).await;
        proxy.script([wire.clone()]);
        Options {
            endpoint_url: Some(format!("http://{}", proxy.address)),
            ..self.hasty()
        }
    }

    pub(crate) async fn assert_there_once(&self, at: &ObjectKey, body: &Bytes) {
        assert_eq!(self.direct.get(at).await.unwrap().as_ref(), Some(body));
        let listed = self.direct.list(at.as_str(), None, 10).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].size, body.len() as u64);
    }
}

#[tokio::test]
async fn a_store_that_hesitates_is_asked_again() {
    let world = world().await;
    let store = world.client().await;
    let (at, body) = (key("run/a"), body(1_000));
    world.server.answer([
        Answer::Only(503, "SlowDown"),
        Answer::Only(409, "ConditionalRequestConflict"),
        Answer::Only(500, "InternalError"),
        Answer::Only(400, "RequestTimeout"),
    ]);
    assert_eq!(
        store.put_new(&at, body.clone()).await.unwrap(),
        Put::Created
    );
    assert_eq!(world.server.take_heads().len(), 5);
    world.server.answer([
        Answer::Only(503, "SlowDown"),
        Answer::Only(500, "InternalError"),
    ]);
    assert_eq!(store.get(&at).await.unwrap(), Some(body));
    world.server.answer([Answer::Only(503, "SlowDown")]);
    assert_eq!(store.list("run/", None, 10).await.unwrap().len(), 1);
}

/// Written, and told that it was not: the next try finds it and says the same.
#[tokio::test]
async fn a_write_that_was_done_and_denied_is_no_conflict() {
    let world = world().await;
    let store = world.client().await;
    for (n, size) in [100, LARGE_BYTES].into_iter().enumerate() {
        let (at, body) = (key(&format!("done/{n}")), body(size));
        // Of a large one: the look, the beginning, three parts; then the completion.
        let before = if size == LARGE_BYTES { 5 } else { 0 };
        world.server.answer(vec![Answer::Right; before]);
        world.server.answer([Answer::Done(500, "InternalError")]);
        let put = store.put_new(&at, body.clone()).await.unwrap();
        assert_eq!(put, Put::Same, "{size} bytes");
        world.assert_there_once(&at, &body).await;
        let put = store.put_new(&at, Bytes::from_static(b"other")).await;
        let stored = Digest::of_bytes(&body);
        assert_eq!(put.unwrap(), Put::Conflict { stored });
    }
}

#[tokio::test]
async fn a_refusal_is_told_for_what_it_is() {
    let world = world().await;
    let store = world.client_that_tries(3).await;
    let at = key("a");
    let put = async || store.put_new(&at, body(10)).await.unwrap_err();

    world.server.take_heads();
    world.server.answer([Answer::Only(403, "AccessDenied")]);
    let denied = put().await;
    assert!(matches!(denied, Error::Denied { .. }), "{denied:?}");
    assert_eq!(denied.code(), Code::ObjectsDenied);
    assert_eq!(
        world.server.take_heads().len(),
        1,
        "asked again for nothing"
    );

    world.server.answer([Answer::Only(503, "SlowDown"); 3]);
    let throttled = put().await;
    assert!(
        matches!(throttled, Error::Throttled { .. }),
        "{throttled:?}"
    );
    assert_eq!(world.server.take_heads().len(), 3);

    world.server.answer([Answer::Only(500, "InternalError"); 3]);
    let broken = put().await;
    assert!(matches!(broken, Error::Io { .. }), "{broken:?}");

    for n in 0..4 {
        world.server.answer([Answer::Only(404, "NoSuchBucket")]);
        let failed = match n {
            0 => store.get(&at).await.map(drop),
            1 => store.put_new(&at, body(10)).await.map(drop),
            2 => store.list("", None, 1).await.map(drop),
            _ => store.get_range(&at, 0, 1).await.map(drop),
        };
        let failed = failed.unwrap_err();
        assert!(matches!(failed, Error::NoBucket { .. }), "{failed:?}");
        assert_eq!(failed.code(), Code::BucketMissing);
    }
    let nowhere = open(options(seaweed().await, "missing-bucket")).await;
    let failed = nowhere.put_new(&at, body(10)).await.unwrap_err();
    assert!(matches!(failed, Error::NoBucket { .. }), "{failed:?}");

    let stranger = Credentials::Keys {
        id: "test".to_owned(),
        secret: "wrong".to_owned(),
    };
    let stranger = S3Objects::open(world.options(), &stranger, Arc::new(SystemEntropy)).await;
    let denied = stranger.unwrap().get(&at).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied:?}");
}

#[tokio::test]
async fn a_write_says_how_it_is_to_be_encrypted_and_what_its_bytes_are() {
    let world = world().await;
    let kms = Encryption::KmsKeyId("alias/fraudplat".to_owned());
    for (n, (encryption, expect)) in [
        (Encryption::None, (None, None)),
        (Encryption::Aes256, (Some("AES256"), None)),
        (kms, (Some("aws:kms"), Some("alias/fraudplat"))),
    ]
    .into_iter()
    .enumerate()
    {
        let store = open(Options {
            encryption,
            ..world.options()
        })
        .await;
        world.server.take_heads();
        for size in [10, LARGE_BYTES] {
            let at = key(&format!("encrypted/{n}/{size}"));
            store.put_new(&at, body(size)).await.unwrap();
        }
        let heads = world.server.take_heads();
        let value = |at: usize, name: &str| {
            let value = heads[at].headers.get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        // The write, then the look, then the beginning of the large one.
        for at in [0, 2] {
            let found = (
                value(at, "x-amz-server-side-encryption"),
                value(at, "x-amz-server-side-encryption-aws-kms-key-id"),
            );
            let found = (found.0.as_deref(), found.1.as_deref());
            assert_eq!(found, expect, "{:?}", heads[at]);
        }
        assert_eq!(heads[2].uri.query(), Some("uploads"));
        let writes = heads.iter().filter(|it| it.method == "PUT");
        for write in writes {
            // In a header: some servers cannot read one that follows the body.
            assert!(
                write.headers.contains_key("x-amz-checksum-crc32"),
                "{write:?}"
            );
            assert!(!write.headers.contains_key("x-amz-trailer"), "{write:?}");
        }
        assert_eq!(value(0, "if-none-match").as_deref(), Some("*"));
        let complete = heads.len() - 1;
        assert_eq!(heads[complete].method, "POST");
        assert_eq!(value(complete, "if-none-match").as_deref(), Some("*"));
    }
}

#[tokio::test]
async fn a_link_reads_the_object_until_it_expires() {
    let server = seaweed().await;
    let store = bucket(server, |_| ()).await;
    let at = key("run/report=1.html");
    store.put_new(&at, body(100)).await.unwrap();
    let link = store.presign(&at, Duration::from_secs(600)).await.unwrap();
    let client = fraudplat::substrate::auth::client::builder()
        .build()
        .unwrap();
    let read = async |url: &str| client.get(url).send().await.unwrap();
    let found = read(&link).await;
    assert_eq!(found.status(), 200);
    assert_eq!(found.bytes().await.unwrap(), body(100));
    let unsigned = link.split('?').next().unwrap();
    assert_eq!(read(unsigned).await.status(), 403);
    let other = link
        .replace("report=1", "report=2")
        .replace("report%3D1", "report%3D2");
    assert_ne!(other, link);
    assert_eq!(read(&other).await.status(), 403);
    let short = store.presign(&at, Duration::from_secs(1)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(240);
    while read(&short).await.status() != 403 {
        assert!(Instant::now() < deadline, "a link does not expire");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        store
            .presign(&at, Duration::from_secs(8 * 86_400))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_others_put_into_the_bucket_disturbs_no_listing() {
    let world = world().await;
    let store = world.client().await;
    store.put_new(&key("a/b"), body(1)).await.unwrap();
    world.server.plant(&world.name, "a/ with space");
    let listed = store.list("", None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(store.list("", None, 1).await.unwrap()[0].key, key("a/b"));
}

/// More keys than a page holds.
#[tokio::test]
async fn a_listing_goes_on_over_pages() {
    let server = S3Server::start().await;
    let store = Arc::new(bucket(server.address, |_| ()).await);
    let keys: Vec<ObjectKey> = (0..1_203).map(|it| key(&format!("p/{it:05}"))).collect();
    // So many at once as a server's queue of connections surely holds.
    let puts = keys.iter().map(|at| store.put_new(at, Bytes::new()));
    let puts = stream::iter(puts).buffer_unordered(32);
    puts.for_each(async |put| assert_eq!(put.unwrap(), Put::Created))
        .await;
    for limit in [1_000, 1_001, 2_000] {
        let listed = store.list("p/", None, limit).await.unwrap();
        let found: Vec<_> = listed.into_iter().map(|it| it.key).collect();
        assert_eq!(found, keys[..limit.min(keys.len())]);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_told_as_such() {
    let nobody: SocketAddr = ([127, 0, 0, 1], 1).into();
    let store = open(Options {
        attempts_max: 2,
        ..options(nobody, "b")
    })
    .await;
    let failed = store.get(&key("a")).await.unwrap_err();
    assert!(matches!(failed, Error::Io { .. }), "{failed:?}");
    assert_eq!(failed.code(), Code::SubstrateUnavailable);
    assert!(store.provision().await.is_err());
}
