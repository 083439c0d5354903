//! A set that was warmed up, in legs and with kills, computes what one that was there from the start does.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use crate::contracts::envelope::{AdmittedEvent, Envelope};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, ManifestFingerprint, PlatformRunId, ScenarioRunId};
use crate::domain::offset::{OriginOffset, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, Stream};
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::features::FeatureSet;
use crate::rtdl::decision::memory::Memory;
use crate::rtdl::decision::state::{Past, RunState, Sets};
use crate::runtime::guard::Guarded;

const PRIMARY: &str = "
feature_set: primary
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 1h}
";
const WARMED: &str = r#"
feature_set: warmed
version: 1
features:
  - {name: n, entity: [customer_id], agg: count, window: 1h}
  - {name: sum, entity: [customer_id], agg: sum, value: event.amount_minor, window: 30m}
  - {name: mean, entity: [merchant_id], agg: mean, value: event.amount_minor, window: 2h, delay: 10m}
  - {name: spread, entity: [customer_id, merchant_id], agg: stddev, value: event.amount_minor, window: 1d}
  - {name: who, entity: [merchant_id], agg: distinct, value: event.customer_id, window: 1h, include_current: false}
  - {name: last, entity: [customer_id], agg: last, value: event.merchant_id, window: 1d, include_current: false}
  - {name: since, entity: [customer_id], agg: time_since_last, window: 1d, include_current: false}
  - {name: large, entity: [customer_id], agg: count, window: 1d, filter: "event.amount_minor > 500"}
  - {name: sharers, graph: shared_customers, entity: [device_id]}
  - {name: frauds, entity: [merchant_id], agg: fraud_share, window: 2h}
  - {name: near, graph: labelled_neighbours, entity: [customer_id]}
"#;

/// One record on the log: which payment (a repeat, where it was before), and when it was made.
#[derive(Debug, Clone)]
struct Paid {
    payment: u16,
    minutes: u16,
    customer: u8,
    merchant: u8,
    amount: u16,
}

/// A record of either log.
#[derive(Debug, Clone)]
enum Record {
    Paid(Box<Guarded>),
    Label(LabelRecord),
}

/// The `nth` label on the log: of a payment, which may be yet to come or never to.
fn label(nth: usize, payment: u16, minutes: u16, is_fraud: bool) -> Record {
    Record::Label(LabelRecord {
        event_id: format!("e{payment}").parse().unwrap(),
        label_assertion_id: format!("l{nth}").parse().unwrap(),
        observed_time: minute(minutes),
        is_fraud,
    })
}

fn minute(nth: u16) -> Time {
    Time::from_micros(1_700_000_000_000_000 + 60_000_000 * i64::from(nth))
}

fn set(text: &str) -> (Digest, Arc<FeatureSet>) {
    let set = FeatureSet::compile("set.yaml", text).unwrap();
    (Digest::of_bytes(text.as_bytes()), Arc::new(set))
}

fn run() -> PlatformRunId {
    PlatformRunId::from_digest(Digest::of_bytes(b"run"))
}

/// As the log holds it: the same payment is the same record wherever it stands.
fn record(paid: &Paid) -> Guarded {
    let id = paid.payment;
    let ts = minute(paid.minutes);
    let envelope = Envelope {
        event_id: format!("e{id}").parse().unwrap(),
        event_class: EventClass::Traffic.to_string(),
        schema_version: 1,
        ts_utc: ts,
        platform_run_id: run(),
        scenario_run_id: ScenarioRunId::from_digest(Digest::of_bytes(b"scenario")),
        manifest_fingerprint: ManifestFingerprint::from_digest(Digest::of_bytes(b"world")),
        tenant_id: None,
        producer: "test".to_owned(),
        payload: json!({
            "flow_id": format!("f{id}"), "customer_id": format!("c{}", paid.customer),
            "merchant_id": format!("m{}", paid.merchant), "amount_minor": paid.amount,
            "device_id": format!("d{}", paid.merchant), "currency": "EUR", "channel": "pos",
        }),
        pii: None,
    };
    Guarded {
        origin_offset: OriginOffset {
            stream: Stream::Traffic,
            shard_id: ShardId("0".to_owned()),
            sequence_number: "1".parse().unwrap(),
        },
        class: EventClass::Traffic,
        event: AdmittedEvent {
            payload_hash: envelope.payload_hash().unwrap(),
            envelope_hash: None,
            admitted_at: ts,
            batch_id: 1,
            envelope,
        },
    }
}

/// As the worker decides: the event enters every set first. Nothing for a repeat.
fn decided(state: &mut RunState, primary: &Digest, guarded: &Guarded) -> Option<EventRecord> {
    let envelope = &guarded.event.envelope;
    let id = DecisionId::of(&run(), EventClass::Traffic, &envelope.event_id);
    let event = EventRecord::parse(&guarded.event).unwrap();
    let is_new = state.meet(&id);
    is_new.then(|| {
        state.apply(primary, &event).unwrap();
        event
    })
}

/// As the worker works a record off: a label enters every set, and decides nothing.
fn worked(state: &mut RunState, primary: &Digest, record: &Record) -> Option<EventRecord> {
    match record {
        Record::Paid(guarded) => decided(state, primary, guarded),
        Record::Label(label) => {
            state.apply_label(primary, label).unwrap();
            None
        }
    }
}

