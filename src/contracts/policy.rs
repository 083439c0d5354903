//! A policy as its author writes it in YAML: lists and rules over an event and its features.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::action_intent::{IntentType, SubjectType};
use crate::contracts::feature_set::Entity;
use crate::domain::vocabulary::{Outcome, vocabulary};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub policy: String,
    /// The author's number; evidence is stamped with the digest of the text.
    #[schemars(range(min = 1))]
    pub policy_rev: i64,
    /// The outcome where nothing speaks: no list, no rule, no threshold.
    pub default: Outcome,
    pub precedence: Precedence,
    /// The lists that the policy looks its events up in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<List>,
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

/// What decides among all that speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precedence {
    /// A deny list, then an allow list, then `DECLINE > REVIEW > STEP_UP > APPROVE` among watch
    /// lists, rules that fired and the model's thresholds.
    Strictest,
}

/// A list that entities of an event may stand on. Its entries are kept by the platform
/// (`fraudplat list`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Read by rules as `lists.NAME`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub name: String,
    pub kind: ListKind,
    /// Which entity of the event is looked up.
    pub entity: Entity,
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub reason_code: String,
}

vocabulary!(
    /// What standing on a list means.
    ListKind {
        /// `DECLINE`, whatever else speaks.
        Deny = "deny",
        /// `APPROVE`, unless a deny list speaks.
        Allow = "allow",
        /// As a rule of outcome `REVIEW`.
        Watch = "watch",
    }
);

vocabulary!(
    /// What happened to an entity on a list.
    ListChange { Added = "ADDED", Removed = "REMOVED", }
);

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
