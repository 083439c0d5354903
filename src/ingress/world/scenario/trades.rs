//! What there is to pay for: trades with their category, usual amount, and where one pays. Amounts
//! and shares are plausible and made up here; `docs/worlds.md` shows what comes of them.

use crate::ingress::world::scenario::draws::Draws;

/// Where a payment is made; it decides channel, entities and hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Street,
    Online,
    Atm,
    Bank,
}

/// How amounts of a trade end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Sums of several prices: any cent.
    Any,
    /// Single prices: mostly .99, .95, .50 or whole.
    Price,
    /// Whole units of ten.
    Tens,
    /// Whole units in every second case.
    Whole,
}

#[derive(Debug)]
pub(crate) struct Trade {
    /// ISO 18245.
    pub(crate) mcc: &'static str,
    pub(crate) place: Place,
    /// The median amount, in hundredths.
    pub(crate) median: f64,
    /// The deviation of its logarithm.
    pub(crate) deviation: f64,
    /// Its share of the payments of its place.
    pub(crate) weight: f64,
    /// Its share of the merchants.
    pub(crate) outlets: f64,
    ends: Ends,
}

const fn trade(
    mcc: &'static str,
    place: Place,
    [median, deviation, weight, outlets]: [f64; 4],
    ends: Ends,
) -> Trade {
    Trade {
        mcc,
        place,
        median,
        deviation,
        weight,
        outlets,
        ends,
    }
}

pub(crate) const TRADES: [Trade; 19] = [
    trade(
        "5411",
        Place::Street,
        [2_800.0, 0.70, 0.34, 0.12],
        Ends::Any,
    ), // grocery
    trade("5462", Place::Street, [650.0, 0.50, 0.12, 0.09], Ends::Any), // bakery
    trade(
        "5814",
        Place::Street,
        [1_250.0, 0.45, 0.12, 0.10],
        Ends::Price,
    ), // fast food
    trade(
        "5812",
        Place::Street,
        [3_800.0, 0.60, 0.09, 0.13],
        Ends::Whole,
    ), // restaurant
    trade(
        "5541",
        Place::Street,
        [5_400.0, 0.40, 0.08, 0.05],
        Ends::Whole,
    ), // fuel
    trade(
        "5912",
        Place::Street,
        [1_900.0, 0.60, 0.07, 0.06],
        Ends::Any,
    ), // pharmacy
    trade(
        "5651",
        Place::Street,
        [5_500.0, 0.70, 0.06, 0.08],
        Ends::Price,
    ), // clothing
    trade(
        "5200",
        Place::Street,
        [4_200.0, 0.80, 0.05, 0.04],
        Ends::Any,
    ), // home supply
    trade(
        "7230",
        Place::Street,
        [3_500.0, 0.40, 0.03, 0.07],
        Ends::Whole,
    ), // hairdresser
    trade(
        "5999",
        Place::Street,
        [2_200.0, 0.80, 0.04, 0.09],
        Ends::Price,
    ), // all sorts
    trade(
        "5732",
        Place::Online,
        [9_000.0, 0.90, 0.14, 0.03],
        Ends::Price,
    ), // electronics
    trade(
        "5942",
        Place::Online,
        [2_200.0, 0.50, 0.14, 0.02],
        Ends::Price,
    ), // books
    trade(
        "5691",
        Place::Online,
        [5_200.0, 0.60, 0.22, 0.04],
        Ends::Price,
    ), // clothes
    trade(
        "4111",
        Place::Online,
        [2_400.0, 0.80, 0.14, 0.01],
        Ends::Any,
    ), // tickets
    trade(
        "5816",
        Place::Online,
        [1_500.0, 0.60, 0.14, 0.02],
        Ends::Price,
    ), // games
    trade(
        "4722",
        Place::Online,
        [24_000.0, 0.80, 0.05, 0.01],
        Ends::Any,
    ), // travel
    trade(
        "5815",
        Place::Online,
        [1_100.0, 0.30, 0.17, 0.02],
        Ends::Price,
    ), // media
    trade("6011", Place::Atm, [9_000.0, 0.60, 1.0, 0.01], Ends::Tens),  // cash
    trade(
        "4829",
        Place::Bank,
        [16_000.0, 1.10, 1.0, 0.01],
        Ends::Whole,
    ), // transfer
];

/// What is easily sold on: where stolen cards go.
pub(crate) const RESOLD: [usize; 4] = [10, 12, 14, 15];
pub(crate) const CASH: usize = 17;
pub(crate) const TRANSFER: usize = 18;

/// 10 million in hundredths: beyond it, a draw of a log-normal is no payment any more.
const AMOUNT_MAX: f64 = 1e9;

impl Trade {
    /// An amount in minor units: the median times the factor, spread.
    pub(crate) fn amount(&self, factor: f64, draws: &mut Draws) -> i64 {
        let amount = self.median * factor * draws.log_normal(self.deviation);
        self.ending(amount, draws)
    }

    fn ending(&self, amount: f64, draws: &mut Draws) -> i64 {
        // The cast cuts, and the number is within bounds.
        let minor = amount.clamp(1.0, AMOUNT_MAX) as i64;
        let draw = draws.below(100);
        let ended = match (self.ends, draw) {
            (Ends::Tens, _) => (minor / 1_000).max(1) * 1_000,
            (Ends::Whole, 0..50) => minor / 100 * 100,
            (Ends::Price, 0..45) => minor / 100 * 100 + 99,
            (Ends::Price, 45..60) => minor / 100 * 100 + 95,
            (Ends::Price, 60..70) => minor / 100 * 100 + 50,
            (Ends::Price, 70..80) => minor / 100 * 100,
            _ => minor,
        };
        ended.max(1)
    }
}
