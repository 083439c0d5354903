//! What customers do of their own accord in a slice of time: payments, and now and then a new card
//! or device.

use crate::domain::vocabulary::Channel;
use crate::ingress::world::scenario::draws::{Draws, Kind};
use crate::ingress::world::scenario::row::{Fate, NOBODY, Note, Row};
use crate::ingress::world::scenario::season::Slice;
use crate::ingress::world::scenario::town::{CHUNK, Town};
use crate::ingress::world::scenario::trades::{TRADES, TRANSFER};

/// Payments follow the links of their moment.
const OF_HABIT: u64 = 1 << 40;

/// The rows of a chunk of customers, unordered.
pub(crate) fn chunk(town: &Town, slice: &Slice, chunk: usize) -> Vec<Row> {
    let from = chunk as u32 * CHUNK;
    let until = from.saturating_add(CHUNK).min(town.model.customers);
    let mut rows = Vec::new();
    for customer in from..until {
        payments(town, slice, customer, &mut rows);
        renewals(town, slice, customer, &mut rows);
    }
    rows
}

fn payments(town: &Town, slice: &Slice, customer: u32, rows: &mut Vec<Row>) {
    let person = town.person(customer);
    // Slices of a day have draws of their own, so the day may be cut anyhow.
    let mut draws = town.draws(Kind::Habit, u64::from(customer), slice.from.unsigned_abs());
    let of_day = town.model.season.day(slice.day);
    let share = (town.model.home * of_day.online).min(0.98);
    let (out, home) = slice.weights(person.shift);
    let (out, home) = (out * (1.0 - share), home * share);
    let count = draws.poisson(f64::from(person.rate) * (out + home));
    for nth in 0..count {
        let at_home = draws.unit() * (out + home) < home;
        let ts = slice.moment(person.shift, at_home, &mut draws);
        let channel = town.channel(at_home, &mut draws);
        let mut row = town.genuine(customer, channel, ts, slice.day, &mut draws);
        row.key = OF_HABIT | u64::from(nth);
        row.fate = fate(town, &row, &mut draws);
        rows.push(row);
    }
}

/// The old control and people look at large amounts more than at others.
fn fate(town: &Town, row: &Row, draws: &mut Draws) -> Fate {
    let usual = TRADES[row.trade as usize].median * town.level(row.customer);
    let notice = if usual * 5.0 < row.amount as f64 {
        6.0
    } else {
        0.85
    };
    let mut draw = draws.unit();
    for (share, fate) in [
        (town.model.false_alarms * notice, Fate::FalseAlarm),
        (town.model.reviewed * notice, Fate::Reviewed),
        (town.model.labels.mistaken, Fate::Mistaken),
    ] {
        if draw < share {
            return fate;
        }
        draw -= share;
    }
    Fate::Plain
}

/// Cards and devices that are replaced in this slice are linked at the moment of it.
fn renewals(town: &Town, slice: &Slice, customer: u32, rows: &mut Vec<Row>) {
    let person = town.person(customer);
    for (kind, slots) in [(Kind::Card, person.cards), (Kind::Device, person.devices)] {
        for slot in 0..u32::from(slots) {
            let (generation, since) = town.tenure(kind, customer, slot, slice.until - 1);
            if since < slice.from {
                continue;
            }
            let thing = town.thing(kind, customer, slot, generation);
            let mut row = link(town, customer, since);
            row.key = (kind as u64) << 8 | u64::from(slot);
            match kind {
                Kind::Card => row.card = thing,
                _ => row.device = thing,
            }
            rows.push(row);
        }
    }
}

/// A link of the customer's account at its bank; what it is linked to is filled in.
pub(crate) fn link(town: &Town, customer: u32, ts: i64) -> Row {
    Row {
        ts,
        customer,
        key: 0,
        amount: 0,
        card: 0,
        device: 0,
        merchant: town.bank(customer),
        ip: 0,
        beneficiary: NOBODY,
        terminal: 0,
        campaign: 0,
        country: town.person(customer).country,
        trade: TRANSFER as u8,
        channel: None::<Channel>,
        note: Note::None,
        fate: Fate::Plain,
    }
}
