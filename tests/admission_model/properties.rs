//! What must hold in every state, by the law it stands for.

use stateright::{Model as _, Property};

use crate::model::Admission;
use crate::state::{Answer, Event, IDS, Row, State, Status};

pub(crate) fn all() -> Vec<Property<Admission>> {
    vec![
        Property::always("L5: an event is admitted once", |_, it: &State| once(it)),
        Property::always("L5: only what is admitted is on the bus", |_, it| known(it)),
        Property::always("L3: the payload that came first stands", |_, it| first(it)),
        Property::always("L1: a receipt names the stored record", |_, it| stored(it)),
        Property::always("L2: every receipt of an event is the same", |_, it| {
            same(it)
        }),
        Property::always("L4: rows are written under the current epoch", |_, it| {
            fenced(it)
        }),
        Property::always("L5: a second copy needs a pause", |_, it| single(it)),
        Property::always("at rest nothing is open and all are answered", settled),
        // Otherwise the checks above could hold of a model in which nothing happens.
        Property::sometimes("a batch is taken over and settled", |_, it: &State| {
            it.rows.values().any(is_taken_over)
        }),
        Property::sometimes("an ambiguous batch is settled", |_, it: &State| {
            let is_settled = |row: &Row| row.is_ambiguous && row.terminal.is_some();
            it.rows.values().any(is_settled)
        }),
        Property::sometimes("two copies are on the bus", |_, it: &State| {
            (0..IDS).any(|id| copies(it, id) > 1)
        }),
    ]
}

fn is_taken_over(row: &Row) -> bool {
    let terminal = row.terminal.as_ref();
    terminal.is_some_and(|it| it.epoch > row.epoch && !row.events.is_empty())
}

fn admitted(state: &State) -> impl Iterator<Item = Event> {
    state.rows.values().flat_map(|row| row.events.clone())
}

fn copies(state: &State, id: usize) -> usize {
    state.bus.iter().filter(|it| it.event.id == id).count()
}

fn once(state: &State) -> bool {
    (0..IDS).all(|id| admitted(state).filter(|it| it.id == id).count() <= 1)
}

fn known(state: &State) -> bool {
    let on_bus = state.bus.iter().map(|it| it.event);
    let late = state.late.iter().copied();
    on_bus
        .chain(late)
        .all(|event| admitted(state).any(|it| it == event))
}

/// A client is told ADMITTED or DUPLICATE of what was admitted, and quarantined of what was not.
fn first(state: &State) -> bool {
    state.requests.iter().all(|request| {
        let stands = state.dedupe[request.event.id].map(|it| it.0);
        match request.status {
            Status::Answered(Answer::Receipt { .. }) => stands == Some(request.event.payload),
            Status::Answered(Answer::Quarantined) => {
                stands.is_some_and(|it| it != request.event.payload)
            }
            _ => true,
        }
    })
}

fn stored(state: &State) -> bool {
    let receipts = state.requests.iter().all(|request| match request.status {
        Status::Answered(Answer::Receipt { place, .. }) => {
            place.is_some_and(|at| state.bus[at].event == request.event)
        }
        _ => true,
    });
    let rows = state.rows.values().all(|row| {
        let places = row.terminal.iter().flat_map(|it| &it.places);
        let mut placed = row.events.iter().zip(places);
        placed.all(|(event, place)| place.is_some_and(|at| state.bus[at].event == *event))
    });
    receipts && rows
}

fn same(state: &State) -> bool {
    let receipt = |id: usize| {
        let of = state.requests.iter().filter(move |it| it.event.id == id);
        of.filter_map(|it| match it.status {
            Status::Answered(Answer::Receipt { batch, place }) => Some((batch, place)),
            _ => None,
        })
    };
    (0..IDS).all(|id| {
        let mut receipts = receipt(id);
        let first = receipts.next();
        receipts.all(|it| Some(it) == first)
    })
}

fn fenced(state: &State) -> bool {
    state.rows.values().all(|row| {
        let terminal = row.terminal.as_ref();
        row.epoch == row.epoch_then && terminal.is_none_or(|it| it.epoch == it.epoch_then)
    })
}

fn single(state: &State) -> bool {
    state.was_late || (0..IDS).all(|id| copies(state, id) <= 1)
}

/// Where only a fault could still happen, the work is done.
fn settled(model: &Admission, state: &State) -> bool {
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    if actions.iter().any(|it| !it.is_fault()) {
        return true;
    }
    let is_told = |status| match status {
        Status::Answered(Answer::Receipt { .. } | Answer::Quarantined) => true,
        // It may ask again, and has no tries left here.
        Status::Answered(Answer::InFlight | Answer::Nothing) => true,
        Status::Unsent | Status::Queued(_) | Status::Admitting(_) | Status::Waiting { .. } => false,
    };
    state.requests.iter().all(|it| is_told(it.status))
        && state.rows.values().all(|row| row.terminal.is_some())
}
