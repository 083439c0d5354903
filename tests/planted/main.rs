//! Ten bugs, planted one at a time: a storm or a property test catches each, by the check that is
//! there for it, and passes without it. Compiled with the feature `planted-bugs` only:
//! `just planted`. `tests/default_build.rs` proves that other builds have none of them.

#![cfg(feature = "planted-bugs")]
#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "../rtdl/archiver.rs"]
mod archiver;
#[path = "../engine_reference/case.rs"]
mod case;
#[path = "../support/checks.rs"]
mod checks;
#[path = "../support/corner_shops.rs"]
mod corner_shops;
#[path = "../rtdl/decider.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod decider;
#[path = "../storm/duplicates.rs"]
mod duplicates;
#[path = "../support/events.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod events;
#[path = "../support/home.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod home;
#[path = "../storm/kills.rs"]
mod kills;
#[path = "../storm/mismatch.rs"]
mod mismatch;
#[path = "../support/payments.rs"]
mod payments;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../engine_reference/reference.rs"]
mod reference;
#[path = "../engine_reference/run.rs"]
mod run;
#[path = "../support/shop.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod shop;
#[path = "../storm/takeovers.rs"]
mod takeovers;
#[path = "../storm/weather.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod weather;
#[path = "../rtdl/world.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod world;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use fraudplat::domain::planted::{self, BUGS, Bug, VARIABLE};
use proptest::test_runner::TestError;
use tokio::runtime::Runtime;

use case::{Case, SECOND};
use decider::{FEATURES, Run};
use weather::{Weather, said_by};

/// A test that must fail with a bug and pass without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Kills,
    /// One kill only, when everything is sent.
    KillWhileDraining,
    Duplicates,
    Mismatch,
    Takeovers,
    RepeatsOnTheBus,
    Properties,
}

/// The same seed with the bug and without.
const SEED: u64 = 20_251_125;

impl Test {
    /// As `cargo test` knows it.
    fn name(self) -> &'static str {
        match self {
            Test::Kills => "storm: kills",
            Test::KillWhileDraining => "storm: kills, a kill while draining",
            Test::Duplicates => "storm: duplicates",
            Test::Mismatch => "storm: mismatch",
            Test::Takeovers => "storm: takeovers",
            Test::RepeatsOnTheBus => "rtdl: restore::repeats_on_the_bus_are_decided_once",
            Test::Properties => "engine_reference: every_feature_is_what_its_definition_says",
        }
    }

    /// Runs it, small; what it said if it failed.
    fn run(self, bug: Option<Bug>) -> Option<String> {
        planted::plant(bug);
        let result = match self {
            Test::Kills => self.storm(kills::storm, 6, 5_000, bug),
            Test::KillWhileDraining => self.storm(kills::storm, 1, 2_000, bug),
            Test::Duplicates => self.storm(duplicates::storm, 1, 200, bug),
            Test::Mismatch => self.storm(mismatch::storm, 20, 100, bug),
            Test::Takeovers => caught(|| within(takeovers::storm(200, SEED))),
            Test::RepeatsOnTheBus => caught(|| {
                within(async {
                    let mut run = Run::open().await;
                    run.pay(100).await;
                    run.decide(FEATURES).await;
                    run.replay().await;
                });
            }),
            Test::Properties => properties(bug),
        };
        planted::plant(None);
        result
    }

    fn storm(
        self,
        storm: fn(&Weather),
        size: u64,
        payments: u64,
        bug: Option<Bug>,
    ) -> Option<String> {
        let name = self.name().trim_start_matches("storm: ");
        let mut weather = Weather::new(name, size, payments, SEED);
        let named = bug.map(|bug| (VARIABLE.to_owned(), format!("{bug:?}")));
        weather.env.extend(named);
        caught(|| weather.run(storm))
    }
}

