//! What of a policy can hardly be meant: rules that never fire, that contradict one another, or that
//! never decide. It proves, and so finds only what is certain: bounds of numbers and sets of texts
//! within one conjunction, and equal conditions.

use std::cmp::Ordering;

use crate::engine::diagnostic::{Fault, Place};
use crate::engine::expr::{Comparison, Const, Node, Slot};
use crate::engine::policy::Rule;

/// Alternatives looked at for one condition; beyond them nothing is claimed.
const ALTERNATIVES_MAX: usize = 64;
/// Pairs of rules are compared up to here: 4 million pairs.
const RULES_COMPARED_MAX: usize = 2_000;

/// Findings, at the places of the rules' conditions.
pub(super) fn warnings(rules: &[Rule], places: &[Place]) -> Vec<Fault> {
    let conditions: Vec<Option<Vec<Facts>>> =
        rules.iter().map(|it| satisfiable(&it.when.root)).collect();
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let is_constant = rule.when.constant_bool().is_some();
        if conditions[at].as_ref().is_some_and(Vec::is_empty) && !is_constant {
            let message = format!(
                "rule `{}` never fires: its conditions exclude one another",
                rule.id
            );
            found.push(Fault::new(places[at], message));
        }
    }
    for (at, rule) in rules.iter().enumerate().take(RULES_COMPARED_MAX) {
        let others = rules.iter().enumerate().take(RULES_COMPARED_MAX);
        for (other_at, other) in others.filter(|it| it.0 != at) {
            let line = places[other_at].line;
            let same = rule.when.root == other.when.root;
            if same && other_at < at && rule.outcome != other.outcome {
                let message = format!(
                    "rule `{}` contradicts `{}` (line {line}): one condition, {} and {}",
                    rule.id, other.id, rule.outcome, other.outcome
                );
                found.push(Fault::new(places[at], message));
                break;
            }
            let implied = || implies(conditions[at].as_deref(), conditions[other_at].as_deref());
            if !same && other.outcome > rule.outcome && implied() {
                let message = format!(
                    "rule `{}` never decides: whenever it fires, `{}` (line {line}) says {}",
                    rule.id, other.id, other.outcome
                );
                found.push(Fault::new(places[at], message));
                break;
            }
        }
    }
    found
}

/// What one conjunction says, by what is read.
#[derive(Debug, Clone, Default)]
struct Facts {
    known: Vec<(Slot, Known)>,
    /// It says more than is known here: others may follow from it, it may not follow from others.
    is_partial: bool,
}

/// Of one number, bool or text.
#[derive(Debug, Clone)]
enum Known {
    /// Between the bounds; whether a bound itself is in.
    Number {
        least: Option<(Const, bool)>,
        most: Option<(Const, bool)>,
    },
    /// One of these.
    Among(Vec<Const>),
}

/// The conjunctions under which a condition can be true; `None` where there are too many. No
/// conjunction: it is never true.
fn satisfiable(node: &Node) -> Option<Vec<Facts>> {
    match node {
        Node::And(sides) => {
            let (left, right) = (satisfiable(&sides[0])?, satisfiable(&sides[1])?);
            if left.len() * right.len() > ALTERNATIVES_MAX {
                return None;
            }
            let both = left.iter().flat_map(|a| right.iter().map(|b| a.and(b)));
            Some(both.flatten().collect())
        }
        Node::Or(sides) => {
            let (mut left, right) = (satisfiable(&sides[0])?, satisfiable(&sides[1])?);
            left.extend(right);
            (left.len() <= ALTERNATIVES_MAX).then_some(left)
        }
        Node::Const(Const::Bool(false)) => Some(Vec::new()),
        Node::Const(Const::Bool(true)) => Some(vec![Facts::default()]),
        _ => Some(vec![atom(node).unwrap_or(Facts {
            known: Vec::new(),
            is_partial: true,
        })]),
    }
}

/// A comparison of one thing that is read with a literal.
fn atom(node: &Node) -> Option<Facts> {
    let (slot, known) = match node {
        Node::Compare(op, sides) => match &**sides {
            [of, Node::Const(literal)] => (loaded(of)?, compared(*op, literal)?),
            [Node::Const(literal), of] => (loaded(of)?, compared(mirrored(*op), literal)?),
            _ => return None,
        },
        Node::In(of, among) => (loaded(of)?, Known::Among(among.to_vec())),
        Node::Load(slot, _) => (slot.clone(), Known::Among(vec![Const::Bool(true)])),
        Node::Not(of) => (loaded(of)?, Known::Among(vec![Const::Bool(false)])),
        _ => return None,
    };
    Some(Facts {
        known: vec![(slot, known)],
        is_partial: false,
    })
}

/// What is read, as it is: an int made a float compares alike only where no bit is lost.
fn loaded(node: &Node) -> Option<Slot> {
    match node {
        Node::Load(slot, _) => Some(slot.clone()),
        _ => None,
    }
}

fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEqual => Comparison::GreaterEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterEqual => Comparison::LessEqual,
        same => same,
    }
}

