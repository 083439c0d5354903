//! The storm of mismatches: other payloads under known ids, in the same request, while the first is
//! in flight, long after it was decided, and in a race of two first ones. The first stays, every
//! other is quarantined with its code, and a fact tells of each.

use std::collections::BTreeMap;
use std::sync::Barrier;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::checks::check;
use crate::events::{Port, decision_id, words};
use crate::home::{DONE, Home};
use crate::payments::{events, key};
use crate::shop::{self, Shop};
use crate::weather::{Draws, UNLIMITED_BACKLOG, Weather};

const MISMATCH: &str = "QUARANTINED PAYLOAD_HASH_MISMATCH";
const EVENTS_PER_PAYMENT: usize = 4;

/// When the other payload comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// Behind the first, in one request.
    SameRequest,
    /// While the first is on its way.
    InFlight,
    /// After everything is decided.
    Later,
    /// Two requests at once: either may be the first.
    Race,
}

const WHEN: [When; 4] = [When::SameRequest, When::InFlight, When::Later, When::Race];

/// What was found out of the changed events.
#[derive(Default)]
struct Found {
    /// The hash of the payload that was admitted, by key.
    first: BTreeMap<String, Value>,
    n_other: BTreeMap<When, usize>,
}

pub(crate) fn storm(weather: &Weather) {
    let home = weather.home(&[UNLIMITED_BACKLOG]);
    let shop = shop::open(&home, weather.payments);
    let all = events(&shop, &shop.read());
    let mut draws = weather.draws();
    // Which events of which payments: every kind of event, never two of one payment.
    let n_changed = usize::try_from(weather.size.min(weather.payments)).unwrap();
    let mut chosen: BTreeMap<usize, When> = BTreeMap::new();
    while chosen.len() < n_changed {
        let payment = usize::try_from(draws.below(weather.payments)).unwrap();
        let is_new = !chosen.keys().any(|it| it / EVENTS_PER_PAYMENT == payment);
        if is_new {
            let class = usize::try_from(draws.below(EVENTS_PER_PAYMENT as u64)).unwrap();
            let when = WHEN[chosen.len() % WHEN.len()];
            chosen.insert(payment * EVENTS_PER_PAYMENT + class, when);
        }
    }
    let (roles, port) = home.serve();
    let mut found = Found::default();
    for at in (0..all.len()).step_by(EVENTS_PER_PAYMENT) {
        let payment = &all[at..at + EVENTS_PER_PAYMENT];
        let changed = chosen.range(at..at + EVENTS_PER_PAYMENT).next();
        let changed = changed.map(|(nth, when)| (nth - at, *when));
        send(&port, payment, changed, &mut draws, &mut found);
    }
    port.until_decided(&shop.run, shop.payments);
    for (nth, _) in chosen.iter().filter(|it| *it.1 == When::Later) {
        let event = &all[*nth];
        let verdicts = port.send(&[other(event, &mut draws), event.clone()]);
        let said: Vec<String> = verdicts.iter().map(words).collect();
        let is_right = said == [MISMATCH, "DUPLICATE"];
        check("a later payload is refused", is_right, format!("{said:?}"));
        found.first.insert(key(event), hash(&verdicts[1]));
        *found.n_other.entry(When::Later).or_default() += 1;
    }
    let said = format!("{} payloads changed: {:?}", n_changed, found.n_other);
    let n_other: usize = found.n_other.values().sum();
    check("every change was sent", n_other == n_changed, &said);
    check_kept(&home, &port, &shop, &found, n_other);
    roles.stop(Signal::TERM).expect(DONE);
    shop::check_whole(&home, &shop, &shop.payments.to_string());
    weather.say(&said);
}

/// Sends a payment, with another payload of one of its events if one is due now.
fn send(
    port: &Port,
    payment: &[Value],
    changed: Option<(usize, When)>,
    draws: &mut Draws,
    found: &mut Found,
) {
    let is_now = changed.filter(|(_, when)| *when != When::Later);
    let Some((nth, when)) = is_now else {
        admitted(port, payment);
        return;
    };
    let event = &payment[nth];
    let other = other(event, draws);
    let rest: Vec<Value> = (0..payment.len())
        .filter(|it| *it != nth)
        .map(|it| payment[it].clone())
        .collect();
    admitted(port, &rest);
    let (first, second) = match when {
        When::SameRequest => {
            let sent = port.send(&[event.clone(), other.clone()]);
            (sent[0].clone(), sent[1].clone())
        }
        _ => both(port, when, event, &other),
    };
    let said = [words(&first), words(&second)];
    let is_right = match when {
        When::Race => {
            let mut sorted = said.clone();
            sorted.sort();
            sorted == ["ADMITTED", MISMATCH]
        }
        _ => said == ["ADMITTED", MISMATCH],
    };
    let detail = format!("{when:?}: {said:?} for {event}");
    check(
        "the first payload stays and the other is refused",
        is_right,
        detail,
    );
    let winner = if said[0] == "ADMITTED" { first } else { second };
    found.first.insert(key(event), hash(&winner));
    *found.n_other.entry(when).or_default() += 1;
}

