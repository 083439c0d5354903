//! The mapping of an external dataset onto arrivals and truth, as its YAML says it. Every value
//! keeps its place in the file, so that a bad row can point at the line that asked for it.
//!
//! ```yaml
//! mapping: handbook-v1                       # the first half of every event_id
//! source:
//!   files: ["transactions.parquet"]          # beside one another; row numbers run per file
//!   format: parquet                          # or csv; default: by the file's extension
//!   order_by: [TX_DATETIME, TRANSACTION_ID]  # source row order; default: as the rows stand
//!   csv: {delimiter: ",", header: true}      # csv only; without header: column_1, column_2, …
//!   lookups:                                 # optional: columns `payer.…` of the row with this key
//!     - {name: payer, file: customers.csv, column: CUSTOMER_ID, key: id}
//! arrival:
//!   row_id: TRANSACTION_ID
//!   ts: {col: TX_DATETIME, zone: UTC}        # format: see [`Moment`]
//!   merchant_id: "t{TERMINAL_ID}"
//!   entities: {customer_id: "c{CUSTOMER_ID}", terminal_id: "t{TERMINAL_ID}"}
//!   amount_minor: {col: TX_AMOUNT, scale: 2, round: half_even}
//!   currency: {const: EUR}
//!   channel: {const: pos}
//!   mcc: MCC                                 # optional, as is country
//!   attributes: {till: "till-{TILL}"}        # optional
//! truth:
//!   - label_type: fraud_disposition
//!     value: {col: TX_FRAUD, map: {0: CONFIRMED_LEGIT, 1: CONFIRMED_FRAUD}}
//!     observed_after: 7d                     # or observed_at: {col: X}, with earlier: at_payment
//!     source: dataset                        # optional, as is scenario
//! links:
//!   - {file: user_card.parquet, ts: cardDate, merchant_id: {const: links},
//!      entities: {customer_id: "u{from_user_id}", card_id: "k{to_card_id}"}, order: before}
//! ```

mod value;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

pub use crate::contracts::mapping::value::{Moment, MomentFormat, Part, Period, Value};
use crate::domain::digest::{Digest, Tagged};
use crate::domain::vocabulary::LabelType;

/// What a mapping means changes with the reader of mappings: a release that reads the same text
/// differently counts this up, and its worlds are other worlds.
pub const READER_REV: i64 = 1;

/// Where truth comes from when the mapping does not say.
pub const TRUTH_SOURCE: &str = "dataset";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The first half of every `event_id`: 1..=64 of `[A-Za-z0-9._-]`.
    pub mapping: Spanned<String>,
    pub source: Source,
    pub arrival: ArrivalMap,
    #[serde(default)]
    pub truth: Vec<TruthMap>,
    #[serde(default)]
    pub links: Vec<LinkMap>,
}

impl Mapping {
    /// The digest that enters the manifest fingerprint: of the YAML text as it stands, comments
    /// and spaces included, and of [`READER_REV`]. The bytes are what a person can compare.
    #[must_use]
    pub fn digest(text: &str) -> Digest {
        Tagged::new("mapping").int(READER_REV).text(text).digest()
    }
}

/// The files that hold the payments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Names below the dataset's directory, read one after the other.
    pub files: Vec<Spanned<String>>,
    pub format: Option<FileFormat>,
    /// Columns that order the rows; ties and an empty list leave them as they stand.
    #[serde(default)]
    pub order_by: Vec<Spanned<String>>,
    pub csv: Option<Csv>,
    /// Files whose columns join the rows by a key.
    #[serde(default)]
    pub lookups: Vec<LookupMap>,
}

/// A file that is looked up: the row whose `key` equals the payment's `column` brings its columns
/// as `{name}.{column}`. Without such a row they are absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupMap {
    /// 1..=32 of `[a-z0-9_]`.
    pub name: Spanned<String>,
    pub file: Spanned<String>,
    pub format: Option<FileFormat>,
    pub csv: Option<Csv>,
    pub column: Spanned<String>,
    /// Unique in the file.
    pub key: Spanned<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    Parquet,
    Csv,
}

