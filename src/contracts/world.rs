//! A world at rest: arrivals and truth as the Scenario Runner materialises them, once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contracts::payload::AttributeValue;
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{ArrivalKind, Channel, LabelType};

/// One arrival: a row of `worlds/{manifest_fingerprint}/arrivals-NNNN.parquet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// 0-based place in the world's order (ts, table, source row).
    pub index: i64,
    /// `{source}:{row_id}`, the same in all four classes.
    pub event_id: EventId,
    pub ts_utc: Time,
    pub kind: ArrivalKind,
    pub merchant_id: String,
    /// 1-based and dense per merchant.
    pub arrival_seq: i64,
    pub mcc: Option<String>,
    pub country: Option<String>,
    pub entities: Entities,
    /// `None` for a link.
    pub payment: Option<Payment>,
}

/// The entities of an arrival; absent ones are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entities {
    pub customer_id: Option<String>,
    pub account_id: Option<String>,
    pub card_id: Option<String>,
    pub device_id: Option<String>,
    pub ip: Option<String>,
    pub terminal_id: Option<String>,
    pub beneficiary_id: Option<String>,
}

/// What makes an arrival a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub amount_minor: i64,
    pub currency: String,
    pub channel: Channel,
    pub attributes: BTreeMap<String, AttributeValue>,
}

/// The `fraud_disposition` that says fraud.
pub const FRAUD: &str = "CONFIRMED_FRAUD";

/// One row of `truth.parquet`: what will be said of an event and when, and what really was. A
/// label is sent from the first half of it only, at `observed_time`; the second half is for those
/// who judge how well fraud was found. An event has at most one row a label type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    pub event_id: EventId,
    pub label_type: LabelType,
    /// What the label says; where it is never sent, what a right one would say.
    pub value: String,
    pub effective_time: Time,
    /// `None`: nobody ever learns of it, and no label is sent.
    pub observed_time: Option<Time>,
    pub source: String,
    /// The campaign or scenario that made it so; empty where none did.
    pub scenario: String,
    /// What really was, whatever the label says.
    pub is_fraud: bool,
    /// The control of the world stopped the payment, so it has no outcome.
    pub is_blocked: bool,
}
