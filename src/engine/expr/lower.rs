//! Types an expression and resolves its names to slots, once. Every fault of the expression is
//! found, each with its bytes; what comes out cannot meet a wrong type when it runs.
//!
//! An attribute has no declared type. It takes the type that its place demands (the other side of
//! a comparison, a Bool operator, a text function, `int(…)`); where nothing demands one it is
//! refused. At run time a value of another type counts as missing.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::contracts::feature_set::{Entity, ValueType};
use crate::engine::diagnostic::nearest;
use crate::engine::expr::parse::Operator;
use crate::engine::expr::policy_names::is_policy_root;
use crate::engine::expr::{
    Arithmetic, Ast, Comparison, Const, Kind, Node, OperandNo, Program, Refused, Slot, slice,
};

/// The names that an expression may use beside the event's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'n> {
    pub(crate) features: Features<'n>,
    /// Whether the joined context may be read.
    pub(crate) context: bool,
    /// What only a policy may name: `model`, `thresholds`, `lists`.
    pub(crate) policy: Option<PolicyNames<'n>>,
}

/// What a policy may name beside event and features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyNames<'n> {
    /// Whether the bundle has a model; `None` where that is not known, and no use is blamed.
    pub(crate) model: Option<bool>,
    /// The bundle's; `None` where they are not known.
    pub(crate) thresholds: Option<&'n BTreeMap<String, f64>>,
    /// The policy's own, in order.
    pub(crate) lists: &'n [String],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Features<'n> {
    /// None may be named.
    Refused,
    /// These, in order. No type: the feature is itself at fault, and what uses it is not blamed.
    Listed(&'n [(String, Option<ValueType>)]),
    /// The set is itself at fault, and no use of one is blamed.
    Unknown,
}

/// A lowered operand: settled, or an attribute that awaits its type.
#[derive(Debug)]
pub(super) enum Typing {
    Known(Node, ValueType),
    Attribute(Box<str>, OperandNo),
}

const EVENT_FIELDS: &[(&str, Slot)] = &[
    ("customer_id", Slot::Entity(Entity::CustomerId)),
    ("account_id", Slot::Entity(Entity::AccountId)),
    ("card_id", Slot::Entity(Entity::CardId)),
    ("device_id", Slot::Entity(Entity::DeviceId)),
    ("ip", Slot::Entity(Entity::Ip)),
    ("merchant_id", Slot::Entity(Entity::MerchantId)),
    ("terminal_id", Slot::Entity(Entity::TerminalId)),
    ("beneficiary_id", Slot::Entity(Entity::BeneficiaryId)),
    ("amount_minor", Slot::AmountMinor),
    ("currency", Slot::Currency),
    ("channel", Slot::Channel),
    ("mcc", Slot::Mcc),
    ("country", Slot::Country),
    ("kind", Slot::ArrivalKind),
    ("degraded", Slot::Degraded),
];

/// The slot of `event.<name>` with its type.
pub(crate) fn field_named(name: &str) -> Option<(Slot, ValueType)> {
    let (_, slot) = EVENT_FIELDS.iter().find(|(it, _)| *it == name)?;
    let value_type = match slot {
        Slot::AmountMinor => ValueType::Int,
        Slot::Degraded => ValueType::Bool,
        _ => ValueType::Text,
    };
    Some((slot.clone(), value_type))
}

/// Lowers `ast`, which was read from `text`. The whole must be of type `wanted`.
///
/// # Errors
/// Every fault found. Empty where all that is wrong is a feature that is itself at fault.
pub(crate) fn lower(
    text: &str,
    ast: &Ast,
    names: Names<'_>,
    wanted: ValueType,
) -> Result<Program, Vec<Refused>> {
    let mut lowering = Lowering {
        text,
        names,
        operands: Vec::new(),
        faults: Vec::new(),
    };
    match lowering.typed(ast, wanted) {
        Some(root) if lowering.faults.is_empty() => Ok(Program {
            root,
            operands: lowering.operands,
        }),
        _ => Err(lowering.faults),
    }
}

pub(super) struct Lowering<'l> {
    text: &'l str,
    pub(super) names: Names<'l>,
    operands: Vec<String>,
    pub(super) faults: Vec<Refused>,
}

