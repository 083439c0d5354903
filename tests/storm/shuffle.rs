//! The shuffle storm: one world sent several times, each time as a run of its own, its events torn
//! apart over lanes and requests in another order: traffic before its context, merchants mixed.
//!
//! The wait for context is longer than a run takes, and the policy asks only the payment and its
//! context. So the order must not show at all: every run decides every payment, none of them
//! degraded, with the same outcome as in every other run.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::Value;

use crate::checks::check;
use crate::events::{Port, words};
use crate::home::{DONE, Home};
use crate::payments::{events, shuffle};
use crate::shop::{self, Shop};
use crate::weather::{UNLIMITED_BACKLOG, Weather};

const LANES: usize = 4;
const EVENTS_PER_REQUEST: usize = 50;
/// Ten minutes: nothing is missing, it only comes late.
const JOIN_WAIT_MS: &str = "600000";

const FEATURES: &str = "
feature_set: shuffle
version: 1
features:
  - {name: is_large, type: bool, expr: \"event.amount_minor > 4000\"}
";
const POLICY: &str = "
policy: shuffle
policy_rev: 1
default: APPROVE
precedence: strictest
rules:
  - {id: S1, owner: t, description: \"Large\", when: \"features.is_large\", outcome: STEP_UP, score: 1, reason_code: LARGE}
  - {id: S2, owner: t, description: \"Large abroad\", when: \"features.is_large && has(event.mcc) && event.country != 'DE'\", outcome: REVIEW, score: 2, reason_code: ABROAD}
  - {id: S3, owner: t, description: \"Without context\", when: \"event.degraded\", outcome: DECLINE, score: 3, reason_code: DEGRADED}
";

pub(crate) fn storm(weather: &Weather) {
    let home = weather.home(&[
        ("FRAUDPLAT__SEMANTICS__JOIN_WAIT_MS", JOIN_WAIT_MS),
        ("FRAUDPLAT__DECISION__BUNDLE_DIR", "."),
        UNLIMITED_BACKLOG,
    ]);
    home.file("feature_set.yaml", FEATURES);
    home.file("policy.yaml", POLICY);
    let (all, port) = home.serve();
    let mut first: Option<BTreeMap<String, Value>> = None;
    let mut runs = Vec::new();
    for round in 0..weather.size {
        let shop = shop::open_as(&home, weather.payments, &format!("round {round}"));
        let mut events = events(&shop, &shop.read());
        shuffle(&mut events, weather.seed.wrapping_add(round));
        send(&port, &events);
        port.until_decided(&shop.run, shop.payments);
        let outcomes = outcomes(&home, &shop);
        let n_decided = outcomes.len() as u64;
        check("no payment is lost", n_decided == shop.payments, n_decided);
        let first = first.get_or_insert_with(|| outcomes.clone());
        let differs = outcomes.iter().find(|it| first.get(it.0) != Some(it.1));
        check(
            "the order does not show",
            differs.is_none(),
            format!("{differs:?}"),
        );
        weather.say(&format!(
            "round {} of {}: {:?}",
            round + 1,
            weather.size,
            counted(&outcomes)
        ));
        runs.push(shop);
    }
    all.stop(Signal::TERM).expect(DONE);
    for shop in &runs {
        shop::check_whole(&home, shop, &shop.payments.to_string());
    }
    let kinds = first.map(|it| counted(&it)).unwrap_or_default();
    check(
        "the policy sees payment and context",
        kinds.len() > 1,
        format!("{kinds:?}"),
    );
}

/// Every lane sends its part, all at once.
fn send(port: &Port, events: &[Value]) {
    let lane = events.len().div_ceil(LANES);
    std::thread::scope(|scope| {
        let lanes = events.chunks(lane).map(|mine| {
            scope.spawn(move || {
                let port = port.again();
                for request in mine.chunks(EVENTS_PER_REQUEST) {
                    for (event, verdict) in request.iter().zip(port.send(request)) {
                        let said = words(&verdict);
                        let detail = format!("{said} for {event}");
                        check("every event is admitted", said == "ADMITTED", detail);
                    }
                }
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            if let Err(cause) = lane.join() {
                std::panic::resume_unwind(cause);
            }
        }
    });
}

/// The outcome of every payment; none is degraded.
fn outcomes(home: &Home, shop: &Shop) -> BTreeMap<String, Value> {
    let listed = home.json(&["dla", "list", "--run", &shop.run, "--limit", "1000000"]);
    let mut outcomes = BTreeMap::new();
    for row in listed.as_array().unwrap() {
        let degraded = row["degraded"].as_array().is_none_or(Vec::is_empty);
        check("late context is waited for", degraded, row);
        outcomes.insert(row["event_id"].to_string(), row["outcome"].clone());
    }
    outcomes
}

fn counted(outcomes: &BTreeMap<String, Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes.values() {
        *counts.entry(outcome.to_string()).or_default() += 1;
    }
    counts
}
