//! The decision: a pure function of (event, frame, features, bundle, posture). Replay calls it with
//! the same arguments and must get the same bytes (L12).

use crate::contracts::decision::{DecisionBody, InputPart, SCHEMA_VERSION};
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::{EventClass, Posture};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::engine::features::FeatureVector;
use crate::engine::frame::JoinFrame;
use crate::engine::policy::Inputs;

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
    /// Recorded; what it switches off was left out of the rest by the caller.
    pub posture: Posture,
}

/// Decides.
#[must_use]
pub fn decide(bundle: &CompiledBundle, given: &Given<'_>) -> DecisionBody {
    let Given {
        event,
        frame,
        features,
        posture,
    } = *given;
    assert_eq!(
        features.values.len(),
        bundle.feature_set.features().count(),
        "the features are those of the bundle"
    );
    let degraded = frame.degradations(event);
    let result = bundle.policy.evaluate(&Inputs {
        event,
        arrival: frame.arrival_event.as_ref().map(|it| &it.payload),
        degraded: !degraded.is_empty(),
        features: &features.values,
    });
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
