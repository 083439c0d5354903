//! A world of corner-shop payments, pinned as a user pins their own data, and the checks that every
//! finished run must pass.

use std::path::PathBuf;

use serde_json::Value;

use crate::corner_shops;
use crate::home::{DONE, Home};

/// The first half of every event id: the mapping's name.
const SOURCE: &str = "corner-shops-v1";

/// A run of corner-shop payments.
pub(crate) struct Shop {
    pub(crate) run: String,
    pub(crate) csv: PathBuf,
    pub(crate) mapping: PathBuf,
    pub(crate) payments: u64,
}

/// Writes so many payments and pins a run of them.
pub(crate) fn open(home: &Home, payments: u64) -> Shop {
    let csv = home.dir().join(corner_shops::FILE);
    corner_shops::write_csv(&csv, payments, 7).unwrap();
    let mapping = home.file("corner-shops.yaml", corner_shops::MAPPING);
    let pinned = home.json(&[
        "sr",
        "run",
        "--dataset",
        csv.to_str().unwrap(),
        "--mapping",
        mapping.to_str().unwrap(),
    ]);
    assert_eq!(pinned["world"]["payments_count"], payments);
    let run = pinned["platform_run_id"].as_str().unwrap().to_owned();
    Shop {
        run,
        csv,
        mapping,
        payments,
    }
}

/// Every payment has one decision, every row balances, the chain is whole, and a sample of the
/// decisions is recomputed without a difference.
#[track_caller]
pub(crate) fn check_whole(home: &Home, shop: &Shop, sample: &str) {
    let shown = home.json(&["run", "show", &shop.run]);
    assert_eq!(shown["decisions_count"], shop.payments, "{shown}");
    check_balanced(home, &shop.run);
    let chain = home.json(&["dla", "verify", "--run", &shop.run]);
    assert_eq!(chain["verified"], shop.payments, "{chain}");
    assert_eq!(chain["broken"], Value::Null, "{chain}");
    let args = ["replay", "decision", "--run", &shop.run, "--sample", sample];
    let replayed = home.json(&args);
    let wanted = shop.payments.min(sample.parse().unwrap());
    assert_eq!(replayed["compared"], wanted, "{replayed}");
    assert_eq!(replayed["mismatched"], 0, "{replayed}");
}

/// Reconciliation finds every check in balance.
#[track_caller]
pub(crate) fn check_balanced(home: &Home, run: &str) -> Value {
    let ended = home.run(&["--json", "reconcile", "run", "--run", run]);
    let found = ended.expect(DONE).json();
    assert_eq!(found["balanced"], true, "{found}");
    assert!(!found["checks"].as_array().unwrap().is_empty());
    found
}

/// A line of the CSV file, read here and not by the platform.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) event_id: String,
    pub(crate) time: String,
    pub(crate) time_s: i64,
    pub(crate) customer: String,
    pub(crate) device: String,
    pub(crate) merchant: String,
    pub(crate) terminal: String,
    pub(crate) mcc: String,
    pub(crate) country: String,
    pub(crate) channel: String,
    pub(crate) amount_minor: i64,
}

impl Shop {
    /// The payments in order of the file.
    pub(crate) fn read(&self) -> Vec<Payment> {
        let text = std::fs::read_to_string(&self.csv).unwrap();
        text.lines().skip(1).map(payment).collect()
    }
}

fn payment(line: &str) -> Payment {
    let cells: Vec<&str> = line.split(',').collect();
    let text = |at: usize| cells[at].to_owned();
    let (units, cents) = cells[9].split_once('.').unwrap();
    let time: jiff::Timestamp = cells[1].parse().unwrap();
    Payment {
        event_id: format!("{SOURCE}:{}", cells[0]),
        time: text(1),
        time_s: time.as_second(),
        customer: text(2),
        device: text(3),
        merchant: text(4),
        terminal: text(5),
        mcc: text(6),
        country: text(7),
        channel: text(8),
        amount_minor: format!("{units}{cents}").parse().unwrap(),
    }
}
