//! S3 over wires that break, fall silent or crawl: a write is there once and right or told as failed, a read is whole.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fraudplat::substrate::objects::s3::Options;
use fraudplat::substrate::objects::{Error, ObjectKey, Objects, Put};
use futures::{StreamExt as _, stream};

use crate::objects::open;
use crate::objects_s3::{LARGE_BYTES, World, body, key, world};
use crate::tcp_proxy::{At, End, Way, Wire};

/// Long after the limits of a hasty client, on any machine.
const TOLD_WITHIN: Duration = Duration::from_secs(120);

/// Where a connection breaks: at its start, within the head, at the seams, within the body, at the
/// end and beyond it.
fn places(n_bytes: u64, head_bytes: u64) -> Vec<u64> {
    let mut places = vec![0, 1, head_bytes / 2, head_bytes - 1, head_bytes];
    places.extend((1..8).map(|it| head_bytes + (n_bytes - head_bytes) * it / 8));
    places.extend([n_bytes - 1, n_bytes]);
    places.retain(|it| *it <= n_bytes);
    places.sort_unstable();
    places.dedup();
    places
}

/// Every place with every end, in the direction that is up or down.
fn breaks(places: Vec<u64>, wire: fn(At, End) -> Wire) -> Vec<Wire> {
    let ends = [End::Cut, End::Reset, End::Silent];
    let both = |at: u64| ends.map(|end| wire(At::Bytes(at), end));
    places.into_iter().flat_map(both).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_cuts_is_there_once_and_right() {
    let world = world().await;
    let body = body(50_000);
    let (store, at) = (world.client().await, key("whole"));
    assert_eq!(
        store.put_new(&at, body.clone()).await.unwrap(),
        Put::Created
    );
    let (up, down) = world.proxy.passed();
    let mut wires = breaks(places(up, up - body.len() as u64), Wire::up);
    wires.extend(breaks(places(down, down / 2), Wire::down));
    assert!(wires.len() >= 60, "{}", wires.len());
    let checks = wires.into_iter().enumerate().map(async |(n, wire)| {
        check_one_try(&world, &key(&format!("once/{n:03}")), &wire, &body).await;
        let at = key(&format!("cut/{n:03}"));
        let put = world.through(&wire).await.put_new(&at, body.clone()).await;
        assert!(
            matches!(put, Ok(Put::Created | Put::Same)),
            "{wire:?}: {put:?}"
        );
        world.assert_there_once(&at, &body).await;
    });
    stream::iter(checks)
        .buffer_unordered(16)
        .collect::<()>()
        .await;
}

/// Who tries once is told an error, or it was done; and either way the next one settles it.
async fn check_one_try(world: &World, at: &ObjectKey, wire: &Wire, body: &Bytes) {
    let put = world
        .once_through(wire)
        .await
        .put_new(at, body.clone())
        .await;
    assert!(
        matches!(put, Ok(Put::Created) | Err(Error::Io { .. })),
        "{wire:?}: {put:?}"
    );
    let found = world.direct.get(at).await.unwrap();
    assert!(
        found.is_none() || found.as_ref() == Some(body),
        "{wire:?}: something else is there"
    );
    assert!(
        put.is_err() || found.is_some(),
        "{wire:?}: created and not there"
    );
    let again = world.direct.put_new(at, body.clone()).await.unwrap();
    let expect = if found.is_some() {
        Put::Same
    } else {
        Put::Created
    };
    // A server may still have been writing what the cut let through.
    assert!(again == expect || again == Put::Same, "{wire:?}: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_write_through_cuts_is_there_once_and_right() {
    let world = world().await;
    let body = body(LARGE_BYTES);
    let up = LARGE_BYTES as u64;
    let ends = [End::Cut, End::Reset, End::Silent];
    let wires = [0, 1, 700, 1_500, 3_000, up / 3, up / 2, up - 1]
        .into_iter()
        .map(|at| (true, at))
        .chain([0, 1, 200, 700, 1_000, 1_400].map(|at| (false, at)));
    for (n, (is_up, at)) in wires.enumerate() {
        let end = ends[n % ends.len()];
        let wire = match is_up {
            true => Wire::up(At::Bytes(at), end),
            false => Wire::down(At::Bytes(at), end),
        };
        // The first connections all break; the parts go over several.
        world
            .proxy
            .script([wire.clone(), wire.clone(), wire.clone(), wire]);
        let key = key(&format!("large/{n:03}"));
        let store = open(world.hasty()).await;
        let put = store.put_new(&key, body.clone()).await;
        assert!(
            matches!(put, Ok(Put::Created | Put::Same)),
            "up {is_up}, at {at}, {end:?}: {put:?}"
        );
        world.assert_there_once(&key, &body).await;
        world.proxy.clear_script();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_through_cuts_is_whole_or_an_error() {
    let world = world().await;
    let (at, body) = (key("read"), body(50_000));
    world.direct.put_new(&at, body.clone()).await.unwrap();
    world.client().await.get(&at).await.unwrap();
    let (_, down) = world.proxy.passed();
    let wires = breaks(places(down, down - body.len() as u64), Wire::down);
    let checks = wires.into_iter().map(async |wire| {
        let found = world.through(&wire).await.get(&at).await.unwrap();
        assert_eq!(found.as_ref(), Some(&body), "{wire:?}");
        match world.once_through(&wire).await.get(&at).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(&body), "{wire:?}"),
            Err(Error::Io { .. }) => {}
            Err(other) => panic!("{wire:?}: {other:?}"),
        }
    });
    stream::iter(checks)
        .buffer_unordered(16)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_stays_silent_ends_by_the_limit() {
    let world = world().await;
    let (at, body) = (key("silent"), body(LARGE_BYTES));
    world.direct.put_new(&at, body.clone()).await.unwrap();
    let hasty = async |attempts_max| {
        open(Options {
            attempts_max,
            ..world.hasty()
        })
        .await
    };
    for wire in [
        Wire::up(At::Bytes(0), End::Silent),
        Wire::down(At::Bytes(0), End::Silent),
        // Within the body.
        Wire::down(At::Bytes(1 << 20), End::Silent),
    ] {
        world.proxy.otherwise(wire.clone());
        let store = hasty(2).await;
        let began = Instant::now();
        let failed = store.get(&at).await.unwrap_err();
        assert!(matches!(failed, Error::Io { .. }), "{failed:?}");
        let took = began.elapsed();
        assert!(took < TOLD_WITHIN, "{wire:?}: {took:?}");
    }
    let stuck = Wire::up(At::Bytes(1 << 20), End::Silent);
    world.proxy.otherwise(stuck);
    let store = hasty(1).await;
    let began = Instant::now();
    assert!(store.put_new(&key("stuck"), body).await.is_err());
    assert!(began.elapsed() < TOLD_WITHIN);
    assert_eq!(world.direct.get(&key("stuck")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_wire_is_waited_for_and_a_crawling_one_is_not() {
    let world = world().await;
    let body = body(100_000);
    let slow = |bytes_per_s| Wire {
        up: Way {
            bytes_per_s: Some(bytes_per_s),
            delay: Duration::from_millis(5),
            ..Way::default()
        },
        ..Wire::default()
    };
    world.proxy.otherwise(slow(60_000));
    // 1.7 s at this rate, where a try without bytes may take 1 s; its bytes may take much longer.
    let patient = open(Options {
        attempts_max: 1,
        attempt_ms_max: 1_000,
        bytes_per_s_min: 1 << 10,
        ..world.options()
    })
    .await;
    let put = patient.put_new(&key("slow"), body.clone()).await;
    assert_eq!(put.unwrap(), Put::Created);
    world.proxy.otherwise(slow(10_000));
    let impatient = open(Options {
        attempts_max: 1,
        attempt_ms_max: 1_000,
        bytes_per_s_min: 1 << 20,
        ..world.options()
    })
    .await;
    let put = impatient.put_new(&key("crawling"), body).await;
    assert!(matches!(put, Err(Error::Io { .. })), "{put:?}");
}
