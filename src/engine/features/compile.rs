//! From a feature set's YAML to what the state runs: every fault with its place, features over the
//! same records of the same key put together.

mod graph;
mod parts;
mod share;

use crate::contracts::feature_set::{self as shape, Aggregation, Entity, ValueType};
use crate::engine::diagnostic::{Diagnostic, Fault, Source};
use crate::engine::expr::{Features, Names, Program, compile_scalar};
use crate::engine::features::compile::parts::value_type;
use crate::engine::features::compile::share::{Asked, number};
use crate::engine::features::series::COLUMNS_MAX;
use crate::engine::features::{BLOCK_ENTRIES, Feature, FeatureSet, Group, How};
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

pub(super) struct Compiling<'c> {
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
        let (value_type, how) = match feature.graph {
            Some(measure) => self.graph(node, feature, measure)?,
            None => self.of_records(node, feature)?,
        };
        Some(Feature {
            name: feature.name.clone(),
            value_type,
            how,
        })
    }

    fn of_records(&mut self, node: &Node, feature: &shape::Feature) -> Option<(ValueType, How)> {
        for key in ["through", "hops"] {
            if node.get(key).is_some() {
                let message = format!("`{key}` belongs to a feature with `graph`");
                self.fault::<()>(node, key, message);
            }
        }
        match (&feature.expr, feature.agg) {
            (Some(_), Some(_)) => self.fault(node, "expr", "a feature has either `agg` or `expr`"),
            (None, None) => {
                let message = "a feature needs `agg` (over a window), `graph` or `expr`";
                self.fault(node, "name", message)
            }
            (Some(text), None) => self.expression(node, feature, text),
            (None, Some(aggregation)) => self.window(node, feature, aggregation),
        }
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
            "half_life",
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
        let half_life = self.half_life(node, feature, aggregation);
        let value_type = value_type(aggregation, column.as_ref().and_then(Option::as_ref));
        let empty = match column {
            // The type of a value at fault is not known.
            None => None,
            Some(_) => self.empty(node, feature, aggregation, value_type),
        };
        let (entity, length, filter) = (entity?, length?, filter?);
        let (column, half_life, empty) = (column?, half_life?, empty?);
        let group = self.group(entity, filter);
        let delay = feature.delay.map_or(0, shape::Span::micros);
        // With a delay the event itself is never in its window: the two are one.
        let include_current = feature.include_current.unwrap_or(true) || delay > 0;
        let window = (length, delay, include_current);
        let asked = Asked {
            aggregation,
            column,
            half_life,
        };
        let Some((window, output)) = self.groups[group].share(window, asked) else {
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
            block_entries: BLOCK_ENTRIES,
        });
        self.groups.len() - 1
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}
