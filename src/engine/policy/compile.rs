//! From a policy's YAML to rules that cannot fail on types: every fault with its place.

use std::collections::BTreeMap;

use crate::contracts::feature_set::ValueType;
use crate::contracts::policy as shape;
use crate::domain::vocabulary::Outcome;
use crate::engine::diagnostic::{Diagnostic, Fault, Place, Severity, Source};
use crate::engine::expr::{Features, Names, PolicyNames, compile_scalar};
use crate::engine::features::FeatureSet;
use crate::engine::policy::{Policy, Rule, actions, analyse, threshold_name};
use crate::engine::yaml::{self, Items, Node, Shape};

/// With the bound of a score, far from where a sum leaves 64 bits.
const RULES_MAX: usize = 10_000;
const SCORE_MAX: i64 = 1_000_000;

impl Policy {
    /// Compiles the YAML text against the features that it may name.
    ///
    /// # Errors
    /// Everything found wrong, in order of the file.
    pub fn compile(
        file: &str,
        text: &str,
        features: &FeatureSet,
    ) -> Result<Policy, Vec<Diagnostic>> {
        let beside = Beside {
            features: Some(features),
            model: Some(false),
            thresholds: Some(&BTreeMap::new()),
        };
        Policy::compile_against(file, text, &beside)
    }

    /// Compiles the YAML text beside the other parts of its bundle; `file` names it in diagnostics.
    /// What is not known is not blamed, and such a policy is for its diagnostics only.
    ///
    /// # Errors
    /// Everything found wrong, in order of the file.
    pub(crate) fn compile_against(
        file: &str,
        text: &str,
        beside: &Beside<'_>,
    ) -> Result<Policy, Vec<Diagnostic>> {
        let source = Source { file, text };
        let root = yaml::parse(text).map_err(|fault| source.errors(vec![fault]))?;
        let Items {
            header,
            items,
            mut faults,
        } = yaml::read_list::<shape::Policy, shape::Rule>(&root, "rules");
        if let Some(header) = &header {
            faults.extend(header_faults(&root, header));
        }
        if items.len() > RULES_MAX {
            let message = format!("a policy has at most {RULES_MAX} rules");
            faults.push(Fault::new(root.place_of("rules"), message));
        }
        let lists = header.as_ref().map(|it| it.lists.as_slice());
        let lists = lists.unwrap_or_default();
        faults.extend(list_faults(&root, lists));
        let list_names: Vec<String> = lists.iter().map(|it| it.name.clone()).collect();
        let known: Option<Vec<_>> = beside.features.map(|set| {
            let features = set.features();
            features
                .map(|(name, value_type)| (name.to_owned(), Some(value_type)))
                .collect()
        });
        let mut compiling = Compiling {
            text,
            names: Names {
                features: known.as_deref().map_or(Features::Unknown, Features::Listed),
                context: true,
                policy: Some(PolicyNames {
                    model: beside.model,
                    thresholds: beside.thresholds,
                    lists: &list_names,
                }),
            },
            ids: Vec::new(),
            rules: Vec::new(),
            places: Vec::new(),
            faults,
            warnings: Vec::new(),
        };
        for (node, rule) in &items {
            compiling.add(node, rule.as_ref());
        }
        if let Some(header) = &header {
            let found = actions::faults(&root, &header.actions, &compiling.ids);
            compiling.faults.extend(found);
        }
        match header {
            Some(header) if compiling.faults.is_empty() => {
                let mut warnings = compiling.warnings;
                warnings.extend(analyse::warnings(&compiling.rules, &compiling.places));
                warnings.sort_by_key(|it| (it.place.line, it.place.column));
                Ok(Policy {
                    name: header.policy,
                    policy_rev: header.policy_rev,
                    default: header.default,
                    lists: header.lists,
                    thresholds: beside.acting(),
                    rules: compiling.rules,
                    actions: header.actions,
                    warnings: warnings
                        .into_iter()
                        .map(|it| source.diagnostic(Severity::Warning, it))
                        .collect(),
                })
            }
            _ => Err(source.errors(compiling.faults)),
        }
    }
}

/// The other parts of a policy's bundle, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside<'b> {
    /// Those it may name.
    pub(crate) features: Option<&'b FeatureSet>,
    /// Whether there is a model.
    pub(crate) model: Option<bool>,
    pub(crate) thresholds: Option<&'b BTreeMap<String, f64>>,
}

