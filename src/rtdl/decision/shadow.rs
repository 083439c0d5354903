//! Shadow bundles: what they would have decided, from the same event, frame, lists and posture, recorded with the
//! decision and never acted on.
//!
//! **Invariant:** nothing here can refuse or change a decision: a shadow that cannot decide is counted and said.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::contracts::canonical;
use crate::contracts::decision::{ListHit, record_hash};
use crate::contracts::policy::List;
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId, ShadowScoreId};
use crate::domain::vocabulary::{Capability, Outcome};
use crate::engine::bundle::{CompiledBundle, PRIMARY_SLOT};
use crate::engine::decide::{Given, decide};
use crate::engine::posture;
use crate::rtdl::decision::batch::Decided;
use crate::rtdl::decision::state::RunState;
use crate::substrate::db::{self, Day, ToSql, Transaction, Type, copy_in};

const APPEND: &str = include_str!("sql/append_shadows.sql");

/// The bundles of the shadow slots.
#[derive(Debug, Clone, Default)]
pub struct Shadows {
    /// Each in its slot.
    pub bundles: Vec<Arc<CompiledBundle>>,
    /// Slots whose bundle cannot be used.
    pub n_broken: u64,
}

/// What a shadow would have decided.
#[derive(Debug)]
pub(super) struct ShadowScore {
    pub(super) slot: String,
    id: ShadowScoreId,
    bundle_digest: Digest,
    feature_set_digest: Digest,
    outcome: Outcome,
    score: Option<f64>,
    reasons: Vec<String>,
    /// Of the shadow's own lists.
    lists: String,
    body: Vec<u8>,
    body_hash: Digest,
}

/// What became of the shadows at one decision; each is counted once.
#[derive(Debug, Default)]
pub(super) struct Shadowed {
    pub(super) scores: Vec<ShadowScore>,
    /// Not warm yet, or switched off by the posture.
    pub(super) skipped: u64,
    pub(super) failed: u64,
}

/// The wanted bundles that never act.
pub(super) fn of(
    wanted: &BTreeMap<String, Arc<CompiledBundle>>,
) -> impl Iterator<Item = &CompiledBundle> {
    let shadows = wanted.iter().filter(|(slot, _)| *slot != PRIMARY_SLOT);
    shadows.map(|(_, bundle)| bundle.as_ref())
}

/// The lists of all bundles, each once.
pub(super) fn lists<'b>(bundles: impl Iterator<Item = &'b CompiledBundle>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for list in bundles.flat_map(|it| it.policy.lists()) {
        let is_same = |it: &List| it.name == list.name && it.entity == list.entity;
        if !lists.iter().any(is_same) {
            lists.push(list.clone());
        }
    }
    lists
}

/// Of all hits those on the bundle's lists.
pub(super) fn hits(bundle: &CompiledBundle, hits: &[ListHit]) -> Vec<ListHit> {
    let lists = bundle.policy.lists();
    let is_of = |hit: &&ListHit| {
        let mut lists = lists.iter();
        lists.any(|it| it.name == hit.list && it.entity == hit.entity)
    };
    hits.iter().filter(is_of).cloned().collect()
}

/// Has every shadow decide what the primary was given; `given.lists` holds the hits of all.
pub(super) fn score<'b>(
    shadows: impl Iterator<Item = &'b CompiledBundle>,
    state: &mut RunState,
    given: &Given<'_>,
    (primary, decision_id): (&CompiledBundle, &DecisionId),
) -> Shadowed {
    let mut shadowed = Shadowed::default();
    for bundle in shadows {
        let set = &bundle.feature_set_digest;
        let is_on = given.capabilities.contains(&Capability::Shadow);
        let own = match set == &primary.feature_set_digest {
            true => Some(Ok(given.features.clone())),
            false => state.features(set).map(|it| {
                posture::features(&bundle.feature_set, it, given.event, given.capabilities)
            }),
        };
        let features = match own.filter(|_| is_on) {
            None => {
                shadowed.skipped += 1;
                continue;
            }
            Some(Ok(features)) => features,
            Some(Err(lost)) => {
                tracing::warn!(feature_set = %set, slot = bundle.slot, error = %lost, "the features of a shadow are lost; they start over");
                state.forget(set);
                shadowed.failed += 1;
                continue;
            }
        };
        let lists = hits(bundle, given.lists);
        let given = Given {
            features: &features,
            lists: &lists,
            ..*given
        };
        match record(bundle, &given, decision_id) {
            Ok(score) => shadowed.scores.push(score),
            Err(error) => {
                tracing::warn!(decision_id = %decision_id, slot = bundle.slot, error = %error, "a shadow could not decide");
                shadowed.failed += 1;
            }
        }
    }
    shadowed
}

fn record(
    bundle: &CompiledBundle,
    given: &Given<'_>,
    decision_id: &DecisionId,
) -> Result<ShadowScore, canonical::Error> {
    let decided = decide(bundle, given);
    let body = canonical::to_bytes(&decided)?;
    Ok(ShadowScore {
        slot: bundle.slot.clone(),
        id: ShadowScoreId::of(decision_id, &bundle.slot),
        bundle_digest: bundle.bundle_digest,
        feature_set_digest: bundle.feature_set_digest,
        outcome: decided.outcome,
        score: decided.score,
        reasons: decided.reasons,
        lists: serde_json::to_string(given.lists).expect("hits are plain JSON"),
        body_hash: record_hash(&body),
        body,
    })
}

const TYPES: &[Type] = &[
    Type::DATE,
    Type::BYTEA,
    Type::INT8,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::TEXT,
    Type::FLOAT8,
    Type::TEXT_ARRAY,
    Type::TEXT,
    Type::BYTEA,
    Type::BYTEA,
];

type Columns<'a> = [&'a (dyn ToSql + Sync); 14];

/// In the decisions' own transaction; nothing is sent where there are no shadows.
pub(super) async fn append(
    tx: &Transaction<'_>,
    run: &PlatformRunId,
    decided: &[Decided],
) -> Result<(), db::Error> {
    if decided.iter().all(|it| it.shadows.scores.is_empty()) {
        return Ok(());
    }
    let scores = decided.iter().flat_map(|row| {
        let of_row = row.shadows.scores.iter();
        of_row.map(move |it| (row, it, Day::of(row.decided_at), it.outcome.as_str()))
    });
    let scores: Vec<(&Decided, &ShadowScore, Day, &str)> = scores.collect();
    // Collected before the await: a borrowing iterator held across it would not be Send.
    let rows = scores.iter().map(|(row, it, day, outcome)| -> Columns<'_> {
        [
            day,
            run,
            &row.chain.seq,
            &it.slot,
            &it.id,
            &row.decision_id,
            &it.bundle_digest,
            &it.feature_set_digest,
            outcome,
            &it.score,
            &it.reasons,
            &it.lists,
            &it.body,
            &it.body_hash,
        ]
    });
    let rows: Vec<Columns<'_>> = rows.collect();
    copy_in(tx, APPEND, TYPES, rows).await?;
    Ok(())
}
