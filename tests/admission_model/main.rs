//! The admission of events, checked exhaustively against a small model (DESIGN §4; L1 to L5): three
//! events, two gates, every interleaving of their steps with so many faults, each at every step:
//! a kill, a pause, a lost reply of the database, a put refused in part, lost, applied without a
//! reply or late, a reshard, a deadline that passes. What the model's steps stand for in the code:
//!
//! | step | code |
//! |---|---|
//! | `Gather` … `Settle` | `ingress/ig/pipeline.rs` `admit`, `store.rs` `Admitter::attempt` |
//! | `Put`, `MarkAmbiguous` | `pipeline.rs` `publish`, `publish.rs` |
//! | `WriteTerminal` | `terminal.rs`, `sql/insert_terminal.sql` |
//! | `tell`, `Deadline` | `settled.rs` `Batches::wait` |
//! | `ResolveOwn`, `TakeOver`, `Look` | `resolver.rs` |
//! | `TakeLease`, `NoticeLoss`, `Expire` | `role.rs` `keep_lease`, `runtime/lease.rs` |
//!
//! `FRAUDPLAT_MODEL_FAULTS` sets how many faults strike in one history (`just model 3`).

#![expect(
    clippy::disallowed_methods,
    reason = "a test: its size comes from the environment"
)]

mod model;
mod properties;
mod state;
mod steps;

use std::io::Write as _;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model as _};

use crate::model::{Action, Admission, Bug};
use crate::state::{Event, State};

/// The first event sent three times, sent with another payload, and beside another event.
const WORLDS: [[(usize, u8); 3]; 3] = [
    [(0, 0), (0, 0), (0, 0)],
    [(0, 0), (0, 0), (0, 1)],
    [(0, 0), (0, 1), (1, 0)],
];

fn admission(world: [(usize, u8); 3], faults: u8, bug: Option<Bug>) -> Admission {
    let events = world.map(|(id, payload)| Event { id, payload });
    Admission {
        events: events.to_vec(),
        faults,
        bug,
    }
}

/// Shown with `--nocapture`.
macro_rules! say {
    ($($part:tt)*) => { drop(writeln!(std::io::stderr().lock(), $($part)*)) };
}

fn faults() -> u8 {
    let asked = std::env::var("FRAUDPLAT_MODEL_FAULTS").ok();
    asked.map_or(1, |text| text.parse().expect("a number of faults"))
}

/// The law that is broken, and the shortest way there.
fn broken(checker: &impl Checker<Admission>) -> Option<(&'static str, Vec<Action>)> {
    let laws = checker.model().properties();
    let mut laws = laws
        .iter()
        .filter(|it| it.expectation == Expectation::Always);
    laws.find_map(|law| Some((law.name, checker.discovery(law.name)?.into_actions())))
}

#[test]
fn every_interleaving_keeps_the_laws() {
    let faults = faults();
    for world in WORLDS {
        let begun = Instant::now();
        let checker = admission(world, faults, None).checker().threads(2);
        let checker = checker
            .symmetry_fn(State::representative)
            .spawn_dfs()
            .join();
        say!(
            "{world:?}, faults {faults}: {} states, {} steps deep, {:.1} s",
            checker.unique_state_count(),
            checker.max_depth(),
            begun.elapsed().as_secs_f64(),
        );
        if let Some((law, steps)) = broken(&checker) {
            let steps: Vec<String> = steps.iter().map(|it| format!("{it:?}")).collect();
            panic!("\"{law}\" is broken by\n{}", steps.join("\n"));
        }
        if faults > 0 {
            checker.assert_properties();
        }
    }
}

/// The mistakes, and with how many faults they show.
const BUGS: [(Bug, u8); 10] = [
    (Bug::PublishBeforeInsert, 0),
    (Bug::ReceiptBeforeAck, 0),
    (Bug::CommitRetriedWithoutLookup, 1),
    (Bug::PublishRetriedWithoutLookup, 1),
    (Bug::MissingFence, 1),
    (Bug::TerminalRowWithoutEpoch, 1),
    (Bug::ReadBackInTheSameStatement, 0),
    (Bug::LookupForgetsParents, 2),
    (Bug::WaitersOutliveTheLease, 1),
    (Bug::AmbiguityForgotten, 1),
];

#[test]
fn every_planted_bug_is_found() {
    for (bug, faults) in BUGS {
        let found = WORLDS.iter().find_map(|world| {
            let checker = admission(*world, faults, Some(bug)).checker();
            let checker = checker
                .threads(2)
                .finish_when(HasDiscoveries::AnyFailures)
                .spawn_bfs()
                .join();
            broken(&checker)
        });
        let (law, steps) = found.unwrap_or_else(|| panic!("{bug:?} breaks nothing"));
        say!("{bug:?}: \"{law}\" is broken after {} steps", steps.len());
    }
}
