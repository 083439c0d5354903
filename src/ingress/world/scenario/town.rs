//! The town: who customers and merchants are, as functions of their number and the seed. What every
//! payment of a customer needs is kept, 12 bytes each; the rest is drawn again whenever it is asked.

use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::draws::{Draws, Kind, mix};
use crate::ingress::world::scenario::model::{HOME, Model, OUT};
use crate::ingress::world::scenario::row::{Fate, NOBODY, Note, Row};
use crate::ingress::world::scenario::season::SHIFTS;
use crate::ingress::world::scenario::threads;
use crate::ingress::world::scenario::trades::{CASH, Place, TRADES, TRANSFER};

const CARD_DAYS: i64 = 1_095;
const DEVICE_DAYS: i64 = 540;
/// How long an address at home stays.
const ADDRESS_DAYS: i64 = 60;
/// Accounts that a customer pays to again and again.
const BENEFICIARIES: u32 = 5;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    /// Payments a day.
    pub(crate) rate: f32,
    /// A factor on amounts.
    pub(crate) level: f32,
    pub(crate) country: u8,
    /// A place in [`SHIFTS`].
    pub(crate) shift: u8,
    pub(crate) cards: u8,
    pub(crate) devices: u8,
}

#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) model: Model,
    people: Vec<Person>,
}

/// Customers made or walked through by one piece of work.
pub(crate) const CHUNK: u32 = 4_096;

impl Town {
    pub(crate) fn of(model: Model, n_threads: usize) -> Town {
        let chunks = model.customers.div_ceil(CHUNK) as usize;
        let people = threads::map(n_threads, chunks, |chunk| {
            let from = chunk as u32 * CHUNK;
            let until = from.saturating_add(CHUNK).min(model.customers);
            (from..until)
                .map(|it| person(&model, it))
                .collect::<Vec<_>>()
        });
        Town {
            people: people.concat(),
            model,
        }
    }

    pub(crate) fn person(&self, customer: u32) -> &Person {
        &self.people[customer as usize]
    }

    pub(crate) fn draws(&self, kind: Kind, a: u64, b: u64) -> Draws {
        Draws::of(self.model.seed, kind, a, b)
    }

    /// The card in a slot of a customer at a moment.
    pub(crate) fn card(&self, customer: u32, slot: u32, ts: i64) -> u64 {
        self.thing(
            Kind::Card,
            customer,
            slot,
            self.tenure(Kind::Card, customer, slot, ts).0,
        )
    }

    pub(crate) fn device(&self, customer: u32, slot: u32, ts: i64) -> u64 {
        let generation = self.tenure(Kind::Device, customer, slot, ts).0;
        self.thing(Kind::Device, customer, slot, generation)
    }

    /// What a customer holds in a slot at a moment: its generation, and since when.
    pub(crate) fn tenure(&self, kind: Kind, customer: u32, slot: u32, ts: i64) -> (i64, i64) {
        let period = MICROS_PER_DAY
            * if kind == Kind::Card {
                CARD_DAYS
            } else {
                DEVICE_DAYS
            };
        let mut draws = self.draws(kind, u64::from(customer), 1 << 62 | u64::from(slot));
        let phase = (draws.unit() * period as f64) as i64 / 1_000 * 1_000;
        let generation = (ts + phase).div_euclid(period);
        (generation, generation * period - phase)
    }

    pub(crate) fn thing(&self, kind: Kind, customer: u32, slot: u32, generation: i64) -> u64 {
        let which = u64::from(slot) << 32 | generation.unsigned_abs();
        self.draws(kind, u64::from(customer), which).next() >> 8 | 1
    }

    /// A device or card number that no customer has.
    pub(crate) fn foreign(&self, kind: Kind, whose: u64, nth: u64) -> u64 {
        self.draws(kind, whose, 1 << 63 | nth).next() >> 8 | 1
    }

