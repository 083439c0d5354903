//! The names that only a policy may use: `model.score`, `thresholds.NAME`, `lists.NAME`.

use crate::contracts::feature_set::ValueType;
use crate::engine::diagnostic::nearest;
use crate::engine::expr::lower::{Lowering, Typing};
use crate::engine::expr::{Ast, Const, Node, Refused, Slot};

pub(super) fn is_policy_root(root: &str) -> bool {
    matches!(root, "model" | "thresholds" | "lists")
}

impl Lowering<'_> {
    pub(super) fn policy_field(&mut self, ast: &Ast, root: &str, field: &str) -> Option<Typing> {
        let Some(policy) = self.names.policy else {
            let message = format!("`{root}` is read by rules alone: features depend on records");
            return self.refuse(&ast.at, message);
        };
        let known = |node, value_type| Some(Typing::Known(node, value_type));
        match root {
            "model" => match (field, policy.model) {
                ("score", Some(false)) => self.refuse(
                    &ast.at,
                    "the bundle has no model, so there is no `model.score`",
                ),
                ("score", _) => {
                    let operand = self.operand("model.score".to_owned());
                    known(Node::Load(Slot::Score, operand), ValueType::Float)
                }
                _ => self.unknown(ast, root, field, ["score"]),
            },
            "thresholds" => {
                let Some(thresholds) = policy.thresholds else {
                    // Not known here: any number will do, nothing of it is run.
                    return known(Node::Const(Const::Float(0.5)), ValueType::Float);
                };
                match thresholds.get(field) {
                    Some(value) => known(Node::Const(Const::Float(*value)), ValueType::Float),
                    None => self.unknown(ast, root, field, thresholds.keys().map(String::as_str)),
                }
            }
            _ => match policy.lists.iter().position(|it| it == field) {
                Some(at) => {
                    let operand = self.operand(format!("lists.{field}"));
                    known(Node::Load(Slot::List(at), operand), ValueType::Bool)
                }
                None => self.unknown(ast, root, field, policy.lists.iter().map(String::as_str)),
            },
        }
    }

    fn unknown<'n>(
        &mut self,
        ast: &Ast,
        root: &str,
        field: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Option<Typing> {
        let near = nearest(field, names);
        let near = near.map(|it| it.replacen('`', &format!("`{root}."), 1));
        let fault = Refused::new(&ast.at, format!("unknown name `{root}.{field}`"));
        self.faults.push(fault.help(near));
        None
    }
}
