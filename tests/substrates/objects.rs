//! The objects suite over every object store.

use std::sync::Arc;

use fraudplat::substrate::fault::{FaultPlan, FaultyObjects};
use fraudplat::substrate::objects::Objects;
use fraudplat::substrate::objects::local::LocalObjects;
use fraudplat::substrate::objects::memory::MemoryObjects;

use crate::objects_suite::*;

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

suite! { on_local on_memory on_faulty_without_faults }
