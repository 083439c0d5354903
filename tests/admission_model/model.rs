//! What may happen next: each step of a gate is one atomic action, and between any two of them the
//! other gate may act, a fault may strike, a client may ask again.

use stateright::{Model, Property};

use crate::properties;
use crate::state::{
    AdmitStep, Admitting, Answer, Event, Flight, GATES, Gate, GateNo, PutStep, Resolving, State,
    Status,
};

/// The mistakes that the model must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    PublishBeforeInsert,
    ReceiptBeforeAck,
    /// A commit of unknown outcome is tried again under a new batch id.
    CommitRetriedWithoutLookup,
    /// An open batch is published again though its records may be on the bus.
    PublishRetriedWithoutLookup,
    MissingFence,
    TerminalRowWithoutEpoch,
    ReadBackInTheSameStatement,
    /// Only the shards of today are looked at for records of yesterday.
    LookupForgetsParents,
    /// A gate that lost its lease still waits for itself to finish its batches.
    WaitersOutliveTheLease,
    /// A batch of an ambiguous publish is left to the next start.
    AmbiguityForgotten,
}

pub(crate) struct Admission {
    pub(crate) events: Vec<Event>,
    pub(crate) faults: u8,
    pub(crate) bug: Option<Bug>,
}

/// What became of the records of a put from the first that was not plainly stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Refused,
    /// Applied, and the reply was lost.
    Applied,
    /// Lost on the way.
    Lost,
    /// On the way: lands at any time.
    Late,
}

const FATES: [Fate; 4] = [Fate::Refused, Fate::Applied, Fate::Lost, Fate::Late];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Commit {
    Done,
    ReplyLost,
    RolledBack,
}

/// Who puts: a gate's pipeline, or its resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Pipeline,
    Resolver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Send(usize, GateNo),
    Gather(GateNo),
    Begin(GateNo),
    Insert(GateNo),
    ReadBack(GateNo),
    Commit(GateNo, Commit),
    Settle(GateNo),
    /// `n` records are stored; the rest, if there is one, has this fate.
    Put(GateNo, Who, usize, Option<Fate>),
    MarkAmbiguous(GateNo, Who),
    WriteTerminal(GateNo, Who),
    ResolveOwn(GateNo),
    TakeOver(GateNo, GateNo),
    Look(GateNo),
    NoticeLoss(GateNo),
    TakeLease(GateNo),
    Expire(GateNo),
    Land(usize),
    Wake(GateNo),
    Restart(GateNo),
    // Faults.
    Pause(GateNo),
    Crash(GateNo),
    /// COMMIT arrives, the gate does not see it.
    CrashInCommit(GateNo),
    /// The put arrives now or later, the gate does not see it.
    CrashInPut(GateNo, Who, Fate),
    Reshard,
    Deadline(usize),
}

impl Action {
    pub(crate) fn is_fault(self) -> bool {
        use Action::{
            Commit as C, Crash, CrashInCommit, CrashInPut, Deadline, Pause, Put, Reshard,
        };
        matches!(
            self,
            Pause(_)
                | Crash(_)
                | CrashInCommit(_)
                | CrashInPut(..)
                | Reshard
                | Deadline(_)
                | C(_, Commit::ReplyLost | Commit::RolledBack)
                | Put(.., Some(_))
        )
    }
}

