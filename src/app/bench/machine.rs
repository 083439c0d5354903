//! What the machine says: its load, and the CPU time of this process and of its Postgres.

use std::path::Path;

use serde::Serialize;

/// Linux counts CPU time in hundredths of a second, whatever its timer does.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) executable_s: f64,
    pub(crate) postgres_s: f64,
}

impl Cpu {
    /// Of this process, and of the Postgres below `data_dir` with every process it has or had.
    pub(crate) fn now(data_dir: &Path) -> Cpu {
        let own = Process::read("self");
        Cpu {
            executable_s: own.map_or(0, |it| it.own_ticks) as f64 / TICKS_PER_S,
            postgres_s: postgres_ticks(data_dir) as f64 / TICKS_PER_S,
        }
    }

    pub(crate) fn since(self, before: Cpu) -> Cpu {
        Cpu {
            executable_s: self.executable_s - before.executable_s,
            postgres_s: self.postgres_s - before.postgres_s,
        }
    }

    pub(crate) fn plus(self, more: Cpu) -> Cpu {
        Cpu {
            executable_s: self.executable_s + more.executable_s,
            postgres_s: self.postgres_s + more.postgres_s,
        }
    }

    pub(crate) fn total_s(self) -> f64 {
        self.executable_s + self.postgres_s
    }
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
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
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

fn postgres_ticks(data_dir: &Path) -> u64 {
    let file = std::fs::read_to_string(data_dir.join("pg/data/postmaster.pid"));
    let pid = file
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse::<u32>().ok());
    let Some(pid) = pid else { return 0 };
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