    /// An address at home, or one of a carrier that many share.
    pub(crate) fn address(&self, customer: u32, ts: i64, draws: &mut Draws) -> u32 {
        if draws.chance(0.25) {
            return self.shared_address(draws);
        }
        let period = ts.div_euclid(ADDRESS_DAYS * MICROS_PER_DAY);
        let of = self
            .draws(Kind::Address, u64::from(customer), period.unsigned_abs())
            .next();
        10 << 24 | (of >> 40) as u32
    }

    /// In 100.64.0.0/10, as carriers use it (RFC 6598).
    pub(crate) fn shared_address(&self, draws: &mut Draws) -> u32 {
        let pool = draws.below(8 + self.model.customers / 20);
        let of = mix(self.model.seed ^ u64::from(pool)) >> 42;
        (100 << 24 | 64 << 16) + of as u32
    }

    /// A merchant of a trade in a country; few are visited by many.
    pub(crate) fn merchant(&self, trade: usize, country: usize, draws: &mut Draws) -> u32 {
        let block = self.model.block(trade, country);
        let draw = draws.unit();
        block.start + (draw * draw * draw * f64::from(block.count)) as u32
    }

    pub(crate) fn terminal(&self, merchant: u32, draws: &mut Draws) -> u16 {
        let count = self
            .draws(Kind::Merchant, u64::from(merchant), 0)
            .between(self.model.terminals);
        1 + draws.below(count) as u16
    }

    /// The bank of a customer, where links of it are made.
    pub(crate) fn bank(&self, customer: u32) -> u32 {
        let block = self
            .model
            .block(TRANSFER, self.person(customer).country as usize);
        block.start
            + self
                .draws(Kind::Merchant, u64::from(customer), 1)
                .below(block.count)
    }

    fn trade_of(&self, channel: Channel, draws: &mut Draws) -> usize {
        match channel {
            Channel::Pos => draws.pick(&self.model.street_sums),
            Channel::Ecom | Channel::Moto => draws.pick(&self.model.online_sums),
            Channel::Atm => CASH,
            Channel::Transfer => TRANSFER,
        }
    }

    /// Where a customer pays: mostly where it paid before, sometimes abroad.
    fn choose(&self, customer: u32, channel: Channel, day: u32, draws: &mut Draws) -> u32 {
        let home = self.person(customer).country as usize;
        if !draws.chance(self.model.loyalty) {
            let trade = self.trade_of(channel, draws);
            let country =
                match draws.chance(self.model.travel / (1.0 - self.model.loyalty).max(0.01)) {
                    true => draws.pick(&self.model.country_sums),
                    false => home,
                };
            return self.merchant(trade, country, draws);
        }
        // The smaller of two draws: the first favourite is the dearest.
        let limit = match channel {
            Channel::Atm | Channel::Transfer => 2,
            _ => self.model.favourites,
        };
        let slot = draws.below(limit).min(draws.below(limit));
        self.favourite(customer, channel, slot, day)
    }

    pub(crate) fn favourite(&self, customer: u32, channel: Channel, slot: u32, day: u32) -> u32 {
        let which = u64::from(self.habits_rev(customer, day)) << 40
            | (channel as u64) << 32
            | u64::from(slot);
        let mut draws = self.draws(Kind::Favourite, u64::from(customer), which);
        let trade = self.trade_of(channel, &mut draws);
        self.merchant(trade, self.person(customer).country as usize, &mut draws)
    }

    fn habits_rev(&self, customer: u32, day: u32) -> u32 {
        let of_day = self.model.season.day(day);
        if of_day.habits_rev == 0 {
            return 0;
        }
        let changes = self
            .draws(
                Kind::Customer,
                u64::from(customer),
                u64::from(of_day.habits_rev),
            )
            .chance(of_day.new_habits);
        if changes { of_day.habits_rev } else { 0 }
    }

    /// A genuine payment of the customer.
    pub(crate) fn genuine(
        &self,
        customer: u32,
        channel: Channel,
        ts: i64,
        day: u32,
        draws: &mut Draws,
    ) -> Row {
        let merchant = self.choose(customer, channel, day, draws);
        let factor = self.level(customer) * self.model.season.day(day).amounts;
        self.payment(customer, channel, merchant, factor, ts, draws)
    }