/// What must catch a bug: the test, and what it must say then, one of several.
fn catcher(bug: Bug) -> (Test, &'static [&'static str]) {
    match bug {
        Bug::AcknowledgeBeforeCommit => (
            Test::KillWhileDraining,
            &["check `every payment has one decision` fails"],
        ),
        // What an inlet lost is context, and shows in its counts.
        Bug::PositionAheadOfEffects => (
            Test::Kills,
            &[
                "check `every payment has one decision` fails",
                "check `reconciliation balances` fails",
            ],
        ),
        Bug::MissingFence => (Test::Takeovers, &["check `every step is taken once` fails"]),
        Bug::SecondDecisionOnRepeat => (Test::RepeatsOnTheBus, &["one decision a payment"]),
        Bug::HashOfUnparsedBytes => (
            Test::Duplicates,
            &[
                "check `a repeat is a duplicate, however it is spelled` fails: QUARANTINED PAYLOAD_HASH_MISMATCH",
            ],
        ),
        Bug::FirstPayloadOverwritten => (
            Test::Mismatch,
            &["check `the first payload stays and the other is refused` fails: SameRequest"],
        ),
        Bug::WindowOffByOne => (Test::Properties, &["at the open end of a window"]),
        Bug::LabelSeenEarly => (Test::Properties, &["a label of the second after it"]),
        Bug::TieOrder => (Test::Properties, &["two events of one moment"]),
        Bug::SnapshotWithoutBasis => (Test::Kills, &["check `replay finds no difference` fails"]),
    }
}

#[test]
fn every_planted_bug_is_caught() {
    let mut table = Vec::new();
    let mut passed: Vec<Test> = Vec::new();
    for bug in BUGS {
        let (test, words) = catcher(bug);
        if !passed.contains(&test) {
            let failed = test.run(None);
            assert_eq!(failed, None, "{test:?} fails without a bug");
            passed.push(test);
        }
        let begun = Instant::now();
        let said = test.run(Some(bug));
        let said = said.unwrap_or_else(|| panic!("{bug:?} went through {}", test.name()));
        let is_right = words.iter().any(|it| said.contains(it));
        assert!(is_right, "{bug:?} was caught by another check: {said}");
        let line = said.lines().next().unwrap_or_default();
        table.push(format!(
            "| {bug:?} | {} | {} | {:.1} s |",
            test.name(),
            line.chars().take(120).collect::<String>(),
            begun.elapsed().as_secs_f64()
        ));
    }
    say("| bug | caught by | how | after |");
    say("|---|---|---|---|");
    table.iter().for_each(|line| say(line));
    say(&format!(
        "{} of {} planted bugs caught",
        table.len(),
        BUGS.len()
    ));
}

/// The words that end the work, if it fails.
fn caught(work: impl FnOnce()) -> Option<String> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.err().map(|cause| said_by(cause.as_ref()))
}

fn within(work: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(work);
}

/// The smallest stream that differs, and what is telling about it.
fn properties(bug: Option<Bug>) -> Option<String> {
    let (reason, case) = match run::compare(1_000) {
        Ok(_) => return None,
        Err(TestError::Fail(reason, case)) => (reason, case),
        Err(TestError::Abort(reason)) => return Some(reason.to_string()),
    };
    let what = bug.map(|bug| telling(bug, &case)).unwrap_or_default();
    let reason = reason
        .message()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    Some(format!("{what}: {reason}"))
}

/// What the smallest stream must have in it if the bug is what breaks it.
fn telling(bug: Bug, case: &Case) -> &'static str {
    let apart = |wanted: &dyn Fn(i64) -> bool| {
        let events = &case.events;
        let pairs = events.iter().enumerate();
        pairs
            .flat_map(|(at, a)| events[at + 1..].iter().map(move |b| (a.ts - b.ts).abs()))
            .any(wanted)
    };
    // Delay and window together, of every feature of the set.
    let reaches = [5, 7, 10, 14, 15, 20, 30];
    match bug {
        Bug::WindowOffByOne if apart(&|it| reaches.contains(&it)) => "at the open end of a window",
        Bug::TieOrder if apart(&|it| it == 0) => "two events of one moment",
        Bug::LabelSeenEarly => {
            let at = |ts: i64| case.events.iter().any(|it| it.ts == ts);
            match case
                .labels
                .iter()
                .any(|it| at(it.observed - planted_early_s()))
            {
                true => "a label of the second after it",
                false => "another cause",
            }
        }
        _ => "another cause",
    }
}

/// The bug shows a label so much too early.
fn planted_early_s() -> i64 {
    1_000_000 / SECOND
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
