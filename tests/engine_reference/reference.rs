//! The naive reference: what is known, and the definition of every feature over it, word for word
//! and quadratic.

use std::collections::BTreeSet;

use fraudplat::contracts::decision::Value;

use super::case::{Case, Event, assertion_id, event_id};

/// What is known.
pub(crate) struct Reference<'r> {
    pub(crate) case: &'r Case,
    pub(crate) events: BTreeSet<usize>,
    pub(crate) labels: BTreeSet<usize>,
}

pub(crate) struct Look {
    window: i64,
    delay: i64,
    with_current: bool,
}

pub(crate) const fn look(window: i64, delay: i64, with_current: bool) -> Look {
    Look {
        window,
        delay,
        with_current,
    }
}

impl Reference<'_> {
    fn window(&self, at: usize, look: &Look, same: impl Fn(&Event) -> bool) -> Vec<usize> {
        let now = &self.case.events[at];
        let known = self.events.iter().copied();
        let inside = known.filter(|nth| {
            let event = &self.case.events[*nth];
            let end = now.ts - look.delay;
            let before_end = if look.delay > 0 || event.ts < end {
                event.ts <= end
            } else if *nth == at {
                look.with_current
            } else {
                event.ts == end && event_id(*nth) < event_id(at)
            };
            before_end && event.ts > end - look.window && same(event)
        });
        inside.collect()
    }

    fn is_fraud(&self, event: usize, at: i64) -> bool {
        let labels = self.labels.iter().copied();
        let visible = labels.filter(|it| {
            let label = &self.case.labels[*it];
            label.event == event && label.observed <= at
        });
        let latest = visible.max_by_key(|it| (self.case.labels[*it].observed, assertion_id(*it)));
        latest.is_some_and(|it| self.case.labels[it].is_fraud)
    }

    fn share(&self, at: usize, among: &[usize], empty: Value) -> Value {
        if among.is_empty() {
            return empty;
        }
        let now = self.case.events[at].ts;
        let frauds = among.iter().filter(|it| self.is_fraud(**it, now)).count();
        Value::Float(frauds as f64 / among.len() as f64)
    }

    pub(crate) fn features(&self, at: usize) -> Vec<Value> {
        let now = self.case.events[at].clone();
        let mine = |it: &Event| it.customer == now.customer;
        let here = |it: &Event| it.terminal == now.terminal;
        let large = |it: &Event| mine(it) && it.amount >= 50;
        let count = |it: Vec<usize>| Value::Int(it.len() as i64);
        let amounts = |it: Vec<usize>| -> Vec<i64> {
            it.iter().map(|it| self.case.events[*it].amount).collect()
        };
        let points = |it: &[usize]| -> Vec<i64> {
            let values = it.iter().filter_map(|it| self.case.events[*it].points);
            values.filter_map(Result::ok).collect()
        };
        let mean = |it: &[i64]| it.iter().sum::<i64>() as f64 / it.len() as f64;
        let ten = self.window(at, &look(10, 0, true), mine);
        let thirty = amounts(self.window(at, &look(30, 0, true), mine));
        let five = amounts(self.window(at, &look(5, 0, false), mine));
        let five_delayed = amounts(self.window(at, &look(5, 2, true), mine));
        let terminals = ten.iter().filter_map(|it| self.case.events[*it].terminal);
        let all_points = ten.iter().filter_map(|it| self.case.events[*it].points);
        let has_terminal = now.terminal.is_some();
        let keyed = |value: Value| if has_terminal { value } else { Value::Missing };
        vec![
            count(ten.clone()),
            count(self.window(at, &look(10, 0, false), mine)),
            count(self.window(at, &look(7, 3, true), mine)),
            Value::Int(amounts(ten.clone()).iter().sum()),
            match thirty.is_empty() {
                true => Value::Float(0.0),
                false => Value::Float(mean(&thirty)),
            },
            five.iter()
                .min()
                .map_or(Value::Missing, |it| Value::Int(*it)),
            Value::Int(five_delayed.iter().max().copied().unwrap_or(-1)),
            Value::Int(terminals.collect::<BTreeSet<_>>().len() as i64),
            keyed(self.share(
                at,
                &self.window(at, &look(10, 4, true), here),
                Value::Float(0.0),
            )),
            keyed(self.share(
                at,
                &self.window(at, &look(20, 0, false), here),
                Value::Missing,
            )),
            keyed(count(
                self.window(at, &look(20, 0, true), |it| mine(it) && here(it)),
            )),
            count(self.window(at, &look(20, 0, true), large)),
            self.share(
                at,
                &self.window(at, &look(15, 0, true), large),
                Value::Missing,
            ),
            Value::Int(points(&ten).iter().sum()),
            match points(&ten) {
                none if none.is_empty() => Value::Missing,
                some => Value::Float(mean(&some)),
            },
            Value::Int(all_points.collect::<BTreeSet<_>>().len() as i64),
        ]
        .into_iter()
        .chain(self.of_spread_and_time(at))
        .collect()
    }

    /// Deviation, the first and the last, times since, decay.
    fn of_spread_and_time(&self, at: usize) -> Vec<Value> {
        let now = self.case.events[at].clone();
        let mine = |it: &Event| it.customer == now.customer;
        let here = |it: &Event| it.terminal == now.terminal;
        let large = |it: &Event| mine(it) && it.amount >= 50;
        let amount = |it: &Event| Some(it.amount);
        let points = |it: &Event| it.points.and_then(Result::ok);
        let keyed = |value: Value| match now.terminal {
            Some(_) => value,
            None => Value::Missing,
        };
        let ten = self.ordered(at, &look(10, 0, true), mine);
        let twenty_before = self.ordered(at, &look(20, 0, false), mine);
        let thirty_before = self.ordered(at, &look(30, 0, false), mine);
        let values = |of: &[&Event], value: &dyn Fn(&Event) -> Option<i64>| -> Vec<i64> {
            of.iter().filter_map(|it| value(it)).collect()
        };
        let int = |it: Option<&i64>, empty| it.map_or(empty, |it| Value::Int(*it));
        let terminal = |it: Option<u8>, empty| it.map_or(empty, |it| Value::Text(format!("t{it}")));
        let since = |it: Option<&&Event>, empty| {
            it.map_or(empty, |it| Value::Float((now.ts - it.ts) as f64))
        };
        let decayed = |of: &[&Event], half_life, value: &dyn Fn(&Event) -> Option<i64>, empty| {
            let of = of.iter().filter_map(|it| Some((it.ts, value(it)?)));
            decayed(of.collect(), half_life, now.ts).map_or(Value::Float(empty), Value::Float)
        };
        let two_delayed = |window| self.ordered(at, &look(window, 2, true), mine);
        let terminals = two_delayed(20).into_iter().filter_map(|it| it.terminal);
        vec![
            stddev(&values(&ten, &amount)).map_or(Value::Missing, Value::Float),
            Value::Float(stddev(&values(&twenty_before, &points)).unwrap_or(-1.0)),
            int(values(&ten, &points).first(), Value::Missing),
            int(values(&ten, &points).last(), Value::Int(99)),
            int(values(&thirty_before, &amount).last(), Value::Missing),
            terminal(
                twenty_before.iter().rev().find_map(|it| it.terminal),
                Value::Text("none".to_owned()),
            ),
            terminal({ terminals }.next(), Value::Missing),
            since(thirty_before.last(), Value::Missing),
            since(
                self.ordered(at, &look(30, 1, true), large).last(),
                Value::Float(-1.0),
            ),
            keyed(since(
                self.ordered(at, &look(40, 0, true), |it| mine(it) && here(it))
                    .first(),
                Value::Missing,
            )),
            decayed(
                &self.ordered(at, &look(20, 0, true), mine),
                3,
                &|_| Some(1),
                0.0,
            ),
            decayed(&two_delayed(30), 7, &points, 0.0),
            keyed(decayed(
                &self.ordered(at, &look(64, 0, false), here),
                1,
                &amount,
                -1.0,
            )),
        ]
    }

    /// The window's events by `(t, event_id)`.
    fn ordered(&self, at: usize, look: &Look, same: impl Fn(&Event) -> bool) -> Vec<&Event> {
        let mut found = self.window(at, look, same);
        found.sort_by_key(|it| (self.case.events[*it].ts, event_id(*it)));
        found.into_iter().map(|it| &self.case.events[it]).collect()
    }
}

