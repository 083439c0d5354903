//! A decision at rest: a body that replay must recompute byte for byte, and evidence that says
//! from what (L6, L12).

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::feature_set::Entity;
use crate::contracts::stamps::Stamps;
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{ActorId, DecisionId, EventId, FactId, ListEntryId, PlatformRunId};
use crate::domain::keys::Pins;
use crate::domain::offset::{Basis, OriginOffset};
use crate::domain::time::Time;
use crate::domain::vocabulary::{Capability, EventClass, Outcome, Posture};

pub const SCHEMA_VERSION: i64 = 1;

/// A computed value: of a feature, of an operand. Serialises as the bare value; `None` (a missing
/// feature) as null. A float is finite.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// The deterministic half.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    pub schema_version: i64,
    pub decision_id: DecisionId,
    pub pins: Pins,
    pub event_class: EventClass,
    pub event_id: EventId,
    pub ts_utc: Time,
    /// The payload hash of every input that took part, by part.
    pub inputs: BTreeMap<InputPart, Digest>,
    /// Every feature of the set, by name.
    pub features: BTreeMap<String, Value>,
    /// Sum of the score effects of the rules that fired.
    pub rule_score: i64,
    /// The model's, where the bundle has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributions: Option<Contributions>,
    pub outcome: Outcome,
    /// Reason codes of the rules that fired, then of the degradations, in order of the policy.
    pub reasons: Vec<String>,
    /// The reasons in words, as far as the bundle has words for them; then what raised the model's
    /// score most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason_texts: Vec<String>,
    /// Every list, rule and threshold that was tried, in order of the policy.
    pub trace: Vec<RuleTrace>,
    /// Why the decision was made on less than the whole frame.
    pub degraded: Vec<String>,
    pub posture: Posture,
    pub bundle_slot: String,
    pub bundle_digest: Digest,
    pub feature_set_digest: Digest,
}

/// Why the model's score is what it is: `expected` plus the parts in their order is `raw`, up to the
/// rounding of the additions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contributions {
    /// The score before the model's link.
    pub raw: f64,
    /// What the model says where it knows nothing.
    pub expected: f64,
    /// Those that are not 0, in order of the model's features.
    pub parts: Vec<Contribution>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    pub feature: String,
    pub value: f64,
}

/// What a decision reads.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum InputPart {
    ArrivalEntities,
    ArrivalEvent,
    FlowAnchor,
    Traffic,
}

impl InputPart {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            InputPart::ArrivalEntities => "arrival_entities",
            InputPart::ArrivalEvent => "arrival_event",
            InputPart::FlowAnchor => "flow_anchor",
            InputPart::Traffic => "traffic",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTrace {
    pub rule_id: String,
    pub result: RuleResult,
    /// The operand that was missing or passed its range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operand: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleResult {
    Fired,
    NotFired,
    /// An operand was missing: the rule does not fire.
    Missing,
    /// Integer arithmetic left 64 bits, or a division by zero: the rule does not fire.
    Undefined,
}

/// The other half: by what, from where, when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionEvidence {
    pub schema_version: i64,
    pub decision_id: DecisionId,
    /// Where every input that took part stands on the bus.
    pub inputs: BTreeMap<InputPart, InputRef>,
    /// The position in every shard that the features were computed from; the event included.
    pub basis: Basis,
    /// What the join found of each part.
    pub join: BTreeMap<InputPart, JoinState>,
    pub posture: Posture,
    pub posture_reason: String,
    /// What the posture left switched on.
    pub capabilities: Vec<String>,
    /// What the posture was judged by; `None` in records from before there was a ladder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture_signals: Option<PostureSignals>,
    /// The entries of the bundle's lists that the event's entities stood on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListHit>,
    /// From the traffic event: join waits are measured from here.
    pub admitted_at: Time,
    pub decided_at: Time,
    /// The revision of the deciding code; another revision's replay is a diff, not corruption.
    pub engine_rev: i64,
    pub stamps: Stamps,
}

impl DecisionEvidence {
    /// What the posture left switched on, of what this release knows.
    #[must_use]
    pub fn switched_on(&self) -> BTreeSet<Capability> {
        let words = self.capabilities.iter();
        words.filter_map(|word| word.parse().ok()).collect()
    }
}

