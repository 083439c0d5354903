//! The baseline's customer and clock features against the published ones of the card-payment
//! handbook, where its data lie beside the repository; else the test says that it skips.
//!
//! `HANDBOOK_ROWS` raises the number of rows (all: 1504628).

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test: helpers may panic, and its size comes from the environment"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use fraudplat::contracts::decision::Value;
use fraudplat::contracts::payload::Traffic;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Channel;
use fraudplat::engine::{EventRecord, FeatureSet, FeatureState, FeatureVector};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The eight, as the baseline has them, in the order of [`PUBLISHED`].
const SET: &str = r#"
feature_set: handbook
version: 1
features:
  - {name: is_weekend, type: bool, expr: "event.ts.getDayOfWeek() in [0, 6]"}
  - {name: is_night, type: bool, expr: "event.ts.getHours() <= 6"}
  - {name: customer_count_1d, entity: [customer_id], agg: count, window: 1d}
  - {name: customer_mean_1d, entity: [customer_id], agg: mean, value: event.amount_minor, window: 1d, empty: 0}
  - {name: customer_count_7d, entity: [customer_id], agg: count, window: 7d}
  - {name: customer_mean_7d, entity: [customer_id], agg: mean, value: event.amount_minor, window: 7d, empty: 0}
  - {name: customer_count_30d, entity: [customer_id], agg: count, window: 30d}
  - {name: customer_mean_30d, entity: [customer_id], agg: mean, value: event.amount_minor, window: 30d, empty: 0}
"#;

const PUBLISHED: [&str; 8] = [
    "TX_DURING_WEEKEND",
    "TX_DURING_NIGHT",
    "CUSTOMER_ID_NB_TX_1DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW",
    "CUSTOMER_ID_NB_TX_7DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW",
    "CUSTOMER_ID_NB_TX_30DAY_WINDOW",
    "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW",
];

fn handbook() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/handbook");
    folder.join("features.parquet").exists().then_some(folder)
}

fn read(path: &Path) -> impl Iterator<Item = RecordBatch> {
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader
        .with_batch_size(8_192)
        .build()
        .unwrap()
        .map(Result::unwrap)
}

fn floats(batch: &RecordBatch, column: &str) -> Vec<f64> {
    let column = batch
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let column = arrow::compute::cast(column, &DataType::Float64).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn ints(batch: &RecordBatch, column: &str) -> Vec<i64> {
    let column = batch
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let column = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => arrow::compute::cast(column, &DataType::Int64),
        DataType::Timestamp(_, _) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let column = arrow::compute::cast(column, &micros).unwrap();
            arrow::compute::cast(&column, &DataType::Int64)
        }
        _ => arrow::compute::cast(column, &DataType::Int64),
    };
    let column = column.unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// The decimal that the float stands for exactly, times 100, rounded half to even.
fn cents(amount: f64) -> i64 {
    assert!((0.0..1e12).contains(&amount));
    let bits = amount.to_bits();
    let exponent = i32::try_from(bits >> 52).unwrap() - 1_075;
    let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52) * 100;
    if bits == 0 || exponent < -120 {
        return 0;
    }
    if exponent >= 0 {
        return i64::try_from(mantissa << exponent).unwrap();
    }
    let shift = u32::try_from(-exponent).unwrap();
    let (whole, rest) = (mantissa >> shift, mantissa & ((1 << shift) - 1));
    let up = match rest.cmp(&(1 << (shift - 1))) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(whole).unwrap() + i64::from(up)
}

fn pins() -> Pins {
    let world = ManifestFingerprint::of_live(None, "handbook");
    Pins {
        platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"semantics"), None, ""),
        scenario_run_id: ScenarioRunId::of(&world, "handbook"),
        manifest_fingerprint: world,
        tenant_id: None,
    }
}

fn record(pins: &Pins, row: (i64, i64, i64, i64, f64)) -> EventRecord {
    let (id, micros, customer, terminal, amount) = row;
    let terminal = format!("t{terminal}");
    let traffic = Traffic {
        flow_id: format!("f{id}"),
        customer_id: format!("c{customer}"),
        merchant_id: terminal.clone(),
        account_id: None,
        card_id: None,
        device_id: None,
        ip: None,
        terminal_id: Some(terminal),
        beneficiary_id: None,
        amount_minor: cents(amount),
        currency: "EUR".to_owned(),
        channel: Channel::Pos,
        attributes: None,
    };
    let event_id = format!("handbook-v1:{id}").parse().unwrap();
    EventRecord::of(
        pins.clone(),
        event_id,
        Digest::of_bytes(b""),
        Time::from_micros(micros),
        traffic,
    )
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value / 100.0,
        other => panic!("{other:?}"),
    }
}

