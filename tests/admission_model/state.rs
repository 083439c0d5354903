//! What the model remembers: clients, two gates, the database's rows, the bus.

use std::collections::BTreeMap;

pub(crate) const GATES: usize = 2;
pub(crate) const IDS: usize = 3;

pub(crate) type GateNo = usize;
pub(crate) type BatchId = u8;
pub(crate) type Epoch = u8;
/// A set of small numbers.
pub(crate) type Set = u8;

pub(crate) fn has(set: Set, n: usize) -> bool {
    set & (1 << n) != 0
}

pub(crate) fn one(n: usize) -> Set {
    1 << n
}

/// An event: which one, and what it says. Two payloads under one id are a mismatch (L3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Event {
    pub(crate) id: usize,
    pub(crate) payload: u8,
}

/// A client with one event; it asks again once where it was told nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    pub(crate) event: Event,
    pub(crate) status: Status,
    pub(crate) resends_left: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Unsent,
    Queued(GateNo),
    Admitting(GateNo),
    /// Its verdict is known; it waits for the terminal row of this batch.
    Waiting {
        gate: GateNo,
        batch: BatchId,
    },
    Answered(Answer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// ADMITTED or DUPLICATE, with the receipt's place on the bus.
    Receipt {
        batch: BatchId,
        place: Option<usize>,
    },
    Quarantined,
    /// 202 PUBLISH_IN_FLIGHT.
    InFlight,
    /// The gate died.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Gate {
    pub(crate) is_up: bool,
    pub(crate) is_paused: bool,
    /// Of its own lease, as far as it knows.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) admitting: Option<Admitting>,
    pub(crate) flights: Vec<Flight>,
    /// Batches whose waiters this process will tell itself.
    pub(crate) in_flight: Set,
    pub(crate) resolving: Option<Resolving>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Admitting {
    pub(crate) batch: BatchId,
    pub(crate) requests: Set,
    pub(crate) epoch: Epoch,
    pub(crate) step: AdmitStep,
}

/// Where the admission transaction stands. `inserted` and `known` are sets of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AdmitStep {
    Gathered,
    /// The insert has begun, with a snapshot of what was committed then.
    Begun {
        snapshot: Set,
    },
    Inserted {
        inserted: Set,
        snapshot: Set,
    },
    Ready {
        inserted: Set,
        known: Set,
    },
    /// COMMIT was sent and its reply was lost.
    Unknown {
        known: Set,
    },
}

/// A committed batch on its way to the bus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flight {
    pub(crate) batch: BatchId,
    pub(crate) step: PutStep,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PutStep {
    Put(Vec<Option<usize>>),
    Ambiguous,
    Terminal(Vec<Option<usize>>),
}

/// Open batches of a gate in the hands of a resolver, its own or another gate's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Resolving {
    pub(crate) of: GateNo,
    pub(crate) epoch: Epoch,
    /// `None`: it looks for the next open batch.
    pub(crate) flight: Option<Flight>,
    pub(crate) has_looked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    /// The process that renews it; none when it died.
    pub(crate) holder: Option<GateNo>,
    pub(crate) is_expired: bool,
}

/// A committed batch row, its event rows and what came after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) gate: GateNo,
    pub(crate) epoch: Epoch,
    /// The lease's epoch when the row was written; never read by a gate.
    pub(crate) epoch_then: Epoch,
    pub(crate) events: Vec<Event>,
    pub(crate) is_ambiguous: bool,
    pub(crate) terminal: Option<Terminal>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Terminal {
    pub(crate) epoch: Epoch,
    /// The lease's epoch when the row was written; never read by a gate.
    pub(crate) epoch_then: Epoch,
    pub(crate) places: Vec<Option<usize>>,
}

/// A record; a reshard begins a new generation of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    pub(crate) event: Event,
    pub(crate) generation: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) requests: Vec<Request>,
    pub(crate) gates: [Gate; GATES],
    pub(crate) leases: [Lease; GATES],
    pub(crate) next_batch: BatchId,
    pub(crate) rows: BTreeMap<BatchId, Row>,
    /// Payload and batch of the first under each id.
    pub(crate) dedupe: [Option<(u8, BatchId)>; IDS],
    pub(crate) bus: Vec<Record>,
    /// Sent by someone who was told nothing, and still to land.
    pub(crate) late: Vec<Event>,
    pub(crate) generation: u8,
    pub(crate) faults_left: u8,
    /// Someone was paused, or a record was late: two copies are then legal (L5).
    pub(crate) was_late: bool,
}

