//! Rules against truth: how often each fired, on how much fraud, and on how much that another fired
//! on too. Read from the traces of decisions, so rules that did not decide count as well.

use std::collections::HashMap;

use crate::app::report::frauds::share;
use crate::app::report::known::Known;
use crate::contracts::decision::{RuleResult, RuleTrace};
use crate::contracts::run_report::RuleFigures;
use crate::domain::vocabulary::Outcome;

/// What one rule did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    fired: i64,
    frauds: i64,
    caught_minor: i64,
    alone: i64,
    blind: i64,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    ids: Vec<String>,
    numbers: HashMap<String, usize>,
    rows: Vec<Row>,
    /// Decisions that both rules fired on; the smaller number first.
    both: HashMap<(usize, usize), i64>,
    /// Decisions where no rule fired.
    pub(super) silent: i64,
}

/// What the author says of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) description: String,
    pub(super) outcome: Outcome,
    pub(super) reason_code: String,
}

impl Rules {
    pub(super) fn add(&mut self, trace: &[RuleTrace], known: Option<&Known>) {
        let mut fired = Vec::new();
        for tried in trace {
            let number = self.number(&tried.rule_id);
            match tried.result {
                RuleResult::Fired => fired.push(number),
                RuleResult::NotFired => {}
                RuleResult::Missing | RuleResult::Undefined => self.rows[number].blind += 1,
            }
        }
        self.silent += i64::from(fired.is_empty());
        let fraud = known.filter(|known| known.is_fraud);
        for (at, number) in fired.iter().enumerate() {
            let row = &mut self.rows[*number];
            row.fired += 1;
            if let Some(fraud) = fraud {
                row.frauds += 1;
                row.caught_minor += fraud.amount_minor;
                row.alone += i64::from(fired.len() == 1);
            }
            for other in &fired[at + 1..] {
                let pair = (*number.min(other), *number.max(other));
                *self.both.entry(pair).or_default() += 1;
            }
        }
    }

    fn number(&mut self, id: &str) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = self.ids.len();
        self.ids.push(id.to_owned());
        self.numbers.insert(id.to_owned(), number);
        self.rows.push(Row::default());
        number
    }

    /// Every rule, those with the most valuable fraud first, then those that fired most.
    pub(super) fn figures(&self, frauds: i64) -> Vec<RuleFigures> {
        let mut figures: Vec<RuleFigures> = self
            .ids
            .iter()
            .zip(&self.rows)
            .map(|(id, row)| RuleFigures {
                rule_id: id.clone(),
                fired: row.fired,
                frauds: row.frauds,
                precision: share(row.frauds, row.fired),
                recall: share(row.frauds, frauds),
                caught_minor: row.caught_minor,
                alone: row.alone,
                blind: row.blind,
            })
            .collect();
        figures.sort_by(|left, right| {
            let key = |it: &RuleFigures| std::cmp::Reverse((it.caught_minor, it.frauds, it.fired));
            key(left)
                .cmp(&key(right))
                .then_with(|| left.rule_id.cmp(&right.rule_id))
        });
        figures
    }

    /// Of the decisions that `id` fired on, the part that `other` fired on too; `None` where `id`
    /// never fired, and for a rule with itself.
    pub(super) fn overlap(&self, id: &str, other: &str) -> Option<f64> {
        let (one, two) = (*self.numbers.get(id)?, *self.numbers.get(other)?);
        if one == two || self.rows[one].fired == 0 {
            return None;
        }
        let pair = (one.min(two), one.max(two));
        let both = self.both.get(&pair).copied().unwrap_or(0);
        Some(share(both, self.rows[one].fired))
    }
}
