//! Cost at load (P9): what was asked of bus, objects and database for the events that were admitted.

use crate::app::bench::report::{Goal, Ratio};
use crate::app::commands::Call;
use crate::runtime::usage::Usage;
use crate::substrate::bus::Puts;

/// Of one role.
pub(crate) const FLUSHES_MAX: Goal = Goal::AtMost(12.0);

/// What was asked, and for how many events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) usage: Usage,
    pub(crate) events: u64,
}

impl Cost {
    pub(crate) fn since(self, before: Cost) -> Cost {
        Cost {
            usage: self.usage.since(before.usage),
            events: self.events - before.events,
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
        }
    }

    /// An embedded log has no price a request, so its number has no goal.
    pub(crate) fn ratios(&self, call: &Call, when: &str, flushes: Goal) -> [Ratio; 3] {
        let Usage {
            puts,
            object_puts,
            db_flushes,
        } = self.usage;
        let (per_put, goal) = match call.profile.substrates.managed {
            Some(_) => ("records per PutRecords", Goal::AtLeast(400.0)),
            None => ("records per sync of the log", Goal::None),
        };
        let events = self.events as f64;
        let ratio = |what: &str, one: u64, other, goal| {
            Ratio::new(format!("P9 {what}, {when}"), one as f64, other, goal)
        };
        [
            ratio(
                "objects written per 1,000 events",
                object_puts,
                events / 1_000.0,
                Goal::AtMost(1.0),
            ),
            ratio(per_put, puts.records, puts.requests as f64, goal),
            ratio(
                "database flushes per 500 events",
                db_flushes,
                events / 500.0,
                flushes,
            ),
        ]
    }
}
