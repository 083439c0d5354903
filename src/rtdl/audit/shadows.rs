//! What shadow bundles would have decided: read beside the decisions, compared with what is recomputed, and held
//! against what the primary decided.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, ListHit, record_hash};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId, ShadowScoreId};
use crate::domain::vocabulary::Outcome;
use crate::engine::ENGINE_REV;
use crate::rtdl::audit::Error;
use crate::rtdl::audit::diff::{FieldDiff, diff};
use crate::runtime::decisions::{self, StoredDecision};
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Row};

const READ: &str = include_str!("sql/read_shadows.sql");
const PAGE_SHADOWS: &str = include_str!("sql/page_shadows.sql");
const LIST_SETS: &str = include_str!("sql/list_shadow_sets.sql");
const PAGE: i64 = 2_000;

/// What a shadow bundle would have decided, as the API gives it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ShadowScore {
    pub shadow_score_id: ShadowScoreId,
    pub bundle_slot: String,
    pub outcome: Outcome,
    /// The model's, where the bundle has one.
    pub score: Option<f64>,
    pub rule_score: i64,
    pub reasons: Vec<String>,
    pub bundle_digest: Digest,
    pub feature_set_digest: Digest,
    pub body_hash: Digest,
}

/// A row, verified: its columns are what its body says, and its body is what was hashed.
#[derive(Debug)]
pub(super) struct StoredShadow {
    pub(super) seq: i64,
    decision_id: DecisionId,
    pub(super) score: ShadowScore,
    pub(super) lists: Vec<ListHit>,
    body_bytes: Vec<u8>,
    body: DecisionBody,
}

impl StoredShadow {
    fn read(row: &Row) -> Result<StoredShadow, Error> {
        let shadow_score_id: ShadowScoreId = row.get(2);
        let altered = || Error::Evidence {
            what: format!("shadow score `{shadow_score_id}`"),
        };
        let (body_bytes, body_hash): (Vec<u8>, Digest) = (row.get(10), row.get(11));
        if record_hash(&body_bytes) != body_hash {
            return Err(altered());
        }
        let body: DecisionBody = canonical::from_bytes("shadow body", &body_bytes)?;
        let score = ShadowScore {
            shadow_score_id,
            bundle_slot: body.bundle_slot.clone(),
            outcome: body.outcome,
            score: body.score,
            rule_score: body.rule_score,
            reasons: body.reasons.clone(),
            bundle_digest: body.bundle_digest,
            feature_set_digest: body.feature_set_digest,
            body_hash,
        };
        let decision_id: DecisionId = row.get(3);
        let named = (row.get(4), row.get(5));
        let said: (&str, Option<f64>, Vec<String>) = (row.get(6), row.get(7), row.get(8));
        let is_its_body = row.get::<_, &str>(1) == body.bundle_slot
            && shadow_score_id == ShadowScoreId::of(&decision_id, &body.bundle_slot)
            && decision_id == body.decision_id
            && named == (body.bundle_digest, body.feature_set_digest)
            && said == (body.outcome.as_str(), body.score, body.reasons.clone());
        if !is_its_body {
            return Err(altered());
        }
        Ok(StoredShadow {
            seq: row.get(0),
            decision_id,
            score,
            lists: serde_json::from_str(row.get(9)).map_err(|_| altered())?,
            body_bytes,
            body,
        })
    }
}

/// The shadows at some places of a run's chain, by decision; of days that have left there are none.
pub(super) async fn of(
    ground: &Ground,
    run: PlatformRunId,
    seqs: Vec<i64>,
) -> Result<BTreeMap<DecisionId, Vec<StoredShadow>>, Error> {
    let mut found: BTreeMap<DecisionId, Vec<StoredShadow>> = BTreeMap::new();
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ).await?;
    for row in client.query(&statement, &[&run, &seqs]).await? {
        let shadow = StoredShadow::read(&row)?;
        found.entry(shadow.decision_id).or_default().push(shadow);
    }
    Ok(found)
}

