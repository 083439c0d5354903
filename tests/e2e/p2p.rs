//! Transfers between people through the whole loop: what the API tells of their graph is what the
//! data say, and over all of it the published figures.
//!
//! Skips where the data do not lie beside the repository. `P2P_ARRIVALS` raises the number of arrivals
//! that are streamed (all: 285924). Which users are flagged is read from the data: labels have no
//! source yet. Everything else is asked of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use fraudplat::domain::time::Time;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::events::Port;
use crate::home::Home;

const ALL: usize = 285_924;
/// Devices are met from the second year on only, after 40,000 others.
const PART: usize = 20_000;
const STRETCH: usize = 40_000;

/// Who used what and who sent to whom, up to a time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Graph {
    cards: BTreeMap<String, BTreeSet<String>>,
    devices: BTreeMap<String, BTreeSet<String>>,
    /// Of users who share a card.
    sent: BTreeMap<String, BTreeSet<String>>,
}

#[test]
fn the_graph_of_the_transfers_is_the_published_one() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/p2p");
    if !data.join("transfers.parquet").exists() {
        return say("skipped: no ../shared/data/p2p beside the repository");
    }
    let n = wanted();
    let (expect, as_of) = expected(&data, n);
    let home = Home::new();
    let dataset = data.join("transfers.parquet");
    let dataset = dataset.to_str().unwrap();
    let pinned = home.json(&["sr", "run", "--dataset", dataset, "--mapping", "p2p"]);
    assert_eq!(pinned["world"]["arrivals_count"], ALL, "{pinned}");
    let run = pinned["platform_run_id"].as_str().unwrap();
    // In stretches, each of which ends in the time that a command has here.
    for sent in (STRETCH..n).step_by(STRETCH).chain([n]) {
        let limit = sent.to_string();
        let sent = home.json(&["wsp", "stream", "--run", run, "--limit", &limit]);
        say(&format!("streamed: {sent}"));
    }
    let begun = Instant::now();
    let (_all, port) = home.serve();
    let found = asked(&port, &format!("/v1/graph/{run}"), &as_of.to_string());
    say(&format!(
        "{n} arrivals asked of the API in {:?}",
        begun.elapsed()
    ));
    assert!(found.cards.len() > 100, "{}", found.cards.len());
    assert!(found == expect, "the API tells another graph than the data");
    let flagged = flagged(&data.join("users.parquet"));
    let figures = json!({
        "card_ratio": ratio(&found.cards, &flagged),
        "device_ratio": ratio(&found.devices, &flagged),
        "p2p_with_shared_card_pairs": pairs(&found),
    });
    say(&format!("{figures}"));
    if n == ALL {
        let golden = std::fs::read_to_string(data.join("golden_graph.json")).unwrap();
        let golden: Value = serde_json::from_str(&golden).unwrap();
        for (name, figure) in figures.as_object().unwrap() {
            assert_eq!(&golden[name], figure, "{name}");
        }
    }
}

/// The graph as the API tells it: shared cards and devices page by page, then whom each user with a
/// shared card sent to.
fn asked(port: &Port, graph: &str, as_of: &str) -> Graph {
    let mut found = Graph {
        cards: shared(port, graph, "card_id", as_of),
        devices: shared(port, graph, "device_id", as_of),
        sent: BTreeMap::new(),
    };
    let users: BTreeSet<&String> = found.cards.values().flatten().collect();
    for user in users {
        let path = format!(
            "{graph}/neighbours?entity=customer_id:{user}&kind=beneficiary_id&as_of={as_of}&limit=1000"
        );
        let answer = port.get(&path);
        assert_eq!(
            (answer.status, &answer.body["next"]),
            (200, &Value::Null),
            "{answer:?}"
        );
        let to = answer.body["neighbours"].as_array().unwrap().iter();
        let to = to.map(|it| {
            it["entity"]
                .as_str()
                .unwrap()
                .replace("beneficiary_id:", "")
        });
        let to: BTreeSet<String> = to.collect();
        if !to.is_empty() {
            found.sent.insert(user.clone(), to);
        }
    }
    found
}

