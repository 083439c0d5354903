//! The handbook's payments through the shipped mapping, where the data are present.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{ALL, Shelf, shipped};
use crate::domain::vocabulary::LabelType;
use crate::ingress::world::{Plan, WorldReader, materialise, read_truth};

/// Amounts of exactly 0 in the file, counted over its raw floats. The data's description says 42;
/// the file at hand, whose row and fraud counts are those described, holds 33.
const ZEROS: u64 = 33;

/// The cents of the whole file by another way: every amount is a whole number of cents but for the
/// last bits of a float (1,046 of them are such as 214.95000000000002), so the nearest cent is the
/// right one.
fn cents_and_zeros(file: &Path) -> (i128, u64) {
    let file = std::fs::File::open(file).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let (mut cents, mut zeros) = (0, 0);
    for batch in reader {
        let batch = batch.unwrap();
        let amounts = batch
            .column_by_name("TX_AMOUNT")
            .unwrap()
            .as_primitive::<Float64Type>();
        for amount in amounts.values() {
            cents += (amount * 100.0).round() as i128;
            zeros += u64::from(*amount == 0.0);
        }
    }
    (cents, zeros)
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "a skipped test says so, a measured one says its time"
)]
async fn the_handbook_is_read_whole() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/handbook/transactions.parquet");
    if !file.exists() {
        eprintln!("skipped: {} is not here", file.display());
        return;
    }
    let shelf = Arc::new(Shelf::default());
    let started = Instant::now();
    let plan = Plan::read(&shipped("handbook.yaml"), &file, ALL).unwrap();
    let world = materialise(shelf.as_ref(), plan, |_, _| ()).await.unwrap();
    let written_s = started.elapsed().as_secs_f64();
    let bytes: usize = shelf.all().values().map(bytes::Bytes::len).sum();
    assert_eq!(world.facts.arrivals_count, 1_504_628);
    assert_eq!(world.facts.payments_count, 1_504_628);
    assert_eq!(world.facts.arrivals.len(), 7);
    assert_eq!(
        world.facts.first_ts.to_string(),
        "2018-04-01T00:00:31.000000Z"
    );

    let started = Instant::now();
    let mut reader = WorldReader::open(shelf.clone(), world.facts.clone(), 0);
    let (mut count, mut zeros, mut cents, mut last_ts) =
        (0_i64, 0_u64, 0_i128, world.facts.first_ts);
    loop {
        let batch = reader.next(10_000).await.unwrap();
        if batch.is_empty() {
            break;
        }
        for arrival in batch {
            assert!(last_ts <= arrival.ts_utc);
            last_ts = arrival.ts_utc;
            let amount_minor = arrival.payment.unwrap().amount_minor;
            count += 1;
            zeros += u64::from(amount_minor == 0);
            cents += i128::from(amount_minor);
        }
    }
    let read_s = started.elapsed().as_secs_f64();
    eprintln!("handbook: written in {written_s:.1} s ({bytes} bytes), read in {read_s:.1} s");
    assert_eq!((count, zeros), (1_504_628, ZEROS));
    assert_eq!((cents, zeros), cents_and_zeros(&file));

    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    let frauds = truths.iter().filter(|it| it.value == "CONFIRMED_FRAUD");
    assert_eq!((truths.len(), frauds.count()), (1_504_628, 12_484));
    assert!(
        truths
            .iter()
            .all(|it| it.label_type == LabelType::FraudDisposition)
    );
}
