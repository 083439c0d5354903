//! The functions of the language: which there are, what they take, what they give.

use crate::contracts::feature_set::ValueType;
use crate::engine::diagnostic::nearest;
use crate::engine::expr::lower::{Lowering, Typing, attribute};
use crate::engine::expr::{Arithmetic, Ast, ClockPart, Kind, Node, Refused, TextTest};

const FUNCTIONS: &[&str] = &[
    "has",
    "size",
    "double",
    "int",
    "abs",
    "min",
    "max",
    "startsWith",
    "endsWith",
    "contains",
    "zscore",
    "distance_km",
];

const CLOCK_PARTS: &[(&str, ClockPart)] = &[
    ("getFullYear", ClockPart::FullYear),
    ("getMonth", ClockPart::Month),
    ("getDate", ClockPart::Date),
    ("getDayOfMonth", ClockPart::DayOfMonth),
    ("getDayOfWeek", ClockPart::DayOfWeek),
    ("getHours", ClockPart::Hours),
    ("getMinutes", ClockPart::Minutes),
    ("getSeconds", ClockPart::Seconds),
];

impl Lowering<'_> {
    pub(super) fn call(
        &mut self,
        ast: &Ast,
        name: &str,
        target: Option<&Ast>,
        args: &[Ast],
    ) -> Option<(Node, ValueType)> {
        match (name, target, args) {
            ("size", Some(of), []) | ("size", None, [of]) => {
                let of = self.typed(of, ValueType::Text)?;
                Some((Node::Size(Box::new(of)), ValueType::Int))
            }
            ("double", None, [of]) => match self.lower(of)? {
                Typing::Attribute(name, operand) => {
                    let node = attribute(name, operand, ValueType::Int);
                    Some((Node::ToFloat(Box::new(node)), ValueType::Float))
                }
                Typing::Known(..) => Some((self.typed(of, ValueType::Float)?, ValueType::Float)),
            },
            ("int", None, [of]) => match self.lower(of)? {
                Typing::Known(node, ValueType::Float) => {
                    let operand = self.operand_at(&ast.at);
                    Some((Node::ToInt(Box::new(node), operand), ValueType::Int))
                }
                _ => Some((self.typed(of, ValueType::Int)?, ValueType::Int)),
            },
            ("abs", None, [of]) => {
                let (node, value_type) = self.number(of)?;
                let operand = self.operand_at(&ast.at);
                Some((Node::Abs(Box::new(node), operand), value_type))
            }
            ("min", None, [a, b]) => self.arithmetic(ast, Arithmetic::Min, a, b),
            ("max", None, [a, b]) => self.arithmetic(ast, Arithmetic::Max, a, b),
            ("zscore", None, [value, mean, stddev]) => {
                let value = self.typed(value, ValueType::Float);
                let mean = self.typed(mean, ValueType::Float);
                let stddev = self.typed(stddev, ValueType::Float);
                let operand = self.operand_at(&ast.at);
                let pair = Box::new([value?, mean?]);
                let above = Node::Arithmetic(Arithmetic::Subtract, pair, operand);
                let pair = Box::new([above, stddev?]);
                let node = Node::Arithmetic(Arithmetic::Divide, pair, operand);
                Some((node, ValueType::Float))
            }
            ("distance_km", None, [lat_a, lon_a, lat_b, lon_b]) => {
                let parts = [lat_a, lon_a, lat_b, lon_b].map(|it| self.typed(it, ValueType::Int));
                let [lat_a, lon_a, lat_b, lon_b] = parts;
                let place = Box::new([lat_a?, lon_a?, lat_b?, lon_b?]);
                let operand = self.operand_at(&ast.at);
                Some((Node::Distance(place, operand), ValueType::Float))
            }
            ("startsWith", Some(of), [part]) => self.text_test(TextTest::StartsWith, of, part),
            ("endsWith", Some(of), [part]) => self.text_test(TextTest::EndsWith, of, part),
            ("contains", Some(of), [part]) => self.text_test(TextTest::Contains, of, part),
            (_, Some(of), []) if is_event_time(of) => self.clock_part(ast, name),
            _ if FUNCTIONS.contains(&name) => self.refuse(
                &ast.at,
                format!("`{name}` is called with the wrong arguments"),
            ),
            _ => {
                let fault = Refused::new(&ast.at, format!("unknown function `{name}`"));
                self.faults
                    .push(fault.help(nearest(name, FUNCTIONS.iter().copied())));
                None
            }
        }
    }

    fn text_test(&mut self, test: TextTest, of: &Ast, part: &Ast) -> Option<(Node, ValueType)> {
        let of = self.typed(of, ValueType::Text);
        let part = self.typed(part, ValueType::Text);
        Some((
            Node::TextTest(test, Box::new([of?, part?])),
            ValueType::Bool,
        ))
    }

    fn clock_part(&mut self, ast: &Ast, name: &str) -> Option<(Node, ValueType)> {
        if let Some((_, part)) = CLOCK_PARTS.iter().find(|(it, _)| *it == name) {
            return Some((Node::Clock(*part), ValueType::Int));
        }
        let fault = Refused::new(&ast.at, format!("a time has no `{name}`"));
        let near = nearest(name, CLOCK_PARTS.iter().map(|(it, _)| *it));
        self.faults.push(fault.help(near));
        None
    }
}

fn is_event_time(ast: &Ast) -> bool {
    matches!(&ast.kind, Kind::Select(of, field) if field == "ts" && of.kind == Kind::Name("event".to_owned()))
}