/// Of a sample, in whole numbers up to the last division and the root.
fn stddev(values: &[i64]) -> Option<f64> {
    let n = values.len() as i64;
    let sum: i64 = values.iter().sum();
    let squares: i64 = values.iter().map(|it| it * it).sum();
    (n >= 2).then(|| ((n * squares - sum * sum) as f64 / (n * (n - 1)) as f64).sqrt())
}

/// `(ts, value)`, times in seconds: the sum of each half-life's values, weighed in units of 2^-30
/// as of that half-life's start, halved from one to the next.
fn decayed(values: Vec<(i64, i64)>, half_life: i64, now: i64) -> Option<f64> {
    let first = values.iter().map(|it| it.0.div_euclid(half_life)).min()?;
    let part = |ts: i64| ts.rem_euclid(half_life) as f64 / half_life as f64;
    let unit = f64::from(1 << 30);
    let mut weighed = 0.0;
    for period in first..=now.div_euclid(half_life) {
        let of_period = values
            .iter()
            .filter(|it| it.0.div_euclid(half_life) == period);
        let sum: i64 = of_period
            .map(|(ts, it)| it * (libm::exp2(part(*ts)) * unit).round() as i64)
            .sum();
        weighed = weighed / 2.0 + sum as f64;
    }
    Some(weighed * libm::exp2(-part(now)) / unit)
}
