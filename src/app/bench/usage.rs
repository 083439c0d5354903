//! Cost at load (P9): what the gate asked of bus, objects and database for the events it admitted.

use crate::app::bench::report::{Goal, Ratio};
use crate::app::commands::Call;
use crate::domain::keys::Pins;
use crate::governance::counters::Counter;
use crate::runtime::usage::Usage;
use crate::substrate::bus::Puts;

/// What was asked, for so many events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    usage: Usage,
    events: u64,
    is_managed: bool,
}

impl Cost {
    /// Since the process began.
    pub(crate) fn at(call: &Call, pins: &Pins) -> Cost {
        Cost {
            usage: call.ground.usage(),
            events: call.ground.counters.get(pins, Counter::Admitted),
            is_managed: call.profile.substrates.managed.is_some(),
        }
    }

    pub(crate) fn since(self, before: Cost) -> Cost {
        Cost {
            usage: self.usage.since(before.usage),
            events: self.events - before.events,
            ..self
        }
    }

    pub(crate) fn plus(self, more: Cost) -> Cost {
        let (one, other) = (self.usage, more.usage);
        Cost {
            usage: Usage {
                puts: Puts {
                    requests: one.puts.requests + other.puts.requests,
                    records: one.puts.records + other.puts.records,
                },
                object_puts: one.object_puts + other.object_puts,
                db_flushes: one.db_flushes + other.db_flushes,
            },
            events: self.events + more.events,
            is_managed: more.is_managed,
        }
    }

    /// An embedded log has no price a request, so its number has no goal.
    pub(crate) fn ratios(&self, when: &str) -> [Ratio; 3] {
        let Usage {
            puts,
            object_puts,
            db_flushes,
        } = self.usage;
        let (per_put, goal) = match self.is_managed {
            true => ("records per PutRecords", Goal::AtLeast(400.0)),
            false => ("records per sync of the log", Goal::None),
        };
        let events = self.events as f64;
        let ratio = |what: String, one: u64, other, goal| Ratio::new(what, one as f64, other, goal);
        [
            ratio(
                format!("P9 objects written per 1,000 events, {when}"),
                object_puts,
                events / 1_000.0,
                Goal::AtMost(1.0),
            ),
            ratio(
                format!("P9 {per_put}, {when}"),
                puts.records,
                puts.requests as f64,
                goal,
            ),
            ratio(
                format!("P9 database flushes per 500 events, {when}"),
                db_flushes,
                events / 500.0,
                Goal::AtMost(12.0),
            ),
        ]
    }
}
