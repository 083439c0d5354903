//! What the join found of a payment's context, and what it found wanting.

use std::collections::BTreeMap;

use crate::contracts::decision::{InputPart, JoinState};
use crate::contracts::feature_set::Entity;
use crate::contracts::payload::{ArrivalEntities, ArrivalEvent, FlowAnchor};
use crate::domain::digest::Digest;
use crate::engine::event::EventRecord;

/// One part of a frame, with the hash that a decision names it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePart<P> {
    pub payload_hash: Digest,
    pub payload: P,
}

/// The context of one payment as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JoinFrame {
    pub arrival_event: Option<FramePart<ArrivalEvent>>,
    pub arrival_entities: Option<FramePart<ArrivalEntities>>,
    pub flow_anchor: Option<FramePart<FlowAnchor>>,
}

impl JoinFrame {
    /// Whether nothing is left to wait for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.arrival_event.is_some()
            && self.arrival_entities.is_some()
            && self.flow_anchor.is_some()
    }

    /// What is there of each part, for the evidence.
    #[must_use]
    pub fn states(&self, event: &EventRecord) -> BTreeMap<InputPart, JoinState> {
        let present = |is_there: bool| match is_there {
            true => JoinState::Present,
            false => JoinState::Missing,
        };
        let entities = match &self.arrival_entities {
            Some(part) if conflicts(&part.payload, event) => JoinState::Conflicting,
            other => present(other.is_some()),
        };
        BTreeMap::from([
            (InputPart::Traffic, JoinState::Present),
            (
                InputPart::ArrivalEvent,
                present(self.arrival_event.is_some()),
            ),
            (InputPart::ArrivalEntities, entities),
            (InputPart::FlowAnchor, present(self.flow_anchor.is_some())),
        ])
    }

    /// Why a decision on this frame is a degraded one: codes, in fixed order.
    #[must_use]
    pub fn degradations(&self, event: &EventRecord) -> Vec<String> {
        let mut codes = Vec::new();
        if self.arrival_event.is_none() {
            codes.push("MISSING_ARRIVAL_EVENT".to_owned());
        }
        match &self.arrival_entities {
            None => codes.push("MISSING_ARRIVAL_ENTITIES".to_owned()),
            Some(part) if conflicts(&part.payload, event) => {
                codes.push("CONFLICTING_ARRIVAL_ENTITIES".to_owned());
            }
            Some(_) => {}
        }
        if self.flow_anchor.is_none() {
            codes.push("MISSING_FLOW_ANCHOR".to_owned());
        }
        codes
    }

    /// The payload hash of every part that is there.
    #[must_use]
    pub fn inputs(&self) -> BTreeMap<InputPart, Digest> {
        let parts = [
            (
                InputPart::ArrivalEvent,
                self.arrival_event.as_ref().map(|it| it.payload_hash),
            ),
            (
                InputPart::ArrivalEntities,
                self.arrival_entities.as_ref().map(|it| it.payload_hash),
            ),
            (
                InputPart::FlowAnchor,
                self.flow_anchor.as_ref().map(|it| it.payload_hash),
            ),
        ];
        let there = parts.into_iter();
        there
            .filter_map(|(part, hash)| hash.map(|it| (part, it)))
            .collect()
    }
}

/// Two values that are both given and differ. What only one side names is no contradiction.
fn conflicts(found: &ArrivalEntities, event: &EventRecord) -> bool {
    let pairs = [
        (Some(found.merchant_id.as_str()), Entity::MerchantId),
        (found.customer_id.as_deref(), Entity::CustomerId),
        (found.account_id.as_deref(), Entity::AccountId),
        (found.card_id.as_deref(), Entity::CardId),
        (found.device_id.as_deref(), Entity::DeviceId),
        (found.ip.as_deref(), Entity::Ip),
        (found.terminal_id.as_deref(), Entity::TerminalId),
        (found.beneficiary_id.as_deref(), Entity::BeneficiaryId),
    ];
    pairs.into_iter().any(
        |(found, entity)| matches!((found, event.entity(entity)), (Some(a), Some(b)) if a != b),
    )
}
