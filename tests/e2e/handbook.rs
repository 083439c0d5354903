//! The card-payment handbook through the whole loop: its payments are streamed, decided and
//! exported, and the customer and clock features in the decisions are the published ones. Halfway
//! every snapshot and the log are taken away: what comes after stands on the archive alone.
//!
//! Skips where the data do not lie beside the repository. `HANDBOOK_ROWS` raises the number of
//! payments (all: 1504628).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use fraudplat::domain::vocabulary::Stream;
use fraudplat::substrate::bus::embedded::{self, EmbeddedBus, StreamOptions};
use fraudplat::substrate::clock::{Clock as _, SystemClock};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::home::Home;
use crate::shop;

const ROWS: usize = 10_000;
const TOLERANCE: f64 = 1e-9;

/// Of the baseline and of the published table; means are in minor units here.
const FEATURES: [(&str, &str); 8] = [
    ("is_weekend", "TX_DURING_WEEKEND"),
    ("is_night", "TX_DURING_NIGHT"),
    ("customer_count_1d", "CUSTOMER_ID_NB_TX_1DAY_WINDOW"),
    ("customer_mean_1d", "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW"),
    ("customer_count_7d", "CUSTOMER_ID_NB_TX_7DAY_WINDOW"),
    ("customer_mean_7d", "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW"),
    ("customer_count_30d", "CUSTOMER_ID_NB_TX_30DAY_WINDOW"),
    ("customer_mean_30d", "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW"),
];

#[test]
fn decisions_of_the_handbook_hold_its_published_features() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/handbook");
    if !folder.join("features.parquet").exists() {
        return say("skipped: no ../shared/data/handbook beside the repository");
    }
    let rows = wanted();
    let home = Home::new();
    let (run, payments) = pin(&home, &folder, rows);
    let half = payments / 2;
    let limit = half.to_string();
    let sent = home.json(&["wsp", "stream", "--run", &run, "--limit", &limit]);
    assert_eq!(sent["ended"], false, "{sent}");
    forget(&home, &run);
    let sent = home.json(&["wsp", "stream", "--run", &run]);
    say(&format!("streamed: {sent}"));
    assert_eq!(sent["events"], 4 * (payments - half), "{sent}");
    assert_eq!(sent["ended"], true, "{sent}");
    let told = home.said().concat();
    assert!(told.contains("the log does not reach back"), "{told}");
    let out = home.dir().join("decisions.ndjson");
    let exported = home.json(&[
        "dla",
        "export",
        "--run",
        &run,
        "--out",
        out.to_str().unwrap(),
    ]);
    assert_eq!(exported["decisions"], payments, "{exported}");
    let kept = home.run(&[
        "dla",
        "export",
        "--run",
        &run,
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(kept.expect(1).stderr.contains("exists"));

    let published = published(&folder, rows);
    let twins = twins(&folder, rows);
    let differing = compare(&out, &published, &twins);
    say(&format!(
        "{payments} payments decided, {} exempt, {} differ from the published features",
        twins.len(),
        differing.len()
    ));
    assert_eq!(differing, [""; 0]);
    // Reconciliation refuses a log that was cut; the rest must hold all the same.
    shop::check_decided(&home, &run, payments);
    shop::check_history(&home, &run, payments);
}

/// Takes away every snapshot of the run, and from the log what its retention lets go.
fn forget(home: &Home, run: &str) {
    let snapshots = home.data().join("objects/fraud-platform/objects").join(run);
    std::fs::remove_dir_all(snapshots.join("rtdl/snapshots")).unwrap();
    const RETENTION: Duration = Duration::from_secs(3_600);
    let streams = Stream::ALL.iter().map(|stream| StreamOptions {
        stream: *stream,
        shards: 1,
        // Of all streams control is kept the longest: what told of the run is still there.
        retention: (*stream != Stream::Control).then_some(RETENTION),
    });
    let options = embedded::Options {
        streams: streams.collect(),
        clock: Arc::new(SystemClock),
    };
    let bus = EmbeddedBus::open(&home.data().join("bus"), options).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let later = SystemClock.now().plus_ms(2 * 3_600_000);
        let dropped = bus.trim(later).await.unwrap();
        say(&format!("{dropped} records dropped from the log"));
        assert!(dropped > 0);
        bus.close().await.unwrap();
    });
}

