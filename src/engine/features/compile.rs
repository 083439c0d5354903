//! From a feature set's YAML to what the state runs: every fault with its place, features over the
//! same records of the same key put together.

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{self as shape, Aggregation, Entity, ValueType};
use crate::engine::diagnostic::{Diagnostic, Fault, Source};
use crate::engine::expr::{
    Features, Kind, Names, Program, Slot, compile_scalar, field_named, parse,
};
use crate::engine::features::series::COLUMNS_MAX;
use crate::engine::features::{
    Accumulator, Column, Feature, FeatureSet, Group, How, Output, Window,
};
use crate::engine::yaml::{self, Items, Node};

/// More than any decision needs; a bound for memory per key.
const FEATURES_MAX: usize = 1_000;

impl FeatureSet {
    /// Compiles the YAML text; `file` names it in diagnostics.
    ///
    /// # Errors
    /// Everything found wrong, in order of the file.
    pub fn compile(file: &str, text: &str) -> Result<FeatureSet, Vec<Diagnostic>> {
        let source = Source { file, text };
        let root = yaml::parse(text).map_err(|fault| source.errors(vec![fault]))?;
        let Items {
            header,
            items,
            faults,
        } = yaml::read_list::<shape::FeatureSet, shape::Feature>(&root, "features");
        let mut compiling = Compiling {
            text,
            faults,
            names: Vec::new(),
            features: Vec::new(),
            groups: Vec::new(),
        };
        if let Some(header) = &header {
            compiling.check_header(&root, header);
        }
        if items.len() > FEATURES_MAX {
            let message = format!("a set has at most {FEATURES_MAX} features");
            compiling.fault::<()>(&root, "features", message);
        }
        for (node, feature) in &items {
            compiling.add(node, feature.as_ref());
        }
        match header {
            Some(header) if compiling.faults.is_empty() => Ok(FeatureSet {
                name: header.feature_set,
                version: header.version,
                features: compiling.features,
                groups: number(compiling.groups),
            }),
            _ => Err(source.errors(compiling.faults)),
        }
    }
}

struct Compiling<'c> {
    text: &'c str,
    faults: Vec<Fault>,
    /// Every name so far; no type where the feature is at fault.
    names: Vec<(String, Option<ValueType>)>,
    features: Vec<Feature>,
    groups: Vec<Group>,
}