impl Lowering<'_> {
    pub(super) fn refuse<T>(&mut self, at: &Range<usize>, message: impl Into<String>) -> Option<T> {
        self.faults.push(Refused::new(at, message));
        None
    }

    pub(super) fn operand(&mut self, name: String) -> OperandNo {
        let at = self.operands.iter().position(|it| *it == name);
        let at = at.unwrap_or_else(|| {
            self.operands.push(name);
            self.operands.len() - 1
        });
        // An expression of 4,096 bytes has fewer operands.
        OperandNo::try_from(at).unwrap_or(OperandNo::MAX)
    }

    pub(super) fn operand_at(&mut self, at: &Range<usize>) -> OperandNo {
        let name = slice(self.text, at);
        self.operand(name)
    }

    /// A node of a settled type.
    fn known(&mut self, ast: &Ast) -> Option<(Node, ValueType)> {
        match self.lower(ast)? {
            Typing::Known(node, value_type) => Some((node, value_type)),
            Typing::Attribute(name, _) => {
                let fault = Refused::new(&ast.at, "an attribute has no declared type here");
                let help =
                    format!("compare it to a literal, or write int(event.attributes.{name})");
                self.faults.push(fault.help(help));
                None
            }
        }
    }

    /// A node of the wanted type; an Int becomes a Float where that is wanted.
    pub(super) fn typed(&mut self, ast: &Ast, wanted: ValueType) -> Option<Node> {
        match self.lower(ast)? {
            Typing::Attribute(name, operand) if wanted != ValueType::Float => {
                Some(Node::Load(Slot::Attribute(name, wanted), operand))
            }
            Typing::Attribute(..) => {
                self.refuse(&ast.at, "an attribute is never a float; write double(…)")
            }
            Typing::Known(node, found) if found == wanted => Some(node),
            Typing::Known(node, ValueType::Int) if wanted == ValueType::Float => {
                Some(Node::ToFloat(Box::new(node)))
            }
            Typing::Known(_, found) => {
                self.refuse(&ast.at, format!("expected {wanted}, found {found}"))
            }
        }
    }

    pub(super) fn number(&mut self, ast: &Ast) -> Option<(Node, ValueType)> {
        let (node, found) = self.known(ast)?;
        match found {
            ValueType::Int | ValueType::Float => Some((node, found)),
            _ => self.refuse(&ast.at, format!("expected a number, found {found}")),
        }
    }

    pub(super) fn lower(&mut self, ast: &Ast) -> Option<Typing> {
        let known = |node, value_type| Some(Typing::Known(node, value_type));
        match &ast.kind {
            Kind::Bool(value) => known(Node::Const(Const::Bool(*value)), ValueType::Bool),
            Kind::Int(value) => known(Node::Const(Const::Int(*value)), ValueType::Int),
            Kind::Float(value) if value.is_finite() => {
                known(Node::Const(Const::Float(*value)), ValueType::Float)
            }
            Kind::Float(_) => self.refuse(&ast.at, "the number is beyond a 64-bit float"),
            Kind::Text(value) => known(
                Node::Const(Const::Text(value.as_str().into())),
                ValueType::Text,
            ),
            Kind::Name(name) => self.bare_name(ast, name),
            Kind::Select(of, field) => self.name(ast, of, field),
            Kind::Has(of, field) => match self.name(ast, of, field)? {
                Typing::Known(Node::Load(slot, _), _) => known(Node::Has(slot), ValueType::Bool),
                Typing::Attribute(name, _) => known(
                    Node::Has(Slot::Attribute(name, ValueType::Text)),
                    ValueType::Bool,
                ),
                Typing::Known(..) => self.refuse(&ast.at, "has(…) takes a name"),
            },
            Kind::Operator(operator, args) => {
                let (node, value_type) = self.operator(ast, *operator, args)?;
                known(node, value_type)
            }
            Kind::Call { name, target, args } => {
                let (node, value_type) = self.call(ast, name, target.as_deref(), args)?;
                known(node, value_type)
            }
            Kind::List(_) => self.refuse(&ast.at, "a list stands only behind `in`"),
        }
    }

    fn bare_name<T>(&mut self, ast: &Ast, name: &str) -> Option<T> {
        let help = match name {
            "event" | "features" => Some(format!("name a field of it: {name}.…")),
            "model" => Some("a rule reads model.score".to_owned()),
            "lists" | "thresholds" => Some(format!("a rule names one of them: {name}.…")),
            _ if field_named(name).is_some() => Some(format!("did you mean `event.{name}`?")),
            _ if self.feature(name).is_some() => Some(format!("did you mean `features.{name}`?")),
            _ => nearest(name, ["event", "features", "true", "false"]),
        };
        let fault = Refused::new(&ast.at, format!("unknown name `{name}`"));
        self.faults.push(fault.help(help));
        None
    }

    fn feature(&self, name: &str) -> Option<(usize, Option<ValueType>)> {
        let Features::Listed(features) = self.names.features else {
            return None;
        };
        let at = features.iter().position(|(it, _)| it == name)?;
        Some((at, features[at].1))
    }

    /// `event.x`, `event.attributes.x`, `features.x`.
    fn name(&mut self, ast: &Ast, of: &Ast, field: &str) -> Option<Typing> {
        match &of.kind {
            Kind::Name(root) if root == "event" => self.event_field(ast, field),
            Kind::Name(root) if root == "features" => self.feature_field(ast, field),
            Kind::Name(root) if is_policy_root(root) => self.policy_field(ast, root, field),
            Kind::Name(root) => self.bare_name(of, root),
            Kind::Select(inner, parent)
                if parent == "attributes" && inner.kind == Kind::Name("event".to_owned()) =>
            {
                let operand = self.operand(format!("event.attributes.{field}"));
                Some(Typing::Attribute(field.into(), operand))
            }
            _ => self.refuse(
                &ast.at,
                format!("`{}` has no fields", slice(self.text, &of.at)),
            ),
        }
    }

    fn event_field(&mut self, ast: &Ast, field: &str) -> Option<Typing> {
        let Some((slot, value_type)) = field_named(field) else {
            let message = match field {
                "ts" => {
                    "a time can only be asked for its parts, as in event.ts.getHours()".to_owned()
                }
                "attributes" => "name an attribute: event.attributes.…".to_owned(),
                _ => format!("unknown name `event.{field}`"),
            };
            let names = EVENT_FIELDS.iter().map(|(it, _)| *it);
            let near = match field {
                "ts" | "attributes" => None,
                _ => nearest(field, names.chain(["ts", "attributes"])),
            };
            let near = near.map(|it| it.replacen('`', "`event.", 1));
            self.faults.push(Refused::new(&ast.at, message).help(near));
            return None;
        };
        let of_context = matches!(
            slot,
            Slot::Mcc | Slot::Country | Slot::ArrivalKind | Slot::Degraded
        );
        if of_context && !self.names.context {
            let message = format!(
                "`event.{field}` comes from the joined context, which only a policy reads: features depend on traffic and labels alone"
            );
            return self.refuse(&ast.at, message);
        }
        let operand = self.operand(format!("event.{field}"));
        Some(Typing::Known(Node::Load(slot, operand), value_type))
    }

    fn feature_field(&mut self, ast: &Ast, field: &str) -> Option<Typing> {
        let features = match self.names.features {
            Features::Listed(features) => features,
            Features::Unknown => return None,
            Features::Refused => {
                return self.refuse(&ast.at, "here only the event can be read, no features");
            }
        };
        match self.feature(field) {
            Some((at, Some(value_type))) => {
                let operand = self.operand(format!("features.{field}"));
                let node = Node::Load(Slot::Feature(at), operand);
                Some(Typing::Known(node, value_type))
            }
            Some((_, None)) => None,
            None => {
                let near = nearest(field, features.iter().map(|(it, _)| it.as_str()));
                let near = near.map(|it| it.replacen('`', "`features.", 1));
                let fault = Refused::new(&ast.at, format!("unknown name `features.{field}`"));
                self.faults.push(fault.help(near));
                None
            }
        }
    }

    fn operator(&mut self, ast: &Ast, op: Operator, args: &[Ast]) -> Option<(Node, ValueType)> {
        let comparison = match op {
            Operator::Equal => Comparison::Equal,
            Operator::NotEqual => Comparison::NotEqual,
            Operator::Less => Comparison::Less,
            Operator::LessEqual => Comparison::LessEqual,
            Operator::Greater => Comparison::Greater,
            Operator::GreaterEqual => Comparison::GreaterEqual,
            _ => return self.other_operator(ast, op, args),
        };
        let [left, right] = args else {
            return self.refuse(&ast.at, "expected two sides");
        };
        let (left_type, right_type) = (self.lower(left), self.lower(right));
        let (left_node, right_node, value_type) = match (left_type?, right_type?) {
            (Typing::Attribute(..), Typing::Attribute(..)) => {
                return self.refuse(
                    &ast.at,
                    "two attributes have no type to compare by; wrap one in int(…)",
                );
            }
            (Typing::Attribute(name, operand), Typing::Known(node, found)) => {
                (attribute(name, operand, found), node, found)
            }
            (Typing::Known(node, found), Typing::Attribute(name, operand)) => {
                (node, attribute(name, operand, found), found)
            }
            (Typing::Known(a, a_type), Typing::Known(b, b_type)) => {
                if a_type != b_type && !(is_number(a_type) && is_number(b_type)) {
                    return self.refuse(&ast.at, format!("cannot compare {a_type} with {b_type}"));
                }
                (a, b, a_type)
            }
        };
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if ordered && value_type == ValueType::Bool {
            return self.refuse(&ast.at, "bools have no order");
        }
        let node = Node::Compare(comparison, Box::new([left_node, right_node]));
        Some((node, ValueType::Bool))
    }

    fn other_operator(
        &mut self,
        ast: &Ast,
        op: Operator,
        args: &[Ast],
    ) -> Option<(Node, ValueType)> {
        match (op, args) {
            (Operator::And | Operator::Or, [left, right]) => {
                let left = self.typed(left, ValueType::Bool);
                let right = self.typed(right, ValueType::Bool);
                let sides = Box::new([left?, right?]);
                let node = match op {
                    Operator::And => Node::And(sides),
                    _ => Node::Or(sides),
                };
                Some((node, ValueType::Bool))
            }
            (Operator::Not, [of]) => {
                let of = self.typed(of, ValueType::Bool)?;
                Some((Node::Not(Box::new(of)), ValueType::Bool))
            }
            (Operator::Negate, [of]) => {
                let (node, value_type) = self.number(of)?;
                let operand = self.operand_at(&ast.at);
                Some((Node::Negate(Box::new(node), operand), value_type))
            }
            (Operator::If, [condition, then, other]) => {
                let condition = self.typed(condition, ValueType::Bool);
                let (then, other) = (self.known(then), self.known(other));
                let (a, b, value_type) = self.agree(ast, then?, other?)?;
                Some((Node::If(Box::new([condition?, a, b])), value_type))
            }
            (Operator::In, [of, among]) => self.among(of, among),
            (op, [left, right]) => {
                let op = match op {
                    Operator::Add => Arithmetic::Add,
                    Operator::Subtract => Arithmetic::Subtract,
                    Operator::Multiply => Arithmetic::Multiply,
                    Operator::Divide => Arithmetic::Divide,
                    _ => Arithmetic::Modulo,
                };
                self.arithmetic(ast, op, left, right)
            }
            _ => self.refuse(&ast.at, "an operator with a wrong number of operands"),
        }
    }

    pub(super) fn arithmetic(
        &mut self,
        ast: &Ast,
        op: Arithmetic,
        left: &Ast,
        right: &Ast,
    ) -> Option<(Node, ValueType)> {
        let (left, right) = (self.number(left), self.number(right));
        let (a, b, value_type) = self.agree(ast, left?, right?)?;
        if op == Arithmetic::Modulo && value_type != ValueType::Int {
            return self.refuse(&ast.at, "`%` takes two ints");
        }
        let operand = self.operand_at(&ast.at);
        Some((Node::Arithmetic(op, Box::new([a, b]), operand), value_type))
    }

    /// Two nodes of one type, an Int beside a Float made a Float.
    fn agree(
        &mut self,
        ast: &Ast,
        left: (Node, ValueType),
        right: (Node, ValueType),
    ) -> Option<(Node, Node, ValueType)> {
        let ((a, a_type), (b, b_type)) = (left, right);
        match (a_type, b_type) {
            _ if a_type == b_type => Some((a, b, a_type)),
            (ValueType::Int, ValueType::Float) => Some((Node::ToFloat(Box::new(a)), b, b_type)),
            (ValueType::Float, ValueType::Int) => Some((a, Node::ToFloat(Box::new(b)), a_type)),
            _ => self.refuse(&ast.at, format!("the sides differ: {a_type} and {b_type}")),
        }
    }

    fn among(&mut self, of: &Ast, among: &Ast) -> Option<(Node, ValueType)> {
        let Kind::List(items) = &among.kind else {
            return self.refuse(&among.at, "`in` takes a list of literals");
        };
        let mut literals = Vec::new();
        let mut first = None;
        for item in items {
            match self.known(item)? {
                (Node::Const(literal), found) => {
                    let expect = *first.get_or_insert(found);
                    if found != expect && !(is_number(found) && is_number(expect)) {
                        return self.refuse(&item.at, format!("expected {expect}, found {found}"));
                    }
                    literals.push(literal);
                }
                _ => return self.refuse(&item.at, "`in` takes a list of literals"),
            }
        }
        let node = match (self.lower(of)?, first) {
            (Typing::Attribute(name, operand), Some(found)) => attribute(name, operand, found),
            (Typing::Attribute(name, operand), None) => attribute(name, operand, ValueType::Text),
            (Typing::Known(node, found), Some(expect))
                if found == expect || (is_number(found) && is_number(expect)) =>
            {
                node
            }
            (Typing::Known(node, _), None) => node,
            (Typing::Known(_, found), Some(expect)) => {
                return self.refuse(&of.at, format!("expected {expect}, found {found}"));
            }
        };
        Some((Node::In(Box::new(node), literals.into()), ValueType::Bool))
    }
}

fn is_number(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Int | ValueType::Float)
}

/// An attribute beside a value of type `found`; beside a float it is an int.
pub(super) fn attribute(name: Box<str>, operand: OperandNo, found: ValueType) -> Node {
    let read_as = match found {
        ValueType::Float => ValueType::Int,
        other => other,
    };
    Node::Load(Slot::Attribute(name, read_as), operand)
}
