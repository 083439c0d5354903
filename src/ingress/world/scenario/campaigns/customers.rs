//! Customers on the wrong side: one who spends what will never be paid back, and one who disputes
//! what he bought.

use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::campaigns::Act;
use crate::ingress::world::scenario::row::Fate;
use crate::ingress::world::scenario::trades::CASH;

impl Act<'_> {
    /// A customer behaves well, then spends more and more, and in the last days all there is. The
    /// rise is genuine in itself; the end is fraud.
    pub(super) fn bust_out(&mut self) {
        let (count, customer) = (self.size(), self.anyone());
        let burst = count.div_ceil(2);
        let rise = count - burst;
        let hours = self.plot.days * 24.0;
        for nth in 0..rise {
            self.wait(hours * 0.95 / f64::from(rise.max(1)));
            let channel = self.shop();
            let day = self.day();
            let mut row = self
                .town
                .genuine(customer, channel, self.now, day, &mut self.draws);
            row.amount += row.amount * i64::from(nth) / i64::from(rise.max(1));
            self.put(row);
        }
        for _ in 0..burst {
            self.wait(hours * 0.05 / f64::from(burst));
            let factor = self.factor(customer);
            let row = if self.draws.chance(0.3) {
                let country = self.town.person(customer).country as usize;
                let machine = self.town.merchant(CASH, country, &mut self.draws);
                self.payment(customer, Channel::Atm, machine, factor)
            } else {
                let merchant = self.resold(customer);
                self.payment(customer, Channel::Ecom, merchant, factor)
            };
            self.attempt(row);
        }
    }

    fn shop(&mut self) -> Channel {
        match self.draws.chance(0.5) {
            true => Channel::Pos,
            false => Channel::Ecom,
        }
    }

    /// A genuine payment that its maker will deny.
    pub(super) fn friendly_fraud(&mut self) {
        let (count, customer) = (self.size(), self.anyone());
        for _ in 0..count {
            self.wait(self.plot.days * 24.0);
            let day = self.day();
            let slot = self.draws.below(self.town.model.favourites);
            let merchant = self.town.favourite(customer, Channel::Ecom, slot, day);
            let factor = self.factor(customer);
            let mut row = self.payment(customer, Channel::Ecom, merchant, factor);
            row.fate = Fate::Disputed;
            self.put(row);
        }
    }
}