/// Reads a stretch of both logs back as a leg does: one log after the other.
fn leg(mut state: RunState, set: &Digest, logs: &[Record]) -> RunState {
    let (mut events, mut labels) = (Vec::new(), Vec::new());
    for record in logs {
        match record {
            Record::Paid(guarded) => events.push(Past::of(&run(), guarded).unwrap()),
            Record::Label(label) => labels.push(Past::Label(label.clone())),
        }
    }
    for past in events.iter().chain(&labels) {
        state.take_back(set, past).unwrap();
    }
    state
}

/// Payments and labels as they come.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let one = (
        any::<prop::sample::Index>(),
        0..70u16,
        0..600u16,
        any::<bool>(),
    );
    (payments(), prop::collection::vec(one, 0..30)).prop_map(|(paid, labels)| {
        let paid = paid.iter().map(|it| Record::Paid(Box::new(record(it))));
        let mut log: Vec<Record> = paid.collect();
        for (nth, (at, payment, minutes, is_fraud)) in labels.into_iter().enumerate() {
            let at = at.index(log.len() + 1);
            log.insert(at, label(nth, payment, minutes, is_fraud));
        }
        log
    })
}

fn payments() -> impl Strategy<Value = Vec<Paid>> {
    let one = (0..600u16, 0..4u8, 0..3u8, 0..1_000u16);
    // Every payment once with its own time, which is no order; then some of them again.
    let all = prop::collection::vec(one, 2..60);
    (
        all,
        prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    )
        .prop_map(|(all, repeats)| {
            let paid =
                |(nth, (minutes, customer, merchant, amount)): (usize, &(u16, u8, u8, u16))| Paid {
                    payment: u16::try_from(nth).unwrap(),
                    minutes: *minutes,
                    customer: *customer,
                    merchant: *merchant,
                    amount: *amount,
                };
            let mut log: Vec<Paid> = all.iter().enumerate().map(paid).collect();
            for at in repeats {
                let again = log[at.index(log.len())].clone();
                log.insert(at.index(log.len() + 1), again);
            }
            log
        })
}

fn empty(sets: &Sets) -> RunState {
    let memory = Memory {
        // Small enough that keys are put away and come back all the time.
        keys_bytes_max: 2_000,
        scratch_dir: std::env::temp_dir(),
    };
    RunState::empty(sets, &memory)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The worker goes on while legs are read; a killed warm-up begins at the start; the last stretch is
    /// read when it joins.
    #[test]
    fn a_warmed_set_is_one_that_was_always_there(
        log in records(),
        legs in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..6),
    ) {
        let (primary, warmed) = (set(PRIMARY), set(WARMED));
        let always = Sets { primary: primary.clone(), others: [warmed.clone()].into() };
        let (mut there, mut worker) = (empty(&always), empty(&Sets::one(primary.0, primary.1)));
        let fresh = || empty(&Sets::one(warmed.0, Arc::clone(&warmed.1)));

        let mut ends: Vec<(usize, bool)> = legs.iter().map(|(at, kill)| (at.index(log.len() + 1), *kill)).collect();
        ends.sort_unstable();
        let joins_at = ends.last().unwrap().0;
        let (mut memory, mut read) = (fresh(), 0);
        for (end, is_killed) in ends {
            memory = leg(memory, &warmed.0, &log[read..end]);
            read = end;
            if is_killed {
                (memory, read) = (fresh(), 0);
            }
        }
        let memory = leg(memory, &warmed.0, &log[read..joins_at]);

        for (at, record) in log.iter().enumerate() {
            if at == joins_at {
                let n_met = i64::try_from(worker.n_met()).unwrap();
                prop_assert!(memory.has_met(n_met), "both have met the same");
            }
            if at >= joins_at {
                break;
            }
            worked(&mut there, &primary.0, record);
            worked(&mut worker, &primary.0, record);
        }
        worker.join(memory);
        for record in &log[joins_at..] {
            let event = worked(&mut there, &primary.0, record);
            prop_assert_eq!(event.is_some(), worked(&mut worker, &primary.0, record).is_some());
            if let Some(event) = event {
                let wanted = there.features(&warmed.0).unwrap().compute(&event).unwrap();
                prop_assert_eq!(worker.features(&warmed.0).unwrap().compute(&event).unwrap(), wanted);
            }
        }
        let bytes = |state: &mut RunState| state.features(&warmed.0).unwrap().to_bytes(&warmed.0).unwrap();
        prop_assert_eq!(bytes(&mut worker), bytes(&mut there));
    }
}

#[test]
fn what_another_set_refuses_costs_the_primary_nothing() {
    let (primary, other) = (set(PRIMARY), set(WARMED));
    let sets = Sets {
        primary: primary.clone(),
        others: [other.clone()].into(),
    };
    let mut state = empty(&sets);
    let paid = |payment, minutes| {
        record(&Paid {
            payment,
            minutes,
            customer: 1,
            merchant: 1,
            amount: 1,
        })
    };
    decided(&mut state, &primary.0, &paid(1, 300));
    let horizon = Time::from_micros(1_700_000_000_000_000 + 60_000_000 * 200);
    let other_state = state.features(&other.0).unwrap();
    other_state.evict_before(horizon).unwrap();
    assert!(decided(&mut state, &primary.0, &paid(2, 100)).is_some());
    assert!(state.has(&primary.0) && !state.has(&other.0));
}