impl State {
    pub(crate) fn new(events: &[Event], faults: u8) -> State {
        let request = |event: &Event| Request {
            event: *event,
            status: Status::Unsent,
            resends_left: 1,
        };
        let gate = || Gate {
            is_up: true,
            epoch: Some(1),
            ..Gate::default()
        };
        let lease = |holder| Lease {
            epoch: 1,
            holder: Some(holder),
            is_expired: false,
        };
        State {
            requests: events.iter().map(request).collect(),
            gates: [gate(), gate()],
            leases: [lease(0), lease(1)],
            next_batch: 0,
            rows: BTreeMap::new(),
            dedupe: [None; IDS],
            bus: Vec::new(),
            late: Vec::new(),
            generation: 0,
            faults_left: faults,
            was_late: false,
        }
    }

    pub(crate) fn is_running(&self, gate: GateNo) -> bool {
        self.gates[gate].is_up && !self.gates[gate].is_paused
    }

    /// The ids in the committed dedupe index.
    pub(crate) fn committed_ids(&self) -> Set {
        let held = self.dedupe.iter().enumerate();
        held.filter(|it| it.1.is_some())
            .fold(0, |set, (id, _)| set | one(id))
    }

    /// The ids that open transactions of other gates have inserted: whoever inserts one waits.
    pub(crate) fn locked_ids(&self, but: GateNo) -> Set {
        let others = self.gates.iter().enumerate().filter(|it| it.0 != but);
        others.fold(0, |set, (_, gate)| match &gate.admitting {
            Some(Admitting {
                step: AdmitStep::Inserted { inserted, .. } | AdmitStep::Ready { inserted, .. },
                ..
            }) => set | inserted,
            _ => set,
        })
    }

    /// The ids of a set of requests.
    pub(crate) fn ids_of(&self, requests: Set) -> Set {
        let asked = self.requests.iter().enumerate();
        asked
            .filter(|(no, _)| has(requests, *no))
            .fold(0, |set, (_, it)| set | one(it.event.id))
    }

    /// The first of `requests` under each id in `ids`.
    pub(crate) fn firsts(&self, requests: Set, ids: Set) -> Vec<Event> {
        let mut firsts: Vec<Event> = Vec::new();
        for (no, request) in self.requests.iter().enumerate() {
            let event = request.event;
            let is_first = !firsts.iter().any(|it| it.id == event.id);
            if has(requests, no) && has(ids, event.id) && is_first {
                firsts.push(event);
            }
        }
        firsts
    }

    /// One state for all that differ in nothing but which gate and which client is which.
    pub(crate) fn representative(&self) -> State {
        let sorted = |mut state: State| {
            state.sort_requests();
            state
        };
        let mut mirrored = self.clone();
        mirrored.swap_gates();
        sorted(self.clone()).min(sorted(mirrored))
    }

    fn swap_gates(&mut self) {
        let other = |gate: &mut GateNo| *gate = 1 - *gate;
        self.gates.reverse();
        self.leases.reverse();
        self.leases
            .iter_mut()
            .filter_map(|it| it.holder.as_mut())
            .for_each(other);
        let resolving = self.gates.iter_mut().filter_map(|it| it.resolving.as_mut());
        resolving.for_each(|it| other(&mut it.of));
        self.rows.values_mut().for_each(|it| other(&mut it.gate));
        for request in &mut self.requests {
            match &mut request.status {
                Status::Queued(gate) | Status::Admitting(gate) | Status::Waiting { gate, .. } => {
                    other(gate);
                }
                Status::Unsent | Status::Answered(_) => {}
            }
        }
    }

    fn sort_requests(&mut self) {
        let mut order: Vec<usize> = (0..self.requests.len()).collect();
        order.sort_by_key(|no| self.requests[*no].clone());
        self.requests.sort();
        for admitting in self.gates.iter_mut().filter_map(|it| it.admitting.as_mut()) {
            let asked = admitting.requests;
            let moved = order.iter().enumerate().filter(|it| has(asked, *it.1));
            admitting.requests = moved.fold(0, |set, (no, _)| set | one(no));
        }
    }

    /// Batches of `gate` that nobody is publishing under `epoch`.
    pub(crate) fn open(&self, gate: GateNo, epoch: Epoch) -> Option<BatchId> {
        let open = |row: &Row| {
            row.gate == gate && row.terminal.is_none() && (row.epoch < epoch || row.is_ambiguous)
        };
        self.rows.iter().find(|(_, row)| open(row)).map(|it| *it.0)
    }
}
