//! Runs a lowered expression on one event. Nothing is allocated; a missing or undefined operand
//! stops the evaluation and says which it was.
//!
//! `&&` and `||` absorb, as CEL's do, from either side: `true || missing` is true and
//! `false && missing` is false. Any other operator over a missing operand is missing.

use std::cmp::Ordering;

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{Entity, ValueType};
use crate::contracts::payload::{ArrivalEvent, AttributeValue};
use crate::domain::time::Time;
use crate::engine::event::EventRecord;
use crate::engine::expr::number::{compare_int_float, to_int};
use crate::engine::expr::places::distance_km;
use crate::engine::expr::{
    Arithmetic, ClockPart, Comparison, Const, Node, OperandNo, Slot, TextTest,
};

/// What one evaluation reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots<'s> {
    pub(crate) event: &'s EventRecord,
    pub(crate) arrival: Option<&'s ArrivalEvent>,
    pub(crate) degraded: bool,
    /// In the order of the feature set; shorter while the set itself is being computed.
    pub(crate) features: &'s [Value],
    /// What a policy reads beside; features read none of it.
    pub(crate) policy: Option<PolicySlots<'s>>,
}

/// What only a policy reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicySlots<'s> {
    /// The model's, where the bundle has one.
    pub(crate) score: Option<f64>,
    /// Whether the event stands on each list of the policy, in its order.
    pub(crate) lists: &'s [bool],
}

/// A value on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'s> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'s str),
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Missing(OperandNo),
    /// Beyond 64 bits, a division by zero, or a float that is not finite.
    Undefined(OperandNo),
}

type Outcome<'s> = Result<Cell<'s>, Stop>;

impl Cell<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Cell::Bool(value) => Value::Bool(value),
            Cell::Int(value) => Value::Int(value),
            Cell::Float(value) => Value::Float(value),
            Cell::Text(value) => Value::Text(value.to_owned()),
        }
    }
}

impl Const {
    fn cell(&self) -> Cell<'_> {
        match self {
            Const::Bool(value) => Cell::Bool(*value),
            Const::Int(value) => Cell::Int(*value),
            Const::Float(value) => Cell::Float(*value),
            Const::Text(value) => Cell::Text(value),
        }
    }
}

impl<'s> Slots<'s> {
    pub(crate) fn load(&self, slot: &Slot) -> Option<Cell<'s>> {
        let event = self.event;
        match slot {
            Slot::Entity(entity) => event.entity(*entity).map(Cell::Text),
            Slot::AmountMinor => Some(Cell::Int(event.amount_minor)),
            Slot::Currency => Some(Cell::Text(&event.currency)),
            Slot::Channel => Some(Cell::Text(event.channel.as_str())),
            Slot::Mcc => self.arrival?.mcc.as_deref().map(Cell::Text),
            Slot::Country => self.arrival?.country.as_deref().map(Cell::Text),
            Slot::ArrivalKind => Some(Cell::Text(self.arrival?.kind.as_str())),
            Slot::Degraded => Some(Cell::Bool(self.degraded)),
            Slot::Attribute(name, wanted) => match (event.attributes.get(&**name)?, wanted) {
                (AttributeValue::Text(value), ValueType::Text) => Some(Cell::Text(value)),
                (AttributeValue::Int(value), ValueType::Int) => Some(Cell::Int(*value)),
                (AttributeValue::Bool(value), ValueType::Bool) => Some(Cell::Bool(*value)),
                _ => None,
            },
            Slot::Feature(at) => match self.features.get(*at)? {
                Value::Missing => None,
                Value::Bool(value) => Some(Cell::Bool(*value)),
                Value::Int(value) => Some(Cell::Int(*value)),
                Value::Float(value) => Some(Cell::Float(*value)),
                Value::Text(value) => Some(Cell::Text(value)),
            },
            Slot::Score => self.policy?.score.map(Cell::Float),
            Slot::List(at) => self.policy?.lists.get(*at).map(|it| Cell::Bool(*it)),
        }
    }

    /// As [`Slots::load`], an attribute in whatever type it has.
    pub(crate) fn load_any(&self, slot: &Slot) -> Option<Cell<'s>> {
        match slot {
            Slot::Attribute(name, _) => Some(match self.event.attributes.get(&**name)? {
                AttributeValue::Text(value) => Cell::Text(value),
                AttributeValue::Int(value) => Cell::Int(*value),
                AttributeValue::Bool(value) => Cell::Bool(*value),
            }),
            _ => self.load(slot),
        }
    }
}

