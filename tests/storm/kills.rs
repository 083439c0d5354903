//! The kill storm: a stream of payments is killed again and again, at any moment of its life, and
//! started again each time. In the end every payment is decided once and everything balances.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::checks::check;
use crate::events::Port;
use crate::home::{DONE, FAILED, Home, LONG, Process, until};
use crate::shop::{self, Shop};
use crate::weather::{Draws, Weather};

/// What is killed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// The process group, so long after its start.
    Starting(Duration),
    /// The process group, once so many payments are decided, and some time later: not always just
    /// after a commit.
    Streaming { decided: u64, later: Duration },
    /// Only the first process of Postgres, then.
    Postmaster { decided: u64, later: Duration },
    /// The process group, so long after the end of the stream, while what is left is worked off.
    Draining(Duration),
}

/// Small, so that memory comes back from snapshots that are older than what is decided.
const SNAPSHOT_DECISIONS: &str = "300";
/// How often a kill that came too late is made up for.
const INSTEAD_MAX: usize = 20;
/// Replayed at most.
const REPLAYED: u64 = 10_000;

pub(crate) fn storm(weather: &Weather) {
    let (kills, payments) = (weather.size, weather.payments);
    let setting = (
        "FRAUDPLAT__DECISION__SNAPSHOT_DECISIONS",
        SNAPSHOT_DECISIONS,
    );
    let home = weather.home(&[setting]);
    let shop = shop::open(&home, payments);
    let plan = plan(kills, payments, &mut weather.draws());
    for (n, kill) in plan.iter().enumerate() {
        let at = Instant::now();
        let mut seen = strike(&home, &shop, start(&home, &shop), *kill);
        for _ in 0..INSTEAD_MAX {
            if seen.is_some() {
                break;
            }
            // It had ended by itself. Nothing ends sooner than this after its start, if we are there to see it.
            let instead = Kill::Starting(Duration::from_millis(50));
            seen = strike(&home, &shop, start(&home, &shop), instead);
        }
        let is_struck = seen.is_some();
        let seen = seen.unwrap_or_else(|| "it had ended already".to_owned());
        weather.say(&format!(
            "kill {} of {kills}: {kill:?} after {:.2} s: {seen}",
            n + 1,
            at.elapsed().as_secs_f64()
        ));
        check("the kill struck", is_struck, format!("{kill:?}"));
    }
    let ended = start(&home, &shop).wait().expect(DONE).json();
    check(
        "the stream comes to its end",
        ended["ended"] == true,
        &ended,
    );
    let sample = payments.min(REPLAYED).to_string();
    shop::check_whole(&home, &shop, &sample);
    weather.say(&format!(
        "{kills} kills, {payments} decisions, {sample} replayed"
    ));
}

fn start<'h>(home: &'h Home, shop: &Shop) -> Process<'h> {
    home.start(&["--json", "wsp", "stream", "--run", &shop.run])
}

/// Kills spread over the life of the run: every kind comes, in an order that the seed gives.
fn plan(kills: u64, payments: u64, draws: &mut Draws) -> Vec<Kill> {
    let drains = (kills / 5).max(1);
    let mut plan: Vec<Kill> = (0..kills - drains)
        .map(|n| {
            // Thresholds grow, so that each is still ahead when its turn comes.
            let step = payments / (kills - drains + 1);
            let decided = n * step + 1 + draws.below(step);
            let later = Duration::from_millis(draws.below(150));
            match draws.below(5) {
                0 => Kill::Starting(Duration::from_millis(draws.below(1_500))),
                1 => Kill::Postmaster { decided, later },
                _ => Kill::Streaming { decided, later },
            }
        })
        .collect();
    plan.extend((0..drains).map(|_| Kill::Draining(Duration::from_millis(draws.below(100)))));
    plan
}

/// Waits for the moment, kills, waits for the end; says what the run had come to, or nothing if the
/// process was quicker.
fn strike(home: &Home, shop: &Shop, mut process: Process<'_>, kill: Kill) -> Option<String> {
    match kill {
        Kill::Starting(after) => {
            pass(&mut process, after)?;
            process.kill_all();
            Some("starting".to_owned())
        }
        Kill::Streaming { decided, later } => {
            let seen = until_decided(&mut process, shop, decided)?;
            pass(&mut process, later)?;
            process.kill_all();
            Some(format!("{seen} decided"))
        }
        Kill::Postmaster { decided, later } => {
            let seen = until_decided(&mut process, shop, decided)?;
            pass(&mut process, later)?;
            let is_killed = home
                .postmaster()
                .is_some_and(|it| kill_process(it, Signal::KILL).is_ok());
            let ended = process.wait();
            let has_ended = serde_json::from_str::<Value>(&ended.stdout)
                .is_ok_and(|said| said["ended"] == true);
            if has_ended {
                // It was quicker: all its work was done, and it was about to end.
                shop::check_decided(home, &shop.run, shop.payments);
                return None;
            }
            check("the kill struck", is_killed, format!("{ended:?}"));
            // Without its database the process cannot go on: it says so, whoever notices first, and
            // ends.
            let ended = ended.expect(FAILED);
            let says = |words| ended.stderr.contains(words);
            let is_said = says("error: the private Postgres ended by itself")
                || says("error: the database is unavailable")
                || says("error: the connection to the database was lost");
            check("a lost database is told", is_said, &ended.stderr);
            Some(format!("{seen} decided"))
        }
        Kill::Draining(after) => {
            let seen = until_ended(&mut process, shop)?;
            pass(&mut process, after)?;
            process.kill_all();
            Some(format!("ended, {seen} decided"))
        }
    }
}

/// Lets so much time pass; nothing if the process ends meanwhile.
fn pass(process: &mut Process<'_>, time: Duration) -> Option<()> {
    let begun = Instant::now();
    let is_running = until("the moment", LONG, || match process.is_running() {
        false => Some(false),
        true => (begun.elapsed() >= time).then_some(true),
    });
    is_running.then_some(())
}

/// Waits until so many payments are decided; returns how many were, or nothing if the process ended
/// before: after a loss it may never come so far.
fn until_decided(process: &mut Process<'_>, shop: &Shop, decided: u64) -> Option<u64> {
    let port = process.port()?;
    until("decisions", LONG, || {
        if !process.is_running() {
            return Some(None);
        }
        let seen = progress(&port, shop)?["decisions_count"].as_u64()?;
        (seen >= decided).then_some(Some(seen))
    })
}

/// Waits until the stream has ended; returns how many payments were decided by then, or nothing if
/// the process was quicker.
fn until_ended(process: &mut Process<'_>, shop: &Shop) -> Option<u64> {
    let port = process.port()?;
    until("the end of the stream", LONG, || {
        if !process.is_running() {
            return Some(None);
        }
        let progress = progress(&port, shop)?;
        (progress["state"] == "ENDED").then(|| progress["decisions_count"].as_u64())
    })
}

fn progress(port: &Port, shop: &Shop) -> Option<Value> {
    let answer = port.try_get(&format!("/v1/runs/{}/progress", shop.run))?;
    (answer.status == 200).then_some(answer.body)
}
