//! What the decisions of the world asked for: payment 1 was escalated and asked for two actions, of which one
//! is done and one is a dead letter; the cases were told of each.

use fraudplat::contracts::action_intent::{ActionIntent, ActionSource, ActionSubject, SubjectType};
use fraudplat::contracts::action_outcome::{ActionOutcome, ActionResult, SCHEMA_VERSION};
use fraudplat::contracts::case_message::CaseMessage;
use fraudplat::contracts::case_trigger::CaseTrigger;
use fraudplat::domain::ids::CaseId;
use fraudplat::domain::keys::CaseSubject;
use fraudplat::domain::vocabulary::{CaseTriggerType, EventClass, Stream};
use fraudplat::runtime::actions::{self, Asker};

use crate::world::World;

impl World {
    pub(crate) async fn actions(&self) {
        let about = CaseSubject {
            platform_run_id: self.run(),
            event_class: EventClass::Traffic,
            event_id: "e1".parse().unwrap(),
        };
        let asked = |kind: &str| {
            let subject = ActionSubject {
                subject_type: SubjectType::CustomerId,
                subject_id: "c".to_owned(),
            };
            let source = ActionSource::of_decision(about.clone());
            let (pins, kind) = (self.pins.clone(), kind.parse().unwrap());
            ActionIntent::new(pins, kind, subject, source, Vec::new())
        };
        let (done, dead) = (asked("block_payment"), asked("call_customer"));
        let outcome = self.outcome(&done, &about);
        self.rows(&done, &dead, &outcome).await;
        let trigger = |kind: CaseTriggerType, source: String| {
            let (pins, about) = (self.pins.clone(), about.clone());
            let trigger = CaseTrigger::new(pins, about, kind, source, Vec::new());
            CaseMessage::CaseTrigger(Box::new(trigger))
        };
        let decision = done.source.decision_id.unwrap().to_string();
        let escalation = trigger(CaseTriggerType::DecisionEscalation, decision);
        let failure = trigger(
            CaseTriggerType::ActionFailure,
            dead.action_intent_id.to_string(),
        );
        let ended = CaseMessage::ActionOutcome(Box::new(outcome));
        // L5: a repeat is legal.
        for message in [&escalation, &escalation, &failure, &ended] {
            let (key, data) = message.to_record();
            self.put(Stream::CaseTriggers, &key, data.into()).await;
        }
    }

    fn outcome(&self, intent: &ActionIntent, about: &CaseSubject) -> ActionOutcome {
        ActionOutcome {
            schema_version: SCHEMA_VERSION,
            pins: self.pins.clone(),
            action_intent_id: intent.action_intent_id,
            intent_type: intent.intent_type.clone(),
            event: about.clone(),
            case_id: CaseId::of(about),
            result: ActionResult::Succeeded,
            executor: "log".to_owned(),
            attempt_no: 1,
            http_status: None,
            detail: "logged".to_owned(),
            finished_at: self.now,
            actor: self.ground.actor.clone(),
            stamps: self.ground.stamps.clone(),
        }
    }

    async fn rows(&self, done: &ActionIntent, dead: &ActionIntent, outcome: &ActionOutcome) {
        let mut client = self.ground.db.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        let asker = Asker {
            actor: &self.ground.actor,
            stamps: &self.ground.stamps,
            now: self.now,
            with_decision: true,
        };
        actions::request(&tx, asker, &[done, dead]).await.unwrap();
        let (of_done, of_dead) = (done.action_intent_id, dead.action_intent_id);
        let move_to =
            "UPDATE runtime.action SET state = $2, attempt_no = 1 WHERE action_intent_id = $1";
        tx.execute(move_to, &[&of_done, &"DONE"]).await.unwrap();
        tx.execute(move_to, &[&of_dead, &"DEAD"]).await.unwrap();
        let end = "INSERT INTO al.outcome (day, action_intent_id, platform_run_id, result, outcome, finished_at)
            VALUES ($1, $2, $3, 'SUCCEEDED', $4, $5)";
        let body = serde_json::to_vec(outcome).unwrap();
        tx.execute(end, &[&self.day(), &of_done, &self.run(), &body, &self.now])
            .await
            .unwrap();
        let die = "INSERT INTO al.dead_letter (day, action_intent_id, attempt_no, detail, died_at, stamps)
            VALUES ($1, $2, 1, 'refused', $3, '{}')";
        tx.execute(die, &[&self.day(), &of_dead, &self.now])
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}