/// What the ladder was told when it was last asked, over the batch of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostureSignals {
    /// The newest decisions of the run, at most as many as the ladder looks back on.
    #[schemars(range(max = 4_294_967_295u64))]
    pub recent: u32,
    /// Those of them that lack a part of their frame.
    #[schemars(range(max = 4_294_967_295u64))]
    pub missing: u32,
    /// Failed reads and commits of the store within the last minute.
    #[schemars(range(max = 4_294_967_295u64))]
    pub store_errors: u32,
    /// How late the batch was by the group's own fault; `None` where a world is streamed at a pace of its
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_223_372_036_854_775_807u64))]
    pub own_lag_ms: Option<u64>,
    /// How much of the lateness is not the group's own: it had to wait for context.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(max = 9_223_372_036_854_775_807u64))]
    pub excused_ms: u64,
    pub bundle: BundleState,
    /// The operator's word that decides alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<PostureForceRef>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Which bundle decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BundleState {
    /// The active one.
    #[default]
    Resolved,
    /// The declared safe fallback.
    Fallback,
    /// None: the built-in one that fails closed.
    None,
}

/// Who forced a posture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostureForceRef {
    /// The fact that tells of it, with its reason.
    pub force_id: FactId,
    pub actor_id: ActorId,
}

/// An entry of a list that was in force when a decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListHit {
    pub list: String,
    /// Which entity of the event stood on it.
    pub entity: Entity,
    pub entry_id: ListEntryId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputRef {
    pub origin_offset: OriginOffset,
    pub payload_hash: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JoinState {
    Present,
    /// Judged missing: the watermark had passed the admitted time plus the wait.
    Missing,
    /// Present, but its entities contradict the traffic event's.
    Conflicting,
}

/// One link of a run's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// Dense from 1.
    pub seq: i64,
    pub link: Digest,
}

impl ChainLink {
    /// What the first record of a run links to.
    #[must_use]
    pub fn genesis(run: &PlatformRunId) -> ChainLink {
        ChainLink {
            seq: 0,
            link: Tagged::new("chain_genesis").display(run).digest(),
        }
    }

    /// `link = H(prev, seq, body_hash, evidence_hash)`.
    #[must_use]
    pub fn next(&self, body_hash: &Digest, evidence_hash: &Digest) -> ChainLink {
        let seq = self.seq + 1;
        let tagged = Tagged::new("chain_link").display(self.link).int(seq);
        ChainLink {
            seq,
            link: tagged.display(body_hash).display(evidence_hash).digest(),
        }
    }
}

/// A stored record of a chain, with what it says of itself.
#[derive(Debug, Clone, Copy)]
pub struct ChainRecord<'a> {
    pub seq: i64,
    /// Canonical CBOR.
    pub body: &'a [u8],
    pub evidence: &'a [u8],
    pub body_hash: Digest,
    pub evidence_hash: Digest,
    pub link: Digest,
}

impl ChainLink {
    /// The link of `record`, if it is what it says it is and follows this one.
    ///
    /// # Errors
    /// Why it does not, as the end of a sentence about the record.
    pub fn check(&self, record: &ChainRecord<'_>) -> Result<ChainLink, &'static str> {
        if record.seq != self.seq + 1 {
            return Err("the records before it are missing");
        }
        if record_hash(record.body) != record.body_hash {
            return Err("its body does not hash to body_hash");
        }
        if record_hash(record.evidence) != record.evidence_hash {
            return Err("its evidence does not hash to evidence_hash");
        }
        let next = self.next(&record.body_hash, &record.evidence_hash);
        if next.link != record.link {
            return Err("its link does not follow from the one before");
        }
        Ok(next)
    }
}

/// The hash of a body's or an evidence's canonical bytes.
#[must_use]
pub fn record_hash(bytes: &[u8]) -> Digest {
    Digest::of_bytes(bytes)
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Missing => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl serde::de::Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bool, an integer, a float, a text or null")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Missing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Missing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| E::custom("an integer beyond 64 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
}

impl JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["boolean", "integer", "number", "string", "null"]})
    }
}
