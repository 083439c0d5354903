//! A scenario as its YAML says it: a town of customers and merchants, their habits, the campaigns
//! against them, and what becomes known of it when. Every value keeps its place in the file.
//! `docs/scenarios.md` has every key with its default and unit.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use crate::domain::digest::{Digest, Tagged};
use crate::domain::time::Time;
use crate::domain::vocabulary::vocabulary;

vocabulary!(
    /// What fraudsters do; one file each below `ingress/world/scenario/campaigns`.
    CampaignType {
        StolenCard = "stolen_card",
        CardTesting = "card_testing",
        CompromisedTerminal = "compromised_terminal",
        AccountTakeover = "account_takeover",
        CollusiveMerchant = "collusive_merchant",
        MuleRing = "mule_ring",
        BustOut = "bust_out",
        FriendlyFraud = "friendly_fraud",
    }
);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The first half of every `event_id`: 1..=64 of `[A-Za-z0-9._-]`.
    pub scenario: Spanned<String>,
    pub seed: Spanned<i64>,
    /// A midnight in UTC.
    pub start: Spanned<Time>,
    pub days: Spanned<u32>,
    pub population: Population,
    pub payments: Payments,
    #[serde(default)]
    pub seasonality: Seasonality,
    #[serde(default)]
    pub drift: Vec<Drift>,
    #[serde(default)]
    pub control: Control,
    #[serde(default)]
    pub campaigns: Vec<Campaign>,
    #[serde(default)]
    pub labels: Labels,
}

impl Scenario {
    /// The digest that enters the manifest fingerprint: of the YAML text as it stands.
    #[must_use]
    pub fn digest(text: &str) -> Digest {
        Tagged::new("scenario").text(text).digest()
    }
}

/// A default has no place in the file.
fn at_default<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN)
}

/// `name => value` pairs as functions for serde's defaults.
macro_rules! defaults {
    ($($name:ident: $of:ty = $value:expr,)+) => {
        $(fn $name() -> Spanned<$of> { at_default($value) })+
    };
}

defaults! {
    terminals_per_merchant: [u32; 2] = [1, 4],
    cards_per_customer: [u32; 2] = [1, 2],
    devices_per_customer: [u32; 2] = [1, 2],
    favourites: u32 = 10,
    loyalty: f64 = 0.8,
    travel: f64 = 0.01,
    one: f64 = 1.0,
    zero: f64 = 0.0,
    zero_hours: i32 = 0,
    first_day: u32 = 0,
    payments_unevenness: f64 = 0.6,
    amounts_unevenness: f64 = 0.4,
    stealth: f64 = 0.3,
    adaptation: f64 = 0.3,
    false_alarms: f64 = 0.0005,
    reviewed: f64 = 0.002,
    reported: f64 = 0.35,
    never: f64 = 0.1,
    wrong: f64 = 0.02,
    mistaken: f64 = 0.0002,
    chargeback_days: Delay = Delay { p50: 35.0, p95: 90.0 },
    report_days: Delay = Delay { p50: 2.0, p95: 14.0 },
    review_days: Delay = Delay { p50: 1.0, p95: 5.0 },
    currency: String = "EUR".to_owned(),
    weekdays: [f64; 7] = [0.93, 0.93, 0.95, 0.99, 1.18, 1.22, 0.80],
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    pub customers: Spanned<u32>,
    pub merchants: Spanned<u32>,
    #[serde(default = "terminals_per_merchant")]
    pub terminals_per_merchant: Spanned<[u32; 2]>,
    #[serde(default = "cards_per_customer")]
    pub cards_per_customer: Spanned<[u32; 2]>,
    #[serde(default = "devices_per_customer")]
    pub devices_per_customer: Spanned<[u32; 2]>,
    /// Merchants that a customer returns to, on the street and online each.
    #[serde(default = "favourites")]
    pub favourites: Spanned<u32>,
    /// The share of payments made at them.
    #[serde(default = "loyalty")]
    pub loyalty: Spanned<f64>,
    /// The share of payments made in another country of the list.
    #[serde(default = "travel")]
    pub travel: Spanned<f64>,
    /// ISO 3166-1 alpha-2 with the weight of each.
    #[serde(default = "countries")]
    pub countries: Spanned<BTreeMap<String, f64>>,
}