fn compared(op: Comparison, literal: &Const) -> Option<Known> {
    let bound = |is_in| Some((literal.clone(), is_in));
    let (least, most) = match op {
        Comparison::Equal => return Some(Known::Among(vec![literal.clone()])),
        Comparison::NotEqual => return None,
        Comparison::Less => (None, bound(false)),
        Comparison::LessEqual => (None, bound(true)),
        Comparison::Greater => (bound(false), None),
        Comparison::GreaterEqual => (bound(true), None),
    };
    Some(Known::Number { least, most })
}

impl Facts {
    /// Both at once; `None` where they exclude one another.
    fn and(&self, other: &Facts) -> Option<Facts> {
        let mut both = self.clone();
        both.is_partial |= other.is_partial;
        for (slot, known) in &other.known {
            match both.known.iter_mut().find(|it| it.0 == *slot) {
                Some((_, before)) => *before = before.and(known)?,
                None => both.known.push((slot.clone(), known.clone())),
            }
        }
        Some(both)
    }

    /// Whether `other` is true whenever this is.
    fn implies(&self, other: &Facts) -> bool {
        !other.is_partial
            && other.known.iter().all(|(slot, wanted)| {
                let mine = self.known.iter().find(|it| it.0 == *slot);
                mine.is_some_and(|(_, known)| known.within(wanted))
            })
    }
}

/// Whether each alternative of the one makes the other true.
fn implies(one: Option<&[Facts]>, other: Option<&[Facts]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    !one.is_empty() && one.iter().all(|a| other.iter().any(|b| a.implies(b)))
}

impl Known {
    fn and(&self, other: &Known) -> Option<Known> {
        match (self, other) {
            (Known::Among(values), range) | (range, Known::Among(values)) => {
                let left = values.iter().filter(|it| range.holds(it));
                let left: Vec<Const> = left.cloned().collect();
                (!left.is_empty()).then_some(Known::Among(left))
            }
            (
                Known::Number { least, most },
                Known::Number {
                    least: other_least,
                    most: other_most,
                },
            ) => {
                let least = tighter(least.as_ref(), other_least.as_ref(), Ordering::Greater);
                let most = tighter(most.as_ref(), other_most.as_ref(), Ordering::Less);
                if let (Some((low, low_in)), Some((high, high_in))) = (&least, &most) {
                    let is_open = match order(low, high)? {
                        Ordering::Less => true,
                        Ordering::Equal => *low_in && *high_in,
                        Ordering::Greater => false,
                    };
                    if !is_open {
                        return None;
                    }
                }
                Some(Known::Number { least, most })
            }
        }
    }

    fn holds(&self, value: &Const) -> bool {
        match self {
            Known::Among(values) => values
                .iter()
                .any(|it| order(it, value) == Some(Ordering::Equal)),
            Known::Number { least, most } => {
                let on = |bound: &Option<(Const, bool)>, side: Ordering| match bound {
                    None => true,
                    Some((bound, is_in)) => match order(value, bound) {
                        Some(Ordering::Equal) => *is_in,
                        other => other == Some(side),
                    },
                };
                on(least, Ordering::Greater) && on(most, Ordering::Less)
            }
        }
    }

    /// Whether all that this allows, the other allows.
    fn within(&self, other: &Known) -> bool {
        match self {
            Known::Among(values) => values.iter().all(|it| other.holds(it)),
            Known::Number { least, most } => match other {
                Known::Among(_) => false,
                Known::Number {
                    least: other_least,
                    most: other_most,
                } => {
                    let inside = |mine: &Option<(Const, bool)>,
                                  theirs: &Option<(Const, bool)>,
                                  side| {
                        match (mine, theirs) {
                            (_, None) => true,
                            (None, Some(_)) => false,
                            (Some((a, a_in)), Some((b, b_in))) => match order(a, b) {
                                Some(Ordering::Equal) => !*a_in || *b_in,
                                found => found == Some(side),
                            },
                        }
                    };
                    inside(least, other_least, Ordering::Greater)
                        && inside(most, other_most, Ordering::Less)
                }
            },
        }
    }
}

/// The bound on `side` of the other.
fn tighter(
    a: Option<&(Const, bool)>,
    b: Option<&(Const, bool)>,
    side: Ordering,
) -> Option<(Const, bool)> {
    let (Some(one), Some(other)) = (a, b) else {
        return a.or(b).cloned();
    };
    match order(&one.0, &other.0) {
        Some(Ordering::Equal) => Some((one.0.clone(), one.1 && other.1)),
        found if found == Some(side) => Some(one.clone()),
        _ => Some(other.clone()),
    }
}

/// `None` for two that do not compare, which typing has ruled out.
fn order(a: &Const, b: &Const) -> Option<Ordering> {
    match (a, b) {
        (Const::Bool(a), Const::Bool(b)) => Some(a.cmp(b)),
        (Const::Text(a), Const::Text(b)) => Some(a.cmp(b)),
        (Const::Int(a), Const::Int(b)) => Some(a.cmp(b)),
        (Const::Float(a), Const::Float(b)) => a.partial_cmp(b),
        (Const::Int(a), Const::Float(b)) => Some(crate::engine::expr::compare_int_float(*a, *b)),
        (Const::Float(a), Const::Int(b)) => {
            Some(crate::engine::expr::compare_int_float(*b, *a).reverse())
        }
        _ => None,
    }
}
