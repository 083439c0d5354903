//! What a mapping or a row can be wrong in, and what is said of it.

use super::{Dataset, Shelf, world};
use crate::ingress::world::{Error, ROW_FAULTS_MAX};

const MAPPING: &str = r#"mapping: shop-v1
source: {files: ["shop.csv"], order_by: [time, id]}
arrival:
  row_id: id
  ts: {col: time, zone: UTC}
  merchant_id: "m{shop}"
  entities: {customer_id: "c{customer}", device_id: device}
  amount_minor: {col: amount, scale: 2, round: half_even}
  currency: {const: EUR}
  channel: {col: how, map: {card: pos, web: ecom}}
truth:
  - label_type: fraud_disposition
    value: {col: fraud, map: {0: CONFIRMED_LEGIT, 1: CONFIRMED_FRAUD}}
    observed_after: 7d
"#;
const HEADER: &str = "id,time,shop,customer,device,amount,how,fraud\n";
const ROW: &str = "1,2025-01-01T10:00:00Z,7,3,d1,12.50,card,0\n";

/// Materialises a mapping in which one text was replaced, over one good row.
async fn mapping_error(from: &str, to: &str) -> Error {
    assert_eq!(MAPPING.matches(from).count(), 1, "`{from}` stands once");
    let data = Dataset::new(&[("shop.csv", &format!("{HEADER}{ROW}"))]);
    let shelf = Shelf::default();
    let error = world(&shelf, &MAPPING.replace(from, to), data.path())
        .await
        .unwrap_err();
    assert!(shelf.all().is_empty());
    error
}

/// `expect`: line, column, a part of the message, a part of the suggestion.
#[track_caller]
fn check(error: Error, expect: (u64, u64, &str, &str)) {
    let Error::Mapping(findings) = &error else {
        panic!("{error}");
    };
    let [finding] = findings.as_slice() else {
        panic!("{error}");
    };
    let suggestion = finding.suggestion.as_deref().unwrap_or_default();
    assert_eq!(
        (finding.line, finding.column),
        (expect.0, expect.1),
        "{error}"
    );
    assert!(finding.message.contains(expect.2), "{error}");
    assert!(suggestion.contains(expect.3), "{error}");
    assert_eq!(finding.file, "mapping.yaml");
    assert!(!finding.snippet.is_empty(), "{error}");
}

/// (what is replaced, by what, (line, column, a part of the message, a part of the suggestion)).
type MappingCase = (
    &'static str,
    &'static str,
    (u64, u64, &'static str, &'static str),
);

const MAPPING_CASES: &[MappingCase] = &[
    (
        "order_by",
        "oder_by",
        (2, 31, "unknown key `oder_by`", "did you mean `order_by`?"),
    ),
    (
        "device_id:",
        "devise_id:",
        (7, 42, "unknown key `devise_id`", "`device_id`"),
    ),
    (
        "{col: amount,",
        "{col: amuont,",
        (8, 23, "no column `amuont`", "did you mean `amount`?"),
    ),
    (
        "\"m{shop}\"",
        "\"m{store}\"",
        (6, 16, "no column `store`", "there are: id, time"),
    ),
    (
        "row_id: id",
        "row_id: ident",
        (4, 11, "no column `ident`", ""),
    ),
    (
        "[time, id]",
        "[time, ident]",
        (2, 48, "no column `ident`", ""),
    ),
    (
        "\"m{shop}\"",
        "\"m{shop\"",
        (6, 16, "does not close it", ""),
    ),
    ("scale: 2", "scale: two", (8, 38, "a whole number", "")),
    ("scale: 2", "scale: 10", (8, 38, "0 to 9", "")),
    (
        "half_even",
        "half_up",
        (8, 48, "unknown word `half_up`", ""),
    ),
    ("zone: UTC", "zone: CET", (5, 19, "unknown word `CET`", "")),
    (
        "{col: time, zone: UTC}",
        "{col: time, format: \"%H:%M\"}",
        (5, 7, "whole date", ""),
    ),
    ("7d", "7 days", (14, 21, "`7 days` is no period", "")),
    (
        "observed_after: 7d",
        "source: bank",
        (12, 17, "observed_after a period", ""),
    ),
    (
        "fraud_disposition",
        "fraud_dispositoin",
        (12, 17, "unknown word", "did you mean `fraud_disposition`?"),
    ),
    (
        "CONFIRMED_FRAUD",
        "FRAUD",
        (13, 12, "`FRAUD`: fraud_disposition is one of", ""),
    ),
    (
        "const: EUR",
        "const: Euro",
        (9, 13, "`Euro`: a currency", ""),
    ),
    (
        "web: ecom",
        "web: online",
        (10, 12, "`online`: a channel is one of", ""),
    ),
    (
        "customer_id: \"c{customer}\", ",
        "",
        (7, 13, "needs its customer_id", ""),
    ),
    (
        "files: [\"shop.csv\"]",
        "files: [\"../shop.csv\"]",
        (2, 18, "below the dataset", ""),
    ),
    ("shop-v1", "shop v1", (1, 10, "a mapping's name", "")),
];

#[tokio::test]
async fn a_mapping_is_refused_with_line_column_and_suggestion() {
    for (from, to, expect) in MAPPING_CASES {
        check(mapping_error(from, to).await, *expect);
    }
}

#[tokio::test]
async fn a_finding_prints_like_a_compiler() {
    let printed = mapping_error("{col: amount,", "{col: amuont,")
        .await
        .to_string();
    let expect = "mapping.yaml:8:23: `shop.csv` has no column `amuont`\n 8 |   amount_minor: {col: amuont, scale: 2, round: half_even}\n   |                       ^\n   = help: did you mean `amount`?";
    assert!(printed.contains(expect), "{printed}");
}

