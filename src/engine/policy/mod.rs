//! A policy: lists and rules over an event, its features, its context and the model's score.
//!
//! **Precedence:** a deny list decides; else an allow list; else the strictest of watch lists, rules
//! that fired and the model's thresholds; else the default, which competes with nothing. All are
//! evaluated whatever decides, and the trace keeps each.
//!
//! A missing or undefined operand makes a rule not fire, and the trace names the operand.

mod actions;
mod analyse;
mod compile;

pub(crate) use crate::engine::policy::compile::{Beside, is_list_name};

use crate::contracts::decision::{RuleResult, RuleTrace, Value};
use crate::contracts::payload::ArrivalEvent;
use crate::contracts::policy::{List, ListKind};
use crate::domain::vocabulary::Outcome;
use crate::engine::diagnostic::Diagnostic;
use crate::engine::event::EventRecord;
use crate::engine::expr::{Cell, OperandNo, PolicySlots, Program, Slots, Stop};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) policy_rev: i64,
    pub(crate) default: Outcome,
    pub(crate) lists: Vec<List>,
    /// The thresholds that act, the strictest first.
    pub(crate) thresholds: Vec<(Outcome, f64)>,
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
    /// The model's, where the bundle has one.
    pub score: Option<f64>,
    /// Whether the event stands on each of [`Policy::lists`], in their order.
    pub lists: &'i [bool],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyResult {
    pub outcome: Outcome,
    pub rule_score: i64,
    /// Reason codes of what spoke: lists, then rules, in order of the policy, then the threshold that
    /// the model reached; each once.
    pub reasons: Vec<String>,
    /// Every list (`list:NAME`) and rule in order of the policy, then every threshold
    /// (`model:NAME`), the strictest first.
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

    /// The lists that it looks events up in.
    #[must_use]
    pub fn lists(&self) -> &[List] {
        &self.lists
    }

    #[must_use]
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> PolicyResult {
        let slots = Slots {
            event: inputs.event,
            arrival: inputs.arrival,
            degraded: inputs.degraded,
            features: inputs.features,
            policy: Some(PolicySlots {
                score: inputs.score,
                lists: inputs.lists,
            }),
        };
        let n = self.lists.len() + self.rules.len() + self.thresholds.len();
        let mut said = Said {
            trace: Vec::with_capacity(n),
            ..Said::default()
        };
        for (list, is_on) in self.lists.iter().zip(inputs.lists) {
            said.list(list, *is_on);
        }
        for rule in &self.rules {
            said.rule(rule, rule.when.run(&slots));
        }
        said.thresholds(&self.thresholds, inputs.score);
        let outcome = match said.listed {
            Some(ListKind::Deny) => Outcome::Decline,
            Some(ListKind::Allow) => Outcome::Approve,
            _ => said.strictest.unwrap_or(self.default),
        };
        PolicyResult {
            outcome,
            rule_score: said.rule_score,
            reasons: said.reasons,
            trace: said.trace,
        }
    }
}

/// What has spoken so far.
#[derive(Default)]
struct Said {
    /// The list that overrides: deny before allow.
    listed: Option<ListKind>,
    strictest: Option<Outcome>,
    rule_score: i64,
    reasons: Vec<String>,
    trace: Vec<RuleTrace>,
}

impl Said {
    fn list(&mut self, list: &List, is_on: bool) {
        if is_on {
            match list.kind {
                ListKind::Watch => self.speak(Outcome::Review),
                ListKind::Deny => self.listed = Some(ListKind::Deny),
                ListKind::Allow => self.listed = self.listed.or(Some(ListKind::Allow)),
            }
            self.reason(&list.reason_code);
        }
        self.traced(format!("list:{}", list.name), is_on);
    }

    fn rule(&mut self, rule: &Rule, ran: Result<Cell<'_>, Stop>) {
        if ran == Ok(Cell::Bool(true)) {
            self.speak(rule.outcome);
            // Compilation has bounded the sum.
            self.rule_score += rule.score;
            self.reason(&rule.reason_code);
        }
        self.trace.push(rule.traced(ran));
    }

    fn thresholds(&mut self, thresholds: &[(Outcome, f64)], score: Option<f64>) {
        let mut is_above = false;
        for (outcome, threshold) in thresholds {
            let reached = score.is_some_and(|it| it >= *threshold);
            if reached && !is_above {
                is_above = true;
                self.speak(*outcome);
                self.reason(&format!("MODEL_{outcome}"));
            }
            self.traced(format!("model:{}", threshold_name(*outcome)), reached);
        }
    }

    fn speak(&mut self, outcome: Outcome) {
        self.strictest = self.strictest.max(Some(outcome));
    }

    fn reason(&mut self, code: &str) {
        if !self.reasons.iter().any(|it| it == code) {
            self.reasons.push(code.to_owned());
        }
    }

    fn traced(&mut self, rule_id: String, fired: bool) {
        let result = match fired {
            true => RuleResult::Fired,
            false => RuleResult::NotFired,
        };
        self.trace.push(RuleTrace {
            rule_id,
            result,
            operand: None,
        });
    }
}

/// What a bundle calls the threshold from which a score speaks for the outcome.
pub(crate) fn threshold_name(outcome: Outcome) -> String {
    outcome.as_str().to_ascii_lowercase()
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
