//! What every object store must do. A check takes a fresh, empty one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fraudplat::domain::digest::Digest;
use fraudplat::substrate::objects::{Error, ObjectKey, Objects, Put};

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) async fn a_key_is_written_once(store: Arc<dyn Objects>) {
    let (at, first) = (key("run_1/sr/view.json"), Bytes::from_static(b"first"));
    assert_eq!(store.get(&at).await.unwrap(), None);
    assert_eq!(
        store.put_new(&at, first.clone()).await.unwrap(),
        Put::Created
    );
    assert_eq!(store.put_new(&at, first.clone()).await.unwrap(), Put::Same);
    let put = store
        .put_new(&at, Bytes::from_static(b"other"))
        .await
        .unwrap();
    let stored = Digest::of_bytes(b"first");
    assert_eq!(put, Put::Conflict { stored });
    assert_eq!(store.get(&at).await.unwrap(), Some(first));
    assert_eq!(
        store
            .put_new(&key("run_1/sr/empty"), Bytes::new())
            .await
            .unwrap(),
        Put::Created
    );
    assert_eq!(
        store.get(&key("run_1/sr/empty")).await.unwrap(),
        Some(Bytes::new())
    );
    assert_eq!(store.get(&key("run_1/sr")).await.unwrap(), None);
    assert_eq!(
        store.puts(),
        4,
        "every write is counted, whatever came of it"
    );
    assert_eq!(
        store.get(&key("run_1/sr/view.json/below")).await.unwrap(),
        None
    );
}

/// Sixteen writers of sixteen bodies for the same fresh key, many times.
pub(crate) async fn of_racing_writers_one_wins(store: Arc<dyn Objects>) {
    for round in 0..10 {
        let at = key(&format!("race/{round}/deep/object"));
        let put = |writer: usize| {
            let (store, at) = (store.clone(), at.clone());
            // Writers 0 and 8, 1 and 9, … bring the same body.
            let body = Bytes::from(vec![u8::try_from(writer % 8).unwrap(); 10_000]);
            tokio::spawn(async move { (store.put_new(&at, body.clone()).await.unwrap(), body) })
        };
        let puts = futures::future::join_all((0..16).map(put)).await;
        let puts: Vec<(Put, Bytes)> = puts.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = puts
            .iter()
            .filter(|(put, _)| *put == Put::Created)
            .collect();
        assert_eq!(winners.len(), 1);
        let body = &winners[0].1;
        assert_eq!(store.get(&at).await.unwrap().as_ref(), Some(body));
        let stored = Digest::of_bytes(body);
        for (put, brought) in &puts {
            match put {
                Put::Created | Put::Same => assert_eq!(brought, body),
                Put::Conflict { stored: found } => assert_eq!(*found, stored),
            }
        }
        assert_eq!(puts.iter().filter(|(put, _)| *put == Put::Same).count(), 1);
    }
    assert_eq!(store.list("", None, 100).await.unwrap().len(), 10);
}

pub(crate) async fn a_range_lies_within_the_object(store: Arc<dyn Objects>) {
    let at = key("a");
    store
        .put_new(&at, Bytes::from_static(b"0123456789"))
        .await
        .unwrap();
    let range = async |start, end| store.get_range(&at, start, end).await;
    for (start, end, expect) in [
        (0, 10, "0123456789"),
        (3, 5, "34"),
        (0, 0, ""),
        (10, 10, ""),
    ] {
        assert_eq!(
            range(start, end).await.unwrap().unwrap(),
            expect,
            "{start}..{end}"
        );
    }
    for (start, end) in [(0, 11), (11, 11), (5, 4), (u64::MAX, u64::MAX)] {
        let found = range(start, end).await;
        assert!(
            matches!(found, Err(Error::Range { size: 10, .. })),
            "{start}..{end}: {found:?}"
        );
    }
    assert_eq!(store.get_range(&key("b"), 0, 1).await.unwrap(), None);
}

