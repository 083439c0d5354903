//! The data set "corner-shops" of the tests: a month of payments as a CSV file, which takes the very
//! path that a user's own data take. Integers throughout, so the bytes are the same on
//! every machine. It is a sample, not a model of the world: shares and sizes are plausible, made up
//! here, and fitted to no data. Two frauds run in it: terminals that copy cards for a week, and
//! stolen cards that are emptied online within two hours.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// The name of the dataset's one file.
pub(crate) const FILE: &str = "corner-shops.csv";

/// The mapping of the data set.
pub(crate) const MAPPING: &str = include_str!("corner-shops.yaml");

const HEADER: &str = "payment_id,time,customer,device,merchant,terminal,mcc,country,channel,amount,TX_FRAUD,scenario\n";
/// 2025-01-01T00:00:00Z.
const START_S: u64 = 1_735_689_600;
const DAYS: u64 = 30;
const DAY_S: u64 = 86_400;
/// Payments of one customer in the month.
const PAYMENTS_PER_CUSTOMER: u64 = 60;
const CUSTOMERS_PER_MERCHANT: u64 = 10;
const FAVOURITES: u64 = 8;
/// One stolen card, of 4 to 8 payments, for so many payments: 0.3 % of them.
const PAYMENTS_PER_STOLEN_CARD: u64 = 2_000;
const PAYMENTS_PER_COMPROMISED_TERMINAL: u64 = 12_500;
const COMPROMISED_DAYS: u64 = 7;

/// Weights of the hours of a day: shops close at night, noon and evening are busy.
const HOURS: [u64; 24] = [
    2, 1, 1, 1, 1, 2, 6, 14, 22, 26, 30, 36, 42, 36, 28, 28, 34, 44, 46, 36, 24, 14, 8, 4,
];
/// The 16 mid-quantiles of exp(0.6 z), z normal, in thousandths: amounts are skewed to the right.
const SPREAD: [u64; 16] = [
    327, 453, 545, 628, 706, 786, 867, 954, 1048, 1153, 1272, 1415, 1593, 1833, 2205, 3058,
];
/// Merchant categories: (ISO 18245, usual amount in cents, online).
const TRADES: [(&str, u64, bool); 8] = [
    ("5411", 3_200, false), // grocery
    ("5462", 750, false),   // bakery
    ("5814", 1_400, false), // fast food
    ("5541", 5_200, false), // fuel
    ("5912", 1_900, false), // pharmacy
    ("5651", 6_500, false), // clothing
    ("5732", 9_800, true),  // electronics
    ("5942", 2_600, true),  // books
];

/// Writes so many payments as CSV. The same count and seed give the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_csv(path: &Path, payments: u64, seed: u64) -> io::Result<()> {
    std::fs::write(path, csv(payments, seed))
}

/// SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixer, enough for a sample.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0..limit; the bias of the remainder is below 2^-40 for the limits used here.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

struct Row {
    time_s: u64,
    customer: u64,
    device: Option<u64>,
    merchant: u64,
    terminal: Option<u64>,
    channel: &'static str,
    cents: u64,
    scenario: &'static str,
}

/// The fixed habits of customers and merchants, as functions of their number and the seed.
struct Town {
    seed: u64,
    customers: u64,
    merchants: u64,
    /// (terminal, first second): it copies cards from then on for [`COMPROMISED_DAYS`].
    compromised: Vec<(u64, u64)>,
}

impl Town {
    fn habit(&self, kind: u64, of: u64) -> u64 {
        mix(mix(self.seed ^ (kind << 56)).wrapping_add(of))
    }

    /// A customer's usual spending, 40 % to 240 % of a trade's usual amount.
    fn level_percent(&self, customer: u64) -> u64 {
        40 + self.habit(1, customer) % 101 + self.habit(2, customer) % 101
    }

    fn favourite(&self, customer: u64, nth: u64) -> u64 {
        self.habit(3, customer * FAVOURITES + nth) % self.merchants
    }

    fn trade(&self, merchant: u64) -> (&'static str, u64, bool) {
        TRADES[(self.habit(4, merchant) % TRADES.len() as u64) as usize]
    }

    /// Terminals are numbered 4 to a merchant, of which it has 1 to 3.
    fn terminal(&self, merchant: u64, draw: u64) -> u64 {
        merchant * 4 + draw % (1 + self.habit(5, merchant) % 3)
    }