/// # Errors
/// [`Stop`] naming the operand that was missing or undefined, the leftmost if several were.
pub(crate) fn eval<'s>(node: &'s Node, slots: &Slots<'s>) -> Outcome<'s> {
    match node {
        Node::Const(value) => Ok(value.cell()),
        Node::Load(slot, operand) => slots.load(slot).ok_or(Stop::Missing(*operand)),
        Node::Has(slot) => Ok(Cell::Bool(slots.load_any(slot).is_some())),
        Node::Not(of) => Ok(Cell::Bool(!truth(eval(of, slots)?))),
        Node::And(sides) => absorbing(sides, slots, false),
        Node::Or(sides) => absorbing(sides, slots, true),
        Node::If(parts) => {
            let [condition, then, other] = &**parts;
            let chosen = if truth(eval(condition, slots)?) {
                then
            } else {
                other
            };
            eval(chosen, slots)
        }
        Node::Compare(comparison, sides) => {
            let [left, right] = &**sides;
            let ordering = compare(eval(left, slots)?, eval(right, slots)?);
            Ok(Cell::Bool(comparison.holds(ordering)))
        }
        Node::In(of, among) => {
            let value = eval(of, slots)?;
            let found = among.iter().any(|it| compare(value, it.cell()).is_eq());
            Ok(Cell::Bool(found))
        }
        Node::Arithmetic(op, sides, operand) => {
            let [left, right] = &**sides;
            let pair = (eval(left, slots)?, eval(right, slots)?);
            arithmetic(*op, pair).ok_or(Stop::Undefined(*operand))
        }
        Node::Negate(of, operand) => match eval(of, slots)? {
            Cell::Int(value) => value.checked_neg().map(Cell::Int),
            other => Some(Cell::Float(-float(other))),
        }
        .ok_or(Stop::Undefined(*operand)),
        Node::Abs(of, operand) => match eval(of, slots)? {
            Cell::Int(value) => value.checked_abs().map(Cell::Int),
            other => Some(Cell::Float(float(other).abs())),
        }
        .ok_or(Stop::Undefined(*operand)),
        Node::ToFloat(of) => Ok(Cell::Float(float(eval(of, slots)?))),
        Node::ToInt(of, operand) => to_int(float(eval(of, slots)?))
            .map(Cell::Int)
            .ok_or(Stop::Undefined(*operand)),
        Node::TextTest(test, sides) => {
            let [of, part] = &**sides;
            let (of, part) = (text(eval(of, slots)?), text(eval(part, slots)?));
            Ok(Cell::Bool(match test {
                TextTest::StartsWith => of.starts_with(part),
                TextTest::EndsWith => of.ends_with(part),
                TextTest::Contains => of.contains(part),
            }))
        }
        Node::Size(of) => {
            let count = text(eval(of, slots)?).chars().count();
            Ok(Cell::Int(i64::try_from(count).unwrap_or(i64::MAX)))
        }
        Node::Distance(parts, operand) => {
            let mut place = [0; 4];
            for (value, part) in place.iter_mut().zip(&**parts) {
                *value = int(eval(part, slots)?);
            }
            let found = distance_km(place);
            found.map(Cell::Float).ok_or(Stop::Undefined(*operand))
        }
        Node::Clock(part) => Ok(Cell::Int(part.of(slots.event.ts))),
    }
}

/// `a && b` with `decisive` false, `a || b` with `decisive` true.
fn absorbing<'s>(sides: &'s [Node; 2], slots: &Slots<'s>, decisive: bool) -> Outcome<'s> {
    let left = eval(&sides[0], slots);
    if left == Ok(Cell::Bool(decisive)) {
        return left;
    }
    let right = eval(&sides[1], slots);
    if right == Ok(Cell::Bool(decisive)) {
        return right;
    }
    left.and(right)
}

fn truth(cell: Cell<'_>) -> bool {
    matches!(cell, Cell::Bool(true))
}

fn float(cell: Cell<'_>) -> f64 {
    match cell {
        Cell::Int(value) => value as f64,
        Cell::Float(value) => value,
        Cell::Bool(_) | Cell::Text(_) => unreachable!("lowering lets only numbers here"),
    }
}

fn int(cell: Cell<'_>) -> i64 {
    match cell {
        Cell::Int(value) => value,
        _ => unreachable!("lowering lets only Ints here"),
    }
}

fn text(cell: Cell<'_>) -> &str {
    match cell {
        Cell::Text(value) => value,
        _ => unreachable!("lowering lets only texts here"),
    }
}