/// The shadows of one decision, in order of their slots.
pub(super) async fn of_one(
    ground: &Ground,
    stored: &StoredDecision,
) -> Result<Vec<ShadowScore>, Error> {
    let found = of(ground, stored.run, vec![stored.seq]).await?;
    let shadows = found.into_values().flatten();
    Ok(shadows.map(|it| it.score).collect())
}

/// The feature sets of the shadows of decisions, which are ordered by seq.
pub(super) async fn sets(
    ground: &Ground,
    decisions: &[StoredDecision],
) -> Result<Vec<Digest>, Error> {
    let (Some(first), Some(last)) = (decisions.first(), decisions.last()) else {
        return Ok(Vec::new());
    };
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(LIST_SETS).await?;
    let rows = client
        .query(&statement, &[&first.run, &first.seq, &last.seq])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What a replay saw of the shadows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ShadowReport {
    pub compared: u64,
    pub mismatched: u64,
    /// Every one that differs, field by field.
    pub mismatches: Vec<ShadowCompared>,
}

/// One shadow score that did not come out the same.
#[derive(Debug, Clone, Serialize)]
pub struct ShadowCompared {
    pub shadow_score_id: ShadowScoreId,
    pub bundle_slot: String,
    pub decision_id: DecisionId,
    pub seq: i64,
    pub engine_rev: i64,
    pub engine_rev_here: i64,
    pub fields: Vec<FieldDiff>,
}

impl ShadowReport {
    pub(super) fn compare(
        &mut self,
        stored: &StoredShadow,
        evidence: &DecisionEvidence,
        recomputed: &DecisionBody,
    ) -> Result<(), Error> {
        self.compared += 1;
        if canonical::to_bytes(recomputed)? == stored.body_bytes {
            return Ok(());
        }
        self.mismatched += 1;
        let json = |body: &DecisionBody| serde_json::to_value(body).unwrap_or_default();
        self.mismatches.push(ShadowCompared {
            shadow_score_id: stored.score.shadow_score_id,
            bundle_slot: stored.score.bundle_slot.clone(),
            decision_id: stored.decision_id,
            seq: stored.seq,
            engine_rev: evidence.engine_rev,
            engine_rev_here: ENGINE_REV,
            fields: diff(&json(&stored.body), &json(recomputed)),
        });
        Ok(())
    }

    /// Adds what another run's replay saw.
    pub fn extend(&mut self, other: ShadowReport) {
        self.compared += other.compared;
        self.mismatched += other.mismatched;
        self.mismatches.extend(other.mismatches);
    }
}

/// How the shadows of a run agree with what was decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    pub platform_run_id: PlatformRunId,
    pub slots: Vec<SlotAgreement>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotAgreement {
    pub bundle_slot: String,
    /// Those that stood in the slot.
    pub bundles: Vec<Digest>,
    /// Decisions that it scored.
    pub compared: u64,
    /// Of them, those with another outcome, and their share.
    pub differ: u64,
    pub differ_share: f64,
    /// By what was decided and what the shadow would have; those that occur.
    pub outcomes: Vec<Pair>,
    /// Of the same decisions.
    pub primary: Scores,
    pub shadow: Scores,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    pub primary: Outcome,
    pub shadow: Outcome,
    pub decisions: u64,
}

/// The spread of scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// `model`, or `rules` where no decision has a model's score.
    pub of: &'static str,
    pub decisions: u64,
    pub p10: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// Holds the shadows of a run against its decisions; of one slot, or of all. Days that have left are not in it.
///
/// # Errors
/// A row that was altered, and those of the log.
pub async fn agreement(
    ground: &Ground,
    run: &PlatformRunId,
    slot: Option<&str>,
) -> Result<Agreement, Error> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut seq, mut after) = (0_i64, String::new());
    loop {
        let client = ground.db.get().await?;
        let statement = client.prepare_cached(PAGE_SHADOWS).await?;
        let params: [&(dyn db::ToSql + Sync); 5] = [run, &seq, &after, &slot, &PAGE];
        let rows = client.query(&statement, &params).await?;
        drop(client);
        let page = rows.iter().map(StoredShadow::read);
        let page = page.collect::<Result<Vec<_>, _>>()?;
        let Some(last) = page.last() else { break };
        (seq, after) = (last.seq, last.score.bundle_slot.clone());
        let mut seqs: Vec<i64> = page.iter().map(|it| it.seq).collect();
        seqs.dedup();
        let decided = decisions::at(ground, run, &seqs).await?;
        let opened = decided.iter().map(|it| Ok((it.seq, it.open()?.0)));
        let opened = opened.collect::<Result<BTreeMap<i64, DecisionBody>, Error>>()?;
        for shadow in &page {
            let primary = opened.get(&shadow.seq).ok_or_else(|| Error::Evidence {
                what: format!("the decision of `{}`", shadow.score.shadow_score_id),
            })?;
            let tally = tallies.entry(shadow.score.bundle_slot.clone());
            tally.or_default().add(primary, &shadow.body);
        }
    }
    let slots = tallies.into_iter().map(|(slot, it)| it.report(slot));
    Ok(Agreement {
        platform_run_id: *run,
        slots: slots.collect(),
    })
}