/// How a CSV file is written. Every column is text, and an empty field is absent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// One ASCII character.
    #[serde(default = "comma")]
    pub delimiter: Spanned<char>,
    #[serde(default = "yes")]
    pub header: bool,
}

impl Default for Csv {
    fn default() -> Csv {
        Csv {
            delimiter: comma(),
            header: true,
        }
    }
}

fn comma() -> Spanned<char> {
    let nowhere = serde_saphyr::Location::UNKNOWN;
    Spanned::new(',', nowhere, nowhere)
}

fn yes() -> bool {
    true
}

/// How a row becomes a payment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalMap {
    /// Unique over the source files.
    pub row_id: Spanned<Value>,
    pub ts: Spanned<Moment>,
    pub merchant_id: Spanned<Value>,
    pub entities: Spanned<EntitiesMap>,
    pub amount_minor: Spanned<Amount>,
    /// ISO 4217.
    pub currency: Spanned<Value>,
    pub channel: Spanned<Value>,
    /// ISO 18245.
    pub mcc: Option<Spanned<Value>>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<Spanned<Value>>,
    #[serde(default)]
    pub attributes: BTreeMap<String, Spanned<Value>>,
}

/// The entities that meet in a row; an absent value is an absent entity. A payment needs its
/// `customer_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntitiesMap {
    pub customer_id: Option<Spanned<Value>>,
    pub account_id: Option<Spanned<Value>>,
    pub card_id: Option<Spanned<Value>>,
    pub device_id: Option<Spanned<Value>>,
    pub ip: Option<Spanned<Value>>,
    pub terminal_id: Option<Spanned<Value>>,
    pub beneficiary_id: Option<Spanned<Value>>,
}

/// A decimal column as an integer of 10^-scale units: 57.16 with scale 2 is 5716, and a column
/// that is in minor units already has scale 0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    pub col: Spanned<String>,
    /// 0..=9.
    pub scale: Spanned<u8>,
    pub round: Round,
}

/// How decimals beyond the scale are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// To the nearest, a tie to the even digit; of a float, its shortest decimal form is rounded.
    HalfEven,
}

/// What will be known of a payment, and when. A row whose value is absent has no such truth.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruthMap {
    pub label_type: Spanned<LabelType>,
    pub value: Spanned<Value>,
    /// Either this, counted from the payment, or `observed_at`.
    pub observed_after: Option<Spanned<Period>>,
    /// A row where it is absent has no such truth: nobody ever learnt of it.
    pub observed_at: Option<Spanned<Moment>>,
    /// What `observed_at` means where it lies before the payment.
    #[serde(default)]
    pub earlier: Earlier,
    /// Default: [`TRUTH_SOURCE`].
    pub source: Option<Spanned<String>>,
    /// The campaign that made it so, empty or absent where none did.
    pub scenario: Option<Spanned<Value>>,
}

/// Truth that was known before its payment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Earlier {
    /// The row is at fault: a payment's own truth cannot be older than it.
    #[default]
    Refused,
    /// Truth about the payer, say, was known already: it is of the payment from its first moment.
    AtPayment,
}

/// A file of dated links between entities: arrivals of kind `link`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkMap {
    pub file: Spanned<String>,
    pub format: Option<FileFormat>,
    pub csv: Option<Csv>,
    /// Default: the row number, from 1.
    pub row_id: Option<Spanned<Value>>,
    pub ts: Spanned<Moment>,
    pub merchant_id: Spanned<Value>,
    pub entities: Spanned<EntitiesMap>,
    #[serde(default)]
    pub order: LinkOrder,
}

impl LinkMap {
    /// The table's name in event ids, `{mapping}.{table}:{row_id}`: the file's name without its
    /// directory and extension.
    #[must_use]
    pub fn table(&self) -> &str {
        let name = self.file.value.rsplit('/').next().unwrap_or_default();
        name.split_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// Where a link stands among the payments of the same moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkOrder {
    /// A payment may see the links of its own moment, so by default they come first.
    #[default]
    Before,
    After,
}