impl Compiling<'_> {
    fn fault<T>(&mut self, node: &Node, key: &str, message: impl Into<String>) -> Option<T> {
        let place = node.place_of(key);
        self.faults.push(Fault::new(place, message));
        None
    }

    fn check_header(&mut self, root: &Node, header: &shape::FeatureSet) {
        if header.feature_set.is_empty() {
            self.fault::<()>(root, "feature_set", "a feature set has a name");
        }
        if header.version < 1 {
            self.fault::<()>(root, "version", "versions count from 1");
        }
    }

    fn add(&mut self, node: &Node, feature: Option<&shape::Feature>) {
        let Some(name) = feature.map(|it| it.name.as_str()).or(node.text_of("name")) else {
            return;
        };
        if !is_name(name) {
            let message =
                "a name is lowercase letters, digits and `_`, led by a letter, at most 64";
            self.fault::<()>(node, "name", message);
        }
        if self.names.iter().any(|(it, _)| it == name) {
            let message = format!("a feature `{name}` stands above already");
            self.fault::<()>(node, "name", message);
        }
        let compiled = feature.and_then(|it| self.compile(node, it));
        let value_type = compiled.as_ref().map(|it| it.value_type);
        self.names.push((name.to_owned(), value_type));
        self.features.extend(compiled);
    }

    fn compile(&mut self, node: &Node, feature: &shape::Feature) -> Option<Feature> {
        let (value_type, how) = match (&feature.expr, feature.agg) {
            (Some(_), Some(_)) => {
                return self.fault(node, "expr", "a feature has either `agg` or `expr`");
            }
            (None, None) => {
                return self.fault(
                    node,
                    "name",
                    "a feature needs `agg` (over a window) or `expr`",
                );
            }
            (Some(text), None) => self.expression(node, feature, text)?,
            (None, Some(aggregation)) => self.window(node, feature, aggregation)?,
        };
        Some(Feature {
            name: feature.name.clone(),
            value_type,
            how,
        })
    }

    fn expression(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        text: &str,
    ) -> Option<(ValueType, How)> {
        for key in [
            "entity",
            "value",
            "window",
            "delay",
            "include_current",
            "filter",
            "empty",
        ] {
            if node.get(key).is_some() {
                self.fault::<()>(
                    node,
                    key,
                    format!("`{key}` belongs to a feature with `agg`"),
                );
            }
        }
        let Some(value_type) = feature.value_type else {
            return self.fault(
                node,
                "expr",
                "an `expr` needs its `type`: bool, int, float or text",
            );
        };
        let names = Names {
            features: Features::Listed(&self.names),
            context: false,
            policy: None,
        };
        let program = compile_scalar(self.text, node, "expr", text, names, value_type);
        let program = self.keep(program)?;
        Some((value_type, How::Expr(program)))
    }

    fn keep(&mut self, program: Result<Program, Vec<Fault>>) -> Option<Program> {
        program.map_err(|faults| self.faults.extend(faults)).ok()
    }

    fn window(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
    ) -> Option<(ValueType, How)> {
        if node.get("type").is_some() {
            self.fault::<()>(node, "type", "`type` belongs to a feature with `expr`");
        }
        let entity = self.entity(node, feature);
        let length = match feature.window {
            Some(span) if span.micros() > 0 => Some(span.micros()),
            Some(_) => self.fault(node, "window", "a window has a length"),
            None => self.fault(node, "agg", "an `agg` needs its `window`"),
        };
        let filter = match &feature.filter {
            None => Some(None),
            Some(text) => {
                let names = Names {
                    features: Features::Refused,
                    context: false,
                    policy: None,
                };
                let program =
                    compile_scalar(self.text, node, "filter", text, names, ValueType::Bool);
                self.keep(program).map(|it| Some((text.clone(), it)))
            }
        };
        let column = self.column(node, feature, aggregation);
        let value_type = match aggregation {
            Aggregation::Mean | Aggregation::FraudShare => ValueType::Float,
            _ => ValueType::Int,
        };
        let empty = self.empty(node, feature, aggregation, value_type);
        let (entity, length, filter) = (entity?, length?, filter?);
        let (column, empty) = (column?, empty?);
        let group = self.group(entity, filter);
        let delay = feature.delay.map_or(0, shape::Span::micros);
        // With a delay the event itself is never in its window: the two are one.
        let include_current = feature.include_current.unwrap_or(true) || delay > 0;
        let window = (length, delay, include_current);
        let Some((window, output)) = self.groups[group].share(window, aggregation, column) else {
            let message = format!("one key over one filter has at most {COLUMNS_MAX} values");
            return self.fault(node, "value", message);
        };
        let how = How::Window {
            group,
            window,
            output,
            empty,
        };
        Some((value_type, how))
    }

    fn entity(&mut self, node: &Node, feature: &shape::Feature) -> Option<Vec<Entity>> {
        let Some(entity) = &feature.entity else {
            return self.fault(node, "agg", "an `agg` needs its `entity`");
        };
        let mut seen = entity.clone();
        seen.sort();
        seen.dedup();
        match entity.len() {
            0 => self.fault(node, "entity", "a key has at least one entity"),
            n if n != seen.len() => self.fault(node, "entity", "an entity stands twice"),
            // One order, so that features which name the same entities share their records.
            _ => Some(seen),
        }
    }

    /// `Some(None)` where the aggregation takes no value.
    fn column(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
    ) -> Option<Option<Column>> {
        let takes_none = matches!(aggregation, Aggregation::Count | Aggregation::FraudShare);
        let Some(text) = &feature.value else {
            if takes_none {
                return Some(None);
            }
            return self.fault(
                node,
                "agg",
                "this `agg` needs a `value`, such as event.amount_minor",
            );
        };
        if takes_none {
            return self.fault(
                node,
                "value",
                "`count` and `fraud_share` count records: no `value`",
            );
        }
        let interned = aggregation == Aggregation::Distinct;
        match value_slot(text) {
            Some((slot, ValueType::Int)) => Some(Some(Column::Int(slot))),
            Some((slot @ Slot::Attribute(..), _)) if interned => Some(Some(Column::Interned(slot))),
            Some((Slot::Attribute(name, _), _)) => {
                Some(Some(Column::Int(Slot::Attribute(name, ValueType::Int))))
            }
            Some((slot, ValueType::Text)) if interned => Some(Some(Column::Interned(slot))),
            Some((_, found)) => self.fault(
                node,
                "value",
                format!("expected an int to aggregate, found {found}"),
            ),
            None => {
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
        }
    }

    fn empty(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        aggregation: Aggregation,
        value_type: ValueType,
    ) -> Option<Value> {
        let Some(empty) = &feature.empty else {
            return Some(match aggregation {
                Aggregation::Count | Aggregation::Sum | Aggregation::Distinct => Value::Int(0),
                _ => Value::Missing,
            });
        };
        match (empty, value_type) {
            (Value::Int(value), ValueType::Int) => Some(Value::Int(*value)),
            (Value::Int(value), ValueType::Float) => Some(Value::Float(*value as f64)),
            (Value::Float(value), ValueType::Float) if value.is_finite() => {
                Some(Value::Float(*value))
            }
            _ => self.fault(
                node,
                "empty",
                format!("`empty` is the feature's value: {value_type}"),
            ),
        }
    }

    fn group(&mut self, entity: Vec<Entity>, filter: Option<(String, Program)>) -> usize {
        let text = |it: &Option<(String, Program)>| it.as_ref().map(|it| it.0.clone());
        let wanted = text(&filter);
        let found = self.groups.iter();
        let mut found = found.map(|it| it.entity == entity && text(&it.filter) == wanted);
        if let Some(at) = found.position(|it| it) {
            return at;
        }
        self.groups.push(Group {
            entity,
            filter,
            columns: Vec::new(),
            windows: Vec::new(),
            labelled: false,
        });
        self.groups.len() - 1
    }
}

