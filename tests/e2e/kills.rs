//! The kill storm: a stream of payments is killed again and again, at any moment of its life, and
//! started again each time. In the end every payment is decided once and everything balances.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::events::Port;
use crate::home::{DONE, FAILED, Home, LONG, Process, until};
use crate::shop::{self, Shop};

/// What is killed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// The process group, so long after its start.
    Starting(Duration),
    /// The process group, once so many payments are decided.
    Streaming { decided: u64 },
    /// Only the first process of Postgres, then.
    Postmaster { decided: u64 },
    /// The process group, so long after the end of the stream, while what is left is worked off.
    Draining(Duration),
}

#[test]
fn a_storm_of_kills_loses_and_repeats_nothing() {
    let kills = setting("FRAUDPLAT_STORM_SIZE", 5);
    let payments = setting("FRAUDPLAT_STORM_PAYMENTS", (kills * 1_000).max(10_000));
    let seed = setting("FRAUDPLAT_STORM_SEED", random_seed());
    say(&format!(
        "storm: {kills} kills of {payments} payments; again with FRAUDPLAT_STORM_SEED={seed}"
    ));
    let begun = Instant::now();
    let home = Home::new();
    let shop = shop::open(&home, payments);
    let plan = plan(kills, payments, seed);
    for (n, kill) in plan.iter().enumerate() {
        let process = start(&home, &shop);
        let at = Instant::now();
        let seen = strike(&home, &shop, process, *kill);
        say(&format!(
            "storm: {:>5.1} s: kill {} of {kills}: {kill:?} after {:.2} s: {seen}",
            begun.elapsed().as_secs_f64(),
            n + 1,
            at.elapsed().as_secs_f64()
        ));
    }
    let ended = start(&home, &shop).wait().expect(DONE).json();
    assert_eq!(ended["ended"], true, "{ended}");
    say(&format!(
        "storm: {:.1} s: streamed to the end",
        begun.elapsed().as_secs_f64()
    ));
    let sample = setting("FRAUDPLAT_STORM_REPLAYED", 500).to_string();
    shop::check_whole(&home, &shop, &sample);
    say(&format!(
        "storm: {:.1} s: {payments} decisions, balanced, chain whole, {sample} replayed",
        begun.elapsed().as_secs_f64()
    ));
}

fn start<'h>(home: &'h Home, shop: &Shop) -> Process<'h> {
    home.start(&["--json", "wsp", "stream", "--run", &shop.run])
}

/// Kills spread over the life of the run: every kind comes, in an order that the seed gives.
fn plan(kills: u64, payments: u64, seed: u64) -> Vec<Kill> {
    let mut draws = Draws(seed);
    let drains = (kills / 5).max(1);
    let mut plan: Vec<Kill> = (0..kills - drains)
        .map(|n| {
            // Thresholds grow, so that each is still ahead when its turn comes.
            let step = payments / (kills - drains + 1);
            let decided = n * step + 1 + draws.below(step);
            match draws.below(5) {
                0 => Kill::Starting(Duration::from_millis(draws.below(1_500))),
                1 => Kill::Postmaster { decided },
                _ => Kill::Streaming { decided },
            }
        })
        .collect();
    plan.extend((0..drains).map(|_| Kill::Draining(Duration::from_millis(draws.below(300)))));
    plan
}

/// Waits for the moment, kills, waits for the end; says what the run had come to.
fn strike(home: &Home, shop: &Shop, mut process: Process<'_>, kill: Kill) -> String {
    match kill {
        Kill::Starting(after) => {
            let begun = Instant::now();
            until("the moment", LONG, || {
                (begun.elapsed() >= after).then_some(())
            });
            assert!(process.is_running(), "it ended: {}", process.said());
            process.kill_all();
            "starting".to_owned()
        }
        Kill::Streaming { decided } => {
            let seen = until_decided(&mut process, shop, decided);
            process.kill_all();
            format!("{seen} decided")
        }
        Kill::Postmaster { decided } => {
            let seen = until_decided(&mut process, shop, decided);
            kill_process(home.postmaster().unwrap(), Signal::KILL).unwrap();
            // Without its database the process cannot go on: it says so, whoever notices first, and
            // ends.
            let ended = process.wait().expect(FAILED);
            let says = |words| ended.stderr.contains(words);
            let is_said = says("error: the private Postgres ended by itself")
                || says("error: the database is unavailable")
                || says("error: the connection to the database was lost");
            assert!(is_said, "{}", ended.stderr);
            format!("{seen} decided")
        }
        Kill::Draining(after) => {
            let seen = until_ended(&mut process, shop);
            let ended = Instant::now();
            let is_running = until("the moment", LONG, || match process.is_running() {
                false => Some(false),
                true => (ended.elapsed() >= after).then_some(true),
            });
            if let Some(seen) = seen.filter(|_| is_running) {
                process.kill_all();
                return format!("ended, {seen} decided");
            }
            "it had drained already".to_owned()
        }
    }
}

/// Waits until so many payments are decided; returns how many were.
fn until_decided(process: &mut Process<'_>, shop: &Shop, decided: u64) -> u64 {
    let port = Port::at(&process.listening());
    until("decisions", LONG, || {
        assert!(process.is_running(), "it ended: {}", process.said());
        let seen = progress(&port, shop)?["decisions_count"].as_u64()?;
        (seen >= decided).then_some(seen)
    })
}

/// Waits until the stream has ended; returns how many payments were decided by then, or nothing if
/// the process was quicker.
fn until_ended(process: &mut Process<'_>, shop: &Shop) -> Option<u64> {
    let port = Port::at(&process.listening());
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

#[expect(
    clippy::disallowed_methods,
    reason = "the sizes of a storm are given to the test, not to the platform"
)]
fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap(),
        _ => otherwise,
    }
}

fn random_seed() -> u64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    u64::from(u32::from_le_bytes(bytes))
}

/// SplitMix64.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % limit.max(1)
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
