//! A policy: rules over an event, its features and its context, the strictest that fires decides.
//!
//! A missing or undefined operand makes a rule not fire, and the trace names the operand. The
//! default is the outcome where no rule fires; it does not compete with those that do.

mod actions;
mod compile;

use crate::contracts::decision::{RuleResult, RuleTrace, Value};
use crate::contracts::payload::ArrivalEvent;
use crate::domain::vocabulary::Outcome;
use crate::engine::diagnostic::Diagnostic;
use crate::engine::event::EventRecord;
use crate::engine::expr::{Cell, OperandNo, Program, Slots, Stop};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) policy_rev: i64,
    pub(crate) default: Outcome,
    pub(crate) rules: Vec<Rule>,
    pub(crate) actions: Vec<crate::contracts::policy::ActionRule>,
    pub(crate) warnings: Vec<Diagnostic>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) when: Program,
    pub(crate) outcome: Outcome,
    pub(crate) score: i64,
    pub(crate) reason_code: String,
}

/// What one evaluation reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'i> {
    pub event: &'i EventRecord,
    /// Where the join found it.
    pub arrival: Option<&'i ArrivalEvent>,
    /// `event.degraded`: the decision stands on less than the whole frame.
    pub degraded: bool,
    /// In order of the feature set that the policy was compiled against.
    pub features: &'i [Value],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyResult {
    pub outcome: Outcome,
    pub rule_score: i64,
    /// Reason codes of the rules that fired, in order of the policy, each once.
    pub reasons: Vec<String>,
    /// Every rule, in order of the policy.
    pub trace: Vec<RuleTrace>,
}

impl Policy {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn policy_rev(&self) -> i64 {
        self.policy_rev
    }

    /// What is legal but can hardly be meant: rules that always or never fire.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    #[must_use]
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> PolicyResult {
        let slots = Slots {
            event: inputs.event,
            arrival: inputs.arrival,
            degraded: inputs.degraded,
            features: inputs.features,
        };
        let mut strictest = None;
        let mut rule_score = 0;
        let mut reasons: Vec<String> = Vec::new();
        let mut trace = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let ran = rule.when.run(&slots);
            if ran == Ok(Cell::Bool(true)) {
                strictest = strictest.max(Some(rule.outcome));
                // Compilation has bounded the sum.
                rule_score += rule.score;
                if !reasons.contains(&rule.reason_code) {
                    reasons.push(rule.reason_code.clone());
                }
            }
            trace.push(rule.traced(ran));
        }
        PolicyResult {
            outcome: strictest.unwrap_or(self.default),
            rule_score,
            reasons,
            trace,
        }
    }
}

impl Rule {
    fn traced(&self, ran: Result<Cell<'_>, Stop>) -> RuleTrace {
        let named = |operand: OperandNo| self.when.operands.get(usize::from(operand)).cloned();
        let (result, operand) = match ran {
            Ok(Cell::Bool(true)) => (RuleResult::Fired, None),
            Ok(_) => (RuleResult::NotFired, None),
            Err(Stop::Missing(operand)) => (RuleResult::Missing, named(operand)),
            Err(Stop::Undefined(operand)) => (RuleResult::Undefined, named(operand)),
        };
        RuleTrace {
            rule_id: self.id.clone(),
            result,
            operand,
        }
    }
}