impl Group {
    /// The window and what is read off it, shared with features that ask the same. `None` where
    /// the group has no room for another column.
    fn share(
        &mut self,
        (length, delay, include_current): (i64, i64, bool),
        aggregation: Aggregation,
        column: Option<Column>,
    ) -> Option<(usize, Output)> {
        let column = match column {
            None => 0,
            Some(column) => match self.columns.iter().position(|it| *it == column) {
                Some(at) => at,
                None if self.columns.len() == COLUMNS_MAX => return None,
                None => {
                    self.columns.push(column);
                    self.columns.len() - 1
                }
            },
        };
        let same = |it: &Window| {
            (it.length, it.delay, it.include_current) == (length, delay, include_current)
        };
        let window = self.windows.iter().position(same).unwrap_or_else(|| {
            self.windows.push(Window {
                length,
                delay,
                include_current,
                accumulators: Vec::new(),
                first_accumulator: 0,
            });
            self.windows.len() - 1
        });
        let held = &mut self.windows[window].accumulators;
        let mut accumulate = |wanted: Accumulator| {
            held.iter().position(|it| *it == wanted).unwrap_or_else(|| {
                held.push(wanted);
                held.len() - 1
            })
        };
        let output = match aggregation {
            Aggregation::Count => Output::Count,
            Aggregation::Sum => Output::Sum(accumulate(Accumulator::Sum(column))),
            Aggregation::Mean => Output::Mean(accumulate(Accumulator::Sum(column))),
            Aggregation::Min => Output::Min(accumulate(Accumulator::Counted(column))),
            Aggregation::Max => Output::Max(accumulate(Accumulator::Counted(column))),
            Aggregation::Distinct => Output::Distinct(accumulate(Accumulator::Counted(column))),
            Aggregation::FraudShare => {
                self.labelled = true;
                Output::FraudShare(accumulate(Accumulator::Fraud))
            }
        };
        Some((window, output))
    }
}

/// Numbers the accumulators of each group.
fn number(groups: Vec<Group>) -> Vec<Group> {
    let mut groups = groups;
    for group in &mut groups {
        let mut next = 0;
        for window in &mut group.windows {
            window.first_accumulator = next;
            next += window.accumulators.len();
        }
    }
    groups
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

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}
