//! Merchants on the wrong side: one that charges stolen cards, and terminals that copy cards.

use crate::domain::time::MICROS_PER_DAY;
use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::campaigns::{Act, Plot, whole_ms};
use crate::ingress::world::scenario::draws::Kind;
use crate::ingress::world::scenario::row::{Note, Row};
use crate::ingress::world::scenario::season::MICROS_PER_HOUR;
use crate::ingress::world::scenario::town::Town;
use crate::ingress::world::scenario::trades::CASH;

/// A terminal that copies the cards of those who pay there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) merchant: u32,
    pub(crate) terminal: u16,
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// Index of the plot, and number of the campaign.
    plot: u16,
    number: u64,
}

impl Watch {
    /// Whether a genuine payment is made at this terminal now.
    pub(crate) fn sees(&self, row: &Row) -> bool {
        self.merchant == row.merchant
            && self.terminal == row.terminal
            && (self.from..self.until).contains(&row.ts)
    }

    /// The card of a payment that it saw: perhaps it is used, from `after` on. The copies are used
    /// at the terminal itself, where the crook can charge them, and elsewhere.
    pub(crate) fn copies(&self, town: &Town, row: &Row, after: i64) -> Vec<Row> {
        let plot: &Plot = &town.model.plots[self.plot as usize];
        let which = row.ts.unsigned_abs() ^ u64::from(row.customer) << 32;
        let mut draws = town.draws(Kind::Skim, self.number, which);
        if !draws.chance(plot.take_rate) {
            return Vec::new();
        }
        let day = ((after - town.model.start) / MICROS_PER_DAY) as u32;
        let mut act = Act::of(town, plot, self.number, draws, day);
        act.now = after;
        act.use_copy(self, row);
        // The campaign has many such rows: the payment copied tells them apart.
        for copy in &mut act.rows {
            copy.key = copy.key << 16 ^ which << 32 >> 16;
        }
        act.rows
    }
}

impl Act<'_> {
    /// A terminal on the street copies cards for some days.
    pub(super) fn compromised_terminal(&mut self) -> Watch {
        // Where a customer often pays, others do too.
        let customer = self.anyone();
        let day = self.day();
        let merchant = self.town.favourite(customer, Channel::Pos, 0, day);
        Watch {
            merchant,
            terminal: self.town.terminal(merchant, &mut self.draws),
            from: self.now,
            until: self.now + whole_ms(self.plot.days * MICROS_PER_DAY as f64),
            plot: self.plot.nth,
            number: self.number,
        }
    }

    fn use_copy(&mut self, watch: &Watch, seen: &Row) {
        let (count, customer) = (self.size(), seen.customer);
        for _ in 0..count {
            self.wait(30.0);
            let factor = self.factor(customer);
            let home = self.town.person(customer).country as usize;
            let row = if self.now < watch.until && self.draws.chance(0.5) {
                let mut row = self.payment(customer, Channel::Pos, watch.merchant, factor);
                row.terminal = watch.terminal;
                row
            } else if self.draws.chance(0.4) {
                let country = self.draws.pick(&self.town.model.country_sums);
                let machine = self.town.merchant(CASH, country, &mut self.draws);
                self.payment(customer, Channel::Atm, machine, factor)
            } else {
                let trade = self.draws.pick(&self.town.model.street_sums);
                let merchant = self.town.merchant(trade, home, &mut self.draws);
                self.payment(customer, Channel::Pos, merchant, factor)
            };
            // A copy has the magnetic stripe and seldom more.
            let note = match self.draws.chance(self.plot.stealth) {
                true => Note::Chip,
                false => Note::Magstripe,
            };
            let row = Row {
                card: seen.card,
                note,
                ..row
            };
            if self.attempt(row) && !self.adapts() {
                return;
            }
        }
    }

    /// A shop charges cards from a list, in its own till, at hours when nobody is there.
    pub(super) fn collusive_merchant(&mut self) {
        let count = self.size();
        let someone = self.anyone();
        let country = self.town.person(someone).country as usize;
        let trade = self.draws.pick(&self.town.model.street_sums);
        let merchant = self.town.merchant(trade, country, &mut self.draws);
        let terminal = self.town.terminal(merchant, &mut self.draws);
        let mut pace = self.plot.days * 24.0 / f64::from(count);
        let mut lowered = 1.0;
        for _ in 0..count {
            self.wait(pace);
            let customer = self.anyone();
            let factor = self.factor(customer) * lowered;
            let mut row = self.payment(customer, Channel::Pos, merchant, factor);
            row.terminal = terminal;
            if !self.draws.chance(self.plot.stealth) {
                // Keyed in by hand, in whole tens.
                row.amount = (row.amount / 1_000).max(1) * 1_000;
                row.ts = self.night();
            }
            if !self.attempt(row) {
                continue;
            }
            match (self.adapts(), self.draws.chance(0.5)) {
                (true, true) => lowered *= 0.7,
                (true, false) => pace *= 1.5,
                (false, _) => {}
            }
        }
    }

    /// Between ten in the evening and five, of the night that follows.
    fn night(&mut self) -> i64 {
        let midnight = self.town.model.start + i64::from(self.day()) * MICROS_PER_DAY;
        let hours = 22.0 + 7.0 * self.draws.unit();
        midnight + whole_ms(hours * MICROS_PER_HOUR as f64)
    }
}
