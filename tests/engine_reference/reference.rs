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
    }
}