impl Beside<'_> {
    /// The thresholds that act by themselves, the strictest first.
    fn acting(&self) -> Vec<(Outcome, f64)> {
        let outcomes = [Outcome::Decline, Outcome::Review, Outcome::StepUp];
        let of = |outcome: Outcome| {
            let value = self.thresholds?.get(&threshold_name(outcome))?;
            Some((outcome, *value))
        };
        match self.model {
            Some(true) => outcomes.into_iter().filter_map(of).collect(),
            _ => Vec::new(),
        }
    }
}

const LISTS_MAX: usize = 100;

fn list_faults(root: &Node, lists: &[shape::List]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let nodes = match root.get("lists").map(|it| &it.value) {
        Some(Shape::List(nodes)) => nodes.as_slice(),
        _ => &[],
    };
    if lists.len() > LISTS_MAX {
        let message = format!("a policy has at most {LISTS_MAX} lists");
        faults.push(Fault::new(root.place_of("lists"), message));
    }
    for (at, (list, node)) in lists.iter().zip(nodes).enumerate() {
        if !is_list_name(&list.name) {
            let message =
                "a list's name is lowercase letters, digits and `_`, led by a letter, at most 64";
            faults.push(Fault::new(node.place_of("name"), message));
        }
        if lists[..at].iter().any(|it| it.name == list.name) {
            let message = format!("a list `{}` stands above already", list.name);
            faults.push(Fault::new(node.place_of("name"), message));
        }
        if !is_reason_code(&list.reason_code) {
            faults.push(Fault::new(node.place_of("reason_code"), REASON_CODE));
        }
    }
    faults
}

/// Whether a list may be called so.
pub(crate) fn is_list_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name
            .bytes()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}

const REASON_CODE: &str = "a reason code is capitals, digits and `_`, led by a capital";

fn header_faults(root: &Node, header: &shape::Policy) -> Vec<Fault> {
    let mut faults = Vec::new();
    if header.policy.is_empty() {
        faults.push(Fault::new(root.place_of("policy"), "a policy has a name"));
    }
    if header.policy_rev < 1 {
        faults.push(Fault::new(
            root.place_of("policy_rev"),
            "revisions count from 1",
        ));
    }
    faults
}

struct Compiling<'c> {
    text: &'c str,
    names: Names<'c>,
    ids: Vec<String>,
    rules: Vec<Rule>,
    /// Of each rule's `when`.
    places: Vec<Place>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Compiling<'_> {
    fn fault(&mut self, node: &Node, key: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(node.place_of(key), message));
    }

    fn add(&mut self, node: &Node, rule: Option<&shape::Rule>) {
        let Some(id) = rule.map(|it| it.id.as_str()).or(node.text_of("id")) else {
            return;
        };
        if self.ids.iter().any(|it| it == id) {
            self.fault(node, "id", format!("a rule `{id}` stands above already"));
        }
        self.ids.push(id.to_owned());
        let Some(rule) = rule else { return };
        if !is_id(&rule.id) {
            let message = "an id is 1 to 64 letters, digits, `_`, `.` and `-`";
            self.fault(node, "id", message);
        }
        if !is_reason_code(&rule.reason_code) {
            self.fault(node, "reason_code", REASON_CODE);
        }
        if rule.score.abs() > SCORE_MAX {
            let message = format!("a score is at most {SCORE_MAX} either way");
            self.fault(node, "score", message);
        }
        let (text, names) = (&rule.when, self.names);
        let when = match compile_scalar(self.text, node, "when", text, names, ValueType::Bool) {
            Ok(when) => when,
            Err(faults) => {
                self.faults.extend(faults);
                return;
            }
        };
        if let Some(value) = when.constant_bool() {
            let message = match value {
                true => format!("rule `{id}` fires on every event"),
                false => format!("rule `{id}` never fires"),
            };
            self.warnings
                .push(Fault::new(node.place_of("when"), message));
        }
        self.places.push(node.place_of("when"));
        self.rules.push(Rule {
            id: rule.id.clone(),
            when,
            outcome: rule.outcome,
            score: rule.score,
            reason_code: rule.reason_code.clone(),
        });
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it))
}

fn is_reason_code(code: &str) -> bool {
    code.starts_with(|it: char| it.is_ascii_uppercase())
        && code
            .bytes()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
}
