//! Decisions that a person would look at first: the largest fraud missed, the largest caught, the
//! largest false alarms.

use crate::app::report::known::Known;
use crate::contracts::decision::{DecisionBody, RuleResult};
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::Outcome;

/// How many of each kind.
const TOP: usize = 5;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worth {
    pub(super) amount_minor: i64,
    pub(super) decision_id: DecisionId,
    pub(super) event_id: String,
    pub(super) ts: String,
    pub(super) outcome: Outcome,
    pub(super) fired: Vec<String>,
    pub(super) campaign: u16,
}

/// The largest of each kind, the largest first.
#[derive(Debug, Default)]
pub(super) struct Worths {
    pub(super) missed: Vec<Worth>,
    pub(super) caught: Vec<Worth>,
    pub(super) alarms: Vec<Worth>,
}

impl Worths {
    pub(super) fn add(&mut self, body: &DecisionBody, known: &Known) {
        let is_caught = body.outcome != Outcome::Approve;
        let list = match (known.is_fraud, is_caught) {
            (true, true) => &mut self.caught,
            (true, false) => &mut self.missed,
            (false, true) => &mut self.alarms,
            (false, false) => return,
        };
        let below = |it: &Worth| it.amount_minor < known.amount_minor;
        let at = list.iter().position(below).unwrap_or(list.len());
        if at >= TOP {
            return;
        }
        let fired = body
            .trace
            .iter()
            .filter(|it| it.result == RuleResult::Fired);
        let worth = Worth {
            amount_minor: known.amount_minor,
            decision_id: body.decision_id,
            event_id: body.event_id.to_string(),
            ts: body.ts_utc.to_string(),
            outcome: body.outcome,
            fired: fired.map(|it| it.rule_id.clone()).collect(),
            campaign: known.campaign,
        };
        list.insert(at, worth);
        list.truncate(TOP);
    }
}
