//! Producers of two gates: each sends the payments of its customers in order, to either gate, and
//! turns to the other when one does not answer, until every event has its final verdict.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::checks::check;
use crate::events::{Answer, NDJSON, Port, words};
use crate::home::{LONG, until};
use crate::site::Address;
use crate::weather::Draws;

const LANES: u64 = 4;
const EVENTS_PER_PAYMENT: usize = 4;
const PAYMENTS_PER_REQUEST_MAX: u64 = 10;
/// One request of so many is sent to both gates.
const TWICE_EVERY: u64 = 8;
/// One payment of so many comes late: after so many of its lane's that are younger.
const LATE_EVERY: u64 = 40;
const LATE_BY_MAX: u64 = 30;
/// In the middle of a lane one of so many payments has its context withheld until every payment is
/// decided: it is decided without.
const WITHHELD_SHARE: usize = 50;
/// A gate that is silent for longer is left for the other: less than a lease.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// The whole stream, and how much of it may flow.
#[derive(Default)]
pub(crate) struct Stream {
    /// Payments that may be sent.
    let_out: AtomicU64,
    taken: AtomicU64,
    admitted: AtomicU64,
    retries: AtomicU64,
    repeats: AtomicU64,
    /// Every payment is decided: what was withheld may come.
    is_decided: AtomicBool,
    /// A producer failed, or nobody waits for them any more.
    is_over: AtomicBool,
}

impl Stream {
    pub(crate) fn let_out(&self, payments: u64) {
        self.let_out.fetch_max(payments, Ordering::SeqCst);
    }

    /// Lets the context go that was withheld.
    pub(crate) fn all_decided(&self) {
        self.is_decided.store(true, Ordering::SeqCst);
    }

    /// Payments whose verdicts are all final.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::SeqCst)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub(crate) fn summary(&self) -> String {
        let (retries, repeats) = (&self.retries, &self.repeats);
        format!(
            "{} requests sent again, {} sent to both gates",
            retries.load(Ordering::SeqCst),
            repeats.load(Ordering::SeqCst)
        )
    }

    /// Ends the wait of everyone when this is dropped by a panic.
    pub(crate) fn guard(&self) -> Over<'_> {
        Over(self)
    }
}

pub(crate) struct Over<'s>(&'s Stream);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_over.store(true, Ordering::SeqCst);
        }
    }
}

/// The payments of each lane: a customer's are in one, in order but for those that come late.
pub(crate) fn lanes(events: Vec<Value>, draws: &mut Draws) -> Vec<Vec<Value>> {
    let mut lanes = vec![Vec::new(); usize::try_from(LANES).unwrap()];
    for payment in events.chunks(EVENTS_PER_PAYMENT) {
        let customer = payment
            .iter()
            .find_map(|it| it["payload"]["customer_id"].as_str());
        let mut hasher = DefaultHasher::new();
        customer.unwrap().hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() % LANES).unwrap();
        lanes[lane].extend(payment.iter().cloned());
    }
    lanes.iter().map(|lane| delayed(lane, draws)).collect()
}

/// The lane with some of its payments moved back.
fn delayed(lane: &[Value], draws: &mut Draws) -> Vec<Value> {
    let payments = lane.chunks(EVENTS_PER_PAYMENT).enumerate();
    let mut placed: Vec<(u64, &[Value])> = payments
        .map(|(nth, payment)| {
            let late = match draws.below(LATE_EVERY) {
                0 => 1 + draws.below(LATE_BY_MAX),
                _ => 0,
            };
            (nth as u64 + late, payment)
        })
        .collect();
    placed.sort_by_key(|it| it.0);
    placed.iter().flat_map(|it| it.1.iter().cloned()).collect()
}

/// What a lane sends in order, and the context that it sends only then.
fn withhold(lane: &[Value]) -> (Vec<Vec<Value>>, Vec<Vec<Value>>) {
    let n = lane.len() / EVENTS_PER_PAYMENT;
    let episode = n / 2..n / 2 + (n / WITHHELD_SHARE).max(1);
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for (nth, payment) in lane.chunks(EVENTS_PER_PAYMENT).enumerate() {
        if episode.contains(&nth) {
            let is_traffic = |it: &&Value| it["event_class"] == "traffic";
            let (traffic, context) = payment.iter().partition::<Vec<&Value>, _>(is_traffic);
            now.push(traffic.into_iter().cloned().collect());
            later.push(context.into_iter().cloned().collect());
        } else {
            now.push(payment.to_vec());
        }
    }
    (now, later)
}

/// One producer with a request in flight.
pub(crate) struct Producer<'s> {
    pub(crate) stream: &'s Stream,
    pub(crate) gates: &'s [Address; 2],
    pub(crate) key: &'s str,
    pub(crate) draws: Draws,
}

