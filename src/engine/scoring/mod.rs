//! Scoring: a tree ensemble compiled to flat arrays and walked in the caller's own thread.
//!
//! **Law:** the raw score is the base plus the leaves in order of the trees, added one by one; a
//! contribution is the sum of a feature's steps in order of the trees and of each path. Same model,
//! same values, same bits (L12): `exp` is the pinned libm's.
//!
//! Contributions are those of the path (Saabas): a step from a node to its child moves the expected
//! value, and the move is credited to the feature that was asked. Expected score plus contributions
//! is the raw score, up to the rounding of its additions.

mod compile;
mod flat;
mod import;
mod walk;

#[cfg(test)]
mod tests;

pub use crate::engine::scoring::compile::{CompileError, DEPTH_MAX, NODES_MAX, TREES_MAX};
pub use crate::engine::scoring::flat::{CUTS_MAX, FEATURES_MAX};
pub use crate::engine::scoring::import::{ImportError, from_lightgbm};

use crate::contracts::decision::Value;
use crate::contracts::trees::Link;
use crate::engine::scoring::flat::Flat;

/// A compiled model.
#[derive(Debug, Clone)]
pub struct Model {
    /// In the model's order: the feature's name and its place in the feature set.
    features: Vec<(String, usize)>,
    base: f64,
    link: Link,
    flat: Flat,
    /// The raw score before any feature is known: base plus the values of the roots.
    expected: f64,
}

/// What a model says of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub raw: f64,
    /// The raw score through the link.
    pub score: f64,
    /// By feature of the model, in the model's order.
    pub contributions: Vec<f64>,
}

impl Model {
    /// The features that it reads, in its order.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|(name, _)| name.as_str())
    }

    /// The features with their places in the set.
    pub(crate) fn bound(&self) -> &[(String, usize)] {
        &self.features
    }

    /// The raw score before any feature is known; contributions start from here.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.expected
    }

    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// The model's row of an event's features, which are those of the set it was compiled against;
    /// a missing one is NaN.
    pub fn row(&self, features: &[Value], row: &mut Vec<f64>) {
        row.clear();
        let value = |(_, at): &(String, usize)| match features.get(*at) {
            Some(Value::Int(value)) => *value as f64,
            Some(Value::Float(value)) => *value,
            Some(Value::Bool(value)) => f64::from(u8::from(*value)),
            _ => f64::NAN,
        };
        row.extend(self.features.iter().map(value));
    }

    /// The raw score of a row, without contributions.
    #[must_use]
    pub fn raw(&self, row: &[f64]) -> f64 {
        walk::raw(self.base, &self.flat, row)
    }

    /// The score of a raw score.
    #[must_use]
    pub fn linked(&self, raw: f64) -> f64 {
        match self.link {
            Link::Identity => raw,
            Link::Logistic => 1.0 / (1.0 + libm::exp(-raw)),
        }
    }

    /// The score of a row, and what each feature contributed.
    #[must_use]
    pub fn explain(&self, row: &[f64]) -> Score {
        let mut contributions = vec![0.0; self.features.len()];
        let raw = walk::explained(self.base, &self.flat, row, &mut contributions);
        Score {
            raw,
            score: self.linked(raw),
            contributions,
        }
    }
}
