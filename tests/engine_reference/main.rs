//! The feature state against a naive reference that asks the definition of every event: random
//! streams with ties, late and repeated records, labels early, late and against one another,
//! eviction, snapshots and restarts.
//!
//! `FRAUDPLAT_PROPERTY_CASES` says how many streams; `just properties 100000` sets it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: helpers may panic, and its size comes from the environment"
)]

mod case;
mod graph;
mod graph_case;
mod packing;
mod reference;
mod run;

use std::io::Write as _;
use std::sync::atomic::Ordering;

fn cases() -> u32 {
    let given = std::env::var("FRAUDPLAT_PROPERTY_CASES").ok();
    given.and_then(|it| it.parse().ok()).unwrap_or(2_000)
}

#[test]
fn every_feature_is_what_its_definition_says() {
    let tally = run::compare(cases()).unwrap_or_else(|found| panic!("{found}"));
    assert!(tally.cold_keys.load(Ordering::Relaxed) > 0, "{tally:?}");
    let mut to = std::io::stderr().lock();
    drop(writeln!(to, "properties: {tally:?}, none differs"));
}

#[test]
fn what_was_put_away_and_damaged_is_an_error_and_never_another_value() {
    let tally = run::damage(cases()).unwrap_or_else(|found| panic!("{found}"));
    let mut to = std::io::stderr().lock();
    drop(writeln!(to, "properties: {tally:?}, none differs"));
    let [damaged, lost] = [&tally.damaged, &tally.lost].map(|it| it.load(Ordering::Relaxed));
    assert!(
        damaged > u64::from(cases()) / 4,
        "{damaged} chunks were damaged"
    );
    assert_eq!(lost, damaged, "a damaged chunk was taken");
}
