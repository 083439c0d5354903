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

mod block;
mod compile;
mod graph;
mod ids;
mod index;
mod labels;
mod read;
mod running;
mod series;
mod shared;
mod spill;
mod state;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::BTreeMap;

pub use crate::engine::features::spill::Room;
pub use crate::engine::features::state::{Error, FeatureState, SnapshotError};

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{Entity, ValueType};
use crate::engine::expr::{Program, Slot};
use crate::engine::graph::Measure;

/// Few enough that a key's latest records, which are not packed, stay few, and that putting a late
/// one among the others costs little; with more, what a block needs for itself would not show.
const BLOCK_ENTRIES: usize = 128;

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
    Graph {
        entity: Entity,
        measure: Measure,
    },
}

/// What is read off a window; a number is that of the accumulator within its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Count,
    Sum(usize),
    Mean(usize),
    Stddev {
        sum: usize,
        squares: usize,
    },
    Min(usize),
    Max(usize),
    Distinct(usize),
    /// `is_text`: the column holds numbers of texts.
    First {
        column: usize,
        is_text: bool,
    },
    Last {
        column: usize,
        is_text: bool,
    },
    TimeSinceFirst,
    TimeSinceLast,
    Decayed {
        at: usize,
        half_life: i64,
    },
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
    /// As [`FeatureSet::with_block_entries`] says.
    pub(crate) block_entries: usize,
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
    Squares(usize),
    Counted(usize),
    /// Without a column each record counts as one.
    Decayed {
        column: Option<usize>,
        half_life: i64,
    },
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

    /// The same set, whose state packs so many records of a key together (at least two). It shows in
    /// memory and speed alone, never in a feature or a snapshot.
    #[must_use]
    pub fn with_block_entries(mut self, n: usize) -> FeatureSet {
        for group in &mut self.groups {
            group.block_entries = n.clamp(2, 1 << 14);
        }
        self
    }

    /// The names with their types, in order of the file.
    pub fn features(&self) -> impl Iterator<Item = (&str, ValueType)> {
        self.features
            .iter()
            .map(|it| (it.name.as_str(), it.value_type))
    }

    /// The longest `delay + window`, in microseconds: how much history a rebuild needs. A link is
    /// never over, so a set that asks the graph needs all of it.
    #[must_use]
    pub fn reach_micros(&self) -> i64 {
        let is_graph = |it: &Feature| matches!(it.how, How::Graph { .. });
        if self.features.iter().any(is_graph) {
            return i64::MAX;
        }
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