fn pin(home: &Home, folder: &Path, rows: usize) -> (String, u64) {
    let dataset = folder.join("transactions.parquet");
    let limit = rows.to_string();
    let pinned = home.json(&[
        "sr",
        "run",
        "--dataset",
        dataset.to_str().unwrap(),
        "--mapping",
        "handbook",
        "--limit",
        &limit,
    ]);
    let payments = pinned["world"]["payments_count"].as_u64().unwrap();
    assert_eq!(payments, rows as u64);
    let run = pinned["platform_run_id"].as_str().unwrap().to_owned();
    (run, payments)
}

/// Compares every decision but those on twins; names the first few that differ.
fn compare(
    decisions: &Path,
    published: &HashMap<i64, [f64; 8]>,
    twins: &HashSet<i64>,
) -> Vec<String> {
    let mut differing = Vec::new();
    let mut compared = 0;
    for line in BufReader::new(File::open(decisions).unwrap()).lines() {
        let decision: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let body = &decision["body"];
        let id = body["event_id"].as_str().unwrap();
        let id: i64 = id.strip_prefix("handbook-v1:").unwrap().parse().unwrap();
        if twins.contains(&id) {
            continue;
        }
        compared += 1;
        for ((ours, theirs), expected) in FEATURES.iter().zip(published[&id]) {
            let found = number(&body["features"][ours], ours.starts_with("customer_mean"));
            if (found - expected).abs() > TOLERANCE && differing.len() < 10 {
                differing.push(format!("{id}: {ours} is {found}, {theirs} {expected}"));
            }
        }
    }
    assert_eq!(compared + twins.len(), published.len());
    differing
}

fn number(value: &Value, is_minor: bool) -> f64 {
    let found = match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        value => value.as_f64().unwrap(),
    };
    if is_minor { found / 100.0 } else { found }
}

fn published(folder: &Path, rows: usize) -> HashMap<i64, [f64; 8]> {
    let first: HashSet<i64> = transactions(folder, rows).map(|row| row.0).collect();
    let mut published = HashMap::with_capacity(rows);
    for batch in read(&folder.join("features.parquet")) {
        let ids = ints(&batch, "TRANSACTION_ID");
        let columns = FEATURES.map(|(_, theirs)| floats(&batch, theirs));
        for (row, id) in ids.into_iter().enumerate() {
            if first.contains(&id) {
                published.insert(id, std::array::from_fn(|at| columns[at][row]));
            }
        }
    }
    published
}

/// Rows that share customer and second with another: the published value depends on their order.
fn twins(folder: &Path, rows: usize) -> HashSet<i64> {
    let mut seconds: HashMap<(i64, i64), Vec<i64>> = HashMap::new();
    for (id, customer, second) in transactions(folder, rows) {
        seconds.entry((customer, second)).or_default().push(id);
    }
    let twins = seconds.into_values().filter(|it| it.len() > 1);
    twins.flatten().collect()
}

/// Id, customer and second of the first rows.
fn transactions(folder: &Path, rows: usize) -> impl Iterator<Item = (i64, i64, i64)> {
    let batches = read(&folder.join("transactions.parquet"));
    let of_batch = |batch: RecordBatch| {
        let ids = ints(&batch, "TRANSACTION_ID");
        let customers = ints(&batch, "CUSTOMER_ID");
        let seconds = ints(&batch, "TX_TIME_SECONDS");
        let rows = ids.into_iter().zip(customers).zip(seconds);
        rows.map(|((id, customer), second)| (id, customer, second))
            .collect::<Vec<_>>()
    };
    batches.flat_map(of_batch).take(rows)
}

fn read(path: &Path) -> impl Iterator<Item = RecordBatch> + use<> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let batches = reader.with_batch_size(8_192).build().unwrap();
    batches.map(Result::unwrap)
}

fn floats(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let column = batch.column_by_name(column).unwrap();
    let column = arrow::compute::cast(column, &DataType::Float64).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn ints(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let column = batch.column_by_name(column).unwrap();
    let column = arrow::compute::cast(column, &DataType::Int64).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the size is given to the test, not to the platform"
)]
fn wanted() -> usize {
    let given = std::env::var("HANDBOOK_ROWS").ok();
    given.map_or(ROWS, |it| it.parse().unwrap())
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
