//! Rows as the objects of a world: texts are made here, in buffers that are used again.

use crate::ingress::world::codec::{ArrivalColumns, ArrivalRow};
use crate::ingress::world::scenario::labels::{Label, NEVER};
use crate::ingress::world::scenario::model::Model;
use crate::ingress::world::scenario::row::{NOBODY, Row};
use crate::ingress::world::scenario::trades::TRADES;
use crate::ingress::world::truth::{TruthColumns, TruthRow};

/// A row with its number at its merchant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) row: Row,
    pub(crate) arrival_seq: u32,
}

// The memory of a world counts on it: docs/worlds.md.
const _: () = assert!(size_of::<Placed>() <= 80);

/// The object of rows that begin at this index.
pub(crate) fn arrivals(model: &Model, rows: &[Placed], first: i64) -> Result<Vec<u8>, String> {
    let mut columns = ArrivalColumns::default();
    let mut texts = Texts::default();
    for (index, placed) in (first..).zip(rows) {
        texts.fill(model, &placed.row, index);
        columns.push_row(&texts.row(model, placed, index));
    }
    columns.finish()
}

/// The object of truth; the labels are sorted.
pub(crate) fn truth(model: &Model, labels: &[Label]) -> Result<Vec<u8>, String> {
    let mut columns = TruthColumns::with_reality();
    let mut event_id = String::new();
    for label in labels {
        event_id.clear();
        id(model, label.index, &mut event_id);
        let (label_type, value) = label.says.words();
        let scenario = match label.campaign {
            0 => "",
            nth => &model.plots[usize::from(nth) - 1].name,
        };
        columns.push(&TruthRow {
            event_id: &event_id,
            label_type,
            value,
            effective_micros: label.ts,
            observed_micros: Some(label.observed).filter(|it| *it != NEVER),
            source: label.source.as_str(),
            scenario,
            is_fraud: label.is_fraud,
            is_blocked: label.is_blocked,
        });
    }
    columns.finish()
}

/// `{scenario}:{row}`, rows from 1.
fn id(model: &Model, index: i64, to: &mut String) {
    to.push_str(&model.name);
    to.push(':');
    number(index.unsigned_abs() + 1, to);
}

#[derive(Debug, Default)]
struct Texts {
    event_id: String,
    merchant: String,
    customer: String,
    account: String,
    card: String,
    device: String,
    ip: String,
    terminal: String,
    beneficiary: String,
}

impl Texts {
    fn fill(&mut self, model: &Model, row: &Row, index: i64) {
        self.event_id.clear();
        id(model, index, &mut self.event_id);
        let customer = u64::from(row.customer);
        named("m", u64::from(row.merchant), &mut self.merchant);
        named("c", customer, &mut self.customer);
        named("a", customer, &mut self.account);
        named("a", u64::from(row.beneficiary), &mut self.beneficiary);
        named("t", u64::from(row.merchant), &mut self.terminal);
        self.terminal.push('-');
        number(u64::from(row.terminal), &mut self.terminal);
        thing("k", row.card, &mut self.card);
        thing("d", row.device, &mut self.device);
        self.ip.clear();
        let [first, rest @ ..] = row.ip.to_be_bytes();
        number(u64::from(first), &mut self.ip);
        for byte in rest {
            self.ip.push('.');
            number(u64::from(byte), &mut self.ip);
        }
    }

    fn row<'a>(&'a self, model: &'a Model, placed: &Placed, index: i64) -> ArrivalRow<'a> {
        let row = &placed.row;
        let given = |is_given: bool, text: &'a str| is_given.then_some(text);
        let payment = row.channel;
        let kind = match payment {
            Some(_) => "payment",
            None => "link",
        };
        ArrivalRow {
            index,
            ts_micros: row.ts,
            arrival_seq: i64::from(placed.arrival_seq),
            amount_minor: payment.map(|_| row.amount),
            texts: [
                Some(&self.event_id),
                Some(kind),
                Some(&self.merchant),
                payment.map(|_| TRADES[row.trade as usize].mcc),
                payment.map(|_| model.countries[row.country as usize].as_str()),
                Some(&self.customer),
                Some(&self.account),
                given(row.card != 0, &self.card),
                given(row.device != 0, &self.device),
                given(row.ip != 0, &self.ip),
                given(row.terminal != 0, &self.terminal),
                given(row.beneficiary != NOBODY, &self.beneficiary),
                payment.map(|_| model.currency.as_str()),
                payment.map(|it| it.as_str()),
            ],
            attributes: row.note.json(),
        }
    }
}

fn named(prefix: &str, of: u64, to: &mut String) {
    to.clear();
    to.push_str(prefix);
    number(of, to);
}

/// An id without meaning, 14 hexadecimal digits: never the digits of a card number alone.
fn thing(prefix: &str, of: u64, to: &mut String) {
    to.clear();
    to.push_str(prefix);
    for nth in (0..14).rev() {
        let digit = (of >> (4 * nth) & 0xf) as u32;
        to.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// Decimal digits, without the machinery of `format!`: ten of these are made a payment.
fn number(of: u64, to: &mut String) {
    let mut digits = [0_u8; 20];
    let (mut at, mut left) = (digits.len(), of);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    to.extend(digits[at..].iter().map(|it| char::from(*it)));
}