    fn usual(&self, draws: &mut Draws) -> Row {
        // The smaller of two draws: some customers pay far more often than others.
        let customer = draws.below(self.customers).min(draws.below(self.customers));
        let merchant = match draws.percent(80) {
            true => self.favourite(
                customer,
                draws.below(FAVOURITES).min(draws.below(FAVOURITES)),
            ),
            false => draws.below(self.merchants),
        };
        let (_, usual_cents, online) = self.trade(merchant);
        let shift_h = self.habit(6, customer) % 5; // early risers and night owls
        let time_s = START_S + draws.below(DAYS) * DAY_S + clock(draws, shift_h);
        let channel = match (online, draws.below(100)) {
            (true, 0..3) => "moto",
            (true, _) => "ecom",
            (false, _) => "pos",
        };
        let terminal = (!online).then(|| self.terminal(merchant, draws.next()));
        let copied = |it: &&(u64, u64)| {
            Some(it.0) == terminal && (it.1..it.1 + COMPROMISED_DAYS * DAY_S).contains(&time_s)
        };
        let is_fraud = self.compromised.iter().find(copied).is_some() && draws.percent(50);
        let cents = spread(draws, usual_cents * self.level_percent(customer) / 100);
        Row {
            time_s,
            customer,
            device: (channel == "ecom").then_some(customer),
            merchant,
            terminal,
            channel,
            cents: if is_fraud { cents * 3 / 2 } else { cents },
            scenario: if is_fraud { "compromised_terminal" } else { "" },
        }
    }

    /// A burst of high payments online, from a device that the customer never used.
    fn stolen_card(&self, nth: u64, draws: &mut Draws) -> Vec<Row> {
        let customer = draws.below(self.customers);
        let start_s = START_S + draws.below(DAYS * DAY_S - 7_200);
        let count = 4 + draws.below(5);
        let row = |_| Row {
            time_s: start_s + draws.below(7_200),
            customer,
            device: Some(self.customers + nth),
            merchant: draws.below(self.merchants),
            terminal: None,
            channel: "ecom",
            cents: spread(draws, 9_000 * self.level_percent(customer) / 100 * 5),
            scenario: "stolen_card",
        };
        (0..count).map(row).collect()
    }
}

/// A second of the day by the weights of its hour, shifted by the customer's own hours.
fn clock(draws: &mut Draws, shift_h: u64) -> u64 {
    let mut left = draws.below(HOURS.iter().sum());
    let mut hour = 0;
    for (at, weight) in (0..).zip(HOURS) {
        if left < weight {
            hour = at;
            break;
        }
        left -= weight;
    }
    (hour + 22 + shift_h) % 24 * 3_600 + draws.below(3_600)
}

/// The amount times a draw from the skewed table, interpolated; at least one cent.
fn spread(draws: &mut Draws, cents: u64) -> u64 {
    let (at, part) = (draws.below(15) as usize, draws.below(1_000));
    let thousandths = (SPREAD[at] * (1_000 - part) + SPREAD[at + 1] * part) / 1_000;
    (cents * thousandths / 1_000).max(1)
}

fn csv(payments: u64, seed: u64) -> String {
    let mut draws = Draws(mix(seed));
    let customers = (payments / PAYMENTS_PER_CUSTOMER).max(20);
    let mut town = Town {
        seed: mix(seed ^ 1),
        customers,
        merchants: (customers / CUSTOMERS_PER_MERCHANT).max(8),
        compromised: Vec::new(),
    };
    for _ in 0..payments / PAYMENTS_PER_COMPROMISED_TERMINAL {
        let terminal = town.terminal(draws.below(town.merchants), draws.next());
        let from_s = START_S + draws.below(DAYS - COMPROMISED_DAYS) * DAY_S;
        town.compromised.push((terminal, from_s));
    }
    let mut rows = Vec::new();
    for nth in 0..payments / PAYMENTS_PER_STOLEN_CARD {
        rows.extend(town.stolen_card(nth, &mut draws));
    }
    while (rows.len() as u64) < payments {
        rows.push(town.usual(&mut draws));
    }
    // Stable: payments of one second stay in the order of their making.
    rows.sort_by_key(|it| it.time_s);
    let mut text = String::with_capacity(rows.len() * 96);
    text.push_str(HEADER);
    for (nth, row) in (1..).zip(&rows) {
        line(&mut text, nth, row, town.trade(row.merchant).0);
    }
    text
}

fn line(text: &mut String, nth: u64, row: &Row, mcc: &str) {
    let of_day_s = row.time_s % DAY_S;
    // The month is January 2025, whose days are the days since its start.
    let day = (row.time_s - START_S) / DAY_S + 1;
    let (hour, minute, second) = (of_day_s / 3_600, of_day_s / 60 % 60, of_day_s % 60);
    let device = row.device.map(|it| format!("d{it}")).unwrap_or_default();
    let terminal = row.terminal.map(|it| format!("t{it}")).unwrap_or_default();
    let country = ["DE", "DE", "DE", "AT", "FR"][(mix(row.merchant) % 5) as usize];
    let is_fraud = u8::from(!row.scenario.is_empty());
    let Row {
        customer,
        merchant,
        channel,
        cents,
        scenario,
        ..
    } = row;
    writeln!(
        text,
        "{nth},2025-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z,c{customer},{device},m{merchant},{terminal},{mcc},{country},{channel},{}.{:02},{is_fraud},{scenario}",
        cents / 100,
        cents % 100,
    )
    .expect("a String takes every write");
}
