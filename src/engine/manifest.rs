//! `bundle.yaml` made ready: thresholds that are in range and in order, reasons as words with gaps,
//! and whether this platform can run the bundle.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize as _;

use crate::contracts::bundle as shape;
use crate::contracts::decision::Value;
use crate::contracts::trees::Link;
use crate::domain::digest::Digest;
use crate::domain::vocabulary::Outcome;
use crate::engine::decide::ENGINE_REV;
use crate::engine::diagnostic::{Diagnostic, Fault, Source, nearest};
use crate::engine::features::FeatureSet;
use crate::engine::policy::threshold_name;
use crate::engine::scoring::Model;
use crate::engine::yaml::{self, Node};

/// What a compiled bundle keeps of its manifest.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// By reason code.
    codes: BTreeMap<String, Words>,
    /// By name of a feature of the model.
    features: BTreeMap<String, Words>,
}

/// A text with gaps; the number is that of a feature of the set.
#[derive(Debug, Default)]
struct Words(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value(usize),
}

/// The parts of the bundle that the manifest speaks of; `None` where one is itself at fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'p> {
    pub(crate) set: Option<&'p FeatureSet>,
    pub(crate) feature_set_digest: Digest,
    pub(crate) has_model: bool,
    pub(crate) model: Option<&'p Model>,
}

/// What the file says, before the rest of the bundle is looked at.
///
/// # Errors
/// That it is no manifest.
pub(crate) fn read(file: &str, text: &str) -> Result<(Node, shape::Manifest), Vec<Diagnostic>> {
    let source = Source { file, text };
    let root = yaml::parse(text).map_err(|fault| source.errors(vec![fault]))?;
    match shape::Manifest::deserialize(&root) {
        Ok(manifest) => Ok((root, manifest)),
        Err(error) => Err(source.errors(vec![error.into_fault()])),
    }
}

impl Manifest {
    /// # Errors
    /// Everything found wrong, in order of the file.
    pub(crate) fn compile(
        file: &str,
        text: &str,
        (root, shape): (&Node, &shape::Manifest),
        parts: &Parts<'_>,
    ) -> Result<Manifest, Vec<Diagnostic>> {
        let mut compiling = Compiling {
            parts,
            faults: Vec::new(),
        };
        compiling.header(root, shape);
        compiling.thresholds(root, &shape.thresholds);
        let texts = root.get("reason_texts");
        let of = |key: &str| texts.and_then(|it| it.get(key)).unwrap_or(root);
        let codes = compiling.texts(of("codes"), &shape.reason_texts.codes, false);
        let features = compiling.texts(of("features"), &shape.reason_texts.features, true);
        match compiling.faults.is_empty() {
            true => Ok(Manifest { codes, features }),
            false => Err(Source { file, text }.errors(compiling.faults)),
        }
    }

    /// The words for a reason code, where the bundle has some.
    pub(crate) fn of_code(&self, code: &str, values: &[Value]) -> Option<String> {
        self.codes.get(code).map(|it| it.filled(values))
    }

    /// The words for a feature that moved the model's score; its name and value where the bundle has
    /// none.
    pub(crate) fn of_feature(&self, name: &str, at: usize, values: &[Value]) -> String {
        match self.features.get(name) {
            Some(words) => words.filled(values),
            None => format!("{name} is {}", shown(values.get(at))),
        }
    }
}

impl Words {
    fn filled(&self, values: &[Value]) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(words) => text.push_str(words),
                Part::Value(at) => text.push_str(&shown(values.get(*at))),
            }
        }
        text
    }
}

/// A value as people read it: floats to two digits behind the point.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Missing) => "unknown".to_owned(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Int(value)) => value.to_string(),
        Some(Value::Text(value)) => value.clone(),
        Some(Value::Float(value)) => {
            let mut text = String::new();
            // A text takes everything.
            if write!(text, "{value:.2}").is_err() {
                return text;
            }
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

struct Compiling<'c> {
    parts: &'c Parts<'c>,
    faults: Vec<Fault>,
}