impl Producer<'_> {
    /// Sends everything.
    pub(crate) fn produce(mut self, events: &[Value]) {
        let _over = self.stream.guard();
        let mut ports = [None, None];
        let (now, later) = withhold(events);
        let mut rest = now.as_slice();
        while !rest.is_empty() {
            let payments = 1 + self.draws.below(PAYMENTS_PER_REQUEST_MAX);
            let n = usize::try_from(payments).unwrap().min(rest.len());
            let (payments, behind) = rest.split_at(n);
            rest = behind;
            if !self.take(n as u64) || !self.send(&payments.concat(), &mut ports) {
                return;
            }
            self.stream.admitted.fetch_add(n as u64, Ordering::SeqCst);
        }
        let decided = || {
            let stream = self.stream;
            let may = stream.is_decided.load(Ordering::SeqCst);
            (may || stream.is_over()).then_some(())
        };
        until("every decision", LONG * 10, decided);
        for payments in later.chunks(10) {
            if !self.send(&payments.concat(), &mut ports) {
                return;
            }
        }
    }

    /// Sends one request until its verdicts are final, now and then to both gates; false when the
    /// storm is over.
    fn send(&mut self, request: &[Value], ports: &mut [Option<Port>; 2]) -> bool {
        let gate = usize::try_from(self.draws.below(2)).unwrap();
        let Some(first) = self.deliver(request, gate, ports) else {
            return false;
        };
        if self.draws.below(TWICE_EVERY) == 0 {
            let Some(again) = self.deliver(request, 1 - gate, ports) else {
                return false;
            };
            self.stream.repeats.fetch_add(1, Ordering::SeqCst);
            for (first, again) in first.iter().zip(&again) {
                let is_known = again["result"] == "DUPLICATE" && place(first) == place(again);
                let detail = format!("{first} and then {again}");
                check(
                    "a repeat is a duplicate of the first receipt",
                    is_known,
                    detail,
                );
            }
        }
        true
    }

    /// Waits until so much may be sent; false when the storm is over.
    fn take(&self, payments: u64) -> bool {
        let stream = self.stream;
        until("the next piece of the stream", LONG * 10, || {
            if stream.is_over() {
                return Some(false);
            }
            let may = stream.let_out.load(Ordering::SeqCst);
            let more = |taken: u64| (taken < may).then_some(taken + payments);
            let taken = stream
                .taken
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
            taken.is_ok().then_some(true)
        })
    }

    /// Posts events until every verdict in the answer is final; nothing when the storm is over.
    fn deliver(
        &self,
        events: &[Value],
        mut gate: usize,
        ports: &mut [Option<Port>; 2],
    ) -> Option<Vec<Value>> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let body = lines.join("\n");
        let mut n_tries = 0;
        let verdicts = until("final verdicts", LONG, || {
            if self.stream.is_over() {
                return Some(None);
            }
            n_tries += 1;
            let port = self.port(gate, &mut ports[gate]);
            let answer = port.and_then(|it| it.try_post("/v1/events", NDJSON, body.clone()));
            let verdicts = answer.and_then(|it| finals(&it));
            if verdicts.is_none() {
                gate = 1 - gate;
            }
            verdicts.map(Some)
        })?;
        self.stream.retries.fetch_add(n_tries - 1, Ordering::SeqCst);
        check(
            "one verdict an event",
            verdicts.len() == events.len(),
            verdicts.len(),
        );
        Some(verdicts)
    }

    /// The gate at its present address, if it has one.
    fn port<'p>(&self, gate: usize, known: &'p mut Option<Port>) -> Option<&'p Port> {
        let address = self.gates[gate].lock();
        let address = address.unwrap_or_else(PoisonError::into_inner).clone()?;
        if known.as_ref().is_none_or(|port| port.addr() != address) {
            *known = Some(Port::impatient(&address, self.key, ANSWER_MAX));
        }
        known.as_ref()
    }
}

/// The verdicts of an answer, if all are final.
fn finals(answer: &Answer) -> Option<Vec<Value>> {
    if answer.status != 200 {
        let may_wait = [202, 429, 503].contains(&answer.status);
        check(
            "an outage is no fault of the gate",
            may_wait,
            format!("{answer:?}"),
        );
        return None;
    }
    let verdicts = answer.body["results"].as_array()?.clone();
    for verdict in &verdicts {
        let said = words(verdict);
        let is_right = ["ADMITTED", "DUPLICATE", "PUBLISH_IN_FLIGHT"].contains(&said.as_str());
        check("the gate takes what is well-formed", is_right, verdict);
    }
    let is_final = |it: &Value| it["result"] != "PUBLISH_IN_FLIGHT";
    verdicts.iter().all(is_final).then_some(verdicts)
}

fn place(verdict: &Value) -> &Value {
    &verdict["receipt"]["eb_ref"]
}
