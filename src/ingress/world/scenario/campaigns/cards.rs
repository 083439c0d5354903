//! Stolen cards online, and the tests by which thieves find out which are alive.

use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::campaigns::Act;

/// Where and how a thief pays with a card that is not there.
struct Thief {
    customer: u32,
    card: u64,
    device: u64,
    ip: u32,
    /// A factor on top of the campaign's.
    lowered: f64,
    /// Hours between payments, on average.
    pace: f64,
}

impl Act<'_> {
    /// Card not present: a card is emptied online from a strange device. Stopped, the thief takes
    /// the next card, lower amounts, more time or another shop; or goes on until the card is dead.
    pub(super) fn stolen_card(&mut self) {
        let count = self.size();
        let customer = self.anyone();
        let mut thief = self.thief(customer, count);
        for _ in 0..count {
            if !self.spend(&mut thief) {
                continue;
            }
            if self.adapts() {
                self.move_on(&mut thief);
            } else if self.draws.chance(0.4) {
                return;
            }
        }
    }

    fn thief(&mut self, customer: u32, count: u32) -> Thief {
        Thief {
            customer,
            card: self.town.card(customer, 0, self.now),
            device: self.new_device(),
            ip: self.new_address(),
            lowered: 1.0,
            pace: self.plot.days * 24.0 * (1.0 + 3.0 * self.plot.stealth) / f64::from(count),
        }
    }

    /// One payment of the thief; whether it was stopped.
    fn spend(&mut self, thief: &mut Thief) -> bool {
        self.wait(thief.pace);
        let merchant = self.resold(thief.customer);
        let factor = self.factor(thief.customer) * thief.lowered;
        let mut row = self.payment(thief.customer, Channel::Ecom, merchant, factor);
        row.card = thief.card;
        row.device = thief.device;
        row.ip = thief.ip;
        self.attempt(row)
    }

    fn move_on(&mut self, thief: &mut Thief) {
        match self.draws.below(4) {
            0 | 1 => {
                thief.customer = self.anyone();
                thief.card = self.town.card(thief.customer, 0, self.now);
                thief.ip = self.new_address();
            }
            2 => thief.lowered *= 0.5,
            _ => thief.pace *= 4.0,
        }
    }

    /// A list of cards is tried with small amounts at one shop within minutes; those that live are
    /// used in the days after.
    pub(super) fn card_testing(&mut self) {
        let count = self.size();
        let (device, mut ip) = (self.new_device(), self.new_address());
        let first = self.anyone();
        let mut merchant = self.resold(first);
        let pace = self.plot.days * 24.0 * (1.0 + 5.0 * self.plot.stealth) / f64::from(count);
        let mut alive = Vec::new();
        for _ in 0..count {
            self.wait(pace);
            let customer = self.anyone();
            if self.draws.chance(0.05 + 0.5 * self.plot.stealth) {
                ip = self.new_address();
            }
            let mut row = self.payment(customer, Channel::Ecom, merchant, 1.0);
            row.amount = i64::from(self.draws.below(3)) * i64::from(self.draws.below(100));
            row.device = device;
            row.ip = ip;
            if !self.attempt(row) {
                alive.push(customer);
            } else if self.adapts() {
                merchant = self.resold(customer);
            }
        }
        let tested_until = self.now;
        for customer in alive {
            if !self.draws.chance(self.plot.take_rate) {
                continue;
            }
            self.now = tested_until;
            self.wait(36.0);
            let mut thief = self.thief(customer, 1);
            thief.pace = 2.0;
            for _ in 0..1 + self.draws.below(3) {
                self.spend(&mut thief);
            }
        }
    }
}
