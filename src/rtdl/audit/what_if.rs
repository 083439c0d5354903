//! What if another bundle had decided: the decisions of a range made again, by it and from the same inputs, and how
//! their outcomes would have changed. Nothing of it enters the log.
//!
//! Features, context and posture are what they were at each decision; only the bundle is another one.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contracts::decision::{DecisionBody, RuleResult};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::Outcome;
use crate::engine::{CompiledBundle, ENGINE_REV};
use crate::rtdl::audit::Error;
use crate::rtdl::audit::replay::{Past, begun, fetch_context};
use crate::runtime::archive::ArchiveReader;
use crate::runtime::decisions::StoredDecision;
use crate::runtime::ground::Ground;

/// Decisions that are named for each change of outcome.
const EXAMPLES: usize = 5;

/// How the outcomes of a range would have changed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WhatIfReport {
    pub compared: u64,
    /// Decisions with another outcome.
    pub changed: u64,
    pub bundle: String,
    pub bundle_digest: Option<Digest>,
    /// The code that decided again.
    pub engine_rev: i64,
    /// Decisions that another revision of the engine made: of these a change may be the code's, not the bundle's.
    pub other_engine: u64,
    /// From every outcome to every other, the unchanged too; those that occur.
    pub outcomes: Vec<Moved>,
    /// Every rule of either bundle that fired at all.
    pub rules: Vec<RuleMoved>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    pub from: Outcome,
    pub to: Outcome,
    pub decisions: u64,
    /// Of the payments, by currency, in minor units.
    pub amount_minor: BTreeMap<String, i128>,
    /// The first few, of those that changed.
    pub examples: Vec<DecisionId>,
}

/// How often a rule fired, then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleMoved {
    pub rule_id: String,
    pub fired: u64,
    pub would_fire: u64,
}

/// Decides again by `bundle` what is all of one run and ordered by seq.
///
/// # Errors
/// As those of a replay.
pub async fn what_if(
    ground: &Ground,
    decisions: &[StoredDecision],
    bundle: &CompiledBundle,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<WhatIfReport, Error> {
    let mut tally = Tally::default();
    if let Some(first) = decisions.first() {
        let reader = ArchiveReader::new(ground.db.clone(), ground.objects.clone());
        let opened = decisions
            .iter()
            .map(StoredDecision::open)
            .collect::<Result<Vec<_>, _>>()?;
        let begun = begun(ground, &first.run).await?;
        let mut past = Past::open(&reader, first.run, &begun, &opened).await?;
        let context = fetch_context(&reader, first.run, &opened).await?;
        for (body, evidence) in &opened {
            let (event, decided) = past.decide(bundle, (body, evidence), &context).await?;
            let amount = (event.currency.as_str(), event.amount_minor);
            tally.add(body, &decided, amount);
            tally.other_engine += u64::from(evidence.engine_rev != ENGINE_REV);
            progress(tally.compared, decisions.len() as u64);
        }
    }
    Ok(tally.report(bundle))
}

/// What was counted so far.
#[derive(Default)]
struct Tally {
    compared: u64,
    other_engine: u64,
    outcomes: BTreeMap<(Outcome, Outcome), Moved>,
    rules: BTreeMap<String, (u64, u64)>,
}

impl Tally {
    fn add(&mut self, was: &DecisionBody, now: &DecisionBody, (currency, amount): (&str, i64)) {
        self.compared += 1;
        let (from, to) = (was.outcome, now.outcome);
        let moved = self.outcomes.entry((from, to)).or_insert_with(|| Moved {
            from,
            to,
            decisions: 0,
            amount_minor: BTreeMap::new(),
            examples: Vec::new(),
        });
        moved.decisions += 1;
        *moved.amount_minor.entry(currency.to_owned()).or_default() += i128::from(amount);
        if from != to && moved.examples.len() < EXAMPLES {
            moved.examples.push(was.decision_id);
        }
        for rule in fired(was) {
            self.rules.entry(rule).or_default().0 += 1;
        }
        for rule in fired(now) {
            self.rules.entry(rule).or_default().1 += 1;
        }
    }

    fn report(self, bundle: &CompiledBundle) -> WhatIfReport {
        let outcomes: Vec<Moved> = self.outcomes.into_values().collect();
        let moved = outcomes.iter().filter(|it| it.from != it.to);
        let rules = self.rules.into_iter();
        WhatIfReport {
            compared: self.compared,
            changed: moved.map(|it| it.decisions).sum(),
            bundle: bundle.name.clone(),
            bundle_digest: Some(bundle.bundle_digest),
            engine_rev: ENGINE_REV,
            other_engine: self.other_engine,
            rules: rules
                .map(|(rule_id, (fired, would_fire))| RuleMoved {
                    rule_id,
                    fired,
                    would_fire,
                })
                .collect(),
            outcomes,
        }
    }
}

fn fired(body: &DecisionBody) -> impl Iterator<Item = String> {
    let trace = body.trace.iter();
    let fired = trace.filter(|it| it.result == RuleResult::Fired);
    fired.map(|it| it.rule_id.clone())
}
