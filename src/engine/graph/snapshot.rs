//! The graph as canonical CBOR and back: entities, links, payments and labels, each in one order,
//! so the same records give the same bytes however they came.

use std::collections::BTreeMap;

use crate::contracts::graph::EntityKind;
use crate::domain::canonical::{Canon, ReadError, Reader};
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::engine::event::LabelRecord;
use crate::engine::graph::links::Node;
use crate::engine::graph::nodes::Graph;

/// Why bytes are no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Graph {
    /// Appends one item: `[entities, links, payments, labels]`. An entity is its kind's number and
    /// its id; links and payments name entities by their place.
    pub fn write(&self, canon: &mut Canon) {
        let numbers = 0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = numbers.collect();
        order.sort_unstable_by_key(|it| self.name(*it));
        let mut place = vec![0_i64; order.len()];
        for (at, number) in (0..).zip(&order) {
            place[*number as usize] = at;
        }
        let place = |number: u32| place[number as usize];
        canon.array(4).array(order.len());
        for number in &order {
            let (kind, id) = self.name(*number);
            canon.array(2).int(kind as i64).text(id);
        }
        let links = self.since.iter();
        let links = links.map(|((lead, other), since)| (place(*lead), place(*other), *since));
        let mut links: Vec<_> = links.collect();
        links.sort_unstable();
        canon.array(links.len() * 3);
        for (lead, other, since) in links {
            canon.int(lead).int(other).int(since);
        }
        let payments: BTreeMap<&EventId, u32> = self
            .frauds
            .customers
            .iter()
            .map(|(it, of)| (it, *of))
            .collect();
        canon.array(payments.len() * 2);
        for (event, customer) in payments {
            canon.text(event.as_str()).int(place(customer));
        }
        let assertions: BTreeMap<_, _> = self.frauds.assertions.iter().collect();
        canon.array(assertions.len());
        for (event, asserted) in assertions {
            canon.array(1 + asserted.len() * 3).text(event.as_str());
            for ((observed, id), is_fraud) in asserted {
                canon.int(*observed).text(id.as_str()).bool(*is_fraud);
            }
        }
    }

    /// What [`Graph::write`] wrote.
    ///
    /// # Errors
    /// Anything that it would not have written.
    pub fn read(reader: &mut Reader<'_>) -> Result<Graph, Error> {
        let mut graph = Graph::default();
        reader.array_of(4)?;
        let mut last: Option<Node<'_>> = None;
        for _ in 0..reader.array()? {
            reader.array_of(2)?;
            let kind = usize::try_from(reader.int()?).ok();
            let kind = kind.and_then(|it| EntityKind::ALL.get(it));
            let node = (
                *kind.ok_or(Error::Contradiction("a kind that is none"))?,
                reader.text()?,
            );
            if last.is_some_and(|it| it >= node) {
                return Err(Error::Contradiction("entities out of order"));
            }
            last = Some(node);
            graph.number(node);
        }
        let mut last = None;
        for _ in 0..triples(reader.array()?, 3)? {
            let link = (graph.place(reader)?, graph.place(reader)?, reader.int()?);
            if last.is_some_and(|it| it >= (link.0, link.1)) || link.0 >= link.1 {
                return Err(Error::Contradiction("links out of order"));
            }
            last = Some((link.0, link.1));
            graph.link(link.0, link.1, link.2);
        }
        for _ in 0..triples(reader.array()?, 2)? {
            let event = event_id(reader.text()?)?;
            let customer = graph.place(reader)?;
            graph.frauds.note_event(&event, customer);
        }
        for _ in 0..reader.array()? {
            let n = triples(reader.array()?.wrapping_sub(1), 3)?;
            let event_id = event_id(reader.text()?)?;
            for _ in 0..n {
                let observed_time = Time::from_micros(reader.int()?);
                let id = reader.text()?.parse();
                graph.apply_label(&LabelRecord {
                    event_id: event_id.clone(),
                    label_assertion_id: id.map_err(|_| Error::Contradiction("no label id"))?,
                    observed_time,
                    is_fraud: reader.bool()?,
                });
            }
        }
        Ok(graph)
    }

    fn place(&self, reader: &mut Reader<'_>) -> Result<u32, Error> {
        let place = u32::try_from(reader.int()?).ok();
        let place = place.filter(|it| (*it as usize) < self.nodes.len());
        place.ok_or(Error::Contradiction("an entity that is not there"))
    }
}

fn triples(length: usize, stride: usize) -> Result<usize, Error> {
    match length.is_multiple_of(stride) {
        true => Ok(length / stride),
        false => Err(Error::Contradiction("a list that is cut")),
    }
}

fn event_id(text: &str) -> Result<EventId, Error> {
    let id = text.parse();
    id.map_err(|_| Error::Contradiction("an event id that is none"))
}
