//! Which links a record makes.

use crate::contracts::graph::EntityKind;
use crate::contracts::payload::{ArrivalEntities, Traffic};
use crate::engine::event::EventRecord;

/// A node as a record names it.
pub type Node<'a> = (EntityKind, &'a str);

/// The entities that met in a record, in order of their kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met<'a>([Option<&'a str>; EntityKind::ALL.len()]);

impl<'a> Met<'a> {
    #[must_use]
    pub fn in_event(event: &'a EventRecord) -> Met<'a> {
        Met([
            Some(&event.customer_id),
            event.account_id.as_deref(),
            event.card_id.as_deref(),
            event.device_id.as_deref(),
            event.ip.as_deref(),
            event.beneficiary_id.as_deref(),
        ])
    }

    #[must_use]
    pub fn in_traffic(traffic: &'a Traffic) -> Met<'a> {
        Met([
            Some(&traffic.customer_id),
            traffic.account_id.as_deref(),
            traffic.card_id.as_deref(),
            traffic.device_id.as_deref(),
            traffic.ip.as_deref(),
            traffic.beneficiary_id.as_deref(),
        ])
    }

    #[must_use]
    pub fn in_arrival(arrival: &'a ArrivalEntities) -> Met<'a> {
        Met([
            arrival.customer_id.as_deref(),
            arrival.account_id.as_deref(),
            arrival.card_id.as_deref(),
            arrival.device_id.as_deref(),
            arrival.ip.as_deref(),
            arrival.beneficiary_id.as_deref(),
        ])
    }

    /// Every entity; the first leads.
    pub fn nodes(self) -> impl Iterator<Item = Node<'a>> {
        let kinds = EntityKind::ALL.iter().zip(self.0);
        kinds.filter_map(|(kind, id)| Some((*kind, id?)))
    }

    /// Who leads, with each of the others.
    pub fn links(self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> {
        let mut nodes = self.nodes();
        let lead = nodes.next();
        nodes.filter_map(move |it| Some((lead?, it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entity_is_linked_with_each_of_the_others() {
        let links = |met: Met<'_>| {
            let links = met.links();
            let links = links.map(|((_, lead), (kind, other))| format!("{lead}-{kind}:{other}"));
            links.collect::<Vec<_>>().join(" ")
        };
        let all = Met([Some("c"), Some("a"), None, Some("d"), None, Some("b")]);
        assert_eq!(
            links(all),
            "c-account_id:a c-device_id:d c-beneficiary_id:b"
        );
        let no_customer = Met([None, None, Some("k"), Some("d"), None, None]);
        assert_eq!(links(no_customer), "k-device_id:d");
        assert_eq!(links(Met([Some("c"), None, None, None, None, None])), "");
        assert_eq!(links(Met([None; 6])), "");
    }
}
