//! Whether what a bundle reads of a deployment's attributes is what the deployment declares.
//!
//! An expression takes an attribute in the type that its place demands, so a declaration changes
//! nothing of what it computes: it is looked at when a bundle is to be put in force, and never by a
//! replay.

use crate::contracts::attributes::Attributes;
use crate::contracts::feature_set::ValueType;
use crate::engine::bundle::CompiledBundle;
use crate::engine::diagnostic::nearest;
use crate::engine::expr::{Node, Slot};
use crate::engine::features::{Column, FeatureSet, How};
use crate::engine::policy::Policy;

/// What does not agree, a sentence each.
#[must_use]
pub fn disagreements(bundle: &CompiledBundle, declared: &Attributes) -> Vec<String> {
    let mut found = of_features(&bundle.feature_set, declared);
    found.extend(of_policy(&bundle.policy, declared));
    found
}

/// The same of a feature set alone.
#[must_use]
pub fn of_features(set: &FeatureSet, declared: &Attributes) -> Vec<String> {
    let mut reader = Reader::new(declared);
    for feature in &set.features {
        if let How::Expr(program) = &feature.how {
            reader.node(&format!("feature {}", feature.name), &program.root);
        }
    }
    for (no, group) in set.groups.iter().enumerate() {
        let who = of_group(set, no);
        if let Some((_, filter)) = &group.filter {
            reader.node(&who, &filter.root);
        }
        for column in &group.columns {
            match column {
                Column::Int(slot) => reader.slot(&who, slot, true),
                Column::Interned(slot) => reader.slot(&who, slot, false),
            }
        }
    }
    reader.found
}

/// The features that share a group's series, by name.
fn of_group(set: &FeatureSet, no: usize) -> String {
    let is_of = |how: &How| matches!(how, How::Window { group, .. } if *group == no);
    let features = set.features.iter().filter(|it| is_of(&it.how));
    let names: Vec<&str> = features.map(|it| it.name.as_str()).collect();
    format!("features {}", names.join(", "))
}

/// The same of a policy alone.
#[must_use]
pub fn of_policy(policy: &Policy, declared: &Attributes) -> Vec<String> {
    let mut reader = Reader::new(declared);
    for rule in &policy.rules {
        reader.node(&format!("rule {}", rule.id), &rule.when.root);
    }
    reader.found
}

struct Reader<'d> {
    declared: &'d Attributes,
    found: Vec<String>,
}

impl<'d> Reader<'d> {
    fn new(declared: &'d Attributes) -> Reader<'d> {
        Reader {
            declared,
            found: Vec::new(),
        }
    }

    fn node(&mut self, who: &str, node: &Node) {
        match node {
            Node::Load(slot, _) => self.slot(who, slot, true),
            Node::Has(slot) => self.slot(who, slot, false),
            Node::Const(_) | Node::Clock(_) => {}
            Node::Not(of)
            | Node::In(of, _)
            | Node::Negate(of, _)
            | Node::Abs(of, _)
            | Node::ToFloat(of)
            | Node::ToInt(of, _)
            | Node::Size(of) => self.node(who, of),
            Node::And(sides)
            | Node::Or(sides)
            | Node::Compare(_, sides)
            | Node::Arithmetic(_, sides, _)
            | Node::TextTest(_, sides) => sides.iter().for_each(|it| self.node(who, it)),
            Node::Distance(parts, _) => parts.iter().for_each(|it| self.node(who, it)),
            Node::If(parts) => parts.iter().for_each(|it| self.node(who, it)),
        }
    }

    /// `is_typed`: the place demands the slot's type; else any does.
    fn slot(&mut self, who: &str, slot: &Slot, is_typed: bool) {
        let Slot::Attribute(name, wanted) = slot else {
            return;
        };
        let sentence = match self.declared.0.get(&**name) {
            None => {
                let names = self.declared.0.keys().map(String::as_str);
                let near = nearest(name, names).map_or_else(String::new, |it| format!("; {it}"));
                format!("{who}: event.attributes.{name} is not declared{near}")
            }
            Some(kind) if is_typed && kind.value_type() != *wanted => {
                let kind: ValueType = kind.value_type();
                format!("{who}: event.attributes.{name} is read as {wanted} and declared {kind}")
            }
            Some(_) => return,
        };
        if !self.found.contains(&sentence) {
            self.found.push(sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::attributes::AttributeType;
    use crate::contracts::bundle::{Bundle, SCHEMA_VERSION};
    use crate::engine::bundle::FileNames;

    const POLICY: &str = "policy: p\npolicy_rev: 1\ndefault: APPROVE\nprecedence: strictest\nrules:\n\
        \x20 - {id: R1, owner: o, description: d, outcome: REVIEW, score: 1, reason_code: X, \
        when: event.attributes.items > 6 && event.attributes.vip}\n";

    #[test]
    fn what_a_bundle_reads_of_attributes_is_as_declared() {
        let set = "feature_set: f\nversion: 1\nfeatures:\n\
            \x20 - {name: a, entity: [customer_id], agg: sum, value: event.attributes.items, window: 7d, empty: 0}\n\
            \x20 - {name: b, entity: [card_id], agg: count, filter: \"event.attributes.tier == 'gold'\", window: 7d, empty: 0}\n\
            \x20 - {name: c, type: bool, expr: has(event.attributes.vip)}\n";
        let bundle = Bundle {
            schema_version: SCHEMA_VERSION,
            name: "b".to_owned(),
            feature_set: set.to_owned(),
            policy: POLICY.to_owned(),
            model: None,
            manifest: None,
        };
        let files = FileNames {
            feature_set: "f.yaml",
            policy: "p.yaml",
        };
        let compiled = CompiledBundle::compile(&bundle, files).unwrap();
        let declared = |types: &[(&str, AttributeType)]| {
            let types = types.iter().map(|(name, kind)| ((*name).to_owned(), *kind));
            disagreements(&compiled, &Attributes(types.collect()))
        };
        let (text, int, boolean) = (AttributeType::Text, AttributeType::Int, AttributeType::Bool);
        let none: [&str; 0] = [];
        let right = [("items", int), ("tier", text), ("vip", boolean)];
        assert_eq!(declared(&right), none);
        assert_eq!(
            declared(&[("items", text), ("tier", text), ("vip", boolean)]),
            [
                "features a: event.attributes.items is read as int and declared text",
                "rule R1: event.attributes.items is read as int and declared text",
            ]
        );
        assert_eq!(
            declared(&[("items", int), ("tiers", text), ("vip", int)]),
            [
                "features b: event.attributes.tier is not declared; did you mean `tiers`?",
                "rule R1: event.attributes.vip is read as bool and declared int",
            ]
        );
    }
}
