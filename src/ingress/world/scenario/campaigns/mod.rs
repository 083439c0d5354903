//! Campaigns that really occur, each acted out from its own draws: one that begins on a day is a
//! function of the seed, its plot, the day and its number. Written from published descriptions; the
//! sizes and shares of each type are made up here and can be set.

mod accounts;
mod cards;
mod customers;
mod merchants;

pub(crate) use merchants::Watch;

use crate::contracts::scenario::{CampaignType, Scenario};
use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::draws::{Draws, Kind};
use crate::ingress::world::scenario::habits::link;
use crate::ingress::world::scenario::row::{Fate, Row};
use crate::ingress::world::scenario::season::MICROS_PER_HOUR;
use crate::ingress::world::scenario::town::Town;
use crate::ingress::world::scenario::trades::{RESOLD, TRADES};

/// A campaign of the scenario with its type's own numbers filled in.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// Its place in the scenario, from 0.
    pub(crate) nth: u16,
    pub(crate) campaign_type: CampaignType,
    pub(crate) name: String,
    pub(crate) per_day: f64,
    pub(crate) from_day: u32,
    pub(crate) to_day: u32,
    /// How long one lasts, in days.
    pub(crate) days: f64,
    pub(crate) size: [u32; 2],
    pub(crate) amount: f64,
    pub(crate) stealth: f64,
    pub(crate) adaptation: f64,
    pub(crate) take_rate: f64,
    /// The share of its payments that the control stops, stealth considered.
    pub(crate) hit: f64,
}

/// What a type has where the scenario does not say: days, size, amount, take rate, hit.
pub(crate) const fn usual(campaign_type: CampaignType) -> (f64, [u32; 2], f64, f64, f64) {
    match campaign_type {
        CampaignType::StolenCard => (0.25, [3, 9], 2.5, 0.0, 0.35),
        CampaignType::CardTesting => (0.04, [25, 80], 2.5, 0.08, 0.30),
        CampaignType::CompromisedTerminal => (14.0, [1, 3], 1.3, 0.05, 0.12),
        CampaignType::AccountTakeover => (0.3, [3, 8], 2.0, 0.0, 0.30),
        CampaignType::CollusiveMerchant => (14.0, [30, 80], 1.5, 0.0, 0.10),
        CampaignType::MuleRing => (3.0, [10, 30], 2.0, 0.0, 0.20),
        CampaignType::BustOut => (45.0, [15, 40], 2.5, 0.0, 0.05),
        CampaignType::FriendlyFraud => (1.0, [1, 2], 1.5, 0.0, 0.0),
    }
}

impl Plot {
    pub(crate) fn all(scenario: &Scenario) -> Vec<Plot> {
        let of = |(nth, it): (u16, &crate::contracts::scenario::Campaign)| {
            let campaign_type = it.campaign_type.value;
            let (days, size, amount, take_rate, hit) = usual(campaign_type);
            let hit = scenario
                .control
                .hit
                .get(&campaign_type)
                .map_or(hit, |it| it.value);
            Plot {
                nth,
                campaign_type,
                name: match &it.name {
                    Some(name) => name.value.clone(),
                    None => campaign_type.as_str().to_owned(),
                },
                per_day: it.per_day.value,
                from_day: it.from_day.value,
                to_day: it.to_day.as_ref().map_or(u32::MAX, |it| it.value),
                days: it.days.as_ref().map_or(days, |it| it.value),
                size: it.size.as_ref().map_or(size, |it| it.value),
                amount: it.amount.as_ref().map_or(amount, |it| it.value),
                stealth: it.stealth.value,
                adaptation: it.adaptation.value,
                take_rate: it.take_rate.as_ref().map_or(take_rate, |it| it.value),
                hit: hit * (1.0 - 0.8 * it.stealth.value),
            }
        };
        (0..).zip(&scenario.campaigns).map(of).collect()
    }

    /// How many of it begin on a day.
    fn begin_on(&self, town: &Town, day: u32) -> u32 {
        match (self.from_day..self.to_day).contains(&day) {
            true => town
                .draws(Kind::Campaigns, u64::from(self.nth), u64::from(day))
                .poisson(self.per_day),
            false => 0,
        }
    }
}

/// Every campaign that begins on the day: its payments, whenever they are, and the terminals that
/// copy cards from now on.
pub(crate) fn begin(town: &Town, day: u32, n_threads: usize) -> (Vec<Row>, Vec<Watch>) {
    let mut begun = Vec::new();
    for plot in &town.model.plots {
        let count = plot.begin_on(town, day);
        begun.extend((0..count).map(|nth| (plot, nth)));
    }
    let acted = crate::ingress::world::scenario::threads::map(n_threads, begun.len(), |at| {
        let (plot, nth) = begun[at];
        let mut act = Act::begin(town, plot, day, nth);
        let watch = act.play();
        (act.rows, watch)
    });
    let (mut rows, mut watched) = (Vec::new(), Vec::new());
    for (more, watch) in acted {
        rows.extend(more);
        watched.extend(watch);
    }
    (rows, watched)
}

/// One campaign as it is acted out.
#[derive(Debug)]
pub(crate) struct Act<'t> {
    town: &'t Town,
    plot: &'t Plot,
    /// The first half of its rows' keys; also whose its devices and cards are.
    number: u64,
    draws: Draws,
    now: i64,
    rows: Vec<Row>,
    things: u64,
}

