//! The actions of a policy: which outcome, or which rule that fired, asks for what on whom.

use crate::contracts::action_intent::{ActionSubject, IntentType, SubjectType};
use crate::contracts::decision::{DecisionBody, RuleResult, RuleTrace};
use crate::contracts::policy as shape;
use crate::engine::diagnostic::Fault;
use crate::engine::event::EventRecord;
use crate::engine::policy::Policy;
use crate::engine::yaml::Node;

/// Each decision goes through all of them.
const ACTIONS_MAX: usize = 100;

/// What is wrong with the actions of a policy whose rules have these ids.
pub(super) fn faults(root: &Node, actions: &[shape::ActionRule], ids: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |message: String| faults.push(Fault::new(root.place_of("actions"), message));
    if actions.len() > ACTIONS_MAX {
        fault(format!("a policy has at most {ACTIONS_MAX} actions"));
    }
    for action in actions {
        let (asked, subject) = (&action.intent_type, action.subject);
        match &action.rule {
            None if action.on.is_none() => fault(format!(
                "{asked} of {subject}: give `on`, an outcome, or `rule`, the id of a rule"
            )),
            Some(id) if !ids.contains(id) => {
                fault(format!("{asked} of {subject}: there is no rule `{id}`"));
            }
            _ => {}
        }
    }
    faults
}

impl Policy {
    /// What a decision asks for, each once, in order of the policy. An event that does not name the subject
    /// asks for nothing of it.
    #[must_use]
    pub fn asks(
        &self,
        event: &EventRecord,
        decided: &DecisionBody,
    ) -> Vec<(IntentType, ActionSubject)> {
        let mut asked: Vec<(IntentType, ActionSubject)> = Vec::new();
        for action in self.actions.iter().filter(|it| applies(it, decided)) {
            let Some(id) = subject_id(event, action.subject) else {
                continue;
            };
            let subject = ActionSubject {
                subject_type: action.subject,
                subject_id: id.to_owned(),
            };
            let ask = (action.intent_type.clone(), subject);
            if !asked.contains(&ask) {
                asked.push(ask);
            }
        }
        asked
    }
}

/// Where both are given, both must hold.
fn applies(action: &shape::ActionRule, decided: &DecisionBody) -> bool {
    let is_on = action.on.is_none_or(|on| on == decided.outcome);
    let fired = |id: &String| decided.trace.iter().any(|it| is_fired(it, id));
    is_on && action.rule.as_ref().is_none_or(fired)
}

fn is_fired(traced: &RuleTrace, id: &str) -> bool {
    traced.result == RuleResult::Fired && traced.rule_id == id
}

fn subject_id(event: &EventRecord, subject: SubjectType) -> Option<&str> {
    match subject {
        SubjectType::Payment => Some(event.event_id.as_str()),
        SubjectType::CustomerId => Some(&event.customer_id),
        SubjectType::MerchantId => Some(&event.merchant_id),
        SubjectType::AccountId => event.account_id.as_deref(),
        SubjectType::CardId => event.card_id.as_deref(),
        SubjectType::DeviceId => event.device_id.as_deref(),
        SubjectType::Ip => event.ip.as_deref(),
        SubjectType::TerminalId => event.terminal_id.as_deref(),
        SubjectType::BeneficiaryId => event.beneficiary_id.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vocabulary::Outcome;
    use crate::engine::features::FeatureSet;

    fn compile(actions: &str) -> Result<Policy, String> {
        let set = "feature_set: f\nversion: 1\nfeatures: []\n";
        let set = FeatureSet::compile("f.yaml", set).unwrap();
        let rule = "{id: R1, owner: o, description: d, when: 'event.amount_minor > 1', outcome: DECLINE, score: 1, reason_code: R}";
        let text = format!(
            "policy: p\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n  - {rule}\nactions:\n  - {actions}\n"
        );
        Policy::compile("p.yaml", &text, &set).map_err(|found| found[0].to_string())
    }

    #[test]
    fn an_action_names_an_outcome_or_a_rule_that_is_there() {
        for good in [
            "{on: DECLINE, intent_type: block_payment, subject: payment}",
            "{rule: R1, intent_type: block_card, subject: card_id}",
            "{on: DECLINE, rule: R1, intent_type: block_card, subject: card_id}",
        ] {
            let policy = compile(good).unwrap_or_else(|found| panic!("{good}: {found}"));
            let on = good.contains("on:").then_some(Outcome::Decline);
            assert_eq!(policy.actions[0].on, on, "{good}");
        }
        for (bad, says) in [
            ("{intent_type: block_card, subject: card_id}", "give `on`"),
            (
                "{rule: R2, intent_type: block_card, subject: card_id}",
                "no rule `R2`",
            ),
            (
                "{on: decline, intent_type: block_card, subject: card_id}",
                "decline",
            ),
            (
                "{on: DECLINE, intent_type: Block, subject: card_id}",
                "Block",
            ),
            ("{on: DECLINE, intent_type: block, subject: card}", "card"),
            (
                "{on: DECLINE, intent_type: block, subject: card_id, to: x}",
                "to",
            ),
        ] {
            let found = compile(bad).map(|_| ()).unwrap_err();
            assert!(found.contains(says), "{bad}: {found}");
        }
    }
}
