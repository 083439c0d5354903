//! Storms: the executable under what production does to it, at a size of your choice, from a seed
//! that is printed. Whatever happened, in the end every payment has one decision, everything
//! balances, the chain is whole, and a replay finds no difference. `docs/testing.md` says what else
//! must hold in each.
//!
//! `just storm actions|kills|duplicates|shuffle|mismatch|sends|sends-managed|processes --size N`; small ones run with every
//! `cargo test`.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod actions;
#[path = "../support/aws_proxy.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod aws_proxy;
#[path = "../support/checks.rs"]
mod checks;
#[path = "../support/corner_shops.rs"]
mod corner_shops;
mod duplicates;
#[path = "../support/events.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod events;
#[path = "../support/home.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod home;
#[path = "../support/intents.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod intents;
mod kills;
#[path = "../support/labeller.rs"]
mod labeller;
mod labels;
mod ledger;
mod mismatch;
#[path = "../support/payments.rs"]
mod payments;
#[path = "../support/postgres.rs"]
mod postgres;
mod processes;
mod producers;
#[path = "../support/receiver.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod receiver;
mod sends;
#[path = "../support/servers.rs"]
mod servers;
#[path = "../support/shop.rs"]
mod shop;
mod shuffle;
mod site;
mod takeovers;
#[path = "../support/tcp_proxy.rs"]
mod tcp_proxy;
mod weather;
#[path = "../rtdl/world.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod world;

use std::sync::{Mutex, PoisonError};

use weather::Weather;

/// Each has a machine to itself: what a storm waits for should not be another storm.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn storm(name: &str, size: u64, payments: u64, run: fn(&Weather)) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    Weather::given(name, size, payments).run(run);
}

#[test]
fn actions() {
    storm("actions", 300, 3, actions::storm);
}

#[test]
fn kills() {
    storm("kills", 5, 5_000, kills::storm);
}

#[test]
fn duplicates() {
    storm("duplicates", 2, 1_000, duplicates::storm);
}

#[test]
fn shuffle() {
    storm("shuffle", 2, 800, shuffle::storm);
}

#[test]
fn mismatch() {
    storm("mismatch", 60, 400, mismatch::storm);
}

#[test]
fn sends() {
    storm("sends", 20_000, 500, sends::storm);
}

#[test]
fn sends_managed() {
    storm("sends-managed", 2_000, 50, sends::managed);
}

#[test]
fn processes() {
    storm("processes", 5, 1_500, processes::storm);
}

#[tokio::test(flavor = "multi_thread")]
async fn takeovers() {
    takeovers::storm(300, 1).await;
}
