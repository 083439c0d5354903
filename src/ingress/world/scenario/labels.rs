//! What will be said of a payment, and when: labels that come days to months late, some never, some
//! wrong, none of what was stopped. What really was stands beside them.

use crate::contracts::scenario::CampaignType;
use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::{Channel, LabelType};
use crate::ingress::world::scenario::draws::{Draws, Kind};
use crate::ingress::world::scenario::model::LogNormal;
use crate::ingress::world::scenario::row::{Fate, Row};
use crate::ingress::world::scenario::town::Town;

/// A row of truth as a world holds it in memory until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    /// When it becomes known; [`NEVER`] sorts last. The derived order is that of the file.
    pub(crate) observed: i64,
    /// The arrival's.
    pub(crate) index: i64,
    pub(crate) says: Says,
    pub(crate) source: Source,
    pub(crate) ts: i64,
    pub(crate) campaign: u16,
    pub(crate) is_fraud: bool,
    pub(crate) is_blocked: bool,
}

pub(crate) const NEVER: i64 = i64::MAX;

// The memory of a world counts on it: docs/worlds.md.
const _: () = assert!(size_of::<Label>() <= 32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Says {
    Fraud,
    Legit,
    ChargebackOpened,
    AccountTakenOver,
}

impl Says {
    pub(crate) fn words(self) -> (LabelType, &'static str) {
        match self {
            Says::Fraud => (LabelType::FraudDisposition, "CONFIRMED_FRAUD"),
            Says::Legit => (LabelType::FraudDisposition, "CONFIRMED_LEGIT"),
            Says::ChargebackOpened => (LabelType::ChargebackStatus, "OPENED"),
            Says::AccountTakenOver => (LabelType::AccountTakeover, "CONFIRMED"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    ChargebackNetwork,
    CustomerReport,
    Investigator,
}

impl Source {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Source::ChargebackNetwork => "chargeback_network",
            Source::CustomerReport => "customer_report",
            Source::Investigator => "investigator",
        }
    }
}

/// Unpaid statements are noticed after two of them.
const UNPAID_DAYS: f64 = 60.0;
/// Who was charged less than a unit looks twice only now and then.
const SMALL_MINOR: i64 = 200;

/// Appends what will be said of a row; nothing of most.
pub(crate) fn of(town: &Town, row: &Row, index: i64, labels: &mut Vec<Label>) {
    let stopped = matches!(row.fate, Fate::FalseAlarm | Fate::FraudBlocked);
    let mut label = Label {
        observed: NEVER,
        index,
        says: Says::Legit,
        source: Source::Investigator,
        ts: row.ts,
        campaign: row.campaign,
        is_fraud: matches!(row.fate, Fate::Fraud | Fate::FraudBlocked),
        is_blocked: stopped,
    };
    let delays = &town.model.labels;
    let which = row.key ^ u64::from(row.customer) << 24;
    let mut draws = town.draws(Kind::Label, which, row.ts.unsigned_abs());
    match row.fate {
        Fate::Plain => {}
        Fate::FalseAlarm => labels.push(label),
        Fate::FraudBlocked => {
            label.says = Says::Fraud;
            labels.push(label);
        }
        Fate::Reviewed => {
            label.observed = after(row, delays.review, 0.0, &mut draws);
            labels.push(label);
        }
        Fate::Mistaken => {
            label.says = Says::Fraud;
            label.source = Source::CustomerReport;
            label.observed = after(row, delays.report, 0.0, &mut draws);
            labels.push(label);
        }
        Fate::Disputed => {
            label.says = Says::Fraud;
            label.source = Source::ChargebackNetwork;
            label.observed = after(row, delays.chargeback, 0.0, &mut draws);
            labels.push(label);
            label.says = Says::ChargebackOpened;
            labels.push(label);
        }
        Fate::Fraud => fraud(town, row, label, &mut draws, labels),
    }
}

fn fraud(town: &Town, row: &Row, mut label: Label, draws: &mut Draws, labels: &mut Vec<Label>) {
    let delays = &town.model.labels;
    let plot = &town.model.plots[usize::from(row.campaign) - 1];
    let overlooked = match row.amount < SMALL_MINOR {
        true => 4.0,
        false => 1.0,
    };
    label.says = Says::Fraud;
    label.source = source(plot.campaign_type, row, delays.reported, draws);
    if draws.chance((delays.never * overlooked).min(0.95)) {
        labels.push(label);
        return;
    }
    label.observed = match label.source {
        Source::ChargebackNetwork => after(row, delays.chargeback, 0.0, draws),
        Source::CustomerReport => after(row, delays.report, 0.0, draws),
        Source::Investigator => after(row, delays.report, UNPAID_DAYS, draws),
    };
    if draws.chance(delays.wrong) {
        label.says = Says::Legit;
        label.source = Source::Investigator;
        labels.push(label);
        return;
    }
    labels.push(label);
    if label.source == Source::ChargebackNetwork {
        label.says = Says::ChargebackOpened;
        labels.push(label);
    } else if plot.campaign_type == CampaignType::AccountTakeover {
        label.says = Says::AccountTakenOver;
        labels.push(label);
    }
}

/// Who learns of a fraud.
fn source(campaign_type: CampaignType, row: &Row, reported: f64, draws: &mut Draws) -> Source {
    // What has no card network behind it cannot be charged back.
    let by_card = !matches!(row.channel, Some(Channel::Transfer | Channel::Atm));
    match campaign_type {
        CampaignType::BustOut => Source::Investigator,
        CampaignType::AccountTakeover => Source::CustomerReport,
        _ if by_card && !draws.chance(reported) => Source::ChargebackNetwork,
        _ => Source::CustomerReport,
    }
}

/// A moment after the payment, at least a minute later; whole seconds.
fn after(row: &Row, delay: LogNormal, more_days: f64, draws: &mut Draws) -> i64 {
    let days = delay.median * draws.log_normal(delay.deviation) + more_days;
    let seconds = (days * MICROS_PER_DAY as f64) as i64 / 1_000_000;
    row.ts + seconds.clamp(60, 10 * 366 * 86_400) * 1_000_000
}
