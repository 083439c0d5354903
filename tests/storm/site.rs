//! The processes of a site, each of one role, and whoever looks after them as a service manager
//! does: what ends is started again, a little later each time that it ends before it listens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::checks::check;
use crate::home::{DONE, Home, LONG, Process, until};

/// Where a process listens now; nowhere between two lives.
pub(crate) type Address = Mutex<Option<String>>;

/// What is started: name, role, and what it calls itself as a gate.
const PLAN: [(&str, &str, &str); 6] = [
    ("ig-0", "ig", "gate-0"),
    ("ig-1", "ig", "gate-1"),
    ("inlet-0", "rtdl-inlet", "none"),
    ("inlet-1", "rtdl-inlet", "none"),
    ("decision-0", "decision", "none"),
    ("decision-1", "decision", "none"),
];

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// The places of a role in [`Site::slots`].
pub(crate) const GATES: [usize; 2] = [0, 1];
pub(crate) const INLETS: [usize; 2] = [2, 3];
pub(crate) const DECISIONS: [usize; 2] = [4, 5];

pub(crate) struct Site<'h> {
    home: &'h Home,
    slots: Vec<Slot<'h>>,
    /// Of the gates.
    pub(crate) addresses: Arc<[Address; 2]>,
    /// How processes ended that nobody had killed, before they listened.
    pub(crate) refusals: Vec<String>,
}

struct Slot<'h> {
    name: &'static str,
    role: &'static str,
    gate_id: &'static str,
    process: Option<Process<'h>>,
    /// Where it listens, once it does.
    addr: Option<String>,
    /// When it is started again.
    due: Instant,
    backoff: Duration,
    paused_until: Option<Instant>,
}

impl<'h> Site<'h> {
    /// Nothing runs yet: [`Site::tend`] starts it.
    pub(crate) fn new(home: &'h Home) -> Site<'h> {
        let slot = |(name, role, gate_id)| Slot {
            name,
            role,
            gate_id,
            process: None,
            addr: None,
            due: Instant::now(),
            backoff: BACKOFF_MIN,
            paused_until: None,
        };
        Site {
            home,
            slots: PLAN.map(slot).into(),
            addresses: Default::default(),
            refusals: Vec::new(),
        }
    }

    /// Starts what is due, wakes who has slept enough, sees who listens and who has ended.
    pub(crate) fn tend(&mut self) {
        let now = Instant::now();
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            let Some(process) = &mut slot.process else {
                if slot.due <= now {
                    slot.start(self.home);
                }
                continue;
            };
            if slot.paused_until.is_some_and(|until| until <= now) {
                process.signal(Signal::CONT);
                slot.paused_until = None;
            }
            if !process.is_running() {
                self.ended(at);
            } else if slot.addr.is_none()
                && let Some(addr) = process.announced()
            {
                slot.backoff = BACKOFF_MIN;
                self.tell(at, Some(addr));
            }
        }
    }

    /// Nobody has killed it: it could not start, and says why. Who has listened lives on, whatever
    /// happens to the servers.
    fn ended(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let said = slot.process.take().map(Process::wait).unwrap().stderr;
        let name = slot.name;
        check(
            "a process outlives what its servers suffer",
            slot.addr.is_none(),
            format!("{name} ended: {said}"),
        );
        let words = said.lines().find(|line| line.starts_with("refused: "));
        let is_told = words.is_some();
        check(
            "who cannot start says why",
            is_told,
            format!("{name}: {said}"),
        );
        slot.due = Instant::now() + slot.backoff;
        slot.backoff = (slot.backoff * 2).min(BACKOFF_MAX);
        self.refusals.extend(words.map(str::to_owned));
    }

    /// Kills a process; it is started again after so long.
    pub(crate) fn kill(&mut self, at: usize, down: Duration) {
        self.until_running(at);
        self.tell(at, None);
        let slot = &mut self.slots[at];
        slot.process.take().unwrap().kill_all();
        slot.paused_until = None;
        slot.due = Instant::now() + down;
    }

    /// Stops a process for so long: it knows nothing of it.
    pub(crate) fn pause(&mut self, at: usize, time: Duration) {
        self.until_running(at);
        let slot = &mut self.slots[at];
        slot.process.as_ref().unwrap().signal(Signal::STOP);
        slot.paused_until = Some(Instant::now() + time);
    }

    fn until_running(&mut self, at: usize) {
        until("a process", LONG, || {
            self.tend();
            self.slots[at].process.is_some().then_some(())
        });
    }

    /// Waits until every process listens and none sleeps.
    pub(crate) fn until_well(&mut self) {
        until("every process", LONG, || {
            self.tend();
            let is_well = |slot: &Slot<'_>| slot.addr.is_some() && slot.paused_until.is_none();
            self.slots.iter().all(is_well).then_some(())
        });
    }

    /// Which of these the process is whose id a lease's holder begins with.
    pub(crate) fn holder_among(&self, places: &[usize], holder: &str) -> Option<usize> {
        let (pid, _) = holder.split_once('-')?;
        let pid: u32 = pid.parse().ok()?;
        let is_it = |at: &&usize| {
            let process = self.slots[**at].process.as_ref();
            process.is_some_and(|process| process.id() == pid)
        };
        places.iter().find(is_it).copied()
    }

    /// Tells every process to stop, and waits until all have drained.
    pub(crate) fn stop(self) {
        let processes = self.slots.into_iter().filter_map(|slot| slot.process);
        let told: Vec<Process<'_>> = processes
            .inspect(|process| process.signal(Signal::TERM))
            .collect();
        for process in told {
            process.wait().expect(DONE);
        }
    }

    /// Where every process listens now.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| slot.addr.as_deref())
    }

    /// Where a process listens now, and its producers are told if it is a gate.
    fn tell(&mut self, at: usize, addr: Option<String>) {
        self.slots[at].addr.clone_from(&addr);
        if let Some(address) = self.addresses.get(at) {
            *address.lock().unwrap_or_else(PoisonError::into_inner) = addr;
        }
    }
}

impl<'h> Slot<'h> {
    fn start(&mut self, home: &'h Home) {
        let env = [("FRAUDPLAT__GATE__ID", self.gate_id)];
        let args = ["--role", self.role];
        self.process = Some(home.start_at(self.name, &args, &env));
    }
}