#[derive(Default)]
struct Tally {
    bundles: BTreeSet<Digest>,
    outcomes: BTreeMap<(Outcome, Outcome), u64>,
    primary: Spread,
    shadow: Spread,
}

/// A few bytes a decision, until the quantiles are taken.
#[derive(Default)]
struct Spread {
    model: Vec<f64>,
    rules: Vec<i64>,
}

impl Spread {
    fn add(&mut self, body: &DecisionBody) {
        self.model.extend(body.score);
        self.rules.push(body.rule_score);
    }

    fn report(self) -> Scores {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of a policy's scores are small"
        )]
        let (of, mut scores) = match self.model.is_empty() {
            true => (
                "rules",
                self.rules.into_iter().map(|it| it as f64).collect(),
            ),
            false => ("model", self.model),
        };
        scores.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            scores
                .get((scores.len() * percent).div_ceil(100).max(1) - 1)
                .copied()
        };
        Scores {
            of,
            decisions: scores.len() as u64,
            p10: at(10),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Tally {
    fn add(&mut self, primary: &DecisionBody, shadow: &DecisionBody) {
        self.bundles.insert(shadow.bundle_digest);
        let pair = (primary.outcome, shadow.outcome);
        *self.outcomes.entry(pair).or_default() += 1;
        self.primary.add(primary);
        self.shadow.add(shadow);
    }

    fn report(self, bundle_slot: String) -> SlotAgreement {
        let compared: u64 = self.outcomes.values().sum();
        let differing = self
            .outcomes
            .iter()
            .filter(|((was, would), _)| was != would);
        let differ: u64 = differing.map(|(_, n)| n).sum();
        let outcomes = self.outcomes.into_iter();
        #[expect(clippy::cast_precision_loss, reason = "a share is read by people")]
        let differ_share = differ as f64 / compared.max(1) as f64;
        SlotAgreement {
            bundle_slot,
            bundles: self.bundles.into_iter().collect(),
            compared,
            differ,
            differ_share,
            outcomes: outcomes
                .map(|((primary, shadow), decisions)| Pair {
                    primary,
                    shadow,
                    decisions,
                })
                .collect(),
            primary: self.primary.report(),
            shadow: self.shadow.report(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn quantiles_are_of_the_model_where_there_is_one() {
        let rules = Spread {
            model: Vec::new(),
            rules: (1..=100).rev().collect(),
        };
        let scores = rules.report();
        assert_eq!((scores.of, scores.decisions), ("rules", 100));
        let all = [scores.p10, scores.p50, scores.p90, scores.p99, scores.max];
        assert_eq!(all, [10.0, 50.0, 90.0, 99.0, 100.0].map(Some));
        let model = Spread {
            model: vec![0.5],
            rules: vec![0, 1],
        };
        assert_eq!(model.report().of, "model");
        assert_eq!(Spread::default().report().p50, None);
    }
}
