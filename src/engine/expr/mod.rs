//! Expressions: read once, typed once, lowered once to a tree over slots, then evaluated without
//! allocating. A closed subset of CEL; `docs/expressions.md` lists it.

mod eval;
mod functions;
mod lower;
mod number;
mod parse;
mod places;
mod policy_names;
mod scalar;

use std::ops::Range;

pub(crate) use crate::engine::expr::eval::{Cell, PolicySlots, Slots, Stop};
pub(crate) use crate::engine::expr::lower::{Features, Names, PolicyNames, field_named};
pub(crate) use crate::engine::expr::number::compare_int_float;
pub(crate) use crate::engine::expr::parse::{Ast, Kind, Refused, parse};
pub(crate) use crate::engine::expr::scalar::compile_scalar;

use crate::contracts::feature_set::{Entity, ValueType};

/// A typed expression, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) root: Node,
    /// Names of what may be missing or undefined, as the author wrote them.
    pub(crate) operands: Vec<String>,
}

/// Index into [`Program::operands`].
pub(crate) type OperandNo = u16;

/// What an expression can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Entity(Entity),
    AmountMinor,
    Currency,
    Channel,
    /// Of the arrival event, where the join found it.
    Mcc,
    Country,
    ArrivalKind,
    /// Whether the decision stands on less than the whole frame.
    Degraded,
    /// An attribute, read as this type; of another type it counts as missing.
    Attribute(Box<str>, ValueType),
    /// The value of the nth feature of the set.
    Feature(usize),
    /// What the bundle's model says of the event.
    Score,
    /// Whether the event stands on the nth list of the policy.
    List(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Const {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// A part of the event's time in UTC, counted as CEL counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockPart {
    /// From 0001 on.
    FullYear,
    /// 0 (January) to 11.
    Month,
    /// 1 to 31.
    Date,
    /// 0 to 30.
    DayOfMonth,
    /// 0 (Sunday) to 6.
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
}

/// Types are settled when it is built: arithmetic has two Ints or two Floats below it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Const(Const),
    Load(Slot, OperandNo),
    Has(Slot),
    Not(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    In(Box<Node>, Box<[Const]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>, OperandNo),
    Negate(Box<Node>, OperandNo),
    Abs(Box<Node>, OperandNo),
    ToFloat(Box<Node>),
    ToInt(Box<Node>, OperandNo),
    TextTest(TextTest, Box<[Node; 2]>),
    Size(Box<Node>),
    /// Kilometres between two places: latitude and longitude of each, in millionths of a degree.
    Distance(Box<[Node; 4]>, OperandNo),
    Clock(ClockPart),
}

impl Program {
    /// # Errors
    /// [`Stop`] naming the operand that was missing or undefined.
    pub(crate) fn run<'s>(&'s self, slots: &Slots<'s>) -> Result<Cell<'s>, Stop> {
        eval::eval(&self.root, slots)
    }

    /// The value, where it is plain without an event.
    pub(crate) fn constant_bool(&self) -> Option<bool> {
        eval::constant_bool(&self.root)
    }
}

/// `text[at]`, for naming an operand, with the parentheses that belong to it: the parser keeps
/// none, so a node's bytes may end before one or begin behind one.
pub(crate) fn slice(text: &str, at: &Range<usize>) -> String {
    let Range { mut start, mut end } = *at;
    let (mut open, mut unopened) = (0_usize, 0_usize);
    for byte in text.as_bytes().get(start..end).unwrap_or_default() {
        match byte {
            b'(' => open += 1,
            b')' if open > 0 => open -= 1,
            b')' => unopened += 1,
            _ => {}
        }
    }
    while open > 0 {
        match text[end..].trim_start().strip_prefix(')') {
            Some(rest) => end = text.len() - rest.len(),
            None => break,
        }
        open -= 1;
    }
    while unopened > 0 {
        match text[..start].trim_end().strip_suffix('(') {
            Some(rest) => start = rest.len(),
            None => break,
        }
        unopened -= 1;
    }
    text[start..end].to_owned()
}