impl<'t> Act<'t> {
    fn begin(town: &'t Town, plot: &'t Plot, day: u32, nth: u32) -> Act<'t> {
        let number = 1 << 47
            | u64::from(plot.nth) << 36
            | u64::from(day & 0xffff) << 20
            | u64::from(nth & 0xf_ffff);
        let draws = town.draws(Kind::Campaign, number, 0);
        Act::of(town, plot, number, draws, day)
    }

    fn of(town: &'t Town, plot: &'t Plot, number: u64, mut draws: Draws, day: u32) -> Act<'t> {
        // The stealthy keep the hours of others.
        let hour = match draws.chance(plot.stealth) {
            true => 8.0 + 14.0 * draws.unit(),
            false => 24.0 * draws.unit(),
        };
        let midnight = town.model.start + i64::from(day) * MICROS_PER_DAY;
        Act {
            town,
            plot,
            number,
            draws,
            now: midnight + whole_ms(hour * MICROS_PER_HOUR as f64),
            rows: Vec::new(),
            things: 0,
        }
    }

    fn play(&mut self) -> Option<Watch> {
        match self.plot.campaign_type {
            CampaignType::StolenCard => self.stolen_card(),
            CampaignType::CardTesting => self.card_testing(),
            CampaignType::CompromisedTerminal => return Some(self.compromised_terminal()),
            CampaignType::AccountTakeover => self.account_takeover(),
            CampaignType::CollusiveMerchant => self.collusive_merchant(),
            CampaignType::MuleRing => self.mule_ring(),
            CampaignType::BustOut => self.bust_out(),
            CampaignType::FriendlyFraud => self.friendly_fraud(),
        }
        None
    }

    fn size(&mut self) -> u32 {
        self.draws.between(self.plot.size)
    }

    fn day(&self) -> u32 {
        ((self.now - self.town.model.start).max(0) / MICROS_PER_DAY) as u32
    }

    fn anyone(&mut self) -> u32 {
        self.draws.below(self.town.model.customers)
    }

    /// Lets a time pass, of this mean in hours.
    fn wait(&mut self, hours: f64) {
        let draw = self.draws.exponential();
        self.now += 1_000 + whole_ms(draw * hours * MICROS_PER_HOUR as f64);
    }

    fn new_device(&mut self) -> u64 {
        self.things += 1;
        self.town.foreign(Kind::Device, self.number, self.things)
    }

    /// The fraudster's address: shared ones, and such as homes have.
    fn new_address(&mut self) -> u32 {
        match self.draws.chance(0.5) {
            true => self.town.shared_address(&mut self.draws),
            false => 10 << 24 | self.draws.next() as u32 >> 8,
        }
    }

    /// A merchant whose goods are sold on; at home where the fraudster is careful.
    fn resold(&mut self, customer: u32) -> u32 {
        let trade = RESOLD[self.draws.below(RESOLD.len() as u32) as usize];
        let country = match self.draws.chance(0.4 + 0.6 * self.plot.stealth) {
            true => self.town.person(customer).country as usize,
            false => self.draws.pick(&self.town.model.country_sums),
        };
        self.town.merchant(trade, country, &mut self.draws)
    }

    /// The factor on a victim's usual amounts: nearer to 1 for the stealthy.
    fn factor(&self, customer: u32) -> f64 {
        let raised = 1.0 + (self.plot.amount - 1.0) * (1.0 - 0.7 * self.plot.stealth);
        raised * self.town.level(customer)
    }

    /// A payment that is no genuine one; what differs is then set.
    fn payment(&mut self, customer: u32, channel: Channel, merchant: u32, factor: f64) -> Row {
        self.town.payment(
            customer,
            channel,
            merchant,
            factor,
            self.now,
            &mut self.draws,
        )
    }

    /// The payment meets the control, and happens. Whether it was stopped.
    fn attempt(&mut self, mut row: Row) -> bool {
        let usual = TRADES[row.trade as usize].median * self.town.level(row.customer);
        let notice = match row.amount as f64 / usual {
            ratio if 4.0 < ratio => 1.5,
            ratio if ratio < 1.0 => 0.6,
            _ => 1.0,
        };
        let is_blocked = self.draws.chance((self.plot.hit * notice).min(0.95));
        row.fate = match is_blocked {
            true => Fate::FraudBlocked,
            false => Fate::Fraud,
        };
        self.put(row);
        is_blocked
    }

    /// Whether a fraudster who was stopped moves on instead of trying the same again.
    fn adapts(&mut self) -> bool {
        self.draws.chance(self.plot.adaptation)
    }

    fn put(&mut self, mut row: Row) {
        row.key = self.number << 16 | self.rows.len() as u64 & 0xffff;
        row.campaign = self.plot.nth + 1;
        self.rows.push(row);
    }

    /// A device that the customer never used is linked to its account.
    fn link_device(&mut self, customer: u32, device: u64) {
        let mut row = link(self.town, customer, self.now);
        row.device = device;
        self.put(row);
    }
}

/// Events are as fine as a millisecond.
fn whole_ms(micros: f64) -> i64 {
    micros as i64 / 1_000 * 1_000
}
