//! The parts of a feature over a window that depend on its aggregation: the value, the half-life,
//! what an empty window gives.

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{self as shape, Aggregation, ValueType};
use crate::engine::expr::{Features, Kind, Names, Slot, compile_scalar, field_named, parse};
use crate::engine::features::Column;
use crate::engine::features::compile::Compiling;
use crate::engine::yaml::Node;

/// A record this many half-lives old weighs 2^-64; it also bounds what a key keeps.
const HALF_LIVES_MAX: i64 = 64;

/// Whether the aggregation looks at records alone, not at a value of theirs.
fn takes_no_value(aggregation: Aggregation) -> bool {
    matches!(
        aggregation,
        Aggregation::Count
            | Aggregation::FraudShare
            | Aggregation::TimeSinceFirst
            | Aggregation::TimeSinceLast
            | Aggregation::DecayedCount
    )
}

/// The type of the feature; of the first and the last value it is that of the column.
pub(super) fn value_type(aggregation: Aggregation, column: Option<&Column>) -> ValueType {
    match aggregation {
        Aggregation::Mean
        | Aggregation::Stddev
        | Aggregation::FraudShare
        | Aggregation::TimeSinceFirst
        | Aggregation::TimeSinceLast
        | Aggregation::DecayedCount
        | Aggregation::DecayedSum => ValueType::Float,
        Aggregation::First | Aggregation::Last => match column {
            Some(Column::Interned(_)) => ValueType::Text,
            _ => ValueType::Int,
        },
        Aggregation::Count
        | Aggregation::Sum
        | Aggregation::Min
        | Aggregation::Max
        | Aggregation::Distinct => ValueType::Int,
    }
}

impl Compiling<'_> {
    /// `Some(None)` where the aggregation takes no value.
    pub(super) fn column(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
    ) -> Option<Option<Column>> {
        let Some(text) = &feature.value else {
            if takes_no_value(aggregation) {
                return Some(None);
            }
            return self.fault(
                node,
                "agg",
                "this `agg` needs a `value`, such as event.amount_minor",
            );
        };
        if takes_no_value(aggregation) {
            return self.fault(
                node,
                "value",
                "this `agg` looks at the records themselves: no `value`",
            );
        }
        let interned = aggregation == Aggregation::Distinct;
        let as_it_is = matches!(aggregation, Aggregation::First | Aggregation::Last);
        match value_slot(text) {
            Some((slot, ValueType::Int)) => Some(Some(Column::Int(slot))),
            Some((slot @ Slot::Attribute(..), _)) if interned => Some(Some(Column::Interned(slot))),
            Some((Slot::Attribute(name, _), _)) => {
                Some(Some(Column::Int(Slot::Attribute(name, ValueType::Int))))
            }
            Some((slot, ValueType::Text)) if interned || as_it_is => {
                Some(Some(Column::Interned(slot)))
            }
            Some((_, found)) => self.fault(
                node,
                "value",
                format!("expected an int to aggregate, found {found}"),
            ),
            None => self.value_at_fault(node, text),
        }
    }

    fn value_at_fault<T>(&mut self, node: &Node, text: &str) -> Option<T> {
        // The expression compiler knows best what is wrong with a name.
        let names = Names {
            features: Features::Refused,
            context: false,
            policy: None,
        };
        let tried = compile_scalar(self.text, node, "value", text, names, ValueType::Int);
        match tried {
            Err(faults) if !faults.is_empty() => self.faults.extend(faults),
            _ => {
                let message = "a `value` is a plain field: event.amount_minor, event.device_id, event.attributes.x";
                self.fault::<()>(node, "value", message);
            }
        }
        None
    }

    /// Microseconds; 0 where nothing decays.
    pub(super) fn half_life(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
    ) -> Option<i64> {
        let decays = matches!(
            aggregation,
            Aggregation::DecayedCount | Aggregation::DecayedSum
        );
        let Some(half_life) = feature.half_life else {
            if !decays {
                return Some(0);
            }
            return self.fault(node, "agg", "this `agg` needs its `half_life`, such as 6h");
        };
        if !decays {
            let message = "`half_life` belongs to `decayed_count` and `decayed_sum`";
            return self.fault(node, "half_life", message);
        }
        let half_life = half_life.micros();
        if half_life == 0 {
            return self.fault(node, "half_life", "a half-life has a length");
        }
        let window = feature.window.map_or(0, shape::Span::micros);
        if window > half_life.saturating_mul(HALF_LIVES_MAX) {
            let message = format!(
                "a window has at most {HALF_LIVES_MAX} half-lives: what is older weighs nothing"
            );
            return self.fault(node, "half_life", message);
        }
        Some(half_life)
    }

    pub(super) fn empty(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
        value_type: ValueType,
    ) -> Option<Value> {
        let Some(empty) = &feature.empty else {
            return Some(match aggregation {
                Aggregation::Count | Aggregation::Sum | Aggregation::Distinct => Value::Int(0),
                Aggregation::DecayedCount | Aggregation::DecayedSum => Value::Float(0.0),
                _ => Value::Missing,
            });
        };
        match (empty, value_type) {
            (Value::Int(value), ValueType::Int) => Some(Value::Int(*value)),
            (Value::Int(value), ValueType::Float) => Some(Value::Float(*value as f64)),
            (Value::Float(value), ValueType::Float) if value.is_finite() => {
                Some(Value::Float(*value))
            }
            (Value::Text(value), ValueType::Text) => Some(Value::Text(value.clone())),
            _ => self.fault(
                node,
                "empty",
                format!("`empty` is the feature's value: {value_type}"),
            ),
        }
    }
}

/// `event.x` or `event.attributes.x`, nothing more.
fn value_slot(text: &str) -> Option<(Slot, ValueType)> {
    let Kind::Select(of, field) = parse(text).ok()?.kind else {
        return None;
    };
    match of.kind {
        Kind::Name(root) if root == "event" => {
            let (slot, value_type) = field_named(&field)?;
            let of_traffic = !matches!(
                slot,
                Slot::Mcc | Slot::Country | Slot::ArrivalKind | Slot::Degraded
            );
            of_traffic.then_some((slot, value_type))
        }
        Kind::Select(inner, parent)
            if parent == "attributes" && inner.kind == Kind::Name("event".to_owned()) =>
        {
            let slot = Slot::Attribute(field.into(), ValueType::Text);
            Some((slot, ValueType::Text))
        }
        _ => None,
    }
}
