//! What then holds: each action as one atomic step of clients, gates, database and bus.

use crate::model::{Action, Admission, Bug, Commit, Fate, Who};
use crate::state::{
    AdmitStep, Admitting, Answer, BatchId, Event, Flight, Gate, GateNo, Lease, PutStep, Record,
    Resolving, Row, Set, State, Status, Terminal, has, one,
};

/// What then holds.
impl Admission {
    pub(crate) fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Send(no, gate) => {
                let request = &mut state.requests[no];
                if request.status != Status::Unsent {
                    request.resends_left -= 1;
                }
                request.status = Status::Queued(gate);
            }
            Action::Gather(gate) => self.gather(state, gate),
            Action::Begin(gate)
            | Action::Insert(gate)
            | Action::ReadBack(gate)
            | Action::Settle(gate) => self.admit(state, gate),
            Action::Commit(gate, fate) => self.commit(state, gate, fate),
            Action::Put(gate, who, n_stored, fate) => put(state, gate, who, n_stored, fate),
            Action::MarkAmbiguous(gate, who) => self.mark_ambiguous(state, gate, who),
            Action::WriteTerminal(gate, who) => self.write_terminal(state, gate, who),
            Action::Deadline(no) => {
                state.requests[no].status = Status::Answered(Answer::InFlight);
            }
            Action::Land(at) => {
                let event = state.late.remove(at);
                store(state, event);
            }
            Action::Reshard => state.generation += 1,
            _ => self.act_on_gate(state, action),
        }
    }

    fn act_on_gate(&self, state: &mut State, action: Action) {
        match action {
            Action::ResolveOwn(gate) => {
                let epoch = state.gates[gate].epoch.expect("it holds its lease");
                begin_resolving(state, gate, gate, epoch);
            }
            Action::TakeOver(gate, other) => {
                self.end_idle_session(state, other);
                let epoch = take(&mut state.leases[other], gate);
                begin_resolving(state, gate, other, epoch);
            }
            Action::Look(gate) => self.look(state, gate),
            Action::NoticeLoss(gate) => {
                let gate = &mut state.gates[gate];
                gate.epoch = None;
                if self.bug != Some(Bug::WaitersOutliveTheLease) {
                    gate.in_flight = 0;
                }
            }
            Action::TakeLease(gate) => {
                state.gates[gate].epoch = Some(take(&mut state.leases[gate], gate));
            }
            Action::Expire(gate) => state.leases[gate].is_expired = true,
            Action::Wake(gate) => state.gates[gate].is_paused = false,
            Action::Restart(gate) => state.gates[gate].is_up = true,
            Action::Pause(gate) => {
                state.gates[gate].is_paused = true;
                state.was_late = true;
            }
            Action::Crash(gate) => crash(state, gate),
            Action::CrashInCommit(gate) => {
                self.commit(state, gate, Commit::ReplyLost);
                crash(state, gate);
            }
            Action::CrashInPut(gate, who, fate) => {
                put(state, gate, who, 0, Some(fate));
                crash(state, gate);
            }
            _ => unreachable!("not of a gate"),
        }
    }

    /// A paused gate's open transaction is rolled back before its lease can be taken.
    fn end_idle_session(&self, state: &mut State, gate: GateNo) {
        let me = &mut state.gates[gate];
        if let (true, Some(admitting)) = (me.is_paused, me.admitting.as_mut())
            && matches!(admitting.step, AdmitStep::Ready { .. })
            && self.bug != Some(Bug::MissingFence)
        {
            admitting.step = AdmitStep::Gathered;
        }
    }

    /// What queued during the last commit is the next batch.
    fn gather(&self, state: &mut State, gate: GateNo) {
        let mut requests: Set = 0;
        for (no, request) in state.requests.iter_mut().enumerate() {
            if request.status == Status::Queued(gate) {
                request.status = Status::Admitting(gate);
                requests |= one(no);
            }
        }
        if self.bug == Some(Bug::PublishBeforeInsert) {
            for event in state.firsts(requests, Set::MAX) {
                store(state, event);
            }
        }
        let epoch = state.gates[gate].epoch.expect("gathered under an epoch");
        let snapshot = state.committed_ids();
        let batch = state.next_batch;
        state.next_batch += 1;
        state.gates[gate].admitting = Some(Admitting {
            batch,
            requests,
            epoch,
            step: AdmitStep::Begun { snapshot },
        });
    }

    fn admit(&self, state: &mut State, gate: GateNo) {
        let mut admitting = state.gates[gate].admitting.take().expect("it admits");
        let wanted = state.ids_of(admitting.requests);
        admitting.step = match admitting.step {
            AdmitStep::Gathered => {
                admitting.epoch = state.gates[gate].epoch.expect("begun under an epoch");
                let snapshot = state.committed_ids();
                AdmitStep::Begun { snapshot }
            }
            AdmitStep::Begun { snapshot } => {
                let inserted = wanted & !state.committed_ids();
                AdmitStep::Inserted { inserted, snapshot }
            }
            AdmitStep::Inserted { inserted, snapshot } => {
                let visible = match self.bug {
                    Some(Bug::ReadBackInTheSameStatement) => snapshot,
                    _ => state.committed_ids(),
                };
                let known = wanted & !inserted & visible;
                let is_fenced = self.bug != Some(Bug::MissingFence);
                match is_fenced && state.leases[gate].epoch != admitting.epoch {
                    true => AdmitStep::Gathered,
                    false => AdmitStep::Ready { inserted, known },
                }
            }
            AdmitStep::Unknown { known } => {
                if self.bug == Some(Bug::CommitRetriedWithoutLookup) {
                    admitting.batch = state.next_batch;
                    state.next_batch += 1;
                    AdmitStep::Gathered
                } else if state.rows.contains_key(&admitting.batch) {
                    return Admission::decided(state, gate, &admitting, known);
                } else {
                    AdmitStep::Gathered
                }
            }
            step @ AdmitStep::Ready { .. } => step,
        };
        state.gates[gate].admitting = Some(admitting);
    }

    fn commit(&self, state: &mut State, gate: GateNo, fate: Commit) {
        let mut admitting = state.gates[gate].admitting.take().expect("it admits");
        let AdmitStep::Ready { inserted, known } = admitting.step else {
            unreachable!("nothing to commit")
        };
        if fate != Commit::RolledBack {
            let fresh = state.ids_of(admitting.requests) & !known;
            let events = state.firsts(admitting.requests, fresh);
            for event in &events {
                if has(inserted, event.id) {
                    state.dedupe[event.id] = Some((event.payload, admitting.batch));
                }
            }
            let row = Row {
                gate,
                epoch: admitting.epoch,
                epoch_then: state.leases[gate].epoch,
                terminal: events.is_empty().then(|| Terminal {
                    epoch: admitting.epoch,
                    epoch_then: admitting.epoch,
                    places: Vec::new(),
                }),
                events,
                is_ambiguous: false,
            };
            state.rows.insert(admitting.batch, row);
        }
        if fate == Commit::Done {
            return Admission::decided(state, gate, &admitting, known);
        }
        admitting.step = AdmitStep::Unknown { known };
        state.gates[gate].admitting = Some(admitting);
    }

    /// The batch is in: every request has its verdict, and waits for a terminal row.
    fn decided(state: &mut State, gate: GateNo, admitting: &Admitting, known: Set) {
        let row = &state.rows[&admitting.batch];
        let firsts = row.events.clone();
        for no in (0..state.requests.len()).filter(|no| has(admitting.requests, *no)) {
            let event = state.requests[no].event;
            let (payload, batch) = match firsts.iter().find(|it| it.id == event.id) {
                Some(first) if !has(known, event.id) => (first.payload, admitting.batch),
                _ => state.dedupe[event.id].expect("known"),
            };
            state.requests[no].status = match payload == event.payload {
                true => Status::Waiting { gate, batch },
                false => Status::Answered(Answer::Quarantined),
            };
        }
        if !firsts.is_empty() {
            let me = &mut state.gates[gate];
            me.in_flight |= one(admitting.batch.into());
            me.flights.push(Flight {
                batch: admitting.batch,
                step: PutStep::Put(vec![None; firsts.len()]),
            });
        }
    }

    fn mark_ambiguous(&self, state: &mut State, gate: GateNo, who: Who) {
        let flight = take_flight(state, gate, who);
        let row = state.rows.get_mut(&flight.batch).expect("in flight");
        row.is_ambiguous = self.bug != Some(Bug::AmbiguityForgotten);
        if who == Who::Resolver {
            // Another pass begins.
            end_resolving(state, gate);
        }
    }

    /// Once a batch, only under the current epoch; of a race the stored row stands.
    fn write_terminal(&self, state: &mut State, gate: GateNo, who: Who) {
        let (of, epoch) = match (who, &state.gates[gate].resolving) {
            (Who::Resolver, Some(resolving)) => (resolving.of, resolving.epoch),
            _ => (gate, state.gates[gate].epoch.expect("an epoch in hand")),
        };
        let flight = take_flight(state, gate, who);
        let PutStep::Terminal(places) = flight.step else {
            unreachable!("nothing to write")
        };
        let epoch_then = state.leases[of].epoch;
        let is_fenced = self.bug != Some(Bug::TerminalRowWithoutEpoch);
        let row = state.rows.get_mut(&flight.batch).expect("in flight");
        if row.terminal.is_none() && (!is_fenced || epoch == epoch_then) {
            row.terminal = Some(Terminal {
                epoch,
                epoch_then,
                places,
            });
        }
        if row.terminal.is_some() {
            state.gates[gate].in_flight &= !one(flight.batch.into());
        }
        if who == Who::Resolver {
            next_open(state, gate);
        }
    }

    /// Who waits is told as soon as the gate knows the terminal row. A client that dies first, or a
    /// gate, is as one whose deadline passed.
    pub(crate) fn tell(&self, state: &mut State) {
        for no in 0..state.requests.len() {
            let Status::Waiting { gate, batch } = state.requests[no].status else {
                continue;
            };
            let Some(row) = state.rows.get(&batch) else {
                continue;
            };
            let event = state.requests[no].event;
            let item = row.events.iter().position(|it| *it == event);
            let place = item.and_then(|item| row.terminal.as_ref()?.places[item]);
            let is_its_own = has(state.gates[gate].in_flight, batch.into());
            let is_known = row.terminal.is_some() && !is_its_own && state.is_running(gate);
            if is_known || self.bug == Some(Bug::ReceiptBeforeAck) {
                let answer = Answer::Receipt { batch, place };
                state.requests[no].status = Status::Answered(answer);
            }
        }
    }

    fn look(&self, state: &mut State, gate: GateNo) {
        let resolving = state.gates[gate].resolving.as_mut().expect("it resolves");
        resolving.has_looked = true;
        let flight = resolving.flight.as_mut().expect("a batch is open");
        let events = &state.rows[&flight.batch].events;
        let today = state.generation;
        let is_found = |record: &Record, event: &Event| {
            let is_seen = match self.bug {
                Some(Bug::PublishRetriedWithoutLookup) => false,
                Some(Bug::LookupForgetsParents) => record.generation == today,
                _ => true,
            };
            is_seen && record.event == *event
        };
        let find = |event| state.bus.iter().position(|record| is_found(record, event));
        let places: Vec<Option<usize>> = events.iter().map(find).collect();
        flight.step = match places.iter().all(Option::is_some) {
            true => PutStep::Terminal(places),
            false => PutStep::Put(places),
        };
    }
}