fn compare(left: Cell<'_>, right: Cell<'_>) -> Ordering {
    match (left, right) {
        (Cell::Int(a), Cell::Int(b)) => a.cmp(&b),
        (Cell::Int(a), Cell::Float(b)) => compare_int_float(a, b),
        (Cell::Float(a), Cell::Int(b)) => compare_int_float(b, a).reverse(),
        // Adding zero makes -0 and 0 the same; NaN never gets here.
        (Cell::Float(a), Cell::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Cell::Bool(a), Cell::Bool(b)) => a.cmp(&b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        _ => unreachable!("lowering lets only comparable pairs here"),
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterEqual => ordering.is_ge(),
        }
    }
}

fn arithmetic(op: Arithmetic, pair: (Cell<'_>, Cell<'_>)) -> Option<Cell<'static>> {
    if let (Cell::Int(a), Cell::Int(b)) = pair {
        return match op {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => a.checked_div(b),
            Arithmetic::Modulo => a.checked_rem(b),
            Arithmetic::Min => Some(a.min(b)),
            Arithmetic::Max => Some(a.max(b)),
        }
        .map(Cell::Int);
    }
    let (a, b) = (float(pair.0), float(pair.1));
    let value = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Modulo => unreachable!("lowering lets only Ints here"),
        Arithmetic::Min => a.min(b),
        Arithmetic::Max => a.max(b),
    };
    value.is_finite().then_some(Cell::Float(value))
}

impl ClockPart {
    fn of(self, ts: Time) -> i64 {
        let seconds_of_day = ts.micros().div_euclid(1_000_000).rem_euclid(86_400);
        match self {
            ClockPart::FullYear => civil(ts.day()).0,
            ClockPart::Month => civil(ts.day()).1 - 1,
            ClockPart::Date => civil(ts.day()).2,
            ClockPart::DayOfMonth => civil(ts.day()).2 - 1,
            ClockPart::DayOfWeek => ts.day_of_week(),
            ClockPart::Hours => ts.hour(),
            ClockPart::Minutes => seconds_of_day / 60 % 60,
            ClockPart::Seconds => seconds_of_day % 60,
        }
    }
}

/// Year, month 1–12 and day 1–31 of a day since 1970 in the Gregorian calendar, by shifting the
/// year to begin in March, so that the leap day is its last (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, date)
}

/// The Bool that the tree has for every event, as far as its shape shows it.
pub(crate) fn constant_bool(node: &Node) -> Option<bool> {
    match node {
        Node::Const(Const::Bool(value)) => Some(*value),
        Node::Not(of) => constant_bool(of).map(|it| !it),
        Node::And(sides) => match sides.each_ref().map(constant_bool) {
            [Some(false), _] | [_, Some(false)] => Some(false),
            [Some(true), Some(true)] => Some(true),
            _ => None,
        },
        Node::Or(sides) => match sides.each_ref().map(constant_bool) {
            [Some(true), _] | [_, Some(true)] => Some(true),
            [Some(false), Some(false)] => Some(false),
            _ => None,
        },
        // These are never missing, so their presence is no question.
        Node::Has(
            Slot::AmountMinor
            | Slot::Currency
            | Slot::Channel
            | Slot::Degraded
            | Slot::Entity(Entity::CustomerId | Entity::MerchantId),
        ) => Some(true),
        Node::Compare(comparison, sides) => match &**sides {
            [Node::Const(left), Node::Const(right)] => {
                Some(comparison.holds(compare(left.cell(), right.cell())))
            }
            [Node::Load(Slot::AmountMinor, _), Node::Const(bound)] => {
                amount_against(*comparison, bound)
            }
            _ => None,
        },
        Node::In(_, among) if among.is_empty() => Some(false),
        _ => None,
    }
}

/// Amounts are 0 to 10^15: a bound outside compares alike with all of them.
fn amount_against(comparison: Comparison, bound: &Const) -> Option<bool> {
    let most = crate::contracts::payload::AMOUNT_MINOR_MAX;
    let [least, most] = [0, most].map(|it| compare(Cell::Int(it), bound.cell()));
    let inside = least != most || least.is_eq();
    match (inside, comparison) {
        (false, _) => Some(comparison.holds(least)),
        (true, Comparison::Less) if least.is_eq() => Some(false),
        (true, Comparison::GreaterEqual) if least.is_eq() => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_days_agree_with_the_calendar() {
        for day in (-800_000..800_000).step_by(37) {
            let (year, month, date) = civil(day);
            if let Ok(year) = i16::try_from(year)
                && let Ok(expect) =
                    jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day))
            {
                let found = (year, month, date);
                let expect = (
                    expect.year(),
                    i64::from(expect.month()),
                    i64::from(expect.day()),
                );
                assert_eq!(found, expect);
            }
        }
    }
}