pub(crate) async fn keys_are_listed_in_byte_order(store: Arc<dyn Objects>) {
    // `-` and `.` sort before `/`, digits after it.
    let mut keys = [
        "run/a",
        "run/a-b/c",
        "run/a.b",
        "run/a0",
        "run/ab/c/d",
        "run/ab/c.d",
        "run/ab0",
        "run/B",
        "run/b/1",
        "run/b/10",
        "run/b/2",
        "run-2/x",
        "other",
        "run/_",
        "run/b=1/x",
    ];
    for at in keys {
        store
            .put_new(&key(at), Bytes::from(at.to_owned()))
            .await
            .unwrap();
    }
    keys.sort_unstable();
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let listed = store
            .list(prefix, after.map(key).as_ref(), limit)
            .await
            .unwrap();
        assert!(
            listed
                .iter()
                .all(|it| it.size == it.key.as_str().len() as u64)
        );
        listed
            .into_iter()
            .map(|it| it.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list("", None, 100).await, keys);
    assert_eq!(list("", None, 0).await, [""; 0]);
    for prefix in [
        "run/", "run", "run/a", "run/ab/", "run/b/1", "r", "x", "run/b/", "/", "..", "run//",
    ] {
        let expect: Vec<_> = keys
            .iter()
            .copied()
            .filter(|it| it.starts_with(prefix))
            .collect();
        assert_eq!(list(prefix, None, 100).await, expect, "{prefix}");
        for limit in [1, 2, 3] {
            let mut paged: Vec<String> = Vec::new();
            loop {
                let page = list(prefix, paged.last().map(String::as_str), limit).await;
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= limit);
                paged.extend(page);
            }
            assert_eq!(paged, expect, "{prefix} by {limit}");
        }
    }
    // `after` need not exist, nor begin with the prefix.
    for after in ["run/a/zz", "run/ab/c", "a", "zz", "run/b/1/0"] {
        let expect: Vec<_> = keys.iter().copied().filter(|it| after < *it).collect();
        assert_eq!(list("", Some(after), 100).await, expect, "{after}");
    }
}

pub(crate) async fn an_object_may_be_large(store: Arc<dyn Objects>) {
    let (at, body) = (key("large"), Bytes::from(vec![7; 20 << 20]));
    assert_eq!(
        store.put_new(&at, body.clone()).await.unwrap(),
        Put::Created
    );
    assert_eq!(store.get(&at).await.unwrap(), Some(body));
    let tail = store
        .get_range(&at, (20 << 20) - 2, 20 << 20)
        .await
        .unwrap();
    assert_eq!(tail.unwrap(), &[7, 7][..]);
    assert!(
        !store
            .presign(&at, Duration::from_secs(60))
            .await
            .unwrap()
            .is_empty()
    );
}

/// Evidence stays; a snapshot of memory may go, and its key may then be written again.
pub(crate) async fn only_what_is_no_evidence_is_removed(store: Arc<dyn Objects>) {
    let body = Bytes::from_static(b"body");
    for evidence in [
        "run_1/ig/receipts/2025-01-01/a.ndjson",
        "run_1/archive/rtdl/snapshots/a",
        "rtdl/snapshots/a",
        "run_1/rtdl/snapshots.b",
    ] {
        let at = key(evidence);
        store.put_new(&at, body.clone()).await.unwrap();
        let refused = store.remove(&at).await;
        assert!(
            matches!(refused, Err(Error::Evidence { .. })),
            "{evidence}: {refused:?}"
        );
        assert_eq!(
            store.get(&at).await.unwrap(),
            Some(body.clone()),
            "{evidence}"
        );
    }
    let (old, new) = (key("run_1/rtdl/snapshots/1"), key("run_1/rtdl/snapshots/2"));
    store.remove(&old).await.unwrap();
    for at in [&old, &new] {
        store.put_new(at, body.clone()).await.unwrap();
    }
    store.remove(&old).await.unwrap();
    store.remove(&old).await.unwrap();
    assert_eq!(store.get(&old).await.unwrap(), None);
    assert_eq!(store.get_range(&old, 0, 0).await.unwrap(), None);
    let left = store.list("run_1/rtdl/snapshots/", None, 10).await.unwrap();
    assert_eq!(left.iter().map(|it| &it.key).collect::<Vec<_>>(), [&new]);
    assert_eq!(store.put_new(&old, body).await.unwrap(), Put::Created);
}
