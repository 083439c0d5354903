//! The storm of actions: webhooks to a receiver that fails, stalls and cuts its answers off, from a platform
//! that is killed again and again. In the end the receiver has applied exactly the keys that were asked for,
//! and every intent has one end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checks::check;
use crate::events::{Port, Till, till};
use crate::home::{DONE, Home, LONG, Process, until};
use crate::intents::{case_management, challenge, id, try_ask};
use crate::receiver::{Manner, Receiver};
use crate::shop;
use crate::weather::{Draws, Weather};

const SECRET: &str = "whsec_of_the_storm_0";
const BATCH: usize = 25;
/// Shorter than the longest that the receiver takes.
const CALL_MS_MAX: u64 = 400;
/// One of so many intents is refused until an operator has it tried again.
const REFUSED_OF: u64 = 97;

/// As many kills as a size asks for: three for some hundred, then one for every five hundred.
fn kills(size: u64) -> u64 {
    (size / 500).max(3)
}

pub(crate) fn storm(weather: &Weather) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let receiver = flaky(weather.seed, Arc::clone(&is_mended));
    let home = home(weather, &receiver);
    let (mut all, mut port) = home.serve();
    let till = till(&home, "till");
    let cm = case_management(&home, &port);
    let intents: Vec<Value> = (0..weather.size)
        .map(|n| challenge(&till, &format!("p{}", n % 1_000), n))
        .collect();
    let batches: Vec<&[Value]> = intents.chunks(BATCH).collect();
    let shares = batches.chunks(batches.len().div_ceil(kills(weather.size) as usize + 1));
    let mut draws = weather.draws();
    let (mut asked, mut n_kills) = (0, 0);
    for (n, share) in shares.enumerate() {
        if n > 0 {
            let before = receiver.seen(|it| it.applied.len());
            strike(all, &cm, share, &mut draws);
            (all, port) = home.serve();
            n_kills += 1;
            weather.say(&format!("kill {n}: {before} of {asked} applied"));
        }
        let cm = cm_at(&cm, &port);
        share.iter().for_each(|batch| accepted(&cm, batch));
        asked += share.iter().map(|it| it.len()).sum::<usize>();
        // The next kill comes while calls are under way. What is refused until the end is not waited for.
        let possible = intents[..asked].iter().filter(|it| !is_refused(id(it)));
        let fewer = draws.below(BATCH as u64 / 2 + 1) as usize;
        let some = possible.count().saturating_sub(fewer);
        until("calls", LONG, || {
            (receiver.seen(|it| it.applied.len()) >= some).then_some(())
        });
    }
    let cm = cm_at(&cm, &port);
    batches.iter().for_each(|batch| accepted(&cm, batch));
    let dead = finish(&home, &port, &till, &is_mended);
    judge(&home, &port, &till, &receiver, &intents);
    let (calls, repeats) = receiver.seen(|it| (it.calls, it.repeats));
    weather.say(&format!(
        "{} actions, {} kills, {calls} calls, {repeats} of keys that were applied already, {dead} dead letters requeued",
        intents.len(),
        n_kills
    ));
    drop(all.stop(rustix::process::Signal::TERM).expect(DONE));
}

fn home(weather: &Weather, receiver: &Receiver) -> Home {
    let call_ms = CALL_MS_MAX.to_string();
    weather.home(&[
        ("FRAUDPLAT__ACTIONS__ATTEMPTS_MAX", "10000"),
        ("FRAUDPLAT__ACTIONS__BACKOFF_MS_FIRST", "10"),
        ("FRAUDPLAT__ACTIONS__BACKOFF_MS_MAX", "200"),
        ("FRAUDPLAT__ACTIONS__CALL_MS_MAX", &call_ms),
        ("FRAUDPLAT__ACTIONS__BREAKER_FAILURES_MAX", "4"),
        ("FRAUDPLAT__ACTIONS__BREAKER_OPEN_MS", "30"),
        ("FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__URL", &receiver.url()),
        ("FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__SECRET", SECRET),
        (
            "FRAUDPLAT__ACTIONS__ENDPOINTS__BANK__INTENT_TYPES",
            "[challenge_customer]",
        ),
    ])
}

