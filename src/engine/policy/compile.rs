//! From a policy's YAML to rules that cannot fail on types: every fault with its place.

use crate::contracts::feature_set::ValueType;
use crate::contracts::policy as shape;
use crate::engine::diagnostic::{Diagnostic, Fault, Severity, Source};
use crate::engine::expr::{Features, Names, compile_scalar};
use crate::engine::features::FeatureSet;
use crate::engine::policy::{Policy, Rule, actions};
use crate::engine::yaml::{self, Items, Node};

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
        Policy::compile_against(file, text, Some(features))
    }

    /// Compiles the YAML text against the features that it may name; `file` names it in
    /// diagnostics. Without a set (it is itself at fault) rules that name features are left out
    /// unjudged: such a policy is for its diagnostics only.
    ///
    /// # Errors
    /// Everything found wrong, in order of the file.
    pub(crate) fn compile_against(
        file: &str,
        text: &str,
        features: Option<&FeatureSet>,
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
        let known: Option<Vec<_>> = features.map(|set| {
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
            },
            ids: Vec::new(),
            rules: Vec::new(),
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
            Some(header) if compiling.faults.is_empty() => Ok(Policy {
                name: header.policy,
                policy_rev: header.policy_rev,
                default: header.default,
                rules: compiling.rules,
                actions: header.actions,
                warnings: compiling
                    .warnings
                    .into_iter()
                    .map(|it| source.diagnostic(Severity::Warning, it))
                    .collect(),
            }),
            _ => Err(source.errors(compiling.faults)),
        }
    }
}

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
            let message = "a reason code is capitals, digits and `_`, led by a capital";
            self.fault(node, "reason_code", message);
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
