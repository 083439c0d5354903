//! The storm of duplicates: several producers send every event of a world at once, each in an order
//! and in a spelling of its own, while the platform is killed and started again. Whatever they are
//! told, an event is admitted once and decided once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;
use serde_json::Value;

use crate::checks::check;
use crate::events::{NDJSON, Port, words};
use crate::home::{DONE, Home, LONG, Process, until};
use crate::payments::{events, key, shuffle};
use crate::shop;
use crate::weather::{Draws, Weather};

const PRODUCERS: u64 = 4;
const EVENTS_PER_REQUEST: usize = 100;
const SNAPSHOT_DECISIONS: &str = "200";

/// Where the platform listens now; nowhere between two lives.
type Address = Mutex<Option<(String, String)>>;

/// What producers were told of one event.
#[derive(Default)]
struct Told {
    n_admitted: u64,
    receipt: Option<Value>,
}

pub(crate) fn storm(weather: &Weather) {
    let setting = (
        "FRAUDPLAT__DECISION__SNAPSHOT_DECISIONS",
        SNAPSHOT_DECISIONS,
    );
    let home = weather.home(&[setting]);
    let shop = shop::open(&home, weather.payments);
    let all = events(&shop, &shop.read());
    let told: Mutex<HashMap<String, Told>> = Mutex::default();
    let (address, is_over) = (Address::default(), AtomicBool::new(false));
    let (last, port) = std::thread::scope(|scope| {
        // Whoever fails must not leave the others waiting for the next life.
        let _over = Over(&is_over);
        let mut producers = Vec::new();
        for nth in 0..PRODUCERS {
            let mut mine = all.clone();
            shuffle(&mut mine, weather.seed.wrapping_add(nth));
            let (address, told, is_over) = (&address, &told, &is_over);
            producers.push(scope.spawn(move || produce(nth, &mine, address, told, is_over)));
        }
        let last = live(weather, &home, &shop.run, &address, &is_over);
        for producer in producers {
            if let Err(cause) = producer.join() {
                std::panic::resume_unwind(cause);
            }
        }
        last
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let heard = format!("{} of {}", told.len(), all.len());
    check(
        "every event has a final verdict",
        told.len() == all.len(),
        heard,
    );
    let n_twice = told.values().filter(|it| it.n_admitted > 1).count();
    check("nobody is told twice that it is new", n_twice == 0, n_twice);
    port.until_decided(&shop.run, shop.payments);
    last.stop(Signal::TERM).expect(DONE);
    shop::check_whole(&home, &shop, &shop.payments.to_string());
    weather.say(&format!(
        "{} events from {PRODUCERS} producers, {} decisions",
        all.len(),
        shop.payments
    ));
}

/// The lives of the platform: each is killed when so much is decided, but the last, which it returns.
fn live<'h>(
    weather: &Weather,
    home: &'h Home,
    run: &str,
    address: &Address,
    is_over: &AtomicBool,
) -> (Process<'h>, Port) {
    let mut draws = weather.draws();
    let step = weather.payments / (weather.size + 1);
    for nth in 0..weather.size {
        let threshold = nth * step + draws.below(step.max(1)) + 1;
        let (all, port) = home.serve();
        tell(address, announced(home));
        let path = format!("/v1/runs/{run}/progress");
        let decided = until("decisions", LONG, || {
            if is_over.load(Ordering::SeqCst) {
                return Some(0);
            }
            let progress = port.try_get(&path)?;
            let decided = progress.body["decisions_count"].as_u64()?;
            (decided >= threshold).then_some(decided)
        });
        tell(address, None);
        all.kill_all();
        weather.say(&format!(
            "kill {} of {}: {decided} decided",
            nth + 1,
            weather.size
        ));
    }
    let last = home.serve();
    tell(address, announced(home));
    last
}

/// Where the gate listens, and a key to it.
fn announced(home: &Home) -> Option<(String, String)> {
    home.announced().map(|addr| (addr, home.key("local")))
}

fn tell(address: &Address, to: Option<(String, String)>) {
    *address.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Sends everything until each event has a final verdict.
fn produce(
    nth: u64,
    events: &[Value],
    address: &Address,
    told: &Mutex<HashMap<String, Told>>,
    is_over: &AtomicBool,
) {
    let _over = Over(is_over);
    let mut draws = Draws::new(nth);
    for request in events.chunks(EVENTS_PER_REQUEST) {
        let lines: Vec<String> = request.iter().map(|it| spelled(it, &mut draws)).collect();
        let results = deliver(&lines.join("\n"), address, is_over);
        let Some(results) = results else { return };
        check(
            "one verdict an event",
            results.len() == request.len(),
            results.len(),
        );
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        for (event, verdict) in request.iter().zip(&results) {
            let said = words(verdict);
            let is_right = said == "ADMITTED" || said == "DUPLICATE";
            let detail = format!("{said} for {event}");
            check(
                "a repeat is a duplicate, however it is spelled",
                is_right,
                detail,
            );
            let told = told.entry(key(event)).or_default();
            told.n_admitted += u64::from(said == "ADMITTED");
            let mut receipt = verdict["receipt"].clone();
            receipt.as_object_mut().map(|it| it.remove("stamps"));
            let first = told.receipt.get_or_insert_with(|| receipt.clone());
            let detail = format!("{first} and {receipt}");
            check(
                "every copy gets the first receipt",
                *first == receipt,
                detail,
            );
        }
    }
}

/// Posts a body until every verdict in the answer is final; nothing when the storm is over.
fn deliver(body: &str, address: &Address, is_over: &AtomicBool) -> Option<Vec<Value>> {
    until("an answer", LONG, || {
        if is_over.load(Ordering::SeqCst) {
            return Some(None);
        }
        let (addr, key) = address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let answer = Port::at(&addr, &key).try_post("/v1/events", NDJSON, body.to_owned())?;
        if answer.status != 200 {
            let may_wait = [202, 429, 503].contains(&answer.status);
            check(
                "the gate takes what is well-formed",
                may_wait,
                format!("{answer:?}"),
            );
            return None;
        }
        let results = answer.body["results"].as_array()?.clone();
        let is_final = |it: &Value| it["result"] != "PUBLISH_IN_FLIGHT";
        results.iter().all(is_final).then_some(Some(results))
    })
}

/// The same event as another program would write it: its fields in another order, spaces between.
fn spelled(event: &Value, draws: &mut Draws) -> String {
    match event {
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| {
                    let space = " ".repeat(usize::try_from(draws.below(3)).unwrap());
                    format!(
                        "{space}{}:{space}{}",
                        Value::from(name.as_str()),
                        spelled(value, draws)
                    )
                })
                .collect();
            for at in (1..fields.len()).rev() {
                let other = usize::try_from(draws.below(at as u64 + 1)).unwrap();
                fields.swap(at, other);
            }
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}
