//! The entity graph as the API tells it: entities by kind and id, dated links, and of which state
//! of the projection an answer is.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::feature_set::Entity;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::Basis;
use crate::domain::time::Time;
use crate::domain::vocabulary::vocabulary;

vocabulary!(
    /// What may be a node. The order says who leads a record: its first entity is linked with each
    /// of the others.
    EntityKind {
        Customer = "customer_id",
        Account = "account_id",
        Card = "card_id",
        Device = "device_id",
        Ip = "ip",
        Beneficiary = "beneficiary_id",
    }
);

impl EntityKind {
    /// `None` for a place: merchants and terminals meet everyone in turn, so a link through one
    /// tells nothing of who is behind whom.
    #[must_use]
    pub const fn of(entity: Entity) -> Option<EntityKind> {
        match entity {
            Entity::CustomerId => Some(EntityKind::Customer),
            Entity::AccountId => Some(EntityKind::Account),
            Entity::CardId => Some(EntityKind::Card),
            Entity::DeviceId => Some(EntityKind::Device),
            Entity::Ip => Some(EntityKind::Ip),
            Entity::BeneficiaryId => Some(EntityKind::Beneficiary),
            Entity::MerchantId | Entity::TerminalId => None,
        }
    }
}

/// A node: `customer_id:c1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    pub kind: EntityKind,
    /// 1 to 128 characters.
    pub id: String,
}

/// As the payloads have it.
const ID_CHARS_MAX: usize = 128;

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl FromStr for EntityRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<EntityRef, ParseError> {
        let read = || {
            let (kind, id) = text.split_once(':')?;
            let kind = kind.parse().ok()?;
            // No id of an event holds a NUL, and no column takes one.
            let fits = (1..=ID_CHARS_MAX).contains(&id.chars().count()) && !id.contains('\0');
            fits.then(|| EntityRef {
                kind,
                id: id.to_owned(),
            })
        };
        read().ok_or_else(|| ParseError {
            found: text.chars().take(80).collect(),
            expected: "a kind and an id, such as customer_id:c1; kinds are customer_id account_id card_id device_id ip beneficiary_id",
        })
    }
}

crate::domain::ids::text_serde!(
    EntityRef,
    "An entity: its kind, a colon, its id.",
    "^(customer_id|account_id|card_id|device_id|ip|beneficiary_id):.{1,128}$"
);

/// Of what an answer is: which run, at which time of events, from which records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphState {
    pub platform_run_id: PlatformRunId,
    /// Links first seen up to this time of events, itself included.
    pub as_of: Time,
    /// The digest of `basis`: the same version and the same question have the same answer.
    pub graph_version: Digest,
    /// How far the projection has read each shard of each stream.
    pub basis: Basis,
}

/// An entity that is linked with the one asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    pub entity: EntityRef,
    /// The earliest event that named both.
    pub first_seen: Time,
    /// The UTC day of the latest one so far; absent where that lies after `as_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_day: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    pub graph: GraphState,
    pub entity: EntityRef,
    /// By kind, then id.
    pub neighbours: Vec<Neighbour>,
    /// What to ask after for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<EntityRef>,
}

/// An entity that several customers use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedEntity {
    pub entity: EntityRef,
    pub customers_count: i64,
    /// The first of them by id, at most 100.
    pub customers: Vec<SharedBy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedBy {
    pub customer_id: String,
    pub first_seen: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    pub graph: GraphState,
    /// By id.
    pub shared: Vec<SharedEntity>,
    /// What to ask after for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entity of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub entity: EntityRef,
    /// Links between it and the entity asked about, on a shortest way.
    pub hops: u32,
    /// The entity before it on that way; absent for the one asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EntityRef>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub graph: GraphState,
    pub entity: EntityRef,
    /// By hops, then kind and id.
    pub members: Vec<Member>,
    /// Members with so many links that nothing is reached through them.
    pub hubs: Vec<EntityRef>,
    /// Whether these are all: not cut at the limit.
    pub is_whole: bool,
}

/// A customer who is known for fraud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelledCustomer {
    pub entity: EntityRef,
    /// Links between it and the entity asked about, on a shortest way.
    pub hops: u32,
    /// Payments whose latest label, of those observed by `as_of`, says fraud.
    pub payments_count: i64,
    /// Since when that is known of the first of them.
    pub observed_time: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    pub graph: GraphState,
    pub entity: EntityRef,
    /// How far was looked.
    pub hops: u32,
    /// By hops, then id.
    pub labelled: Vec<LabelledCustomer>,
    /// Entities that were looked at, the one asked about among them.
    pub entities_count: i64,
    /// Whether these are all within so many links: not cut at the limit.
    pub is_whole: bool,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub entity: EntityRef,
    /// When it was first linked with the one before it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Path {
    pub graph: GraphState,
    pub from: EntityRef,
    pub to: EntityRef,
    /// From the one to the other, both included; empty where none was found.
    pub steps: Vec<Step>,
    /// Whether all was looked at that can be reached: if not, there may be a path after all.
    pub is_whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_reads_back_and_others_are_refused() {
        for text in ["customer_id:c1", "ip:2001:db8::1", "card_id:tok:é"] {
            assert_eq!(text.parse::<EntityRef>().unwrap().to_string(), text);
        }
        let long = format!("ip:{}", "x".repeat(129));
        for text in [
            "",
            "customer_id",
            "customer_id:",
            "merchant_id:m",
            "ip:a\0",
            &long,
        ] {
            assert!(text.parse::<EntityRef>().is_err(), "{text}");
        }
    }
}
