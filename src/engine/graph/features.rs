//! What a decision asks of the graph: counts around one entity at the event's time.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::contracts::decision::Value;
use crate::contracts::feature_set::GraphMeasure;
use crate::contracts::graph::EntityKind;
use crate::domain::time::Time;
use crate::engine::graph::links::Node;
use crate::engine::graph::nodes::Graph;

/// A component is counted up to here; a larger one counts as this many.
pub const COMPONENT_MAX: usize = 1_000;

/// Entities by their numbers.
type Entities = HashSet<u32, BuildHasherDefault<Spread>>;

/// Numbers are ours and dense, nobody chooses them to collide: one multiplication spreads them. A component
/// is up to a thousand lookups a decision.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 over the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A feature of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    pub measure: GraphMeasure,
    pub kind: EntityKind,
    /// Kinds that are counted or walked through besides customers; in order.
    pub through: Vec<EntityKind>,
    /// Of labelled neighbours: 1 or 2.
    pub hops: u32,
}

impl Measure {
    /// The value at `t`. Of a hub only the degree is known: the rest is missing.
    pub fn of(&self, graph: &Graph, id: &str, t: Time) -> Value {
        let (start, t) = (graph.find((self.kind, id)), t.micros());
        let count = match (self.measure, start) {
            (GraphMeasure::ComponentSize, None) => Some(1),
            (_, None) => Some(0),
            (GraphMeasure::Degree, Some(start)) => {
                let kinds = self.kinds();
                Some(kinds.map(|it| graph.links(start, it, t).len()).sum())
            }
            (_, Some(start)) if graph.is_hub(start, t) => None,
            (GraphMeasure::SharedCustomers, Some(start)) => {
                let is_customer = |it: &u32| graph.name(*it).0 == EntityKind::Customer;
                let met = self.around(graph, start, t, (2, usize::MAX));
                Some(
                    met.iter()
                        .filter(|it| **it != start && is_customer(it))
                        .count(),
                )
            }
            (GraphMeasure::LabelledNeighbours, Some(start)) => {
                let met = self.around(graph, start, t, (self.hops, usize::MAX));
                let labelled = |it: &&u32| **it != start && graph.frauds.is_fraud(**it, t);
                Some(met.iter().filter(labelled).count())
            }
            (GraphMeasure::ComponentSize, Some(start)) => {
                let met = self.around(graph, start, t, (u32::MAX, COMPONENT_MAX));
                Some(met.len().min(COMPONENT_MAX))
            }
        };
        count.map_or(Value::Missing, |it| {
            Value::Int(i64::try_from(it).unwrap_or(i64::MAX))
        })
    }

    fn kinds(&self) -> impl Iterator<Item = EntityKind> {
        let kinds = EntityKind::ALL.iter().copied();
        kinds.filter(|it| *it == EntityKind::Customer || self.through.contains(it))
    }

    /// The entities within so many links, the start included. It stops once there are `enough`:
    /// which ones is then chance, how many is not.
    fn around(&self, graph: &Graph, start: u32, t: i64, (hops, enough): (u32, usize)) -> Entities {
        let mut met = Entities::default();
        met.insert(start);
        let (mut frontier, mut next) = (vec![start], Vec::new());
        let mut at = 0;
        while !frontier.is_empty() && at < hops && met.len() < enough {
            for node in frontier.drain(..) {
                if graph.is_hub(node, t) {
                    continue;
                }
                for kind in self.kinds() {
                    let links = graph.links(node, kind, t).iter();
                    next.extend(links.map(|it| it.other).filter(|it| met.insert(*it)));
                }
                if met.len() >= enough {
                    return met;
                }
            }
            std::mem::swap(&mut frontier, &mut next);
            at += 1;
        }
        met
    }
}

impl Graph {
    /// Whether it knows the entity at all, at any time.
    #[must_use]
    pub fn knows(&self, node: Node<'_>) -> bool {
        self.find(node).is_some()
    }
}
