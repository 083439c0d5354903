//! The bus suite over every bus.

use std::sync::Arc;
use std::time::Duration;

use fraudplat::domain::time::Time;
use fraudplat::substrate::bus::embedded::{EmbeddedBus, Options, StreamOptions};
use fraudplat::substrate::bus::memory::MemoryBus;
use fraudplat::substrate::clock::SetClock;
use fraudplat::substrate::fault::{FaultPlan, FaultyBus};

use crate::bus_subject::{BusClock, OTHER, SHARDS, STREAM, Subject, T0};
use crate::bus_suite::*;
use crate::kinesis::on_kinesalite;

/// What `trim` of the embedded bus is told to keep; a test subtracts it.
pub(crate) const RETENTION: Duration = Duration::from_secs(3_600);

pub(crate) fn options(clock: &SetClock) -> Options {
    let stream = |stream, shards| StreamOptions {
        stream,
        shards,
        retention: Some(RETENTION),
    };
    Options {
        streams: vec![stream(STREAM, SHARDS), stream(OTHER, 1)],
        clock: Arc::new(clock.clone()),
    }
}

pub(crate) async fn trim(bus: &EmbeddedBus, cutoff: Time) -> u64 {
    bus.trim(cutoff.plus_ms(RETENTION.as_millis() as u64))
        .await
        .unwrap()
}

async fn on_embedded<F: Future<Output = ()>>(check: impl FnOnce(Subject) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::at(T0);
    let bus = Arc::new(EmbeddedBus::open(dir.path(), options(&clock)).unwrap());
    let trimmed = bus.clone();
    check(Subject {
        bus: bus.clone(),
        clock: BusClock::Set(clock),
        trim: Some(Box::new(move |cutoff| {
            let bus = trimmed.clone();
            Box::pin(async move { trim(&bus, cutoff).await })
        })),
    })
    .await;
    bus.close().await.unwrap();
}

fn memory(clock: &SetClock) -> MemoryBus {
    MemoryBus::new(&[(STREAM, SHARDS), (OTHER, 1)], Arc::new(clock.clone()))
}

async fn on_memory<F: Future<Output = ()>>(check: impl FnOnce(Subject) -> F) {
    let clock = SetClock::at(T0);
    let bus = Arc::new(memory(&clock));
    let trimmed = bus.clone();
    check(Subject {
        bus,
        clock: BusClock::Set(clock),
        trim: Some(Box::new(move |cutoff| {
            let n_dropped = trimmed.trim(cutoff);
            Box::pin(async move { n_dropped })
        })),
    })
    .await;
}

async fn on_faulty_without_faults<F: Future<Output = ()>>(check: impl FnOnce(Subject) -> F) {
    let clock = SetClock::at(T0);
    check(Subject {
        bus: Arc::new(FaultyBus::new(memory(&clock), FaultPlan::none())),
        clock: BusClock::Set(clock),
        trim: None,
    })
    .await;
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
            keys_keep_their_order_and_numbers_grow
            shards_share_the_hash_range
            what_does_not_exist_is_said
            bad_records_are_refused_and_hold_back_their_key
            a_read_ends_at_its_limits
            the_tip_is_the_newest_record
            what_is_put_is_counted
            a_read_at_the_tip_waits_and_wakes
            a_read_by_time_begins_with_the_first_arrival
            what_is_dropped_is_said_and_the_newest_stays
            puts_and_reads_run_side_by_side
        })*
    };
}

suite! { on_embedded on_memory on_faulty_without_faults on_kinesalite }