/// Two requests that overlap. In flight: the first is sent ahead, and not waited for.
fn both(port: &Port, when: When, event: &Value, other: &Value) -> (Value, Value) {
    let gate = Barrier::new(2);
    let send_first = |event: &Value| {
        let port = port.again();
        gate.wait();
        port.send(std::slice::from_ref(event)).remove(0)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| send_first(event));
        let port = port.again();
        gate.wait();
        if when == When::InFlight {
            // Whether it is queued, committed or on the log by now is the storm's to try.
            wait_for_its_row(&port, event);
        }
        let second = port.send(std::slice::from_ref(other)).remove(0);
        match first.join() {
            Ok(first) => (first, second),
            Err(cause) => std::panic::resume_unwind(cause),
        }
    })
}

/// Returns once the gate knows the event: from then on another payload is a second one.
fn wait_for_its_row(port: &Port, event: &Value) {
    let word = |name: &str| event[name].as_str().unwrap().to_owned();
    let (run, class, id) = (
        word("platform_run_id"),
        word("event_class"),
        word("event_id"),
    );
    crate::home::until("the event's row", crate::home::LONG, || {
        let answer = port.try_get(&format!("/v1/receipts/{run}/{class}/{id}"))?;
        [200, 202].contains(&answer.status).then_some(())
    });
}

#[track_caller]
fn admitted(port: &Port, events: &[Value]) {
    for (event, verdict) in events.iter().zip(port.send(events)) {
        let said = words(&verdict);
        check(
            "every first event is admitted",
            said == "ADMITTED",
            format!("{said} for {event}"),
        );
    }
}

/// The event with another payload that is as well-formed.
fn other(event: &Value, draws: &mut Draws) -> Value {
    let mut other = event.clone();
    let by = i64::try_from(1 + draws.below(1_000)).unwrap();
    match event["event_class"].as_str().unwrap() {
        "traffic" => {
            let amount = event["payload"]["amount_minor"].as_i64().unwrap();
            other["payload"]["amount_minor"] = json!(amount + by);
        }
        "arrival_event" => other["payload"]["mcc"] = json!(format!("{by:04}")),
        "arrival_entities" => other["payload"]["device_id"] = json!(format!("other{by}")),
        _ => other["payload"]["flow_id"] = json!(format!("other{by}")),
    }
    other
}

fn hash(verdict: &Value) -> Value {
    verdict["receipt"]["payload_hash"].clone()
}

/// What was decided names the first payloads; each other one is in quarantine and told by a fact.
fn check_kept(home: &Home, port: &Port, shop: &Shop, found: &Found, n_other: usize) {
    for (event, first) in &found.first {
        let mut words = event.split(' ').map(|it| it.trim_matches('"'));
        let (class, id) = (words.next().unwrap(), words.next().unwrap());
        let decided = port.get(&format!("/v1/decisions/{}", decision_id(&shop.run, id)));
        let kept = &decided.body["evidence"]["inputs"][class]["payload_hash"];
        // A context that came late may be missing; what is there is the first.
        let is_first = kept == first || (kept.is_null() && class != "traffic");
        check(
            "decided on the first payload",
            is_first,
            format!("{event}: {kept}, {first}"),
        );
    }
    let kind = "PAYLOAD_HASH_MISMATCH";
    let run = shop.run.as_str();
    let args = [
        "gov", "facts", "--run", run, "--type", kind, "--limit", "1000000",
    ];
    let facts = home.json(&args);
    let n_facts = facts.as_array().map_or(0, Vec::len);
    check(
        "a fact tells of each",
        n_facts == n_other,
        format!("{n_facts} of {n_other}"),
    );
    let list = ["ig", "quarantine", "list", "--run", run, "--code", kind];
    let (mut n_kept, mut after) = (0, String::new());
    loop {
        let mut args = [&list[..], &["--limit", "1000"]].concat();
        if !after.is_empty() {
            args.extend(["--after", after.as_str()]);
        }
        let page = home.json(&args);
        n_kept += page["results"].as_array().map_or(0, Vec::len);
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    check(
        "each is in quarantine",
        n_kept == n_other,
        format!("{n_kept} of {n_other}"),
    );
}
