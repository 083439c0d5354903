//! The decision log of the small world, chained as a worker chains it.

use std::collections::BTreeMap;

use fraudplat::contracts::canonical;
use fraudplat::contracts::decision::{
    ChainLink, DecisionBody, DecisionEvidence, InputPart, InputRef, record_hash,
};
use fraudplat::contracts::groups::DECISION;
use fraudplat::domain::digest::Digest;
use fraudplat::domain::ids::{DecisionId, EventId};
use fraudplat::domain::offset::Basis;
use fraudplat::domain::vocabulary::{EventClass, Outcome, Posture, Stream};
use fraudplat::substrate::db::Client;
use serde_json::json;

use crate::world::{Flaw, Stored, World};

impl World {
    /// Three decisions in one chain, and the repeat that the worker met.
    pub(crate) async fn decide(&self, client: &Client, stored: &[Stored], flaw: Flaw) {
        let run = self.run();
        let mut chain = ChainLink::genesis(&run);
        let mut basis = Basis::default();
        for (shard, tip) in self.tips().await {
            if shard.stream == Stream::Traffic {
                basis.advance(&shard, tip);
            }
        }
        for n in 1..=3 {
            let event_id = format!("e{n}").parse().unwrap();
            let decision_id = DecisionId::of(&run, EventClass::Traffic, &event_id);
            let named = |it: &&Stored| it.event.envelope.event_id == event_id;
            let mut inputs: BTreeMap<InputPart, InputRef> = stored
                .iter()
                .filter(named)
                .map(|it| (part(it.class), input(it)))
                .collect();
            if flaw == Flaw::EvidenceElsewhere && n == 2 {
                let of_other = |it: &&Stored| it.class == EventClass::FlowAnchor && !named(it);
                let other = stored.iter().find(of_other).unwrap();
                inputs
                    .get_mut(&InputPart::FlowAnchor)
                    .unwrap()
                    .origin_offset = other.at.clone();
            }
            let body = self.body(decision_id, &event_id, &inputs);
            let evidence = self.evidence(decision_id, inputs, &basis);
            let (body_hash, evidence_hash) = (record_hash(&body), record_hash(&evidence));
            chain = chain.next(&body_hash, &evidence_hash);
            client
                .execute(
                    "INSERT INTO dla.decision (day, platform_run_id, seq, decision_id, event_id, ts_utc, outcome,
                         degraded, body, evidence, body_hash, evidence_hash, link, decided_at)
                     VALUES ($1, $2, $3, $4, $5, $6, 'APPROVE', false, $7, $8, $9, $10, $11, $6)",
                    &[
                        &self.day(),
                        &run,
                        &chain.seq,
                        &decision_id,
                        &event_id.as_str(),
                        &self.now,
                        &body,
                        &evidence,
                        &body_hash,
                        &evidence_hash,
                        &chain.link,
                    ],
                )
                .await
                .unwrap();
        }
        client
            .execute(
                "INSERT INTO dla.decision_count (day, platform_run_id, last_seq, epoch, batch_no, seen, decided,
                     repeated, quarantined, other_runs, counted_at, escalated, actions_requested)
                 VALUES ($1, $2, 3, 1, 1, 5, 3, 1, 0, 1, $3, 1, 2)",
                &[&self.day(), &run, &self.now],
            )
            .await
            .unwrap();
        let position = json!({"basis": basis, "seq": chain.seq, "link": chain.link});
        self.lease(client, DECISION, &run.to_string(), &position.to_string())
            .await;
    }

    fn body(
        &self,
        decision_id: DecisionId,
        event_id: &EventId,
        inputs: &BTreeMap<InputPart, InputRef>,
    ) -> Vec<u8> {
        let hashes = inputs
            .iter()
            .map(|(part, input)| (*part, input.payload_hash));
        let body = DecisionBody {
            schema_version: 1,
            decision_id,
            pins: self.pins.clone(),
            event_class: EventClass::Traffic,
            event_id: event_id.clone(),
            ts_utc: self.now,
            inputs: hashes.collect(),
            features: BTreeMap::new(),
            rule_score: 0,
            score: None,
            contributions: None,
            outcome: Outcome::Approve,
            reasons: Vec::new(),
            reason_texts: Vec::new(),
            trace: Vec::new(),
            degraded: Vec::new(),
            posture: Posture::Normal,
            bundle_slot: "primary".to_owned(),
            bundle_digest: Digest::of_bytes(b"bundle"),
            feature_set_digest: Digest::of_bytes(b"features"),
        };
        canonical::to_bytes(&body).unwrap()
    }

    fn evidence(
        &self,
        decision_id: DecisionId,
        inputs: BTreeMap<InputPart, InputRef>,
        basis: &Basis,
    ) -> Vec<u8> {
        let evidence = DecisionEvidence {
            schema_version: 1,
            decision_id,
            inputs,
            basis: basis.clone(),
            join: BTreeMap::new(),
            posture: Posture::Normal,
            posture_reason: "CALM".to_owned(),
            posture_signals: None,
            capabilities: Vec::new(),
            lists: Vec::new(),
            admitted_at: self.now,
            decided_at: self.now,
            engine_rev: 1,
            stamps: self.ground.stamps.clone(),
        };
        canonical::to_bytes(&evidence).unwrap()
    }
}

fn part(class: EventClass) -> InputPart {
    match class {
        EventClass::ArrivalEvent => InputPart::ArrivalEvent,
        EventClass::ArrivalEntities => InputPart::ArrivalEntities,
        EventClass::FlowAnchor => InputPart::FlowAnchor,
        EventClass::Traffic => InputPart::Traffic,
    }
}

fn input(stored: &Stored) -> InputRef {
    InputRef {
        origin_offset: stored.at.clone(),
        payload_hash: stored.event.payload_hash,
    }
}
