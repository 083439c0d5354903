//! Features: what a feature set computes, and the state it computes them from.
//!
//! **Law:** a feature is a function of (the set of distinct records in the basis, the entity key,
//! the event's `(t, event_id)`). The order in which records arrived never shows.
//!
//! The window of an event at `t` is `(t - delay - window, t - delay]`. With no delay, records at
//! exactly `t` count if their event_id is not above the event's, the event itself only with
//! `include_current`; with a delay all records at exactly `t - delay` count. A label is visible at
//! `t` if `observed_time <= t`; of an event's visible labels the latest by `(observed_time,
//! label_assertion_id)` holds; an event without one counts as no fraud.

mod compile;
mod ids;
mod labels;
mod series;
mod state;
mod texts;

use std::collections::BTreeMap;

pub use crate::engine::features::state::{Error, FeatureState, SnapshotError};

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{Entity, ValueType};
use crate::engine::expr::{Program, Slot};

/// A compiled feature set.
#[derive(Debug)]
pub struct FeatureSet {
    pub(crate) name: String,
    pub(crate) version: i64,
    pub(crate) features: Vec<Feature>,
    pub(crate) groups: Vec<Group>,
}

#[derive(Debug)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) value_type: ValueType,
    pub(crate) how: How,
}

#[derive(Debug)]
pub(crate) enum How {
    Window {
        group: usize,
        window: usize,
        output: Output,
        empty: Value,
    },
    Expr(Program),
}

/// What is read off a window; the number is that of the accumulator within its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Count,
    Sum(usize),
    Mean(usize),
    Min(usize),
    Max(usize),
    Distinct(usize),
    FraudShare(usize),
}

/// Features over the same records of the same key: they share one time-ordered series per key.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) entity: Vec<Entity>,
    /// The text with its program; only records for which it is true take part.
    pub(crate) filter: Option<(String, Program)>,
    pub(crate) columns: Vec<Column>,
    pub(crate) windows: Vec<Window>,
    /// Whether any window counts labels.
    pub(crate) labelled: bool,
}

/// A value kept with every entry of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Column {
    /// As it is.
    Int(Slot),
    /// Any value, as the number of its interned text.
    Interned(Slot),
}

/// A stretch of time with what is aggregated over it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) length: i64,
    pub(crate) delay: i64,
    pub(crate) include_current: bool,
    pub(crate) accumulators: Vec<Accumulator>,
    /// Of the first accumulator, among all of the group.
    pub(crate) first_accumulator: usize,
}

/// The number is that of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accumulator {
    Sum(usize),
    Counted(usize),
    Fraud,
}

impl Group {
    /// How far before an event the group looks.
    pub(crate) fn reach(&self) -> i64 {
        let reaches = self.windows.iter().map(|it| it.length + it.delay);
        reaches.max().unwrap_or(0)
    }
}

impl FeatureSet {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The names with their types, in order of the file.
    pub fn features(&self) -> impl Iterator<Item = (&str, ValueType)> {
        self.features
            .iter()
            .map(|it| (it.name.as_str(), it.value_type))
    }

    /// The longest `delay + window`, in microseconds: how much history a rebuild needs.
    #[must_use]
    pub fn reach_micros(&self) -> i64 {
        self.groups.iter().map(Group::reach).max().unwrap_or(0)
    }
}

/// The features of one event, in order of the set.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureVector {
    pub values: Vec<Value>,
}

impl FeatureVector {
    /// Without a value of any feature of the set.
    #[must_use]
    pub fn missing(set: &FeatureSet) -> FeatureVector {
        FeatureVector {
            values: vec![Value::Missing; set.features.len()],
        }
    }

    /// By name, as a decision body holds them. `set` is the one that computed them.
    #[must_use]
    pub fn named(&self, set: &FeatureSet) -> BTreeMap<String, Value> {
        let names = set.features.iter().map(|it| it.name.clone());
        names.zip(self.values.iter().cloned()).collect()
    }
}
