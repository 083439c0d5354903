//! What a process has asked of its substrates since it began: requests and round trips, which is what they
//! cost. It dies with the process, like the counters (L11).

use std::fmt::Write as _;

use crate::contracts::stamps::Stamps;
use crate::runtime::ground::Ground;
use crate::substrate::bus::Puts;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub puts: Puts,
    pub object_puts: u64,
    /// How often the database was waited for.
    pub db_flushes: u64,
}

impl Ground {
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            puts: self.bus.puts(),
            object_puts: self.objects.puts(),
            db_flushes: self.db.flushes(),
        }
    }
}

impl Usage {
    /// What was asked since `before`.
    #[must_use]
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            puts: Puts {
                requests: self.puts.requests - before.puts.requests,
                records: self.puts.records - before.puts.records,
            },
            object_puts: self.object_puts - before.object_puts,
            db_flushes: self.db_flushes - before.db_flushes,
        }
    }

    /// The Prometheus text exposition, version 0.0.4.
    ///
    /// # Panics
    /// Never: a String takes every write.
    #[must_use]
    pub fn render(&self, stamps: &Stamps) -> String {
        let (environment, mode) = (stamps.environment, stamps.mode);
        let counts = [
            ("bus_put_requests", self.puts.requests),
            ("bus_put_records", self.puts.records),
            ("object_puts", self.object_puts),
            ("db_flushes", self.db_flushes),
        ];
        let mut text = String::new();
        for (name, count) in counts {
            writeln!(
                text,
                "# TYPE {name} counter\n{name}{{environment=\"{environment}\",mode=\"{mode}\"}} {count}"
            )
            .expect("a String takes every write");
        }
        text
    }
}