fn countries() -> Spanned<BTreeMap<String, f64>> {
    let list = [("DE", 0.8), ("AT", 0.1), ("FR", 0.1)];
    at_default(list.map(|(name, weight)| (name.to_owned(), weight)).into())
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// The mean over customers and days.
    pub per_customer_day: Spanned<f64>,
    /// How much customers differ in it: the deviation of its logarithm.
    #[serde(default = "payments_unevenness")]
    pub unevenness: Spanned<f64>,
    #[serde(default = "currency")]
    pub currency: Spanned<String>,
    #[serde(default)]
    pub amounts: Amounts,
    #[serde(default)]
    pub channels: Channels,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Amounts {
    /// A factor on the usual amounts of every trade.
    pub level: Spanned<f64>,
    /// How much customers differ in it: the deviation of its logarithm.
    pub unevenness: Spanned<f64>,
}

impl Default for Amounts {
    fn default() -> Amounts {
        Amounts {
            level: one(),
            unevenness: amounts_unevenness(),
        }
    }
}

/// Weights of the channels.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Channels {
    pub pos: Spanned<f64>,
    pub ecom: Spanned<f64>,
    pub moto: Spanned<f64>,
    pub atm: Spanned<f64>,
    pub transfer: Spanned<f64>,
}

impl Default for Channels {
    fn default() -> Channels {
        Channels {
            pos: at_default(0.60),
            ecom: at_default(0.29),
            moto: at_default(0.01),
            atm: at_default(0.05),
            transfer: at_default(0.05),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seasonality {
    /// Factors of Monday to Sunday.
    pub weekdays: Spanned<[f64; 7]>,
    /// A day of the month, from which the factor holds for three days.
    pub payday: Option<Payday>,
    pub holidays: Vec<Holiday>,
    /// Growth over 30 days: 0.02 is 2 % more.
    pub growth: Spanned<f64>,
}

impl Default for Seasonality {
    fn default() -> Seasonality {
        Seasonality {
            weekdays: weekdays(),
            payday: None,
            holidays: Vec::new(),
            growth: zero(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payday {
    pub day: Spanned<u32>,
    pub factor: Spanned<f64>,
}

/// A date of every year.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// `MM-DD`.
    pub date: Spanned<String>,
    pub factor: Spanned<f64>,
}

/// What is otherwise from a day of the world on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// From 0.
    pub day: Spanned<u32>,
    #[serde(default = "one")]
    pub amounts: Spanned<f64>,
    /// A factor on the share of payments made from home.
    #[serde(default = "one")]
    pub online: Spanned<f64>,
    #[serde(default = "zero_hours")]
    pub later_hours: Spanned<i32>,
    /// The share of customers who now return to other merchants.
    #[serde(default = "zero")]
    pub new_habits: Spanned<f64>,
}

/// The control that stood before: what it blocks has no outcome, and fraudsters notice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The share of a campaign's payments that it stops, before stealth.
    pub hit: BTreeMap<CampaignType, Spanned<f64>>,
    /// The share of genuine payments that it stops.
    pub false_alarms: Spanned<f64>,
    /// The share of genuine payments that a person looks into and clears.
    pub reviewed: Spanned<f64>,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            hit: BTreeMap::new(),
            false_alarms: false_alarms(),
            reviewed: reviewed(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    #[serde(rename = "type")]
    pub campaign_type: Spanned<CampaignType>,
    /// As truth names it; by default the type.
    pub name: Option<Spanned<String>>,
    /// How many begin in a day, on average.
    pub per_day: Spanned<f64>,
    #[serde(default = "first_day")]
    pub from_day: Spanned<u32>,
    /// The first day without a beginning; by default the end of the world.
    pub to_day: Option<Spanned<u32>>,
    /// How long one lasts; by default as its type does.
    pub days: Option<Spanned<f64>>,
    /// Payments of one; by default as its type has.
    pub size: Option<Spanned<[u32; 2]>>,
    /// A factor on usual amounts; by default that of its type.
    pub amount: Option<Spanned<f64>>,
    /// 0 loud to 1 hardly told from the genuine.
    #[serde(default = "stealth")]
    pub stealth: Spanned<f64>,
    /// 0 stubborn to 1: every block is answered by moving on.
    #[serde(default = "adaptation")]
    pub adaptation: Spanned<f64>,
    /// Of cards that were copied or tested, the share that is used; by default that of its type.
    pub take_rate: Option<Spanned<f64>>,
}

/// How truth becomes known.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    pub chargeback_days: Spanned<Delay>,
    pub report_days: Spanned<Delay>,
    pub review_days: Spanned<Delay>,
    /// Of frauds that are learnt, the share that a customer or the bank reports; the rest comes by
    /// chargeback.
    pub reported: Spanned<f64>,
    /// Of frauds that were not stopped, the share that nobody ever learns of.
    pub never: Spanned<f64>,
    /// Of labels on frauds, the share that says that they were genuine.
    pub wrong: Spanned<f64>,
    /// Of genuine payments, the share that is reported as fraud by mistake.
    pub mistaken: Spanned<f64>,
}

impl Default for Labels {
    fn default() -> Labels {
        Labels {
            chargeback_days: chargeback_days(),
            report_days: report_days(),
            review_days: review_days(),
            reported: reported(),
            never: never(),
            wrong: wrong(),
            mistaken: mistaken(),
        }
    }
}

/// Half of the delays are below `p50` days and 95 % below `p95`; they are log-normal.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    pub p50: f64,
    pub p95: f64,
}
