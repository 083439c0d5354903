//! Walks level by level through a graph that may be anywhere: in memory or behind a statement. The
//! walk says whose links it wants next; whoever has them drives it. Its order is that of the
//! entities, so what it finds within a limit does not depend on how they came.

use std::collections::{BTreeMap, BTreeSet};

/// What stands behind an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached<N> {
    These(Vec<N>),
    /// More than is walked through.
    Hub,
}

/// How an entity was met: after how many links, from where.
type Arrival<N> = (u32, Option<N>);

/// Everything that hangs together with a start.
#[derive(Debug, Clone)]
pub struct Walk<N> {
    met: BTreeMap<N, Arrival<N>>,
    hubs: BTreeSet<N>,
    frontier: Vec<N>,
    hops: u32,
    entities_max: usize,
    is_cut: bool,
}

impl<N: Ord + Clone> Walk<N> {
    /// Meets at most `entities_max` entities, the start included.
    pub fn from(start: N, entities_max: usize) -> Walk<N> {
        Walk {
            met: BTreeMap::from([(start.clone(), (0, None))]),
            hubs: BTreeSet::new(),
            frontier: vec![start],
            hops: 0,
            entities_max,
            is_cut: false,
        }
    }

    /// Whose links are wanted next; in order.
    pub fn frontier(&self) -> &[N] {
        &self.frontier
    }

    pub fn goes_on(&self) -> bool {
        !self.frontier.is_empty() && !self.is_cut
    }

    /// Takes what stands behind each entity of the frontier.
    pub fn advance(&mut self, mut behind: impl FnMut(&N) -> Reached<N>) {
        let mut next: BTreeMap<N, N> = BTreeMap::new();
        for node in std::mem::take(&mut self.frontier) {
            match behind(&node) {
                Reached::Hub => {
                    self.hubs.insert(node);
                }
                Reached::These(reached) => {
                    let new = reached.into_iter().filter(|it| !self.met.contains_key(it));
                    for it in new {
                        next.entry(it).or_insert_with(|| node.clone());
                    }
                }
            }
        }
        self.hops += 1;
        let room = self.entities_max.saturating_sub(self.met.len());
        self.is_cut = next.len() > room;
        for (node, from) in next.into_iter().take(room) {
            self.frontier.push(node.clone());
            self.met.insert(node, (self.hops, Some(from)));
        }
    }

    /// What was met: the entity, its hops, where it was met from; by hops, then entity.
    pub fn members(&self) -> Vec<(&N, u32, Option<&N>)> {
        let met = self.met.iter();
        let mut members: Vec<_> = met.map(|(it, (n, from))| (it, *n, from.as_ref())).collect();
        members.sort_by_key(|(_, hops, _)| *hops);
        members
    }

    /// Those that were met and not walked through.
    pub fn hubs(&self) -> impl Iterator<Item = &N> {
        self.hubs.iter()
    }

    /// Whether all that hangs together was met.
    pub fn is_whole(&self) -> bool {
        !self.goes_on() && !self.is_cut
    }

    /// Whether it stopped at its limit.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// From `to` back to the start.
    fn back_from(&self, to: &N) -> Vec<N> {
        let mut way = Vec::new();
        let mut at = self.met.get_key_value(to);
        while let Some((node, (_, from))) = at {
            way.push(node.clone());
            at = from.as_ref().and_then(|it| self.met.get_key_value(it));
        }
        way
    }
}

/// The search of a shortest way between two entities. It goes through no hub; one of the two may
/// be one.
#[derive(Debug, Clone)]
pub struct Way<N> {
    walk: Walk<N>,
    to: N,
    /// The walk began at the other end, because the first is a hub.
    is_turned: bool,
}

impl<N: Ord + Clone> Way<N> {
    pub fn between(from: N, to: N, entities_max: usize) -> Way<N> {
        Way {
            walk: Walk::from(from, entities_max),
            to,
            is_turned: false,
        }
    }

    pub fn frontier(&self) -> &[N] {
        self.walk.frontier()
    }

    pub fn goes_on(&self) -> bool {
        self.walk.goes_on() && !self.walk.met.contains_key(&self.to)
    }

    /// As [`Walk::advance`].
    pub fn advance(&mut self, behind: impl FnMut(&N) -> Reached<N>) {
        self.walk.advance(behind);
        let start_is_hub = self.walk.hops == 1 && !self.walk.hubs.is_empty();
        if start_is_hub && !self.is_turned {
            let start = self.walk.hubs.pop_first();
            let start = start.expect("the only one that was walked through");
            let other = std::mem::replace(&mut self.to, start);
            self.walk = Walk::from(other, self.walk.entities_max);
            self.is_turned = true;
        }
    }

    /// From the one to the other, both included; empty if no way was found.
    pub fn steps(&self) -> Vec<N> {
        let mut steps = self.walk.back_from(&self.to);
        if !self.is_turned {
            steps.reverse();
        }
        steps
    }

    /// Whether a way that was not found is none.
    pub fn is_whole(&self) -> bool {
        self.walk.met.contains_key(&self.to) || self.walk.is_whole()
    }
}
