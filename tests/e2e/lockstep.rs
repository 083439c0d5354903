//! Two runs of one world from empty directories, in lockstep: the same decisions, byte for byte.

use serde_json::Value;

use crate::home::{DONE, Home};
use crate::shop;

const PAYMENTS: u64 = 2_000;

#[test]
fn two_runs_in_lockstep_decide_the_same_bytes() {
    let [first, second] = [decided(), decided()];
    assert_eq!(first.len() as u64, PAYMENTS);
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one, other);
    }
    assert_eq!(first.len(), second.len());
}

/// Every decision of a run in order of its chain: event, decision, outcome, hash of the body.
fn decided() -> Vec<[Value; 5]> {
    let home = Home::new();
    let shop = shop::open(&home, PAYMENTS);
    let args = ["--concurrency", "1", "--lockstep", "1d"];
    let mut stream = vec!["--json", "wsp", "stream", "--run", &shop.run];
    stream.extend(args);
    let ended = home.run(&stream).expect(DONE).json();
    assert_eq!(ended["ended"], true, "{ended}");
    let listed = home.json(&["dla", "list", "--run", &shop.run, "--limit", "100000"]);
    let fields = ["seq", "event_id", "decision_id", "outcome", "body_hash"];
    let rows = listed.as_array().unwrap().iter();
    rows.map(|row| fields.map(|field| row[field].clone()))
        .collect()
}
