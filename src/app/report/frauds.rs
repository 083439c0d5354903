//! Fraud against outcomes: what was caught and what was missed, by campaign and by amount.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::app::report::known::Known;
use crate::app::report::timeline::UNBOUNDED;

/// Counts and values of some fraud.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Caught {
    pub(super) count: i64,
    pub(super) caught: i64,
    pub(super) amount_minor: i64,
    pub(super) caught_minor: i64,
}

impl Caught {
    fn add(&mut self, amount_minor: i64, is_caught: bool) {
        self.count += 1;
        self.amount_minor += amount_minor;
        if is_caught {
            self.caught += 1;
            self.caught_minor += amount_minor;
        }
    }
}

#[derive(Debug)]
pub(super) struct Frauds {
    pub(super) all: Caught,
    /// By the number of the campaign.
    pub(super) by_campaign: BTreeMap<u16, Caught>,
    pub(super) false_alarms: i64,
    /// Amounts in minor units.
    caught: Histogram<u64>,
    missed: Histogram<u64>,
    genuine: Histogram<u64>,
}

/// Fraud within a range of amounts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AmountBucket {
    pub(super) caught: f64,
    pub(super) missed: f64,
}

impl Frauds {
    pub(super) fn new() -> Frauds {
        let histogram = || Histogram::new(2).expect("two digits are a valid precision");
        Frauds {
            all: Caught::default(),
            by_campaign: BTreeMap::new(),
            false_alarms: 0,
            caught: histogram(),
            missed: histogram(),
            genuine: histogram(),
        }
    }

    /// Caught means that the payment was not approved.
    pub(super) fn add(&mut self, known: &Known, is_caught: bool) {
        let amounts = match (known.is_fraud, is_caught) {
            (false, _) => &mut self.genuine,
            (true, true) => &mut self.caught,
            (true, false) => &mut self.missed,
        };
        // Amounts of other currencies are 0, and have no place on an axis of this one.
        if known.amount_minor > 0 {
            amounts
                .record(known.amount_minor.unsigned_abs())
                .expect(UNBOUNDED);
        }
        if !known.is_fraud {
            self.false_alarms += i64::from(is_caught);
            return;
        }
        self.all.add(known.amount_minor, is_caught);
        let campaign = self.by_campaign.entry(known.campaign).or_default();
        campaign.add(known.amount_minor, is_caught);
    }

    /// Amounts in minor units with how many payments have each: of genuine ones, and of fraud.
    pub(super) fn spread(&self) -> [Vec<(f64, f64)>; 2] {
        let counted = |of: &Histogram<u64>| -> Vec<(f64, f64)> {
            let recorded = of.iter_recorded();
            let pairs =
                recorded.map(|it| (it.value_iterated_to() as f64, it.count_at_value() as f64));
            pairs.collect()
        };
        let mut fraud = counted(&self.caught);
        fraud.extend(counted(&self.missed));
        [counted(&self.genuine), fraud]
    }

    /// The part of the payments not approved that were fraud; 0 where all were approved.
    pub(super) fn precision(&self) -> f64 {
        share(self.all.caught, self.all.caught + self.false_alarms)
    }

    /// The least and the greatest amount of a fraud, in minor units.
    pub(super) fn amounts(&self) -> Option<(f64, f64)> {
        let both = [&self.caught, &self.missed].into_iter();
        let filled: Vec<_> = both.filter(|it| !it.is_empty()).collect();
        let low = filled.iter().map(|it| it.min()).min()?;
        let high = filled.iter().map(|it| it.max()).max()?;
        Some((low as f64, high as f64))
    }

    /// Fraud counted between the edges, which grow; the last bucket holds its upper edge.
    pub(super) fn between(&self, edges: &[f64]) -> Vec<AmountBucket> {
        let count = |of: &Histogram<u64>, at: usize| {
            let is_last = at + 2 == edges.len();
            let within = |amount: f64| {
                edges[at] <= amount
                    && (amount < edges[at + 1] || is_last && amount <= edges[at + 1])
            };
            let recorded = of.iter_recorded();
            let counts = recorded
                .filter(|it| within((it.value_iterated_to() as f64).min(of.max() as f64)))
                .map(|it| it.count_at_value());
            counts.sum::<u64>() as f64
        };
        let buckets = 0..edges.len().saturating_sub(1);
        let bucket = |at| AmountBucket {
            caught: count(&self.caught, at),
            missed: count(&self.missed, at),
        };
        buckets.map(bucket).collect()
    }
}

/// `part` of `all`; 0 of nothing.
pub(super) fn share(part: i64, all: i64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    part as f64 / all as f64
}