    pub(crate) fn level(&self, customer: u32) -> f64 {
        self.model.level * f64::from(self.person(customer).level)
    }

    /// A payment with what the customer has in hand.
    pub(crate) fn payment(
        &self,
        customer: u32,
        channel: Channel,
        merchant: u32,
        factor: f64,
        ts: i64,
        draws: &mut Draws,
    ) -> Row {
        let (trade, country) = self.model.place_of(merchant);
        let person = self.person(customer);
        let mut row = Row {
            ts,
            customer,
            key: 0,
            amount: TRADES[trade].amount(factor, draws),
            card: 0,
            device: 0,
            merchant,
            ip: 0,
            beneficiary: NOBODY,
            terminal: 0,
            campaign: 0,
            country: country as u8,
            trade: trade as u8,
            channel: Some(channel),
            note: Note::None,
            fate: Fate::Plain,
        };
        if channel != Channel::Transfer {
            let cards = u32::from(person.cards);
            row.card = self.card(customer, draws.below(cards).min(draws.below(cards)), ts);
        }
        match TRADES[trade].place {
            Place::Street | Place::Atm => row.terminal = self.terminal(merchant, draws),
            Place::Online | Place::Bank if channel != Channel::Moto => {
                let devices = u32::from(person.devices);
                let slot = draws.below(devices).min(draws.below(devices));
                row.device = self.device(customer, slot, ts);
                row.ip = self.address(customer, ts, draws);
            }
            Place::Online | Place::Bank => {}
        }
        if channel == Channel::Transfer {
            row.beneficiary = self.beneficiary(customer, draws);
        }
        row.note = note(channel, row.amount, draws);
        row
    }

    /// Mostly an account that the customer paid to before.
    fn beneficiary(&self, customer: u32, draws: &mut Draws) -> u32 {
        let slot = draws.below(BENEFICIARIES).min(draws.below(BENEFICIARIES));
        let mut whose = match draws.chance(0.85) {
            true => self.draws(Kind::Beneficiary, u64::from(customer), u64::from(slot)),
            false => draws.clone(),
        };
        // Two in five accounts are of this bank, whose account numbers are its customers'.
        match whose.chance(0.4) {
            true => whose.below(self.model.customers),
            false => self.model.customers + whose.below(self.model.customers.saturating_mul(3)),
        }
    }

    /// At home or out, and the channel, by the customer's weights in a slice.
    pub(crate) fn channel(&self, at_home: bool, draws: &mut Draws) -> Channel {
        match at_home {
            true => HOME[draws.pick(&self.model.home_sums)],
            false => OUT[draws.pick(&self.model.out_sums)],
        }
    }
}

fn person(model: &Model, customer: u32) -> Person {
    let mut draws = Draws::of(model.seed, Kind::Customer, u64::from(customer), 0);
    // The mean of exp(s z) is exp(s²/2): divided by it, the mean over customers is the given one.
    let mean_one = libm::exp(-model.rate_deviation * model.rate_deviation / 2.0);
    let rate = model.rate * mean_one * draws.log_normal(model.rate_deviation);
    Person {
        rate: rate as f32,
        level: draws.log_normal(model.level_deviation) as f32,
        country: draws.pick(&model.country_sums) as u8,
        shift: draws.below(SHIFTS.len() as u32) as u8,
        cards: draws.between(model.cards) as u8,
        devices: draws.between(model.devices) as u8,
    }
}

pub(crate) fn note(channel: Channel, amount: i64, draws: &mut Draws) -> Note {
    let draw = draws.below(100);
    match channel {
        Channel::Pos if amount < 5_000 && draw < 75 => Note::Contactless,
        Channel::Pos if draw == 99 => Note::Magstripe,
        Channel::Pos | Channel::Atm => Note::Chip,
        Channel::Ecom if draw < (if 3_000 < amount { 80 } else { 35 }) => Note::Strong,
        Channel::Ecom => Note::Weak,
        Channel::Transfer if draw < 30 => Note::Instant,
        Channel::Transfer => Note::Ordinary,
        Channel::Moto => Note::None,
    }
}