/// Treats each call as the seed says.
fn flaky(seed: u64, is_mended: Arc<AtomicBool>) -> Receiver {
    Receiver::open(SECRET, move |call| {
        if is_refused(&call.key) && !is_mended.load(Ordering::SeqCst) {
            return Manner::Answer(422);
        }
        let mut draws = Draws::new(seed ^ (call.no << 20));
        match draws.below(100) {
            0..=2 => Manner::Answer(500),
            3..=5 => Manner::Answer(503),
            6 => Manner::Answer(429),
            7 => Manner::Answer(409),
            8..=13 => Manner::CutAfter,
            14..=17 => Manner::CutWithin,
            18..=21 => Manner::HangUp,
            22..=29 => Manner::Late(Duration::from_millis(draws.below(40))),
            // Applied, and the caller no longer listens.
            30 => Manner::Late(Duration::from_millis(CALL_MS_MAX + 100)),
            _ => Manner::Take,
        }
    })
}

fn is_refused(key: &str) -> bool {
    let digits = key.get(4..12).unwrap_or_default();
    u64::from_str_radix(digits, 16).is_ok_and(|it| it % REFUSED_OF == 0)
}

fn cm_at(cm: &Port, port: &Port) -> Port {
    cm.moved_to(port.addr())
}

/// Kills the platform while a batch is on its way to it: whether it was taken, nobody knows.
fn strike(all: Process<'_>, cm: &Port, share: &[&[Value]], draws: &mut Draws) {
    let body = json!(share.first().copied().unwrap_or_default());
    let other = cm.moved_to(&all.announced().unwrap());
    let asking = std::thread::spawn(move || try_ask(&other, &body));
    std::thread::park_timeout(Duration::from_millis(draws.below(25)));
    all.kill_all();
    drop(asking.join().unwrap());
}

fn accepted(cm: &Port, batch: &[Value]) {
    let (status, answer) = try_ask(cm, &json!(batch)).unwrap();
    let results = answer["results"].as_array();
    let is_accepted = results.is_some_and(|it| it.iter().all(|it| it["result"] == "ACCEPTED"));
    check(
        "every intent is accepted",
        status == 200 && is_accepted,
        &answer,
    );
}

/// Has what was refused tried again once the receiver is mended; returns how many that were.
fn finish(home: &Home, port: &Port, till: &Till, is_mended: &AtomicBool) -> usize {
    let of_state = |state: &str| {
        let path = format!("/v1/actions?run={}&state={state}&limit=1000", till.run);
        port.get(&path).body["results"].as_array().unwrap().clone()
    };
    let none_open = || {
        until("no open action", LONG * 4, || {
            of_state("OPEN").is_empty().then_some(())
        })
    };
    none_open();
    is_mended.store(true, Ordering::SeqCst);
    let dead = of_state("DEAD");
    for row in &dead {
        let requeue = ["actions", "requeue", id(row), "--reason", "it is mended"];
        home.run(&requeue).expect(DONE);
    }
    none_open();
    dead.len()
}

fn judge(home: &Home, port: &Port, till: &Till, receiver: &Receiver, intents: &[Value]) {
    let asked: BTreeSet<&str> = intents.iter().map(id).collect();
    receiver.seen(|seen| {
        let applied: BTreeSet<&str> = seen.applied.keys().map(String::as_str).collect();
        let strangers: Vec<_> = applied.difference(&asked).collect();
        let missing: Vec<_> = asked.difference(&applied).collect();
        check(
            "the receiver has exactly the keys that were asked for",
            applied == asked,
            format!("strangers {strangers:?}, missing {missing:?}"),
        );
        check(
            "every call is signed and true to its key",
            seen.faults.is_empty(),
            format!("{:?}", seen.faults),
        );
    });
    let mut ended = BTreeSet::new();
    let mut path = format!("/v1/actions?run={}&state=SUCCEEDED&limit=1000", till.run);
    loop {
        let page = port.get(&path).body;
        let rows = page["results"].as_array().unwrap();
        ended.extend(rows.iter().map(|it| id(it).to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!(
            "/v1/actions?run={}&state=SUCCEEDED&limit=1000&after={next}",
            till.run
        );
    }
    let is_all = ended.iter().map(String::as_str).eq(asked.iter().copied());
    check(
        "every intent has succeeded once",
        is_all,
        format!("{} of {}", ended.len(), asked.len()),
    );
    shop::check_balanced(home, &till.run);
}
