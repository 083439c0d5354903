//! What the machine says: its load, and the CPU time of this process, of its load generator and of its Postgres.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::substrate::db::Db;

const FIND_SERVER: &str = include_str!("sql/find_server.sql");

/// Linux counts CPU time in hundredths of a second, whatever its timer does.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) executable_s: f64,
    pub(crate) postgres_s: f64,
    pub(crate) generator_s: f64,
}

/// Reads the CPU time of this process, and of its Postgres with every process that it has or had.
pub(crate) struct Meter {
    /// `None` where Postgres is on another machine.
    postmaster: Option<u32>,
}

impl Meter {
    /// # Errors
    /// A database that does not answer.
    pub(crate) async fn of(db: &Db) -> anyhow::Result<Meter> {
        let row = db.get().await?.query_one(FIND_SERVER, &[]).await?;
        let (pid, is_here): (i32, bool) = (row.get(0), row.get(1));
        let server = Process::read(&pid.to_string()).filter(|_| is_here);
        Ok(Meter {
            postmaster: server.map(|it| it.parent),
        })
    }

    pub(crate) fn now(&self) -> Cpu {
        Cpu {
            executable_s: own_cpu_s(),
            postgres_s: self.postmaster.map_or(0, ticks_with_children) as f64 / TICKS_PER_S,
            generator_s: 0.0,
        }
    }
}

impl Cpu {
    pub(crate) fn since(self, before: Cpu) -> Cpu {
        Cpu {
            executable_s: self.executable_s - before.executable_s,
            postgres_s: self.postgres_s - before.postgres_s,
            generator_s: self.generator_s - before.generator_s,
        }
    }

    pub(crate) fn plus(self, more: Cpu) -> Cpu {
        Cpu {
            executable_s: self.executable_s + more.executable_s,
            postgres_s: self.postgres_s + more.postgres_s,
            generator_s: self.generator_s + more.generator_s,
        }
    }

    pub(crate) fn with_generator(self, generator_s: f64) -> Cpu {
        Cpu {
            generator_s,
            ..self
        }
    }

    /// Without the generator, which is no part of the platform.
    pub(crate) fn total_s(self) -> f64 {
        self.executable_s + self.postgres_s
    }
}

/// Of this process.
pub(crate) fn own_cpu_s() -> f64 {
    Process::read("self").map_or(0, |it| it.own_ticks) as f64 / TICKS_PER_S
}

/// Of this process' threads that live now, by name without its number.
pub(crate) fn thread_cpu_s() -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let threads = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    for thread in threads {
        let text = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let name = text
            .split_once('(')
            .and_then(|it| Some(it.1.rsplit_once(')')?.0));
        let name = name
            .unwrap_or_default()
            .trim_end_matches(|it: char| it.is_ascii_digit() || it == '-');
        let ticks = Process::parse(&text).map_or(0, |it| it.own_ticks);
        *found.entry(name.to_owned()).or_default() += ticks as f64 / TICKS_PER_S;
    }
    found
}

/// What of this process is in memory.
pub(crate) fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kb.map_or(f64::NAN, |kb| kb / 1_024.0)
}

#[derive(Debug, Clone, Copy)]
struct Process {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended.
    ended_ticks: u64,
}

impl Process {
    /// From `/proc/{pid}/stat`; the second field is a name that may hold anything, in parentheses.
    fn read(pid: &str) -> Option<Process> {
        Process::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Process> {
        let rest = text.rsplit_once(')')?.1;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Process {
            parent: u32::try_from(number(1)?).ok()?,
            own_ticks: number(11)? + number(12)?,
            ended_ticks: number(13)? + number(14)?,
        })
    }
}

fn ticks_with_children(pid: u32) -> u64 {
    let first = Process::read(&pid.to_string());
    let first = first.map_or(0, |it| it.own_ticks + it.ended_ticks);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let all = names.filter_map(|name| Process::read(&name));
    let children = all.filter(|it| it.parent == pid);
    first + children.map(|it| it.own_ticks).sum::<u64>()
}

/// What ran beside the bench, and on what.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpus: usize,
    pub(crate) release: String,
    /// Built with assertions: slower than what is shipped.
    pub(crate) with_assertions: bool,
    /// Over the last minute, before and after.
    pub(crate) load_average: [f64; 2],
}

impl Machine {
    pub(crate) fn before() -> Machine {
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            release: crate::app::profile::release(),
            with_assertions: cfg!(debug_assertions),
            load_average: [load_average(), 0.0],
        }
    }

    pub(crate) fn after(mut self) -> Machine {
        self.load_average[1] = load_average();
        self
    }
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}

/// The middle of some rates.
pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
