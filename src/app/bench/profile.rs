//! Where the CPU time goes while a bench runs: threads by name, the code of each task and section on them, and what the
//! backends of Postgres were busy with, by table.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::bench::machine;
use crate::app::bench::report::{Measure, measure};
use crate::runtime::usage::Usage;
use crate::substrate::db::Db;
use crate::substrate::meter;

const BUSY: &str = include_str!("sql/busy_backends.sql");
const LOOK_EVERY: Duration = Duration::from_millis(47);
/// What has less of its kind is summed up.
const PERCENT_MIN: f64 = 1.0;
const SCHEMAS: [&str; 7] = ["ig", "rtdl", "dla", "runtime", "governance", "al", "mpr"];

/// Amounts by name.
type Amounts = BTreeMap<String, f64>;

/// What the backends were at, and what it took to see that.
#[derive(Default)]
struct Backends {
    busy: Amounts,
    looks: u64,
}

/// A profile that was taken.
pub(crate) struct Profile {
    /// The largest of each kind first.
    pub(crate) measures: Vec<Measure>,
    /// How often the database was waited for to take it: none of the loop's business.
    pub(crate) flushes: u64,
}

impl Profile {
    /// The same use of the substrates without the profile's own.
    pub(crate) fn taken_out(&self, mut usage: Usage) -> Usage {
        usage.db_flushes = usage.db_flushes.saturating_sub(self.flushes);
        usage
    }
}

/// A profile that is being taken.
pub(crate) struct Profiler {
    threads: Amounts,
    backends: JoinHandle<Backends>,
    stop: DropGuard,
}

impl Profiler {
    pub(crate) fn start(db: &Db) -> Profiler {
        let (stop, db) = (CancellationToken::new(), db.clone());
        let backends = tokio::spawn(watch(db, stop.clone()));
        meter::start();
        Profiler {
            threads: machine::thread_cpu_s(),
            backends,
            stop: stop.drop_guard(),
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// A watch of the backends that broke off.
    pub(crate) async fn end(self) -> anyhow::Result<Profile> {
        let spent = meter::stop();
        let spent = spent
            .into_iter()
            .map(|(name, time)| (name.to_owned(), time.as_secs_f64()));
        let mut threads = machine::thread_cpu_s();
        for (name, seconds) in &mut threads {
            *seconds -= self.threads.get(name).copied().unwrap_or_default();
        }
        drop(self.stop);
        let backends = self.backends.await.context("watching the backends")?;
        let mut measures = shares("CPU of the executable's threads:", threads);
        measures.extend(shares("time of its tasks:", spent.collect()));
        measures.extend(shares("busy backends of Postgres:", backends.busy));
        Ok(Profile {
            measures,
            flushes: backends.looks,
        })
    }
}

async fn watch(db: Db, stop: CancellationToken) -> Backends {
    let mut seen = Backends::default();
    while !stop.is_cancelled() {
        // A look that fails is one sample less.
        if let Ok(client) = db.get().await
            && let Ok(statement) = client.prepare_cached(BUSY).await
            && let Ok(rows) = client.query(&statement, &[]).await
        {
            seen.looks += 1;
            for row in rows {
                *seen.busy.entry(place(row.get(0))).or_default() += 1.0;
            }
        }
        drop(tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await);
    }
    seen
}

/// The table that a statement names first; the statement's own first word without one.
fn place(statement: &str) -> String {
    let words = statement.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == '.'));
    let mut tables = words.filter(|it| {
        let schema = it.split_once('.').map(|it| it.0);
        schema.is_some_and(|it| SCHEMAS.contains(&it))
    });
    let table = tables.next().map(str::to_owned);
    let word = || {
        statement
            .split_whitespace()
            .next()
            .unwrap_or("nothing")
            .to_uppercase()
    };
    table.unwrap_or_else(word)
}

fn shares(kind: &str, amounts: Amounts) -> Vec<Measure> {
    let total: f64 = amounts.values().sum();
    let percent = |(name, amount): (String, f64)| (name, amount / total * 100.0);
    let mut sorted: Vec<(String, f64)> = amounts.into_iter().map(percent).collect();
    sorted.sort_by(|one, other| other.1.total_cmp(&one.1));
    let (shown, rare): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|it| it.1 >= PERCENT_MIN);
    let shown = shown
        .into_iter()
        .map(|(name, percent)| measure(format!("{kind} {name}"), percent, "%"));
    let mut measures: Vec<Measure> = shown.collect();
    if !rare.is_empty() {
        let sum = rare.iter().map(|it| it.1).sum();
        measures.push(measure(format!("{kind} others"), sum, "%"));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_their_kind_and_what_is_rare_is_summed_up() {
        let amounts = [("a", 1.0), ("b", 198.0), ("c", 0.5), ("d", 0.5)];
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), amount));
        let found = shares("x:", amounts.into());
        let found: Vec<(&str, f64)> = found
            .iter()
            .map(|it| (it.what.as_str(), it.value))
            .collect();
        assert_eq!(found, [("x: b", 99.0), ("x: others", 1.0)]);
    }

    #[test]
    fn a_statement_is_of_its_first_table() {
        assert_eq!(
            place("COPY dla.decision\n (day) FROM STDIN BINARY"),
            "dla.decision"
        );
        assert_eq!(
            place("-- why. and where\nSELECT x.y FROM rtdl.frame_part AS x"),
            "rtdl.frame_part"
        );
        assert_eq!(place("COMMIT"), "COMMIT");
        assert_eq!(place(""), "NOTHING");
    }
}
