//! What is sent, in which order: every send follows from the seed and its number, so that a million
//! of them need no memory.

use fraudplat::contracts::envelope::Envelope;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::vocabulary::EventClass;
use serde_json::Value;

use crate::weather::Draws;

pub(crate) const CLASSES: [EventClass; 4] = [
    EventClass::ArrivalEvent,
    EventClass::ArrivalEntities,
    EventClass::FlowAnchor,
    EventClass::Traffic,
];
/// Of the distinct events one in so many has another payload somewhere among its sends.
const EVENTS_PER_PLANTED: u64 = 100;
const MERCHANTS: u64 = 97;
const CUSTOMERS: u64 = 1_009;
/// The events happen within the hour before the storm.
const HOUR_US: i64 = 3_600_000_000;

/// One send of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Send {
    /// The event's number, from 0.
    pub(crate) event: u64,
    /// Whether it is the planted payload under the event's id.
    pub(crate) is_other: bool,
}

pub(crate) struct Plan {
    pub(crate) n_sends: u64,
    pub(crate) n_payments: u64,
    seed: u64,
    /// What every envelope says of its run, as JSON fields.
    pins: String,
    begun_us: i64,
    order: Permutation,
    planted: Permutation,
}

impl Plan {
    /// `pins` is what `sr run` printed.
    pub(crate) fn new(seed: u64, n_sends: u64, n_payments: u64, pins: &Value) -> Plan {
        let names = ["platform_run_id", "scenario_run_id", "manifest_fingerprint"];
        let pins = names.map(|name| format!(r#""{name}":{}"#, pins[name]));
        let n_events = n_payments * CLASSES.len() as u64;
        assert!(
            n_sends >= 2 * n_events,
            "a planted payload needs another send of its event: at least {} sends",
            2 * n_events
        );
        Plan {
            n_sends,
            n_payments,
            seed,
            pins: pins.join(","),
            begun_us: jiff::Timestamp::now().as_microsecond() - HOUR_US,
            order: Permutation::new(seed, n_sends),
            planted: Permutation::new(!seed, n_events),
        }
    }

    pub(crate) fn n_events(&self) -> u64 {
        self.n_payments * CLASSES.len() as u64
    }

    pub(crate) fn n_planted(&self) -> u64 {
        self.n_events().div_ceil(EVENTS_PER_PLANTED)
    }

    pub(crate) fn is_planted(&self, event: u64) -> bool {
        self.planted.at(event) < self.n_planted()
    }

    /// The n-th send: every event comes equally often, one more or less, in an order that is drawn;
    /// of a planted event one send, which is drawn, has the other payload.
    pub(crate) fn send(&self, n: u64) -> Send {
        let at = self.order.at(n);
        let (event, copy) = (at % self.n_events(), at / self.n_events());
        let copies = self.n_sends / self.n_events();
        let other = mixed(self.seed ^ event.rotate_left(32)) % copies;
        Send {
            event,
            is_other: self.is_planted(event) && copy == other,
        }
    }

    pub(crate) fn class(event: u64) -> EventClass {
        CLASSES[usize::try_from(event % CLASSES.len() as u64).unwrap()]
    }

    /// The number of the event with this id, if there is one.
    pub(crate) fn find(&self, class: &str, event_id: &str) -> Option<u64> {
        let nth = CLASSES.iter().position(|it| it.as_str() == class)?;
        let payment: u64 = event_id.strip_prefix("till:")?.parse().ok()?;
        let is_here = payment < self.n_payments && event_id == format!("till:{payment}");
        is_here.then(|| payment * CLASSES.len() as u64 + nth as u64)
    }

    /// The event as it is sent.
    pub(crate) fn body(&self, send: Send) -> String {
        let payment = send.event / CLASSES.len() as u64;
        let class = Plan::class(send.event);
        let ts = self.begun_us + HOUR_US / self.n_payments.cast_signed() * payment.cast_signed();
        let ts = jiff::Timestamp::from_microsecond(ts).unwrap();
        let payload = payload(class, payment, send.is_other);
        format!(
            r#"{{"event_id":"till:{payment}","event_class":"{class}","schema_version":1,"ts_utc":"{ts:.6}","producer":"storm",{},"payload":{payload}}}"#,
            self.pins
        )
    }

    /// What the gate must say that it hashes to.
    pub(crate) fn payload_hash(&self, send: Send) -> Digest {
        let envelope: Envelope = serde_json::from_str(&self.body(send)).unwrap();
        envelope.payload_hash().unwrap()
    }
}

fn payload(class: EventClass, payment: u64, is_other: bool) -> String {
    let merchant = payment % MERCHANTS;
    let place = format!(
        r#""merchant_id":"m{merchant}","arrival_seq":{}"#,
        payment / MERCHANTS + 1
    );
    let customer = mixed(payment) % CUSTOMERS;
    let who = format!(r#""customer_id":"c{customer}","card_id":"k{customer}""#);
    let other = |payload: &str| {
        if is_other {
            payload.to_owned()
        } else {
            String::new()
        }
    };
    match class {
        EventClass::ArrivalEvent => {
            let mcc = if is_other { "5912" } else { "5411" };
            format!(r#"{{{place},"kind":"payment","mcc":"{mcc}"}}"#)
        }
        EventClass::ArrivalEntities => {
            format!(r#"{{{place},{who}{}}}"#, other(r#","device_id":"other""#))
        }
        EventClass::FlowAnchor => {
            format!(r#"{{{place},"flow_id":"f{payment}{}"}}"#, other("-other"))
        }
        EventClass::Traffic => {
            let amount = 100 + mixed(!payment) % 30_000 + u64::from(is_other);
            format!(
                r#"{{"flow_id":"f{payment}","merchant_id":"m{merchant}",{who},"amount_minor":{amount},"currency":"EUR","channel":"pos"}}"#
            )
        }
    }
}

/// One draw that is a function of its seed.
fn mixed(seed: u64) -> u64 {
    Draws::new(seed).below(u64::MAX)
}

/// The numbers below a limit in another order, each found without the others: a Feistel network over
/// the next even number of bits, walked until it is below the limit.
struct Permutation {
    keys: [u64; 4],
    half_bits: u32,
    limit: u64,
}

impl Permutation {
    fn new(seed: u64, limit: u64) -> Permutation {
        let mut draws = Draws::new(seed);
        let bits = u64::BITS - limit.leading_zeros();
        Permutation {
            keys: [(); 4].map(|()| draws.below(u64::MAX)),
            half_bits: bits.div_ceil(2).max(1),
            limit,
        }
    }

    fn at(&self, n: u64) -> u64 {
        assert!(n < self.limit);
        let mask = (1 << self.half_bits) - 1;
        let mut at = n;
        loop {
            let (mut left, mut right) = (at >> self.half_bits, at & mask);
            for key in self.keys {
                (left, right) = (right, left ^ (mixed(right ^ key) & mask));
            }
            at = left << self.half_bits | right;
            if at < self.limit {
                return at;
            }
        }
    }
}

#[test]
fn a_plan_sends_every_event_and_each_planted_payload_once() {
    let pins = serde_json::json!({
        "platform_run_id": "r", "scenario_run_id": "s", "manifest_fingerprint": "m"
    });
    for (seed, n_sends, n_payments) in [(1, 4_000, 100), (2, 1_603, 200), (3, 8, 1)] {
        let plan = Plan::new(seed, n_sends, n_payments, &pins);
        let mut sent = vec![[0; 2]; usize::try_from(plan.n_events()).unwrap()];
        for send in (0..n_sends).map(|n| plan.send(n)) {
            sent[usize::try_from(send.event).unwrap()][usize::from(send.is_other)] += 1;
        }
        let copies = n_sends / plan.n_events();
        for (event, [first, other]) in (0..).zip(&sent) {
            assert_eq!(*other, u64::from(plan.is_planted(event)));
            assert!((copies..=copies + 1).contains(&(first + other)));
        }
        let n_other: u64 = sent.iter().map(|it| it[1]).sum();
        assert_eq!(n_other, plan.n_planted());
        let bodies: Vec<Value> = [false, true]
            .map(|is_other| Send { event: 3, is_other })
            .map(|send| serde_json::from_str(&plan.body(send)).unwrap())
            .to_vec();
        assert_eq!(bodies[0]["event_id"], bodies[1]["event_id"]);
        assert_ne!(bodies[0]["payload"], bodies[1]["payload"]);
        assert_eq!(plan.find("traffic", "till:0"), Some(3));
    }
}