#[tokio::test]
async fn all_findings_of_the_columns_are_shown_at_once() {
    let mapping = MAPPING
        .replace("{shop}", "{shopp}")
        .replace("{customer}", "{custmer}");
    let data = Dataset::new(&[("shop.csv", &format!("{HEADER}{ROW}"))]);
    let Err(Error::Mapping(findings)) = world(&Shelf::default(), &mapping, data.path()).await
    else {
        panic!("it is faulty");
    };
    let lines: Vec<u64> = findings.iter().map(|it| it.line).collect();
    assert_eq!(lines, [6, 7]);
}

/// (the row, its faulty column, a part of the message, the line of the mapping).
const ROW_CASES: &[(&str, &str, &str, u64)] = &[
    (
        "1,2025-01-01T10:00:00Z,,3,d1,1,card,0\n",
        "shop",
        "a value is needed",
        6,
    ),
    (
        "1,2025-01-01T10:00:00Z,7,,d1,1,card,0\n",
        "customer",
        "a value is needed",
        7,
    ),
    ("1,yesterday,7,3,d1,1,card,0\n", "time", "RFC 3339", 5),
    ("1,,7,3,d1,1,card,0\n", "time", "a time is needed", 5),
    (
        "1,2025-01-01T10:00:00Z,7,3,d1,-0.01,card,0\n",
        "amount",
        "not negative",
        8,
    ),
    (
        "1,2025-01-01T10:00:00Z,7,3,d1,,card,0\n",
        "amount",
        "an amount is needed",
        8,
    ),
    (
        "1,2025-01-01T10:00:00Z,7,3,d1,1,cash,0\n",
        "how",
        "the map has only card, web",
        10,
    ),
    (
        "1,2025-01-01T10:00:00Z,7,3,d1,1,card,2\n",
        "fraud",
        "the map has only 0, 1",
        13,
    ),
    (
        "1,2025-01-01T10:00:00Z,7,3,a b,1,card,0\n",
        "device",
        "without spaces",
        7,
    ),
    (
        "2,2025-01-01T10:00:00Z,7,3,d1,1,card,0\n",
        "id",
        "the id is that of row 2 of shop.csv",
        4,
    ),
    (
        ",2025-01-01T10:00:00Z,7,3,d1,1,card,0\n",
        "id",
        "a value is needed",
        4,
    ),
];

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_is_written() {
    let good = "2,2025-01-01T10:00:01Z,7,3,,0,web,\n";
    for (row, column, message, line) in ROW_CASES {
        // The bad row comes last in the file and, but for the duplicate, first in time.
        let row = row.replace("2,2025-01-01T10:00:00Z", "2,2025-01-01T10:00:02Z");
        let data = Dataset::new(&[("shop.csv", &format!("{HEADER}9{}{good}{row}", &ROW[1..]))]);
        let shelf = Shelf::default();
        let Err(Error::Rows { faults, total: 1 }) = world(&shelf, MAPPING, data.path()).await
        else {
            panic!("{row} is faulty");
        };
        let [fault] = faults.as_slice() else {
            panic!("{faults:?}")
        };
        assert_eq!((fault.file.as_str(), fault.row), ("shop.csv", 3), "{fault}");
        assert_eq!(
            (fault.column.as_str(), fault.mapping_line),
            (*column, *line),
            "{fault}"
        );
        assert!(fault.message.contains(message), "{fault}");
        assert!(shelf.all().is_empty());
    }
}

#[tokio::test]
async fn many_bad_rows_are_counted_and_the_first_are_shown() {
    let rows: String = (0..100)
        .map(|it| format!("{it},2025-01-01,7,3,d1,secret,card,0\n"))
        .collect();
    let data = Dataset::new(&[("shop.csv", &format!("{HEADER}{rows}"))]);
    let error = world(&Shelf::default(), MAPPING, data.path())
        .await
        .unwrap_err();
    let printed = error.to_string();
    let Error::Rows { faults, total } = error else {
        panic!("{printed}")
    };
    assert_eq!((faults.len(), total), (ROW_FAULTS_MAX, 100));
    let expect = "shop.csv: row 1: column amount: an amount is a decimal such as 57.16; found text of the shape `aaaaaa` (line 8 of the mapping)";
    assert!(printed.contains(expect), "{printed}");
    assert!(!printed.contains("secret"));
}

#[tokio::test]
async fn a_file_that_is_absent_or_broken_is_refused() {
    let empty = Dataset::new(&[]);
    let error = world(&Shelf::default(), MAPPING, empty.path())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    let ragged = Dataset::new(&[("shop.csv", &format!("{HEADER}{ROW}1,2\n"))]);
    let error = world(&Shelf::default(), MAPPING, ragged.path())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    let header_only = Dataset::new(&[("shop.csv", HEADER)]);
    let error = world(&Shelf::default(), MAPPING, header_only.path())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoPayments), "{error}");
    let parquet = MAPPING.replace("order_by", "format: parquet, order_by");
    let error = world(&Shelf::default(), &parquet, header_only.path())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Format {
                format: "Parquet file",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_fault_names_the_file_that_was_read() {
    let bad = ROW.replace("12.50", "12.5x");
    let data = Dataset::new(&[("moved.csv", &format!("{HEADER}{bad}"))]);
    let moved = data.path().join("moved.csv");
    let error = world(&Shelf::default(), MAPPING, &moved).await.unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("1 row is at fault"), "{said}");
    assert!(said.contains("moved.csv: row 1: column amount"), "{said}");
    let absent = data.path().join("absent.csv");
    let error = world(&Shelf::default(), MAPPING, &absent)
        .await
        .unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("No such file or directory"), "{cause}");
}
