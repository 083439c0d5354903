//! The graph in memory: every entity with its dated links.

use std::collections::HashMap;
use std::sync::Arc;

use crate::contracts::graph::{EntityKind, EntityKind as Kind};
use crate::domain::time::Time;
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::graph::HUB_LINKS_MAX;
use crate::engine::graph::frauds::Frauds;
use crate::engine::graph::links::{Met, Node};
use crate::engine::graph::walk::{Reached, Walk, Way};

/// All links of a set of records, and which of their events were labelled.
#[derive(Debug, Default)]
pub struct Graph {
    numbers: [HashMap<Arc<str>, u32>; EntityKind::ALL.len()],
    pub(super) nodes: Vec<Held>,
    /// When each link was first seen, by its ends, who leads first.
    pub(super) since: HashMap<(u32, u32), i64>,
    pub(super) frauds: Frauds,
}

/// One entity.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) kind: Kind,
    pub(super) id: Arc<str>,
    /// In order of (kind, since, other).
    links: Vec<Link>,
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    kind: Kind,
    since: i64,
    pub(super) other: u32,
}

impl Graph {
    /// Takes the links of a record of this time. Taking a record again changes nothing.
    pub fn apply(&mut self, met: Met<'_>, ts: Time) {
        for (lead, other) in met.links() {
            let (lead, other) = (self.number(lead), self.number(other));
            self.link(lead, other, ts.micros());
        }
    }

    /// Takes a payment: its links, and whose it was, so that a label finds its customer.
    pub fn apply_event(&mut self, event: &EventRecord) {
        self.apply(Met::in_event(event), event.ts);
        let customer = self.number((Kind::Customer, &event.customer_id));
        self.frauds.note_event(&event.event_id, customer);
    }

    /// Takes a label, before or after its event.
    pub fn apply_label(&mut self, label: &LabelRecord) {
        self.frauds.note_label(label);
    }

    pub(super) fn number(&mut self, (kind, id): Node<'_>) -> u32 {
        let numbers = &mut self.numbers[kind as usize];
        if let Some(number) = numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.nodes.len());
        let number = number.expect("fewer than 4 billion entities fit memory");
        let id: Arc<str> = id.into();
        numbers.insert(Arc::clone(&id), number);
        self.nodes.push(Held {
            kind,
            id,
            links: Vec::new(),
        });
        number
    }

    pub(super) fn link(&mut self, lead: u32, other: u32, since: i64) {
        let stood = self.since.get(&(lead, other)).copied();
        if stood.is_some_and(|it| it <= since) {
            return;
        }
        self.since.insert((lead, other), since);
        for (of, to) in [(lead, other), (other, lead)] {
            let kind = self.nodes[to as usize].kind;
            let at = |since| Link {
                kind,
                since,
                other: to,
            };
            let links = &mut self.nodes[of as usize].links;
            if let Some(old) = stood.and_then(|it| links.binary_search(&at(it)).ok()) {
                links.remove(old);
            }
            let place = links.partition_point(|it| *it < at(since));
            links.insert(place, at(since));
        }
    }

    pub(super) fn find(&self, (kind, id): Node<'_>) -> Option<u32> {
        self.numbers[kind as usize].get(id).copied()
    }

    pub(super) fn name(&self, number: u32) -> Node<'_> {
        let held = &self.nodes[number as usize];
        (held.kind, &held.id)
    }

    /// The links of an entity to those of one kind that are visible at `t`.
    pub(super) fn links(&self, number: u32, kind: Kind, t: i64) -> &[Link] {
        let links = &self.nodes[number as usize].links;
        let from = links.partition_point(|it| it.kind < kind);
        let to = links.partition_point(|it| (it.kind, it.since) <= (kind, t));
        &links[from..to.max(from)]
    }

    pub(super) fn degree(&self, number: u32, t: i64) -> usize {
        let kinds = EntityKind::ALL.iter();
        kinds.map(|kind| self.links(number, *kind, t).len()).sum()
    }

    pub(super) fn is_hub(&self, number: u32, t: i64) -> bool {
        // Most have few links of any time.
        let is_large = self.nodes[number as usize].links.len() > HUB_LINKS_MAX;
        is_large && self.degree(number, t) > HUB_LINKS_MAX
    }

    /// What an entity is linked with as of a time, with the time of each link; by kind and id.
    #[must_use]
    pub fn neighbours(&self, node: Node<'_>, as_of: Time) -> Vec<(Node<'_>, Time)> {
        let Some(number) = self.find(node) else {
            return Vec::new();
        };
        let kinds = EntityKind::ALL.iter();
        let links = kinds.flat_map(|kind| self.links(number, *kind, as_of.micros()));
        let named = links.map(|it| (self.name(it.other), Time::from_micros(it.since)));
        let mut named: Vec<_> = named.collect();
        named.sort_unstable();
        named
    }

    /// Entities of a kind that at least two customers use as of a time, with those customers and
    /// the time of each link; all by id.
    #[must_use]
    pub fn shared(&self, kind: EntityKind, as_of: Time) -> Vec<(&str, Vec<(&str, Time)>)> {
        let mut shared = Vec::new();
        for number in self.numbers[kind as usize].values() {
            let links = self.links(*number, Kind::Customer, as_of.micros());
            if links.len() < 2 {
                continue;
            }
            let named = links.iter();
            let named = named.map(|it| (self.name(it.other).1, Time::from_micros(it.since)));
            let mut users: Vec<_> = named.collect();
            users.sort_unstable();
            shared.push((self.name(*number).1, users));
        }
        shared.sort_unstable();
        shared
    }

    /// What hangs together with an entity as of a time, at most `entities_max` of it.
    #[must_use]
    pub fn component<'a>(
        &'a self,
        start: Node<'a>,
        as_of: Time,
        entities_max: usize,
    ) -> Walk<Node<'a>> {
        let mut walk = Walk::from(start, entities_max);
        while walk.goes_on() {
            walk.advance(|node| self.reached(*node, as_of));
        }
        walk
    }

    /// A shortest way from one entity to the other as of a time.
    #[must_use]
    pub fn path<'a>(
        &'a self,
        (from, to): (Node<'a>, Node<'a>),
        as_of: Time,
        entities_max: usize,
    ) -> Way<Node<'a>> {
        let mut way = Way::between(from, to, entities_max);
        while way.goes_on() {
            way.advance(|node| self.reached(*node, as_of));
        }
        way
    }

    fn reached(&self, node: Node<'_>, as_of: Time) -> Reached<Node<'_>> {
        match self.find(node) {
            Some(number) if self.is_hub(number, as_of.micros()) => Reached::Hub,
            _ => {
                let neighbours = self.neighbours(node, as_of);
                Reached::These(neighbours.into_iter().map(|it| it.0).collect())
            }
        }
    }

    /// Whether a payment of this customer is known as fraud at this time.
    #[must_use]
    pub fn is_labelled(&self, customer: &str, as_of: Time) -> bool {
        let number = self.find((Kind::Customer, customer));
        number.is_some_and(|it| self.frauds.is_fraud(it, as_of.micros()))
    }

    /// Entities, and links between them.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.nodes.len(), self.since.len())
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |it: &Held| {
            let links = it.links.capacity() * size_of::<Link>();
            size_of::<Held>() + it.id.len() + 16 + 2 * 24 + links
        };
        let nodes: usize = self.nodes.iter().map(of).sum();
        nodes + self.since.capacity() * 25 + self.frauds.bytes()
    }
}
