//! A lookup: whose rows it joins, what it brings, and what is wrong with one.

use std::sync::Arc;

use super::{Dataset, Shelf, arrivals, world};
use crate::ingress::world::{Error, read_truth};

const MAPPING: &str = r#"mapping: shop-v1
source:
  files: ["pay.csv"]
  lookups:
    - {name: payer, file: payers.csv, column: who, key: id}
arrival:
  row_id: nr
  ts: at
  merchant_id: {const: m1}
  entities: {customer_id: "c{who}", card_id: "k{payer.card}"}
  amount_minor: {col: cents, scale: 0, round: half_even}
  currency: {const: EUR}
  channel: {const: pos}
truth:
  - label_type: fraud_disposition
    value: {const: CONFIRMED_FRAUD}
    observed_at: {col: payer.caught}
    earlier: at_payment
"#;
const PAYMENTS: &str = "nr,at,who,cents\n\
    1,2025-01-01T10:00:00Z,7,100\n\
    2,2025-01-03T10:00:00Z,7,200\n\
    3,2025-01-03T11:00:00Z,8,300\n\
    4,2025-01-03T12:00:00Z,9,400\n";
const PAYERS: &str = "card,id,caught\nA,8,\nB,7,2025-01-02\n";

fn data(payers: &str) -> Dataset {
    Dataset::new(&[("pay.csv", PAYMENTS), ("payers.csv", payers)])
}

#[tokio::test]
async fn a_lookup_brings_the_columns_of_the_row_with_the_key() {
    let (shelf, data) = (Arc::new(Shelf::default()), data(PAYERS));
    let world = world(&shelf, MAPPING, data.path()).await.unwrap();
    let all = arrivals(&shelf, &world.facts, 0, 10).await.unwrap();
    let cards: Vec<Option<&str>> = all
        .iter()
        .map(|it| it.entities.card_id.as_deref())
        .collect();
    // Nobody knows 9: what is looked up is absent.
    assert_eq!(cards, [Some("kB"), Some("kB"), Some("kA"), None]);
    // Known of 7, and before its second payment: then from that payment on.
    let truths = read_truth(shelf.as_ref(), &world.facts).await.unwrap();
    let known: Vec<(&str, Option<String>)> = truths
        .iter()
        .map(|it| {
            (
                it.event_id.as_str(),
                it.observed_time.map(|at| at.to_string()),
            )
        })
        .collect();
    let expect = [
        ("shop-v1:1", Some("2025-01-02T00:00:00.000000Z".to_owned())),
        ("shop-v1:2", Some("2025-01-03T10:00:00.000000Z".to_owned())),
    ];
    assert_eq!(known, expect);
}

#[tokio::test]
async fn what_is_looked_up_makes_the_world() {
    let shelf = Shelf::default();
    let first = world(&shelf, MAPPING, data(PAYERS).path()).await.unwrap();
    let other = PAYERS.replace("A,8", "C,8");
    let second = world(&shelf, MAPPING, data(&other).path()).await.unwrap();
    assert_ne!(first.manifest_fingerprint, second.manifest_fingerprint);
}

async fn refused(mapping: &str, payers: &str) -> Error {
    let shelf = Shelf::default();
    let error = world(&shelf, mapping, data(payers).path())
        .await
        .unwrap_err();
    assert!(shelf.all().is_empty());
    error
}

#[tokio::test]
async fn a_lookup_at_fault_is_refused_with_its_place() {
    let strict = MAPPING.replace("    earlier: at_payment\n", "");
    let later = MAPPING.replace("observed_at: {col: payer.caught}", "observed_after: 7d");
    for (mapping, payers, expect) in [
        (
            MAPPING.replace("column: who", "column: whom"),
            PAYERS,
            &[
                "mapping.yaml:5:47: `pay.csv` has no column `whom`",
                "did you mean `who`?",
            ][..],
        ),
        (
            MAPPING.replace("key: id", "key: ident"),
            PAYERS,
            &[
                "mapping.yaml:5:57: `payers.csv` has no column `ident`",
                "card, id, caught",
            ],
        ),
        (
            MAPPING.replace("{payer.card}", "{payer.cart}"),
            PAYERS,
            &[
                "`pay.csv` has no column `payer.cart`",
                "did you mean `payer.card`?",
            ],
        ),
        (
            MAPPING.replace("name: payer,", "name: The payer,"),
            PAYERS,
            &["mapping.yaml:5:14: a lookup's name is 1 to 32 of a-z 0-9 _"],
        ),
        (
            MAPPING.to_owned(),
            "card,id,caught\nA,8,\nB,7,\nC,8,\n",
            &[
                "payers.csv: row 3: column id: the key is that of row 1 too",
                "line 5",
            ],
        ),
        (
            strict,
            PAYERS,
            &["pay.csv: row 2", "earlier: at_payment takes it"],
        ),
        (
            later,
            PAYERS,
            &["mapping.yaml:15:17: earlier: at_payment goes with observed_at"],
        ),
    ] {
        let said = refused(&mapping, payers).await.to_string();
        for part in expect {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
