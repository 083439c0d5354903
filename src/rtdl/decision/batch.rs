//! Decides a prefix of a batch in memory: features in log order, body, evidence, chain. Pure but
//! for the time it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::contracts::canonical;
use crate::contracts::decision::{
    ChainLink, DecisionBody, DecisionEvidence, InputPart, InputRef, SCHEMA_VERSION, record_hash,
};
use crate::contracts::run_position::RunPosition;
use crate::contracts::stamps::Stamps;
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::domain::offset::{OriginOffset, Position, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::{Capability, Outcome};
use crate::engine::bundle::CompiledBundle;
use crate::engine::decide::{ENGINE_REV, Given, decide};
use crate::engine::event::EventRecord;
use crate::engine::posture;
use crate::planted;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::asked::Asked;
use crate::rtdl::decision::frames::Found;
use crate::rtdl::decision::posture::Judged;
use crate::rtdl::decision::shadow::{self, Shadowed};
use crate::rtdl::decision::state::RunState;
use crate::runtime::decisions::keys_of;
use crate::substrate::meter;

/// One traffic event of this run that is to be decided.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) decision_id: DecisionId,
    pub(super) origin_offset: OriginOffset,
    pub(super) admitted_at: Time,
    pub(super) event: EventRecord,
}

/// A row of the decision log.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision_id: DecisionId,
    pub(super) event_id: String,
    pub(super) ts_utc: Time,
    pub(super) outcome: Outcome,
    pub(super) degraded: Vec<String>,
    pub(super) body: Vec<u8>,
    pub(super) evidence: Vec<u8>,
    pub(super) body_hash: Digest,
    pub(super) evidence_hash: Digest,
    pub(super) chain: ChainLink,
    pub(super) admitted_at: Time,
    pub(super) decided_at: Time,
    pub(super) asked: Asked,
    /// What a search finds it by.
    pub(super) keys: Vec<i64>,
    /// What the shadows would have decided.
    pub(super) shadows: Shadowed,
}

/// What is stored of a decision.
struct Record {
    body: Vec<u8>,
    evidence: Vec<u8>,
    body_hash: Digest,
    evidence_hash: Digest,
    chain: ChainLink,
}

/// What every decision of a worker shares.
pub(super) struct Deciding<'a> {
    pub(super) bundle: &'a CompiledBundle,
    /// The feature set that the memory must hold: the bundle's, where it may see features.
    pub(super) remembered: &'a Digest,
    /// By slot; those of shadow slots decide beside it.
    pub(super) wanted: &'a BTreeMap<String, Arc<CompiledBundle>>,
    pub(super) stamps: &'a Stamps,
    pub(super) shard: &'a ShardRef,
    pub(super) judged: &'a Judged,
}

impl Deciding<'_> {
    /// Decides one event: its own record enters the features first. Moves `position` past it.
    pub(super) fn decide(
        &self,
        state: &mut RunState,
        position: &mut RunPosition,
        pending: &Pending,
        found: &Found,
        now: Time,
    ) -> Result<Decided, Error> {
        let refused = |cause: String| Error::Decide {
            event_id: pending.event.event_id.to_string(),
            cause,
        };
        let applied = meter::section("engine/features, apply", || {
            state.apply(self.remembered, &pending.event)
        });
        planted!(
            SecondDecisionOnRepeat,
            drop(applied),
            applied.map_err(|cause| refused(cause.to_string()))?
        );
        let capabilities = &self.judged.capabilities;
        // What the posture switches off is left out here, so that deciding stays one function.
        let past = state.features(self.remembered);
        let past = past.ok_or_else(|| refused("its features are not warm".to_owned()))?;
        let set = &self.bundle.feature_set;
        let features = meter::section("engine/features, read", || {
            posture::features(set, past, &pending.event, capabilities)
        });
        let features = features.map_err(|lost| refused(lost.to_string()))?;
        let given = Given {
            event: &pending.event,
            frame: &found.frame,
            features: &features,
            lists: &found.lists,
            posture: self.judged.standing.posture,
            capabilities,
        };
        let body = meter::section("engine/scoring and policy", || decide(self.bundle, &given));
        let decided = (self.bundle, &pending.decision_id);
        let shadows = meter::section("shadows", || {
            shadow::score(shadow::of(self.wanted), state, &given, decided)
        });
        position.advance(
            self.shard,
            Position::After(pending.origin_offset.sequence_number.clone()),
        );
        let record = || self.record(position, pending, found, &body, now);
        let record = meter::section("decision worker, record and hash", record)?;
        Ok(Decided {
            asked: Asked::of(self.bundle, &pending.event, &body),
            decision_id: pending.decision_id,
            event_id: pending.event.event_id.to_string(),
            ts_utc: pending.event.ts,
            outcome: body.outcome,
            keys: keys_of(|it| pending.event.entity(it), &body),
            degraded: body.degraded,
            body: record.body,
            evidence: record.evidence,
            body_hash: record.body_hash,
            evidence_hash: record.evidence_hash,
            chain: record.chain,
            admitted_at: pending.admitted_at,
            decided_at: now,
            shadows,
        })
    }

    /// Body and evidence as they are stored, hashed and chained; moves `position` past the link.
    fn record(
        &self,
        position: &mut RunPosition,
        pending: &Pending,
        found: &Found,
        body: &DecisionBody,
        now: Time,
    ) -> Result<Record, Error> {
        let refused = |cause: canonical::Error| Error::Decide {
            event_id: pending.event.event_id.to_string(),
            cause: cause.to_string(),
        };
        let evidence = self.evidence(position, pending, found, now);
        let body = canonical::to_bytes(body).map_err(refused)?;
        let evidence = canonical::to_bytes(&evidence).map_err(refused)?;
        let (body_hash, evidence_hash) = (record_hash(&body), record_hash(&evidence));
        let chain = position.chain().next(&body_hash, &evidence_hash);
        position.extend(chain);
        Ok(Record {
            body,
            evidence,
            body_hash,
            evidence_hash,
            chain,
        })
    }

    fn evidence(
        &self,
        position: &RunPosition,
        pending: &Pending,
        found: &Found,
        now: Time,
    ) -> DecisionEvidence {
        let mut inputs = found.refs.clone();
        let origin_offset = pending.origin_offset.clone();
        let traffic = InputRef {
            origin_offset,
            payload_hash: pending.event.payload_hash,
        };
        inputs.insert(InputPart::Traffic, traffic);
        DecisionEvidence {
            schema_version: SCHEMA_VERSION,
            decision_id: pending.decision_id,
            basis: position.basis.clone(),
            join: found.frame.states(&pending.event),
            inputs,
            posture: self.judged.standing.posture,
            posture_reason: self.judged.standing.reason.to_string(),
            capabilities: words(&self.judged.capabilities),
            posture_signals: Some(self.judged.signals.clone()),
            lists: shadow::hits(self.bundle, &found.lists),
            admitted_at: pending.admitted_at,
            decided_at: now,
            engine_rev: ENGINE_REV,
            stamps: self.stamps.clone(),
        }
    }
}

fn words(capabilities: &BTreeSet<Capability>) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}
