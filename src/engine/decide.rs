//! The decision: a pure function of (event, frame, features, lists, bundle, posture). Replay calls it with
//! the same arguments and must get the same bytes (L12).

use std::collections::BTreeSet;

use crate::contracts::decision::{
    Contribution, Contributions, DecisionBody, InputPart, ListHit, SCHEMA_VERSION, Value,
};
use crate::contracts::policy::List;
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::{Capability, EventClass, Posture};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::engine::features::FeatureVector;
use crate::engine::frame::JoinFrame;
use crate::engine::policy::Inputs;
use crate::engine::posture;
use crate::engine::scoring::{Model, Score};

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
    /// The entries in force of the bundle's lists that the event's entities stand on.
    pub lists: &'g [ListHit],
    /// Recorded: under another than `NORMAL` the decision is a degraded one.
    pub posture: Posture,
    /// What the posture left switched on. What it took off was left out of the rest by the caller,
    /// but for model and rules, which are tried here.
    pub capabilities: &'g BTreeSet<Capability>,
}

/// Decides.
#[must_use]
pub fn decide(bundle: &CompiledBundle, given: &Given<'_>) -> DecisionBody {
    let Given {
        event,
        frame,
        features,
        lists,
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
    let score = scored(bundle, given);
    let is_on = |list: &List| {
        let on = |hit: &ListHit| hit.list == list.name && hit.entity == list.entity;
        lists.iter().any(on)
    };
    let is_on: Vec<bool> = bundle.policy.lists().iter().map(is_on).collect();
    let result = match capabilities.contains(&Capability::Policy) {
        true => bundle.policy.evaluate(&Inputs {
            event,
            arrival: frame.arrival_event.as_ref().map(|it| &it.payload),
            degraded: is_incomplete,
            features: &features.values,
            score: score.as_ref().map(|(_, it)| it.score),
            lists: &is_on,
        }),
        false => posture::fail_closed(),
    };
    let mut inputs = frame.inputs();
    inputs.insert(InputPart::Traffic, event.payload_hash);
    let mut reasons = result.reasons;
    reasons.extend(degraded.iter().cloned());
    let mut reason_texts: Vec<String> = reasons
        .iter()
        .filter_map(|code| bundle.manifest.of_code(code, &features.values))
        .collect();
    if let Some((model, score)) = &score {
        reason_texts.extend(raised(bundle, model, score, &features.values));
    }
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
        score: score.as_ref().map(|(_, it)| it.score),
        contributions: score.as_ref().map(|(model, it)| contributions(model, it)),
        outcome: result.outcome,
        reasons,
        reason_texts,
        trace: result.trace,
        degraded,
        posture,
        bundle_slot: bundle.slot.clone(),
        bundle_digest: bundle.bundle_digest,
        feature_set_digest: bundle.feature_set_digest,
    }
}

/// What the model says, where the bundle has one and the posture left it on.
fn scored<'b>(bundle: &'b CompiledBundle, given: &Given<'_>) -> Option<(&'b Model, Score)> {
    let model = bundle.model.as_ref();
    let model = model.filter(|_| given.capabilities.contains(&Capability::Model))?;
    let mut row = Vec::new();
    model.row(&given.features.values, &mut row);
    Some((model, model.explain(&row)))
}

/// How many contributions become reasons.
const RAISED_MAX: usize = 3;

fn contributions(model: &Model, score: &Score) -> Contributions {
    let parts = model.features().zip(&score.contributions);
    let parts = parts.filter(|(_, value)| **value != 0.0);
    Contributions {
        raw: score.raw,
        expected: model.expected(),
        parts: parts
            .map(|(feature, value)| Contribution {
                feature: feature.to_owned(),
                value: *value,
            })
            .collect(),
    }
}

/// What raised the score most, in words with the values that did; equals in the model's order.
fn raised(bundle: &CompiledBundle, model: &Model, score: &Score, values: &[Value]) -> Vec<String> {
    let mut raising: Vec<(&(String, usize), f64)> = model
        .bound()
        .iter()
        .zip(score.contributions.iter().copied())
        // Less would be shown as nothing.
        .filter(|(_, value)| *value >= 0.005)
        .collect();
    raising.sort_by(|a, b| b.1.total_cmp(&a.1));
    let raising = raising.into_iter().take(RAISED_MAX);
    let said = raising.map(|((name, at), value)| {
        let words = bundle.manifest.of_feature(name, *at, values);
        format!("{words} (+{value:.2})")
    });
    said.collect()
}
