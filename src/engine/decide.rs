//! The decision: a pure function of (event, frame, features, bundle, posture). Replay calls it with
//! the same arguments and must get the same bytes (L12).

use std::collections::BTreeSet;

use crate::contracts::decision::{DecisionBody, InputPart, SCHEMA_VERSION};
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::{Capability, EventClass, Posture};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::engine::features::FeatureVector;
use crate::engine::frame::JoinFrame;
use crate::engine::policy::Inputs;
use crate::engine::posture;

/// Raised whenever the same inputs would give other bytes; another revision's replay is then a
/// diff, not corruption.
pub const ENGINE_REV: i64 = 1;

/// What one decision is a function of, beside its bundle.
#[derive(Debug, Clone, Copy)]
pub struct Given<'g> {
    pub event: &'g EventRecord,
    pub frame: &'g JoinFrame,
    /// Of the bundle's feature set.
    pub features: &'g FeatureVector,
    /// Recorded: under another than `NORMAL` the decision is a degraded one.
    pub posture: Posture,
    /// What the posture left switched on. What it took off was left out of the rest by the caller,
    /// but for the rules, which are tried here.
    pub capabilities: &'g BTreeSet<Capability>,
}

/// Decides.
#[must_use]
pub fn decide(bundle: &CompiledBundle, given: &Given<'_>) -> DecisionBody {
    let Given {
        event,
        frame,
        features,
        posture,
        capabilities,
    } = *given;
    assert_eq!(
        features.values.len(),
        bundle.feature_set.features().count(),
        "the features are those of the bundle"
    );
    let mut degraded = frame.degradations(event);
    let is_incomplete = !degraded.is_empty();
    degraded.extend(posture::degradation(posture));
    let result = match capabilities.contains(&Capability::Policy) {
        true => bundle.policy.evaluate(&Inputs {
            event,
            arrival: frame.arrival_event.as_ref().map(|it| &it.payload),
            degraded: is_incomplete,
            features: &features.values,
        }),
        false => posture::fail_closed(),
    };
    let mut inputs = frame.inputs();
    inputs.insert(InputPart::Traffic, event.payload_hash);
    let mut reasons = result.reasons;
    reasons.extend(degraded.iter().cloned());
    DecisionBody {
        schema_version: SCHEMA_VERSION,
        decision_id: DecisionId::of(
            &event.pins.platform_run_id,
            EventClass::Traffic,
            &event.event_id,
        ),
        pins: event.pins.clone(),
        event_class: EventClass::Traffic,
        event_id: event.event_id.clone(),
        ts_utc: event.ts,
        inputs,
        features: features.named(&bundle.feature_set),
        rule_score: result.rule_score,
        outcome: result.outcome,
        reasons,
        trace: result.trace,
        degraded,
        posture,
        bundle_slot: bundle.slot.clone(),
        bundle_digest: bundle.bundle_digest,
        feature_set_digest: bundle.feature_set_digest,
    }
}
