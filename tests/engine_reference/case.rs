//! Random streams: from in order to wholly shuffled, with ties, late and repeated records, labels
//! before and after their events and against one another, eviction and restarts in between.

use std::collections::BTreeMap;

use fraudplat::contracts::payload::{AttributeValue, Traffic};
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{ManifestFingerprint, PlatformRunId, ScenarioRunId};
use fraudplat::domain::keys::Pins;
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::Channel;
use fraudplat::engine::{EventRecord, LabelRecord};
use proptest::prelude::*;

pub(crate) const SECOND: i64 = 1_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) customer: u8,
    pub(crate) terminal: Option<u8>,
    pub(crate) amount: i64,
    pub(crate) points: Option<Result<i64, bool>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) event: usize,
    pub(crate) observed: i64,
    pub(crate) is_fraud: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Event(usize),
    Label(usize),
    /// Computes again what was computed before, out of order.
    Again(usize),
    /// The same record once more.
    Repeat(usize),
    Evict,
    /// The state is written out, thrown away and read back.
    Restart,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) events: Vec<Event>,
    pub(crate) labels: Vec<Label>,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn record(nth: usize, event: &Event) -> EventRecord {
    let world = ManifestFingerprint::of_live(None, "reference");
    let points = event.points.map(|it| match it {
        Ok(points) => AttributeValue::Int(points),
        Err(flag) => AttributeValue::Bool(flag),
    });
    let traffic = Traffic {
        flow_id: format!("f{nth}"),
        customer_id: format!("c{}", event.customer),
        merchant_id: "m".to_owned(),
        account_id: None,
        card_id: None,
        device_id: None,
        ip: None,
        terminal_id: event.terminal.map(|it| format!("t{it}")),
        beneficiary_id: None,
        amount_minor: event.amount,
        currency: "EUR".to_owned(),
        channel: Channel::Pos,
        attributes: points.map(|it| BTreeMap::from([("points".to_owned(), it)])),
    };
    let pins = Pins {
        platform_run_id: PlatformRunId::of(&world, &Digest::of_bytes(b"semantics"), None, ""),
        scenario_run_id: ScenarioRunId::of(&world, "reference"),
        manifest_fingerprint: world,
        tenant_id: None,
    };
    let id = event_id(nth).parse().unwrap();
    let ts = Time::from_micros(event.ts * SECOND);
    EventRecord::of(pins, id, Digest::of_bytes(b""), ts, traffic)
}

/// Ids whose text order is not that of arrival.
pub(crate) fn event_id(nth: usize) -> String {
    format!("e{:03}", nth * 7_919 % 1_000)
}

pub(crate) fn label_record(nth: usize, label: &Label) -> LabelRecord {
    LabelRecord {
        event_id: event_id(label.event).parse().unwrap(),
        label_assertion_id: assertion_id(nth).parse().unwrap(),
        observed_time: Time::from_micros(label.observed * SECOND),
        is_fraud: label.is_fraud,
    }
}

pub(crate) fn assertion_id(nth: usize) -> String {
    format!("l{:03}", nth * 7_919 % 1_000)
}

fn event() -> impl Strategy<Value = Event> {
    let points = proptest::option::of(prop_oneof![
        (-3..3_i64).prop_map(Ok),
        any::<bool>().prop_map(Err)
    ]);
    let fields = (
        0..90_i64,
        0..3_u8,
        proptest::option::of(0..3_u8),
        0..100_i64,
        points,
    );
    fields.prop_map(|(ts, customer, terminal, amount, points)| Event {
        ts,
        customer,
        terminal,
        amount,
        points,
    })
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let stream = (proptest::collection::vec(event(), 1..60), 0..4_u8);
    stream
        .prop_flat_map(|(mut events, disorder)| {
            // From in order to wholly shuffled.
            match disorder {
                0 => events.sort_by_key(|it| it.ts),
                1 => events.sort_by_key(|it| it.ts / 10),
                2 => events.sort_by_key(|it| -it.ts),
                _ => {}
            }
            let n = events.len();
            let label = (0..n, -5..60_i64, any::<bool>());
            let labels = proptest::collection::vec(label, 0..40);
            let moments = proptest::collection::vec((0..n * 2, 0..n), 40);
            let again = proptest::collection::vec((0..n * 2, 0..n), 0..20);
            let repeats = proptest::collection::vec((0..n * 2, 0..n), 0..8);
            let restarts = proptest::collection::vec(0..n * 2, 0..4);
            let evicts = proptest::option::of(0..n);
            let extra = (again, repeats, restarts, evicts);
            (Just(events), labels, moments, extra)
        })
        .prop_map(|(events, labels, moments, extra)| {
            let (again, repeats, restarts, evicts) = extra;
            let labels: Vec<_> = labels
                .into_iter()
                .map(|(event, lag, is_fraud)| Label {
                    event,
                    observed: events[event].ts + lag,
                    is_fraud,
                })
                .collect();
            let mut steps: Vec<(usize, Step)> = (0..events.len())
                .map(|it| (it * 2, Step::Event(it)))
                .collect();
            steps.extend(
                labels
                    .iter()
                    .enumerate()
                    .map(|(nth, _)| (moments[nth].0, Step::Label(nth))),
            );
            steps.extend(
                again
                    .into_iter()
                    .map(|(when, event)| (when, Step::Again(event))),
            );
            steps.extend(
                repeats
                    .into_iter()
                    .map(|(when, it)| (when, Step::Repeat(it))),
            );
            steps.extend(evicts.map(|it| (it * 2, Step::Evict)));
            steps.extend(restarts.into_iter().map(|when| (when, Step::Restart)));
            steps.sort_by_key(|it| it.0);
            Case {
                events,
                labels,
                steps: steps.into_iter().map(|it| it.1).collect(),
            }
        })
}