fn shared(port: &Port, graph: &str, kind: &str, as_of: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    let (mut after, mut version) = (String::new(), Value::Null);
    loop {
        // An odd page size, so that pages end anywhere.
        let path = format!("{graph}/shared?kind={kind}&as_of={as_of}&limit=487&after={after}");
        let page = port.get(&path);
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.body["graph"]["as_of"], as_of);
        if !version.is_null() {
            assert_eq!(
                page.body["graph"]["graph_version"], version,
                "nothing moves meanwhile"
            );
        }
        version = page.body["graph"]["graph_version"].clone();
        for entity in page.body["shared"].as_array().unwrap() {
            let id = entity["entity"]
                .as_str()
                .unwrap()
                .split_once(':')
                .unwrap()
                .1;
            let users = entity["customers"].as_array().unwrap().iter();
            let users = users.map(|it| it["customer_id"].as_str().unwrap().to_owned());
            let users: BTreeSet<String> = users.collect();
            assert_eq!(entity["customers_count"], users.len(), "{entity}");
            assert!(
                found.insert(id.to_owned(), users).is_none(),
                "{id} came twice"
            );
        }
        match page.body["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return found,
        }
    }
}

/// What several people use, by the share of flagged among them.
fn ratio(used: &BTreeMap<String, BTreeSet<String>>, flagged: &BTreeSet<String>) -> Value {
    let (mut zero, mut one, mut between) = (0, 0, 0);
    for users in used.values() {
        match users.intersection(flagged).count() {
            0 => zero += 1,
            all if all == users.len() => one += 1,
            _ => between += 1,
        }
    }
    json!({"zero": zero, "one": one, "between": between})
}

/// Sender and receiver that have a card in common.
fn pairs(graph: &Graph) -> usize {
    let mut cards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (card, users) in &graph.cards {
        for user in users {
            cards.entry(user).or_default().insert(card);
        }
    }
    let shares = |from: &str, to: &str| {
        let both = cards.get(from).zip(cards.get(to));
        both.is_some_and(|(one, other)| !one.is_disjoint(other))
    };
    let sent = graph.sent.iter();
    let pairs = sent.flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    pairs.filter(|(from, to)| shares(from, to)).count()
}

/// The same from the files, up to just before the last arrival that is streamed; over all, up to it.
fn expected(data: &Path, n: usize) -> (Graph, Time) {
    let transfers = rows(
        &data.join("transfers.parquet"),
        ["from_user_id", "to_user_id"],
        "ts",
    );
    let cards = rows(
        &data.join("user_card.parquet"),
        ["from_user_id", "to_card_id"],
        "cardDate",
    );
    let devices = rows(
        &data.join("user_device.parquet"),
        ["from_user_id", "to_device_id"],
        "deviceDate",
    );
    let every = [&transfers, &cards, &devices].into_iter().flatten();
    let mut times: Vec<i64> = every.map(|it| it.2).collect();
    assert_eq!(times.len(), ALL);
    times.sort_unstable();
    let as_of = times[n - 1] - i64::from(n < ALL);
    let used = |rows: &[(i64, i64, i64)], prefix: &str| {
        let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (user, what, _) in rows.iter().filter(|it| it.2 <= as_of) {
            let of = used.entry(format!("{prefix}{what}")).or_default();
            of.insert(format!("u{user}"));
        }
        used.retain(|_, users| users.len() > 1);
        used
    };
    let cards = used(&cards, "k");
    let sharing: BTreeSet<&String> = cards.values().flatten().collect();
    let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to, _) in transfers.iter().filter(|it| it.2 <= as_of) {
        let from = format!("u{from}");
        if sharing.contains(&from) {
            sent.entry(from).or_default().insert(format!("u{to}"));
        }
    }
    let graph = Graph {
        devices: used(&devices, "d"),
        sent,
        cards: cards.clone(),
    };
    (graph, Time::from_micros(as_of))
}

/// Two ids and a time in microseconds, row by row.
fn rows(path: &Path, ids: [&str; 2], time: &str) -> Vec<(i64, i64, i64)> {
    let mut rows = Vec::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let ids = ids.map(|it| {
            batch
                .column_by_name(it)
                .unwrap()
                .as_primitive::<Int64Type>()
        });
        let times = batch.column_by_name(time).unwrap();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = arrow::compute::cast(times, &micros).unwrap();
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let at = |row: usize| (ids[0].value(row), ids[1].value(row), times.value(row));
        rows.extend((0..batch.num_rows()).map(at));
    }
    rows
}

/// The users that the file flags.
fn flagged(users: &Path) -> BTreeSet<String> {
    let mut flagged = BTreeSet::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(users).unwrap()).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Int64Type>()
        };
        let (ids, flags) = (column("id"), column("fraudMoneyTransfer"));
        let rows = (0..batch.num_rows()).filter(|it| flags.value(*it) == 1);
        flagged.extend(rows.map(|it| format!("u{}", ids.value(it))));
    }
    flagged
}

#[expect(
    clippy::disallowed_methods,
    reason = "the size is given to the test, not to the platform"
)]
fn wanted() -> usize {
    let given = std::env::var("P2P_ARRIVALS").ok();
    given.map_or(PART, |it| it.parse().unwrap())
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
