//! What a world looks like: counts, amounts, times, and what is known of fraud, gathered from a
//! world at rest, whether a data set or a scenario made it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::contracts::ready::WorldFacts;
use crate::contracts::world::{Arrival, FRAUD, Truth};
use crate::domain::time::{MICROS_PER_DAY, MICROS_PER_SECOND, Time};
use crate::domain::vocabulary::LabelType;
use crate::ingress::world::error::Error;
use crate::ingress::world::reader::{WorldReader, read_truth};
use crate::substrate::objects::Objects;

const READ_ARRIVALS: usize = 4_096;

/// A world in numbers. It holds a few of them for every payment.
#[derive(Debug, Default)]
pub struct Portrait {
    pub arrivals: u64,
    pub payments: u64,
    pub first_ts: Time,
    pub last_ts: Time,
    pub customers: u64,
    pub merchants: u64,
    /// Sorted, in minor units.
    pub amounts: Vec<i64>,
    /// Sorted, seconds between a customer's payments.
    pub gaps_s: Vec<f64>,
    pub hours: [u64; 24],
    pub channels: BTreeMap<&'static str, u64>,
    /// Payments and frauds of every day of the world.
    pub days: Vec<(u64, u64)>,
    /// By the name of what made it; what nothing made is under the empty name.
    pub campaigns: BTreeMap<String, Campaign>,
    /// Genuine payments that were stopped.
    pub false_alarms: u64,
    /// Genuine payments with a label that says so.
    pub cleared: u64,
    /// Genuine payments with a label that says fraud.
    pub mistaken: u64,
}

/// What one campaign did, and what became known of it.
#[derive(Debug, Default)]
pub struct Campaign {
    pub frauds: u64,
    pub amount_minor: i64,
    pub blocked: u64,
    /// Neither stopped nor ever learnt of.
    pub never: u64,
    /// Frauds whose label says that they were genuine, and genuine payments whose says fraud.
    pub wrong: u64,
    /// Sorted, days until frauds that were not stopped became known.
    pub delays_days: Vec<f64>,
}

impl Portrait {
    #[must_use]
    pub fn frauds(&self) -> u64 {
        self.campaigns.values().map(|it| it.frauds).sum()
    }

    /// All delays, sorted.
    #[must_use]
    pub fn delays_days(&self) -> Vec<f64> {
        let all = self.campaigns.values().flat_map(|it| &it.delays_days);
        sorted(all.copied().collect())
    }
}

/// The value below which this share of sorted values lies; nothing of none.
#[must_use]
pub fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let at = (share * sorted.len() as f64) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
}

/// Reads a world whole.
///
/// # Errors
/// As [`WorldReader::next`].
pub async fn portray(objects: Arc<dyn Objects>, facts: &WorldFacts) -> Result<Portrait, Error> {
    let mut portrait = Portrait {
        first_ts: facts.first_ts,
        last_ts: facts.last_ts,
        ..Portrait::default()
    };
    // Of what truth speaks of: the rest needs no look.
    let mut frauds: HashMap<String, String> = HashMap::new();
    for truth in read_truth(objects.as_ref(), facts).await? {
        if truth.label_type == LabelType::FraudDisposition {
            portrait.learn(&truth);
            if truth.is_fraud {
                frauds.insert(truth.event_id.to_string(), truth.scenario);
            }
        }
    }
    let mut last_of: HashMap<String, i64> = HashMap::new();
    let mut merchants: HashSet<String> = HashSet::new();
    let mut reader = WorldReader::open(objects, facts.clone(), 0);
    loop {
        let arrivals = reader.next(READ_ARRIVALS).await?;
        if arrivals.is_empty() {
            break;
        }
        for arrival in &arrivals {
            portrait.meet(arrival, &mut last_of, &mut merchants, &frauds);
        }
    }
    portrait.customers = last_of.len() as u64;
    portrait.merchants = merchants.len() as u64;
    portrait.amounts.sort_unstable();
    portrait.gaps_s = sorted(portrait.gaps_s);
    for campaign in portrait.campaigns.values_mut() {
        campaign.delays_days = sorted(std::mem::take(&mut campaign.delays_days));
    }
    Ok(portrait)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

impl Portrait {
    fn learn(&mut self, truth: &Truth) {
        let says_fraud = truth.value == FRAUD;
        let is_sent = truth.observed_time.is_some();
        if !truth.is_fraud {
            self.false_alarms += u64::from(truth.is_blocked);
            self.cleared += u64::from(is_sent && !says_fraud);
            self.mistaken += u64::from(is_sent && says_fraud);
            if truth.scenario.is_empty() {
                return;
            }
        }
        let campaign = self.campaigns.entry(truth.scenario.clone()).or_default();
        campaign.wrong += u64::from(is_sent && says_fraud != truth.is_fraud);
        if !truth.is_fraud {
            return;
        }
        campaign.frauds += 1;
        campaign.blocked += u64::from(truth.is_blocked);
        match truth.observed_time {
            None => campaign.never += u64::from(!truth.is_blocked),
            Some(observed) => {
                let delay = observed.micros() - truth.effective_time.micros();
                campaign
                    .delays_days
                    .push(delay as f64 / MICROS_PER_DAY as f64);
            }
        }
    }

    fn meet(
        &mut self,
        arrival: &Arrival,
        last_of: &mut HashMap<String, i64>,
        merchants: &mut HashSet<String>,
        frauds: &HashMap<String, String>,
    ) {
        self.arrivals += 1;
        let Some(payment) = &arrival.payment else {
            return;
        };
        let ts = arrival.ts_utc.micros();
        self.payments += 1;
        self.amounts.push(payment.amount_minor);
        self.hours[arrival.ts_utc.hour() as usize % 24] += 1;
        *self.channels.entry(payment.channel.as_str()).or_default() += 1;
        if let Some(customer) = &arrival.entities.customer_id {
            match last_of.get_mut(customer) {
                Some(last) => {
                    let gap = (ts - *last) as f64 / MICROS_PER_SECOND as f64;
                    self.gaps_s.push(gap);
                    *last = ts;
                }
                None => {
                    last_of.insert(customer.clone(), ts);
                }
            }
        }
        if !merchants.contains(&arrival.merchant_id) {
            merchants.insert(arrival.merchant_id.clone());
        }
        let day = (arrival.ts_utc.day() - self.first_ts.day()).max(0) as usize;
        if self.days.len() <= day {
            self.days.resize(day + 1, (0, 0));
        }
        self.days[day].0 += 1;
        if let Some(scenario) = frauds.get(arrival.event_id.as_str()) {
            self.days[day].1 += 1;
            if let Some(campaign) = self.campaigns.get_mut(scenario) {
                campaign.amount_minor += payment.amount_minor;
            }
        }
    }
}
