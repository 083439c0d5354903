//! Labels for the payments of the graph's tests, and how they come: on their own stream, as assertions.

use bytes::Bytes;
use fraudplat::contracts::label_assertion::LabelAssertion;
use fraudplat::domain::ids::LabelAssertionId;
use fraudplat::domain::keys::{LabelSubject, Pins};
use fraudplat::domain::time::Time;
use fraudplat::domain::vocabulary::{LabelType, Stream};

use crate::graph::{DAY, START};
use crate::world::World;

/// Of every seventh payment a label; of some a second, which is observed later and says otherwise, or at the
/// same time; labels of another type, and of payments that never come.
pub(super) fn labels(run: &Pins) -> Vec<LabelAssertion> {
    let label = |event: &str, nth: i64, observed: i64, label_type, value: &str| {
        let subject = LabelSubject {
            platform_run_id: run.platform_run_id,
            event_id: event.parse().unwrap(),
        };
        let (source, reference) = ("bank", nth.to_string());
        LabelAssertion {
            schema_version: 1,
            label_assertion_id: LabelAssertionId::of(&subject, label_type, source, &reference),
            subject,
            label_type,
            value: value.to_owned(),
            effective_time: Time::from_micros(observed),
            observed_time: Time::from_micros(observed),
            source: source.to_owned(),
            source_ref_id: reference,
            actor_id: "bank".parse().unwrap(),
            evidence_refs: Vec::new(),
        }
    };
    let (fraud, legit) = ("CONFIRMED_FRAUD", "CONFIRMED_LEGIT");
    let mut labels = Vec::new();
    for nth in (0..600_i64).step_by(14) {
        let (event, at) = (format!("e{nth}"), START + (nth % 31) * DAY);
        let disposition = LabelType::FraudDisposition;
        let first = if nth % 4 == 0 { fraud } else { legit };
        labels.push(label(&event, nth, at, disposition, first));
        let later = at + nth % 3 * DAY;
        let second = if nth % 5 == 0 { fraud } else { legit };
        labels.push(label(&event, nth + 1_000, later, disposition, second));
        labels.push(label(&event, nth, at, LabelType::ChargebackStatus, "LOST"));
        labels.push(label(&format!("x{nth}"), nth, at, disposition, fraud));
    }
    labels
}

pub(super) async fn put_labels(world: &World, labels: &[LabelAssertion]) {
    let data = labels.iter().map(|it| serde_json::to_vec(it).unwrap());
    let mut data: Vec<Bytes> = data.map(Bytes::from).collect();
    data.push(Bytes::from_static(b"no label"));
    world.put(Stream::Labels, data).await;
}
