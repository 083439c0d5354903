//! Where the CPU time goes while a bench runs: sampled stacks of this process, by the room whose code they were in, and
//! what the backends of Postgres were busy with, by table.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::bench::report::{Measure, measure};
use crate::substrate::db::Db;

const BUSY: &str = include_str!("sql/busy_backends.sql");
/// A prime, so that nothing periodic is met again and again.
const SAMPLES_PER_S: i32 = 97;
const LOOK_EVERY: Duration = Duration::from_millis(23);
/// What is rarer is summed up.
const PERCENT_MIN: f64 = 1.0;
/// Rooms that are written down with the room inside them.
const FOLDERS: [&str; 5] = ["app", "engine", "ingress", "rtdl", "substrate"];
/// Rooms that work for whoever calls them: the caller is named.
const HELPERS: [&str; 3] = ["contracts", "domain", "governance"];
const SCHEMAS: [&str; 7] = ["ig", "rtdl", "dla", "runtime", "governance", "al", "mpr"];

/// Samples by name.
type Samples = BTreeMap<String, u64>;

/// A profile that is being taken.
pub(crate) struct Profiler {
    guard: pprof::ProfilerGuard<'static>,
    backends: JoinHandle<Samples>,
    stop: DropGuard,
}

impl Profiler {
    /// # Errors
    /// A machine on which no timer can be set.
    pub(crate) fn start(db: &Db) -> anyhow::Result<Profiler> {
        let guard = pprof::ProfilerGuard::new(SAMPLES_PER_S).context("sampling stacks")?;
        let (stop, db) = (CancellationToken::new(), db.clone());
        let backends = tokio::spawn(watch(db, stop.clone()));
        Ok(Profiler {
            guard,
            backends,
            stop: stop.drop_guard(),
        })
    }

    /// What was sampled, the most frequent first.
    ///
    /// # Errors
    /// Stacks that cannot be read.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<Measure>> {
        drop(self.stop);
        let backends = self.backends.await.context("watching the backends")?;
        let report = self.guard.report().build().context("reading the stacks")?;
        let mut rooms = Samples::new();
        for (frames, count) in &report.data {
            // Innermost first, and of what was inlined the innermost first.
            let names = frames.frames.iter().flatten().map(pprof::Symbol::name);
            let names: Vec<String> = names.collect();
            let count = u64::try_from(*count).unwrap_or(0);
            *rooms.entry(room(&names)).or_default() += count;
        }
        let mut measures = shares("stacks of the executable in", &rooms);
        measures.extend(shares("busy backends of Postgres at", &backends));
        Ok(measures)
    }
}

async fn watch(db: Db, stop: CancellationToken) -> Samples {
    let mut samples = Samples::new();
    while !stop.is_cancelled() {
        // A look that fails is one sample less.
        if let Ok(client) = db.get().await
            && let Ok(rows) = client.query(BUSY, &[]).await
        {
            for row in rows {
                *samples.entry(place(row.get(0))).or_default() += 1;
            }
        }
        drop(tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await);
    }
    samples
}

/// The room of the innermost function of ours; what has none is the runtime's and the drivers' own.
fn room(innermost_first: &[String]) -> String {
    let rooms: Vec<String> = innermost_first.iter().filter_map(|it| own(it)).collect();
    let of_its_own = |it: &&String| !HELPERS.contains(&it.as_str());
    let found = rooms.iter().find(of_its_own).or(rooms.first());
    found.cloned().unwrap_or_else(|| {
        "no room: the async runtime, HTTP, drivers, threads of the log".to_owned()
    })
}

/// `rtdl/decision` of `<fraudplat::rtdl::decision::worker::Worker>::step`.
fn own(name: &str) -> Option<String> {
    let (_, path) = name.split_once("fraudplat::")?;
    let is_module = |it: &&str| {
        let mut letters = it.bytes();
        letters.all(|it| it.is_ascii_lowercase() || it == b'_') && !it.is_empty()
    };
    let mut modules = path.split("::").take_while(is_module);
    let first = modules.next()?;
    match modules.next().filter(|_| FOLDERS.contains(&first)) {
        Some(second) => Some(format!("{first}/{second}")),
        None => Some(first.to_owned()),
    }
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

fn shares(what: &str, samples: &Samples) -> Vec<Measure> {
    let total = samples.values().sum::<u64>() as f64;
    let mut sorted: Vec<(&String, f64)> = samples
        .iter()
        .map(|(name, count)| (name, *count as f64 / total * 100.0))
        .collect();
    sorted.sort_by(|one, other| other.1.total_cmp(&one.1));
    let (shown, rare): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|it| it.1 >= PERCENT_MIN);
    let mut measures: Vec<Measure> = shown
        .into_iter()
        .map(|(name, percent)| measure(format!("{what} {name}"), percent, "%"))
        .collect();
    if !rare.is_empty() {
        let sum = rare.iter().map(|it| it.1).sum();
        measures.push(measure(format!("{what} others"), sum, "%"));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_of_the_innermost_room_that_works_for_itself() {
        let check = |names: &[&str], expect: &str| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            let found = room(&names);
            assert!(found.starts_with(expect), "{found}, not {expect}");
        };
        let worker = "fraudplat::rtdl::decision::worker::Worker::step::{{closure}}";
        check(
            &["memcpy", worker, "tokio::runtime::task::raw::poll"],
            "rtdl/decision",
        );
        check(
            &["fraudplat::domain::digest::Digest::of", worker],
            "rtdl/decision",
        );
        check(
            &[
                "<fraudplat::engine::features::state::FeatureState>::apply",
                worker,
            ],
            "engine/features",
        );
        check(&["fraudplat::runtime::guard::guard", worker], "runtime");
        check(&["fraudplat::domain::digest::Digest::of"], "domain");
        check(&["mio::poll", "fraudplat_main"], "no room");
        check(&[], "no room");
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