impl Model for Admission {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.events, self.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        Admission::of_clients(state, actions);
        for gate in 0..GATES {
            self.of_leases(state, gate, actions);
            if state.is_running(gate) {
                self.of_admission(state, gate, actions);
                Admission::of_flights(state, gate, actions);
                self.of_resolver(state, gate, actions);
            }
        }
        actions.extend((0..state.late.len()).map(Action::Land));
        if state.late.is_empty() && state.generation == 0 {
            actions.push(Action::Reshard);
        }
        if state.faults_left == 0 {
            actions.retain(|it| !it.is_fault());
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        if action.is_fault() {
            state.faults_left -= 1;
        }
        self.act(&mut state, action);
        self.tell(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// What may happen.
impl Admission {
    fn of_clients(state: &State, actions: &mut Vec<Action>) {
        for (no, request) in state.requests.iter().enumerate() {
            match request.status {
                Status::Unsent => (0..GATES)
                    .filter(|gate| state.gates[*gate].is_up)
                    .for_each(|gate| actions.push(Action::Send(no, gate))),
                Status::Answered(Answer::InFlight | Answer::Nothing)
                    if request.resends_left > 0 =>
                {
                    (0..GATES)
                        .filter(|gate| state.gates[*gate].is_up)
                        .for_each(|gate| actions.push(Action::Send(no, gate)));
                }
                Status::Waiting { gate, .. } if state.is_running(gate) => {
                    actions.push(Action::Deadline(no));
                }
                _ => {}
            }
        }
    }

    fn of_leases(&self, state: &State, gate: GateNo, actions: &mut Vec<Action>) {
        let lease = &state.leases[gate];
        let me = &state.gates[gate];
        let is_renewed = lease.holder.is_some_and(|it| state.is_running(it));
        if !lease.is_expired && !is_renewed {
            actions.push(Action::Expire(gate));
        }
        if !me.is_up {
            actions.push(Action::Restart(gate));
            return;
        }
        if me.is_paused {
            actions.push(Action::Wake(gate));
            return;
        }
        if me.epoch.is_none() && self.is_free(state, gate) {
            actions.push(Action::TakeLease(gate));
        }
        if me.epoch.is_some_and(|epoch| epoch != lease.epoch) {
            actions.push(Action::NoticeLoss(gate));
        }
        actions.push(Action::Pause(gate));
        actions.push(Action::Crash(gate));
        if let Some(Admitting {
            step: AdmitStep::Ready { .. },
            ..
        }) = me.admitting
        {
            actions.push(Action::CrashInCommit(gate));
        }
        for (who, flight) in Admission::flights(me) {
            if let PutStep::Put(places) = &flight.step
                && places.iter().any(Option::is_none)
            {
                actions.push(Action::CrashInPut(gate, who, Fate::Applied));
                actions.push(Action::CrashInPut(gate, who, Fate::Late));
            }
        }
    }

    /// Whether the lease can be taken. An admission that has written its batch row holds it FOR SHARE
    /// until it commits, or until its session is ended for being idle.
    fn is_free(&self, state: &State, gate: GateNo) -> bool {
        let is_writing = state.gates[gate]
            .admitting
            .as_ref()
            .is_some_and(|it| matches!(it.step, AdmitStep::Ready { .. }));
        let is_shared = is_writing && state.is_running(gate) && self.bug != Some(Bug::MissingFence);
        state.leases[gate].is_expired && !is_shared
    }

    fn of_admission(&self, state: &State, gate: GateNo, actions: &mut Vec<Action>) {
        let me = &state.gates[gate];
        let Some(admitting) = &me.admitting else {
            let is_queued = state
                .requests
                .iter()
                .any(|it| it.status == Status::Queued(gate));
            // A batch is admitted under an epoch in hand, and while there is room behind it.
            if is_queued && me.epoch.is_some() && me.flights.len() < 2 {
                actions.push(Action::Gather(gate));
            }
            return;
        };
        match admitting.step {
            AdmitStep::Gathered if me.epoch.is_some() => actions.push(Action::Begin(gate)),
            AdmitStep::Begun { .. } => {
                let wanted = state.ids_of(admitting.requests);
                if wanted & state.locked_ids(gate) == 0 {
                    actions.push(Action::Insert(gate));
                }
            }
            AdmitStep::Inserted { .. } => actions.push(Action::ReadBack(gate)),
            AdmitStep::Ready { .. } => {
                actions.push(Action::Commit(gate, Commit::Done));
                actions.push(Action::Commit(gate, Commit::ReplyLost));
                actions.push(Action::Commit(gate, Commit::RolledBack));
            }
            AdmitStep::Unknown { .. } => actions.push(Action::Settle(gate)),
            AdmitStep::Gathered => {}
        }
    }

    fn flights(gate: &Gate) -> impl Iterator<Item = (Who, &Flight)> {
        let resolved = gate.resolving.as_ref();
        let resolved = resolved.filter(|it| it.has_looked);
        let resolved = resolved.and_then(|it| it.flight.as_ref());
        let first = gate.flights.first().map(|it| (Who::Pipeline, it));
        first
            .into_iter()
            .chain(resolved.map(|it| (Who::Resolver, it)))
    }

    fn of_flights(state: &State, gate: GateNo, actions: &mut Vec<Action>) {
        for (who, flight) in Admission::flights(&state.gates[gate]) {
            match &flight.step {
                PutStep::Put(places) => {
                    let n_open = places.iter().filter(|it| it.is_none()).count();
                    actions.push(Action::Put(gate, who, n_open, None));
                    for n_stored in 0..n_open {
                        actions
                            .extend(FATES.map(|fate| Action::Put(gate, who, n_stored, Some(fate))));
                    }
                }
                PutStep::Ambiguous => actions.push(Action::MarkAmbiguous(gate, who)),
                // The pipeline writes under the epoch in hand, and waits for one.
                PutStep::Terminal(_)
                    if who == Who::Resolver || state.gates[gate].epoch.is_some() =>
                {
                    actions.push(Action::WriteTerminal(gate, who));
                }
                PutStep::Terminal(_) => {}
            }
        }
    }

    fn of_resolver(&self, state: &State, gate: GateNo, actions: &mut Vec<Action>) {
        let me = &state.gates[gate];
        match &me.resolving {
            Some(Resolving {
                has_looked: false, ..
            }) => actions.push(Action::Look(gate)),
            Some(_) => {}
            None => {
                let Some(epoch) = me.epoch else { return };
                if state.open(gate, epoch).is_some() {
                    actions.push(Action::ResolveOwn(gate));
                }
                for other in (0..GATES).filter(|it| *it != gate) {
                    if self.is_free(state, other) && state.open(other, u8::MAX).is_some() {
                        actions.push(Action::TakeOver(gate, other));
                    }
                }
            }
        }
    }
}
