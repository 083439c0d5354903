//! When people pay: hours of the day out and at home, days of the week and the month, holidays,
//! growth, and what drifts from a day on. Hours are those of UTC in every country.

use crate::contracts::scenario::{Drift, Scenario};
use crate::domain::time::{MICROS_PER_DAY, Time};
use crate::ingress::world::scenario::draws::Draws;

/// Weights of the hours out: shops close at night, noon and evening are busy.
const HOURS_OUT: [f64; 24] = [
    2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 6.0, 14.0, 22.0, 26.0, 30.0, 36.0, 42.0, 36.0, 28.0, 28.0, 34.0,
    44.0, 46.0, 36.0, 24.0, 14.0, 8.0, 4.0,
];
/// Weights of the hours at home: later, and some at night.
const HOURS_HOME: [f64; 24] = [
    8.0, 5.0, 3.0, 2.0, 2.0, 3.0, 6.0, 12.0, 18.0, 22.0, 24.0, 24.0, 26.0, 24.0, 22.0, 22.0, 24.0,
    26.0, 30.0, 36.0, 42.0, 40.0, 30.0, 16.0,
];
/// Early risers to night owls: how many hours later a customer is than the tables.
pub(crate) const SHIFTS: [i32; 5] = [-1, 0, 0, 1, 2];
const PAYDAY_DAYS: i64 = 3;

pub(crate) const MICROS_PER_HOUR: i64 = MICROS_PER_DAY / 24;

#[derive(Debug)]
pub(crate) struct Season {
    /// Of every day of the world.
    days: Vec<Day>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Day {
    factor: f64,
    later_hours: i32,
    pub(crate) amounts: f64,
    pub(crate) online: f64,
    /// Of those who changed their habits by now, the share, and how often habits changed.
    pub(crate) new_habits: f64,
    pub(crate) habits_rev: u32,
}

impl Season {
    pub(crate) fn of(scenario: &Scenario) -> Season {
        let first = scenario.start.value;
        let day = |nth: u32| {
            let at = first.plus_micros(i64::from(nth) * MICROS_PER_DAY);
            drifted(&scenario.drift, nth, factor(scenario, at, nth))
        };
        Season {
            days: (0..scenario.days.value).map(day).collect(),
        }
    }

    pub(crate) fn day(&self, nth: u32) -> &Day {
        &self.days[nth as usize % self.days.len()]
    }
}

fn factor(scenario: &Scenario, at: Time, nth: u32) -> f64 {
    let season = &scenario.seasonality;
    let weekday = (at.day_of_week() + 6) % 7; // from Monday
    let mut factor = season.weekdays.value[weekday as usize];
    factor *= libm::pow(1.0 + season.growth.value, f64::from(nth) / 30.0);
    let date = at.date();
    if let Some(payday) = &season.payday {
        let of_month: i64 = date[8..].parse().unwrap_or(0);
        let since = of_month - i64::from(payday.day.value);
        if (0..PAYDAY_DAYS).contains(&since) {
            factor *= payday.factor.value;
        }
    }
    for holiday in &season.holidays {
        if date[5..] == holiday.date.value {
            factor *= holiday.factor.value;
        }
    }
    factor
}

fn drifted(drift: &[Drift], nth: u32, factor: f64) -> Day {
    let mut day = Day {
        factor,
        later_hours: 0,
        amounts: 1.0,
        online: 1.0,
        new_habits: 0.0,
        habits_rev: 0,
    };
    for it in drift.iter().filter(|it| it.day.value <= nth) {
        day.amounts *= it.amounts.value;
        day.online *= it.online.value;
        day.later_hours += it.later_hours.value;
        if 0.0 < it.new_habits.value {
            day.new_habits = it.new_habits.value;
            day.habits_rev += 1;
        }
    }
    day
}

/// A part of a day, and what is paid in it by a customer who makes one payment a day, for every
/// shift of hours.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) day: u32,
    pub(crate) from: i64,
    pub(crate) until: i64,
    first_hour: u32,
    out: [Hours; SHIFTS.len()],
    home: [Hours; SHIFTS.len()],
}

/// Running sums of the hours of a slice, as parts of a day's payments.
#[derive(Debug, Clone, Copy, Default)]
struct Hours {
    sums: [f64; 24],
    count: usize,
}

impl Slice {
    /// The hours `first_hour..first_hour + hours` of the day.
    pub(crate) fn of(season: &Season, start: i64, day: u32, first_hour: u32, hours: u32) -> Slice {
        let from =
            start + i64::from(day) * MICROS_PER_DAY + i64::from(first_hour) * MICROS_PER_HOUR;
        let of_day = season.day(day);
        let of_shift = |table: &[f64; 24], shift: i32| {
            let total: f64 = table.iter().sum();
            let mut it = Hours {
                count: hours as usize,
                ..Hours::default()
            };
            let mut sum = 0.0;
            for nth in 0..hours {
                let hour = (first_hour + nth) as i32 - shift - of_day.later_hours;
                sum += table[hour.rem_euclid(24) as usize] / total * of_day.factor;
                it.sums[nth as usize] = sum;
            }
            it
        };
        Slice {
            day,
            from,
            until: from + i64::from(hours) * MICROS_PER_HOUR,
            first_hour,
            out: SHIFTS.map(|shift| of_shift(&HOURS_OUT, shift)),
            home: SHIFTS.map(|shift| of_shift(&HOURS_HOME, shift)),
        }
    }

    /// The parts of a day's payments that fall into this slice, out and at home.
    pub(crate) fn weights(&self, shift: u8) -> (f64, f64) {
        let total = |hours: &Hours| hours.sums[hours.count - 1];
        (
            total(&self.out[shift as usize]),
            total(&self.home[shift as usize]),
        )
    }

    /// A moment of the slice, in microseconds, whole milliseconds.
    pub(crate) fn moment(&self, shift: u8, at_home: bool, draws: &mut Draws) -> i64 {
        let hours = match at_home {
            true => &self.home[shift as usize],
            false => &self.out[shift as usize],
        };
        let hour = draws.pick(&hours.sums[..hours.count]) as i64;
        self.from + hour * MICROS_PER_HOUR + i64::from(draws.below(3_600_000)) * 1_000
    }

    /// Whether the slice opens its day.
    pub(crate) fn opens_day(&self) -> bool {
        self.first_hour == 0
    }
}