fn store(state: &mut State, event: Event) -> usize {
    let generation = state.generation;
    state.bus.push(Record { event, generation });
    state.bus.len() - 1
}

fn flight_mut(state: &mut State, gate: GateNo, who: Who) -> &mut Flight {
    let gate = &mut state.gates[gate];
    match who {
        Who::Pipeline => gate.flights.first_mut().expect("a batch is in flight"),
        Who::Resolver => {
            let resolving = gate.resolving.as_mut().expect("it resolves");
            resolving.flight.as_mut().expect("a batch is open")
        }
    }
}

fn take_flight(state: &mut State, gate: GateNo, who: Who) -> Flight {
    let gate = &mut state.gates[gate];
    match who {
        Who::Pipeline => gate.flights.remove(0),
        Who::Resolver => {
            let resolving = gate.resolving.as_mut().expect("it resolves");
            resolving.has_looked = false;
            resolving.flight.take().expect("a batch is open")
        }
    }
}

/// Puts the records that have no place yet, in order.
fn put(state: &mut State, gate: GateNo, who: Who, n_stored: usize, fate: Option<Fate>) {
    let flight = flight_mut(state, gate, who).clone();
    let PutStep::Put(mut places) = flight.step else {
        unreachable!("nothing to put")
    };
    let events = state.rows[&flight.batch].events.clone();
    let open: Vec<usize> = (0..places.len())
        .filter(|at| places[*at].is_none())
        .collect();
    for at in &open[..n_stored] {
        places[*at] = Some(store(state, events[*at]));
    }
    for at in &open[n_stored..] {
        match fate.expect("all are stored") {
            Fate::Refused | Fate::Lost => {}
            Fate::Applied => drop(store(state, events[*at])),
            Fate::Late => {
                state.late.push(events[*at]);
                state.was_late = true;
            }
        }
    }
    flight_mut(state, gate, who).step = match fate {
        None => PutStep::Terminal(places),
        Some(Fate::Refused) => PutStep::Put(places),
        Some(_) => PutStep::Ambiguous,
    };
}

