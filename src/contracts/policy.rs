//! A policy as its author writes it in YAML: rules over an event and its features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::action_intent::{IntentType, SubjectType};
use crate::domain::vocabulary::Outcome;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub policy: String,
    /// The author's number; evidence is stamped with the digest of the text.
    #[schemars(range(min = 1))]
    pub policy_rev: i64,
    /// The outcome where no rule fires.
    pub default: Outcome,
    pub precedence: Precedence,
    pub rules: Vec<Rule>,
    /// What decisions ask for; a decision asks for each at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionRule>,
}

/// Asks for an action on an outcome, or when a rule fires; where both are given, when both hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Outcome>,
    /// The id of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub intent_type: IntentType,
    /// Whom it is done to; an event without it asks for nothing.
    pub subject: SubjectType,
}

/// Which of the fired rules decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precedence {
    /// `DECLINE > REVIEW > STEP_UP > APPROVE` among the rules that fired.
    Strictest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub id: String,
    pub owner: String,
    pub description: String,
    /// A Bool expression. A missing operand makes it not fire.
    pub when: String,
    pub outcome: Outcome,
    /// Added to the decision's rule score when the rule fires.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub score: i64,
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub reason_code: String,
}
