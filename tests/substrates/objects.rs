//! The objects suite over every object store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fraudplat::substrate::clock::SystemEntropy;
use fraudplat::substrate::fault::{FaultPlan, FaultyObjects};
use fraudplat::substrate::objects::Objects;
use fraudplat::substrate::objects::local::LocalObjects;
use fraudplat::substrate::objects::memory::MemoryObjects;
use fraudplat::substrate::objects::s3::{Options, Provisioned, S3Objects};

use crate::objects_suite::*;
use crate::s3_server::{S3Server, credentials, seaweed};

async fn on_local<F: Future<Output = ()>>(check: impl FnOnce(Arc<dyn Objects>) -> F) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("made/by/the/store");
    check(Arc::new(LocalObjects::open(&root).unwrap())).await;
    assert_eq!(
        std::fs::read_dir(root.join(".tmp")).unwrap().count(),
        0,
        "a draft was left"
    );
}

async fn on_memory<F: Future<Output = ()>>(check: impl FnOnce(Arc<dyn Objects>) -> F) {
    check(Arc::new(MemoryObjects::new())).await;
}

async fn on_faulty_without_faults<F: Future<Output = ()>>(
    check: impl FnOnce(Arc<dyn Objects>) -> F,
) {
    let store = FaultyObjects::new(MemoryObjects::new(), FaultPlan::none());
    check(Arc::new(store)).await;
}

async fn on_s3s<F: Future<Output = ()>>(check: impl FnOnce(Arc<dyn Objects>) -> F) {
    let server = S3Server::start().await;
    check(Arc::new(bucket(server.address, |_| ()).await)).await;
}

async fn on_seaweed<F: Future<Output = ()>>(check: impl FnOnce(Arc<dyn Objects>) -> F) {
    let by_folder = |it: &mut Options| it.lists_unsorted = true;
    check(Arc::new(bucket(seaweed().await, by_folder).await)).await;
}

/// A client of a server, as a profile would describe it.
pub(crate) fn options(server: SocketAddr, bucket: &str) -> Options {
    Options {
        endpoint_url: Some(format!("http://{server}")),
        path_style: true,
        // A slow machine is no fault of a store: only what a test does to it fails a try.
        connect_ms_max: 60_000,
        attempt_ms_max: 120_000,
        ..Options::new(bucket)
    }
}

pub(crate) async fn open(options: Options) -> S3Objects {
    let entropy = Arc::new(SystemEntropy);
    let store = S3Objects::open(options, &credentials(), entropy).await;
    store.unwrap()
}

/// A bucket that no other test sees.
pub(crate) async fn bucket(server: SocketAddr, change: impl FnOnce(&mut Options)) -> S3Objects {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("bucket-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let mut options = options(server, &name);
    change(&mut options);
    let store = open(options).await;
    assert_eq!(store.provision().await.unwrap(), Provisioned::Made);
    assert_eq!(store.provision().await.unwrap(), Provisioned::There);
    store
}

macro_rules! suite {
    ($on:ident: $($check:ident)*) => {
        mod $on {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    super::$on(super::$check).await;
                }
            )*
        }
    };
    ($($on:ident)*) => {
        $(suite! { $on:
            a_key_is_written_once
            of_racing_writers_one_wins
            a_range_lies_within_the_object
            keys_are_listed_in_byte_order
            an_object_may_be_large
            only_what_is_no_evidence_is_removed
        })*
    };
}

suite! { on_local on_memory on_faulty_without_faults on_s3s on_seaweed }
