//! Transfers between people through the shipped mapping, where the data are present: every row is an
//! arrival, and the published figures of their graph follow from the arrivals.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{ALL, Shelf, shipped};
use crate::contracts::world::Arrival;
use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::LabelType;
use crate::ingress::world::{Plan, WorldReader, materialise, read_truth};

/// Who used what, and who sent to whom.
#[derive(Default)]
struct Graph {
    cards: HashMap<String, BTreeSet<String>>,
    devices: HashMap<String, BTreeSet<String>>,
    transfers: HashSet<(String, String)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Graph {
    fn add(&mut self, arrival: Arrival) {
        let entities = arrival.entities;
        let user = entities.customer_id.unwrap();
        let what = match (
            entities.card_id,
            entities.device_id,
            entities.beneficiary_id,
        ) {
            (Some(card), None, None) => {
                self.cards.entry(card).or_default().insert(user);
                "HAS_CC"
            }
            (None, Some(device), None) => {
                self.devices.entry(device).or_default().insert(user);
                "USED"
            }
            (None, None, Some(receiver)) => {
                assert_eq!(arrival.merchant_id, receiver);
                self.transfers.insert((user, receiver));
                "P2P"
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(arrival.payment.is_some(), what == "P2P");
        *self.counts.entry(what).or_default() += 1;
    }

    /// Sender and receiver that have a card in common.
    fn pairs_with_a_shared_card(&self) -> usize {
        let mut of: HashMap<&str, HashSet<&str>> = HashMap::new();
        for (card, users) in &self.cards {
            for user in users {
                of.entry(user).or_default().insert(card);
            }
        }
        let shares = |(from, to): &&(String, String)| {
            let both = of.get(from.as_str()).zip(of.get(to.as_str()));
            both.is_some_and(|(one, other)| !one.is_disjoint(other))
        };
        self.transfers.iter().filter(shares).count()
    }
}

/// What several people use, by the share of flagged among them.
fn ratio(used: &HashMap<String, BTreeSet<String>>, flagged: &BTreeSet<String>) -> Value {
    let (mut zero, mut one, mut between) = (0, 0, 0);
    for users in used.values().filter(|it| 1 < it.len()) {
        match users.intersection(flagged).count() {
            0 => zero += 1,
            all if all == users.len() => one += 1,
            _ => between += 1,
        }
    }
    json!({"zero": zero, "one": one, "between": between})
}

/// The users that the file flags, read past the mapping.
fn flagged(users: &Path) -> BTreeSet<String> {
    let file = std::fs::File::open(users).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut flagged = BTreeSet::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Int64Type>()
        };
        let rows = column("id")
            .values()
            .iter()
            .zip(column("fraudMoneyTransfer").values());
        let rows = rows.filter(|(_, is_flagged)| **is_flagged == 1);
        flagged.extend(rows.map(|(id, _)| format!("u{id}")));
    }
    flagged
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn transfers_and_links_are_read_whole_and_make_the_published_graph() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/p2p");
    if !data.exists() {
        eprintln!("skipped: {} is not here", data.display());
        return;
    }
    let golden = std::fs::read_to_string(data.join("golden_graph.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let shelf = Arc::new(Shelf::default());
    let plan = Plan::read(&shipped("p2p.yaml"), &data, ALL).unwrap();
    let world = materialise(shelf.as_ref(), plan, |_, _| ()).await.unwrap();
    assert_eq!(world.facts.payments_count, 102_832);
    assert_eq!(world.facts.arrivals_count, 102_832 + 128_066 + 55_026);

    let mut graph = Graph::default();
    let mut reader = WorldReader::open(shelf.clone(), world.facts.clone(), 0);
    loop {
        let batch = reader.next(10_000).await.unwrap();
        if batch.is_empty() {
            break;
        }
        batch.into_iter().for_each(|it| graph.add(it));
    }
    for what in ["P2P", "HAS_CC", "USED"] {
        assert_eq!(golden["rels"][what], graph.counts[what], "{what}");
    }
    let flagged = flagged(&data.join("users.parquet"));
    assert_eq!(golden["flagged"], flagged.len());
    assert_eq!(golden["card_ratio"], ratio(&graph.cards, &flagged));
    assert_eq!(golden["device_ratio"], ratio(&graph.devices, &flagged));
    let pairs = graph.pairs_with_a_shared_card();
    assert_eq!(golden["p2p_with_shared_card_pairs"], pairs);

    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    assert_eq!(truths.len(), 2_775);
    assert!(truths.iter().all(|it| {
        it.label_type == LabelType::FraudDisposition && it.value == "CONFIRMED_FRAUD"
    }));
    let delay = |it: &crate::contracts::world::Truth| {
        it.observed_time.unwrap().micros() - it.effective_time.micros()
    };
    let mut delays: Vec<i64> = truths.iter().map(delay).collect();
    delays.sort_unstable();
    // Known before they were sent: 886; over all the median is 69.5 days.
    assert_eq!(delays.iter().filter(|it| **it == 0).count(), 886);
    let median = delays[delays.len() / 2] as f64 / MICROS_PER_DAY as f64;
    assert!((median - 69.5).abs() < 0.05, "{median}");
}