fn take(lease: &mut Lease, holder: GateNo) -> u8 {
    lease.epoch += 1;
    lease.holder = Some(holder);
    lease.is_expired = false;
    lease.epoch
}

fn begin_resolving(state: &mut State, gate: GateNo, of: GateNo, epoch: u8) {
    state.gates[gate].resolving = Some(Resolving {
        of,
        epoch,
        flight: None,
        has_looked: false,
    });
    next_open(state, gate);
}

fn next_open(state: &mut State, gate: GateNo) {
    let resolving = state.gates[gate].resolving.clone().expect("it resolves");
    let next: Option<BatchId> = state.open(resolving.of, resolving.epoch);
    let is_held = state.leases[resolving.of].epoch == resolving.epoch;
    match next {
        Some(batch) if is_held => {
            let resolving = state.gates[gate].resolving.as_mut().expect("it resolves");
            resolving.flight = Some(Flight {
                batch,
                step: PutStep::Put(Vec::new()),
            });
            resolving.has_looked = false;
        }
        _ => end_resolving(state, gate),
    }
}

/// A taken lease is given back.
fn end_resolving(state: &mut State, gate: GateNo) {
    let resolving = state.gates[gate].resolving.take().expect("it resolves");
    let lease = &mut state.leases[resolving.of];
    if resolving.of != gate && lease.epoch == resolving.epoch {
        lease.is_expired = true;
    }
}

/// The process is gone, with all that it had in memory; its transaction is rolled back.
fn crash(state: &mut State, gate: GateNo) {
    state.gates[gate] = Gate::default();
    for lease in &mut state.leases {
        lease.holder = lease.holder.filter(|it| *it != gate);
    }
    for request in &mut state.requests {
        let at = match request.status {
            Status::Queued(at) | Status::Admitting(at) | Status::Waiting { gate: at, .. } => at,
            Status::Unsent | Status::Answered(_) => continue,
        };
        if at == gate {
            request.status = Status::Answered(Answer::Nothing);
        }
    }
}
