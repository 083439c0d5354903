//! Accounts that someone else holds: taken over from a new device, or lent to a ring of mules.

use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::campaigns::Act;
use crate::ingress::world::scenario::row::Row;
use crate::ingress::world::scenario::trades::{CASH, TRANSFER};

impl Act<'_> {
    /// A new device is linked to a customer's account, which is then emptied by transfers to a mule
    /// and some shopping.
    pub(super) fn account_takeover(&mut self) {
        let (count, customer) = (self.size(), self.anyone());
        let (device, ip) = (self.new_device(), self.new_address());
        self.link_device(customer, device);
        let mut mule = self.anyone();
        let mut pace = self.plot.days * 24.0 * (1.0 + 3.0 * self.plot.stealth) / f64::from(count);
        let mut lowered = 1.0;
        for _ in 0..count {
            self.wait(pace);
            let factor = self.factor(customer) * lowered;
            let mut row = if self.draws.chance(0.65) {
                let mut row = self.transfer(customer, mule, factor);
                row.device = device;
                row
            } else {
                let merchant = self.resold(customer);
                self.payment(customer, Channel::Ecom, merchant, factor)
            };
            row.device = device;
            row.ip = ip;
            if !self.attempt(row) {
                continue;
            }
            match (self.adapts(), self.draws.below(3)) {
                (true, 0) => mule = self.anyone(),
                (true, 1) => lowered *= 0.5,
                (true, _) => pace *= 4.0,
                // The bank has noticed.
                (false, 0) => return,
                (false, _) => {}
            }
        }
    }

    /// Deceived customers pay to mules, who pass the money on and draw it at cash machines.
    pub(super) fn mule_ring(&mut self) {
        let count = self.size();
        let mules: Vec<u32> = (0..3 + count / 8).map(|_| self.anyone()).collect();
        let pace = self.plot.days * 24.0 / f64::from(count.div_ceil(3));
        let mut made = 0;
        let begun = self.now;
        let mut received = 0;
        while made < count {
            received += 1;
            self.now = begun;
            self.wait(pace * f64::from(received));
            let at = self.draws.below(mules.len() as u32) as usize;
            let victim = self.anyone();
            let factor = self.factor(victim);
            let row = self.transfer(victim, mules[at], factor);
            let amount = row.amount;
            made += 1;
            if self.attempt(row) {
                continue;
            }
            made += self.launder(&mules, at, amount);
        }
    }

    /// From mule to mule, and out; how many payments it took.
    fn launder(&mut self, mules: &[u32], mut at: usize, mut amount: i64) -> u32 {
        let mut made = 0;
        for _ in 0..self.draws.below(3) {
            self.wait(2.0 + 10.0 * self.plot.stealth);
            let next = (at + 1) % mules.len();
            amount = amount * i64::from(85 + self.draws.below(11)) / 100;
            let mut row = self.transfer(mules[at], mules[next], 1.0);
            row.amount = amount.max(1);
            made += 1;
            if self.attempt(row) && !self.adapts() {
                return made;
            }
            at = next;
        }
        self.wait(3.0);
        let country = self.town.person(mules[at]).country as usize;
        let machine = self.town.merchant(CASH, country, &mut self.draws);
        let mut row = self.payment(mules[at], Channel::Atm, machine, 1.0);
        // A cash machine gives at most 1,000 at once.
        row.amount = (amount / 1_000).clamp(1, 100) * 1_000;
        self.attempt(row);
        made + 1
    }

    fn transfer(&mut self, from: u32, to: u32, factor: f64) -> Row {
        let country = self.town.person(from).country as usize;
        let bank = self.town.merchant(TRANSFER, country, &mut self.draws);
        let mut row = self.payment(from, Channel::Transfer, bank, factor);
        row.beneficiary = to;
        row
    }
}
