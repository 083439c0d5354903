//! A world of corner-shop payments, pinned as a user pins their own data, and the checks that every
//! finished run must pass.

use std::path::PathBuf;

use serde_json::Value;

use crate::checks::check;
use crate::corner_shops;
use crate::home::{DONE, Home};

/// The first half of every event id: the mapping's name.
const SOURCE: &str = "corner-shops-v1";

/// A run of corner-shop payments.
pub(crate) struct Shop {
    pub(crate) run: String,
    pub(crate) csv: PathBuf,
    pub(crate) payments: u64,
    /// What `sr run` printed of it.
    pub(crate) pins: Value,
}

/// Writes so many payments and pins a run of them.
pub(crate) fn open(home: &Home, payments: u64) -> Shop {
    open_as(home, payments, "")
}

/// The same under a label: one world, as many runs as there are labels.
pub(crate) fn open_as(home: &Home, payments: u64, label: &str) -> Shop {
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
        "--label",
        label,
    ]);
    assert_eq!(pinned["world"]["payments_count"], payments);
    let run = pinned["platform_run_id"].as_str().unwrap().to_owned();
    Shop {
        run,
        csv,
        payments,
        pins: pinned,
    }
}

/// Every payment has one decision, every row balances, the chain is whole, and a sample of the
/// decisions is recomputed without a difference.
#[track_caller]
pub(crate) fn check_whole(home: &Home, shop: &Shop, sample: &str) {
    check_run(home, &shop.run, shop.payments, sample);
}

/// The same of any run.
#[track_caller]
pub(crate) fn check_run(home: &Home, run: &str, payments: u64, sample: &str) {
    check_balanced(home, run);
    check_decided(home, run, payments);
    let args = [
        "--json", "replay", "decision", "--run", run, "--sample", sample,
    ];
    let replayed = home.run(&args).json();
    let wanted = payments.min(sample.parse().unwrap());
    let is_equal = replayed["compared"] == wanted && replayed["mismatched"] == 0;
    check("replay finds no difference", is_equal, &replayed);
}

/// Every payment has one decision, and the chain is whole.
#[track_caller]
pub(crate) fn check_decided(home: &Home, run: &str, payments: u64) {
    let shown = home.json(&["run", "show", run]);
    let decided = &shown["decisions_count"];
    check(
        "every payment has one decision",
        *decided == payments,
        &shown,
    );
    let chain = home.run(&["--json", "dla", "verify", "--run", run]).json();
    let is_whole = chain["verified"] == payments && chain["broken"].is_null();
    check("the chain is whole", is_whole, &chain);
}

/// Every decision of a run is recomputed from the archive to the same bytes.
#[track_caller]
pub(crate) fn check_history(home: &Home, run: &str, payments: u64) {
    let last = payments.to_string();
    let range = [
        "replay", "range", "--run", run, "--from", "1", "--to", &last,
    ];
    let replayed = home.json(&range);
    let is_equal = replayed["compared"] == payments && replayed["mismatched"] == 0;
    check("the range replays to the same bytes", is_equal, &replayed);
}

/// Reconciliation finds every check in balance.
#[track_caller]
pub(crate) fn check_balanced(home: &Home, run: &str) -> Value {
    let ended = home.run(&["--json", "reconcile", "run", "--run", run]);
    let found = ended.json();
    let n_checks = found["checks"].as_array().map_or(0, Vec::len);
    let is_balanced = found["balanced"] == true && n_checks > 0;
    check("reconciliation balances", is_balanced, &found);
    ended.expect(DONE).json()
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
