//! A payment or link as numbers, small enough that a slice of them fits in memory; texts are made
//! when it is written.

use crate::domain::vocabulary::Channel;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Microseconds since 1970.
    pub(crate) ts: i64,
    /// Whose payment, then the n-th of what made it: with the time, the world's total order.
    pub(crate) customer: u32,
    pub(crate) key: u64,
    pub(crate) amount: i64,
    /// 0 for none, as of `device`, `ip` and `terminal`.
    pub(crate) card: u64,
    pub(crate) device: u64,
    pub(crate) merchant: u32,
    pub(crate) ip: u32,
    /// An account's number; [`NOBODY`] for none.
    pub(crate) beneficiary: u32,
    /// From 1, at its merchant.
    pub(crate) terminal: u16,
    /// The plot's place in the scenario from 1; 0 for none.
    pub(crate) campaign: u16,
    pub(crate) country: u8,
    pub(crate) trade: u8,
    /// `None` for a link.
    pub(crate) channel: Option<Channel>,
    pub(crate) note: Note,
    pub(crate) fate: Fate,
}

pub(crate) const NOBODY: u32 = u32::MAX;

impl Row {
    pub(crate) fn order(&self) -> (i64, u32, u64) {
        (self.ts, self.customer, self.key)
    }
}

/// What becomes of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Genuine, and nobody asks.
    Plain,
    /// Genuine, stopped by the control: no outcome.
    FalseAlarm,
    /// Genuine, looked into and cleared.
    Reviewed,
    /// Genuine, reported as fraud by mistake.
    Mistaken,
    /// Genuine, disputed by the one who made it.
    Disputed,
    Fraud,
    /// Fraud, stopped by the control: no outcome.
    FraudBlocked,
}

/// The attributes of a payment, of which there are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    None,
    Contactless,
    Chip,
    Magstripe,
    Strong,
    Weak,
    Instant,
    Ordinary,
}

impl Note {
    /// As the arrivals' column of attributes has it.
    pub(crate) fn json(self) -> Option<&'static str> {
        match self {
            Note::None => None,
            Note::Contactless => Some(r#"{"entry":"contactless"}"#),
            Note::Chip => Some(r#"{"entry":"chip"}"#),
            Note::Magstripe => Some(r#"{"entry":"magstripe"}"#),
            Note::Strong => Some(r#"{"three_ds":true}"#),
            Note::Weak => Some(r#"{"three_ds":false}"#),
            Note::Instant => Some(r#"{"instant":true}"#),
            Note::Ordinary => Some(r#"{"instant":false}"#),
        }
    }
}