fn rows_wanted() -> usize {
    let given = std::env::var("HANDBOOK_ROWS").ok();
    given.and_then(|it| it.parse().ok()).unwrap_or(100_000)
}

fn events(folder: &Path, n_rows: usize) -> Vec<(i64, EventRecord)> {
    let pins = pins();
    let mut events = Vec::new();
    for batch in read(&folder.join("transactions.parquet")) {
        let (ids, times) = (ints(&batch, "TRANSACTION_ID"), ints(&batch, "TX_DATETIME"));
        let (customers, terminals) = (ints(&batch, "CUSTOMER_ID"), ints(&batch, "TERMINAL_ID"));
        let amounts = floats(&batch, "TX_AMOUNT");
        for row in 0..batch.num_rows().min(n_rows - events.len()) {
            let fields = (
                ids[row],
                times[row],
                customers[row],
                terminals[row],
                amounts[row],
            );
            events.push((ids[row], record(&pins, fields)));
        }
        if events.len() == n_rows {
            break;
        }
    }
    events
}

/// Rows compared, and rows that differ.
#[expect(clippy::print_stderr, reason = "names the first few that differ")]
fn compare(
    folder: &Path,
    computed: &HashMap<i64, FeatureVector>,
    twins: &BTreeSet<i64>,
) -> (usize, usize) {
    let (mut compared, mut mismatched) = (0_usize, 0_usize);
    for batch in read(&folder.join("features.parquet")) {
        let ids = ints(&batch, "TRANSACTION_ID");
        let published: Vec<_> = PUBLISHED.iter().map(|it| floats(&batch, it)).collect();
        for (row, id) in ids.iter().enumerate() {
            let Some(found) = computed.get(id) else {
                continue;
            };
            if twins.contains(id) {
                continue;
            }
            compared += 1;
            let differs = |at: usize| {
                let tolerance = if at >= 2 && at % 2 == 1 { 1e-9 } else { 0.0 };
                (number(&found.values[at]) - published[at][row]).abs() > tolerance
            };
            if let Some(at) = (0..PUBLISHED.len()).find(|at| differs(*at)) {
                mismatched += 1;
                let (name, value) = (PUBLISHED[at], &found.values[at]);
                if mismatched <= 5 {
                    eprintln!(
                        "{id}: {name} is {value:?}, published {}",
                        published[at][row]
                    );
                }
            }
        }
    }
    (compared, mismatched)
}

#[test]
fn cents_round_half_to_even() {
    for (amount, expect) in [
        (57.16, 5_716),
        (0.0, 0),
        (0.125, 12),
        (0.375, 38),
        (1.005, 100),
        (81.51, 8_151),
        (1_024.0, 102_400),
    ] {
        assert_eq!(cents(amount), expect, "{amount}");
    }
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "says that it skips, and what it measured"
)]
fn the_published_features_are_met() {
    let Some(folder) = handbook() else {
        eprintln!("skipped: no ../shared/data/handbook beside the repository");
        return;
    };
    let n_rows = rows_wanted();
    let events = events(&folder, n_rows);
    let mut seconds: BTreeMap<(&str, Time), Vec<i64>> = BTreeMap::new();
    for (id, event) in &events {
        seconds
            .entry((&event.customer_id, event.ts))
            .or_default()
            .push(*id);
    }
    let twins = seconds.into_values().filter(|it| it.len() > 1).flatten();
    let twins: BTreeSet<i64> = twins.collect();

    let set = FeatureSet::compile("handbook.yaml", SET).unwrap();
    let mut state = FeatureState::new(Arc::new(set));
    let started = Instant::now();
    let mut computed = Vec::with_capacity(events.len());
    for (id, event) in &events {
        state.apply_event(event).unwrap();
        computed.push((*id, state.compute(event).unwrap()));
    }
    let took: Duration = started.elapsed();
    let computed: HashMap<i64, _> = computed.into_iter().collect();

    let (compared, mismatched) = compare(&folder, &computed, &twins);
    eprintln!(
        "{compared} rows compared, {} exempt, {mismatched} mismatched; {} ns per event, {} MB of state, {} keys",
        twins.len(),
        took.as_nanos() / events.len() as u128,
        state.bytes() / 1_000_000,
        state.n_keys(),
    );
    assert_eq!(mismatched, 0);
    assert_eq!(compared + twins.len(), n_rows);
}