impl Compiling<'_> {
    fn fault(&mut self, node: &Node, key: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(node.place_of(key), message));
    }

    fn header(&mut self, root: &Node, shape: &shape::Manifest) {
        if shape.bundle.is_empty() {
            self.fault(root, "bundle", "a bundle has a name");
        }
        if shape.version < 1 {
            self.fault(root, "version", "versions count from 1");
        }
        let needs = root.get("compatibility").unwrap_or(root);
        if let Some(least) = shape.compatibility.engine_rev
            && least > ENGINE_REV
        {
            let message = format!("it needs engine revision {least}; this one is {ENGINE_REV}");
            self.fault(needs, "engine_rev", message);
        }
        let found = self.parts.feature_set_digest;
        if let Some(wanted) = shape.compatibility.feature_set_digest
            && wanted != found
        {
            let message = format!("it was made for another feature set; this one is {found}");
            self.fault(needs, "feature_set_digest", message);
        }
    }

    fn thresholds(&mut self, root: &Node, thresholds: &BTreeMap<String, f64>) {
        let node = root.get("thresholds").unwrap_or(root);
        let link = self.parts.model.map(Model::link);
        for (name, value) in thresholds {
            let in_range =
                value.is_finite() && (link != Some(Link::Logistic) || (0.0..=1.0).contains(value));
            if !in_range {
                let message =
                    format!("threshold {value} is out of range: the score is from 0 to 1");
                self.fault(node, name, message);
            }
        }
        let mut below: Option<(String, f64)> = None;
        for outcome in [Outcome::StepUp, Outcome::Review, Outcome::Decline] {
            let name = threshold_name(outcome);
            let Some(value) = thresholds.get(&name) else {
                continue;
            };
            if !self.parts.has_model {
                let message =
                    format!("`{name}` acts on a model's score, and the bundle has no model");
                self.fault(node, &name, message);
            }
            if let Some((milder, least)) = &below
                && value < least
            {
                let message =
                    format!("`{name}` is below `{milder}`, which is milder: {value} < {least}");
                self.fault(node, &name, message);
            }
            below = Some((name, *value));
        }
    }

    fn texts(
        &mut self,
        node: &Node,
        texts: &BTreeMap<String, String>,
        of_features: bool,
    ) -> BTreeMap<String, Words> {
        let mut all = BTreeMap::new();
        for (key, text) in texts {
            let is_read = |model: &Model| model.features().any(|it| it == key);
            if of_features && self.parts.model.is_some_and(|it| !is_read(it)) {
                let fault = Fault::new(node.place_of(key), format!("the model reads no `{key}`"));
                let names = self.parts.model.into_iter().flat_map(Model::features);
                self.faults.push(fault.help(nearest(key, names)));
                continue;
            }
            match self.words(text, of_features.then_some(key.as_str())) {
                Ok(words) => {
                    all.insert(key.clone(), words);
                }
                Err((message, help)) => {
                    let fault = Fault::new(node.place_of(key), message);
                    self.faults.push(fault.help(help));
                }
            }
        }
        all
    }

    fn words(&self, text: &str, own: Option<&str>) -> Result<Words, (String, Option<String>)> {
        let mut words = Words::default();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, behind)) = behind.split_once('}') else {
                return Err(("a `{` has no `}`".to_owned(), None));
            };
            let wanted = match (name, own) {
                ("value", Some(own)) => own,
                _ => name,
            };
            if let Some(set) = self.parts.set {
                let Some(at) = set.features().position(|it| it.0 == wanted) else {
                    let near = nearest(wanted, set.features().map(|it| it.0));
                    return Err((format!("no feature is called `{name}`"), near));
                };
                words.0.push(Part::Text(before.to_owned()));
                words.0.push(Part::Value(at));
            }
            rest = behind;
        }
        words.0.push(Part::Text(rest.to_owned()));
        Ok(words)
    }
}
