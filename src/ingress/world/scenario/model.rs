//! A scenario as numbers ready to draw with: shares as running sums, trades and countries as blocks
//! of merchants, days as factors.

use crate::contracts::scenario::{Delay, Scenario};
use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::campaigns::Plot;
use crate::ingress::world::scenario::draws::sums;
use crate::ingress::world::scenario::season::Season;
use crate::ingress::world::scenario::trades::{Place, TRADES};

/// Merchants of one trade in one country, numbered `start..start + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: u32,
    pub(crate) count: u32,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// Midnight of day 0, in microseconds.
    pub(crate) start: i64,
    pub(crate) days: u32,
    pub(crate) currency: String,
    pub(crate) customers: u32,
    pub(crate) merchants: u32,
    pub(crate) terminals: [u32; 2],
    pub(crate) cards: [u32; 2],
    pub(crate) devices: [u32; 2],
    pub(crate) favourites: u32,
    pub(crate) loyalty: f64,
    pub(crate) travel: f64,
    pub(crate) countries: Vec<String>,
    pub(crate) country_sums: Vec<f64>,
    /// By trade, then country.
    pub(crate) blocks: Vec<Block>,
    pub(crate) street_sums: Vec<f64>,
    pub(crate) online_sums: Vec<f64>,
    pub(crate) rate: f64,
    pub(crate) rate_deviation: f64,
    pub(crate) level: f64,
    pub(crate) level_deviation: f64,
    /// The share of payments made from home, and within home and out the running sums.
    pub(crate) home: f64,
    pub(crate) home_sums: Vec<f64>,
    pub(crate) out_sums: Vec<f64>,
    pub(crate) season: Season,
    pub(crate) false_alarms: f64,
    pub(crate) reviewed: f64,
    pub(crate) plots: Vec<Plot>,
    pub(crate) labels: Delays,
}

/// The channels of [`Model::home_sums`] and [`Model::out_sums`].
pub(crate) const HOME: [Channel; 3] = [Channel::Ecom, Channel::Moto, Channel::Transfer];
pub(crate) const OUT: [Channel; 2] = [Channel::Pos, Channel::Atm];

/// Shares and delays of labels.
#[derive(Debug)]
pub(crate) struct Delays {
    pub(crate) chargeback: LogNormal,
    pub(crate) report: LogNormal,
    pub(crate) review: LogNormal,
    pub(crate) reported: f64,
    pub(crate) never: f64,
    pub(crate) wrong: f64,
    pub(crate) mistaken: f64,
}

/// A log-normal number of days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogNormal {
    pub(crate) median: f64,
    pub(crate) deviation: f64,
}

/// The 95th percentile of the standard normal.
const NORMAL_P95: f64 = 1.644_853_626_951_472_7;

impl LogNormal {
    fn of(delay: Delay) -> LogNormal {
        LogNormal {
            median: delay.p50,
            deviation: libm::log(delay.p95 / delay.p50) / NORMAL_P95,
        }
    }
}

impl Model {
    /// Of a scenario that was checked.
    pub(crate) fn of(scenario: &Scenario, seed: i64) -> Model {
        let (population, payments) = (&scenario.population, &scenario.payments);
        let (countries, weights): (Vec<String>, Vec<f64>) =
            population.countries.value.clone().into_iter().unzip();
        let channels = &payments.channels;
        let home_sums = sums([
            channels.ecom.value,
            channels.moto.value,
            channels.transfer.value,
        ]);
        let out_sums = sums([channels.pos.value, channels.atm.value]);
        let (home, out) = (home_sums[HOME.len() - 1], out_sums[OUT.len() - 1]);
        let labels = &scenario.labels;
        Model {
            name: scenario.scenario.value.clone(),
            seed: seed.unsigned_abs(),
            start: scenario.start.value.micros(),
            days: scenario.days.value,
            currency: payments.currency.value.clone(),
            customers: population.customers.value,
            merchants: population.merchants.value,
            terminals: population.terminals_per_merchant.value,
            cards: population.cards_per_customer.value,
            devices: population.devices_per_customer.value,
            favourites: population.favourites.value,
            loyalty: population.loyalty.value,
            travel: match countries.len() {
                1 => 0.0,
                _ => population.travel.value,
            },
            blocks: blocks(population.merchants.value, &weights),
            country_sums: sums(weights),
            countries,
            street_sums: of_place(Place::Street),
            online_sums: of_place(Place::Online),
            rate: payments.per_customer_day.value,
            rate_deviation: payments.unevenness.value,
            level: payments.amounts.level.value,
            level_deviation: payments.amounts.unevenness.value,
            home: home / (home + out),
            home_sums,
            out_sums,
            season: Season::of(scenario),
            false_alarms: scenario.control.false_alarms.value,
            reviewed: scenario.control.reviewed.value,
            plots: Plot::all(scenario),
            labels: Delays {
                chargeback: LogNormal::of(labels.chargeback_days.value),
                report: LogNormal::of(labels.report_days.value),
                review: LogNormal::of(labels.review_days.value),
                reported: labels.reported.value,
                never: labels.never.value,
                wrong: labels.wrong.value,
                mistaken: labels.mistaken.value,
            },
        }
    }

    pub(crate) fn block(&self, trade: usize, country: usize) -> Block {
        self.blocks[trade * self.countries.len() + country]
    }

    /// The trade and country of a merchant.
    pub(crate) fn place_of(&self, merchant: u32) -> (usize, usize) {
        let at = self.blocks.partition_point(|it| it.start <= merchant) - 1;
        (at / self.countries.len(), at % self.countries.len())
    }

    /// Microseconds at the end of the last day.
    pub(crate) fn end(&self) -> i64 {
        self.start + i64::from(self.days) * MICROS_PER_DAY
    }

    /// How many payments the habits make, about.
    pub(crate) fn expected(&self) -> f64 {
        f64::from(self.customers) * self.rate * f64::from(self.days)
    }
}

/// Every trade has a merchant in every country; the others are shared out by weight.
fn blocks(merchants: u32, weights: &[f64]) -> Vec<Block> {
    let total: f64 = weights.iter().sum();
    let shares = TRADES
        .iter()
        .flat_map(|trade| weights.iter().map(move |it| trade.outlets * it / total));
    let running = sums(shares);
    let rest = f64::from(merchants.saturating_sub(running.len() as u32));
    let scale = rest / running.last().copied().unwrap_or(1.0);
    let mut start = 0;
    let mut blocks = Vec::with_capacity(running.len());
    for (nth, sum) in (1..).zip(&running) {
        let end = nth + (sum * scale) as u32;
        blocks.push(Block {
            start,
            count: end - start,
        });
        start = end;
    }
    // Rounding may lose the last merchant.
    if let Some(last) = blocks.last_mut() {
        last.count = merchants - last.start;
    }
    blocks
}

fn of_place(place: Place) -> Vec<f64> {
    let weight = |trade: &crate::ingress::world::scenario::trades::Trade| match trade.place == place
    {
        true => trade.weight,
        false => 0.0,
    };
    sums(TRADES.iter().map(weight))
}
