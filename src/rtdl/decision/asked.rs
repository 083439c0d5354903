//! What a decision asks for beside itself: actions, and a case where a person is to look. Pure, and a function
//! of the decision, so that whoever decides again asks for the same (L2).

use crate::contracts::action_intent::{ActionIntent, ActionSource};
use crate::contracts::case_message::CaseMessage;
use crate::contracts::case_trigger::CaseTrigger;
use crate::contracts::decision::DecisionBody;
use crate::contracts::fact::EvidenceRef;
use crate::contracts::permission::Corridor;
use crate::domain::keys::{CaseSubject, Pins};
use crate::domain::time::Time;
use crate::domain::vocabulary::{CaseTriggerType, Outcome, RefType, Stream};
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::governance::counters::{Counter, Counters};
use crate::rtdl::decision::Error;
use crate::rtdl::decision::batch::Decided;
use crate::rtdl::decision::store::Batch;
use crate::runtime::actions::{self, Asker};
use crate::runtime::ground::Ground;
use crate::runtime::outbox::{self, Message};
use crate::runtime::partitions::Partitions;
use crate::substrate::db::{self, Day, Transaction};

/// What one decision asks for; most ask for nothing.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) intents: Vec<ActionIntent>,
    pub(super) case: Option<Box<CaseTrigger>>,
}

/// A payment under review waits for a person; of the others nobody needs to be told.
const fn escalates(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Review)
}

impl Asked {
    pub(super) fn of(
        bundle: &CompiledBundle,
        event: &EventRecord,
        decided: &DecisionBody,
    ) -> Asked {
        let asks = bundle.policy.asks(event, decided);
        if asks.is_empty() && !escalates(decided.outcome) {
            return Asked::default();
        }
        let about = CaseSubject {
            platform_run_id: decided.pins.platform_run_id,
            event_class: decided.event_class,
            event_id: decided.event_id.clone(),
        };
        let decision_id = decided.decision_id.to_string();
        let refs = vec![EvidenceRef {
            ref_type: RefType::Decision,
            ref_id: decision_id.clone(),
        }];
        let pins = || decided.pins.clone();
        let intents = asks.into_iter().map(|(intent_type, subject)| {
            let source = ActionSource::of_decision(about.clone());
            ActionIntent::new(pins(), intent_type, subject, source, refs.clone())
        });
        let intents = intents.collect();
        let case = escalates(decided.outcome).then(|| {
            let escalation = CaseTriggerType::DecisionEscalation;
            CaseTrigger::new(pins(), about.clone(), escalation, decision_id, refs.clone())
        });
        Asked {
            intents,
            case: case.map(Box::new),
        }
    }
}

/// How much a batch asks for: cases, actions.
pub(super) fn counts(decided: &[Decided]) -> (i32, i32) {
    let cases = decided.iter().filter(|it| it.asked.case.is_some()).count();
    let intents: usize = decided.iter().map(|it| it.asked.intents.len()).sum();
    let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    (int(cases), int(intents))
}

/// Asking for actions is a corridor of its own, and needs its day: most batches ask for none.
pub(super) async fn enter(ground: &Ground, batch: &Batch) -> Result<(), Error> {
    if counts(&batch.decided).1 == 0 {
        return Ok(());
    }
    ground.enter(Corridor::AlExecute).await?;
    let client = ground.db.get().await?;
    let partitions = Partitions::of(actions::TABLES);
    Ok(partitions.ensure(&client, Day::of(batch.now)).await?)
}

/// Counts what was asked for, once it is committed.
pub(super) fn count(counters: &Counters, pins: &Pins, decided: &[Decided]) {
    let (_, requested) = counts(decided);
    counters.add(
        pins,
        Counter::ActionRequested,
        requested.unsigned_abs().into(),
    );
}

/// Asks in the decisions' own transaction; nothing is sent where nothing is asked for.
pub(super) async fn append(
    tx: &Transaction<'_>,
    ground: &Ground,
    now: Time,
    decided: &[Decided],
) -> Result<(), db::Error> {
    let intents: Vec<&ActionIntent> = decided.iter().flat_map(|it| &it.asked.intents).collect();
    let (actor, stamps) = (&ground.actor, &ground.stamps);
    let asker = Asker {
        actor,
        stamps,
        now,
        with_decision: true,
    };
    actions::request(tx, asker, &intents).await?;
    let cases = decided.iter().filter_map(|it| it.asked.case.clone());
    let messages = cases.map(|trigger| {
        let (partition_key, data) = CaseMessage::CaseTrigger(trigger).to_record();
        Message {
            stream: Stream::CaseTriggers,
            partition_key,
            data,
        }
    });
    outbox::enqueue(tx, &messages.collect::<Vec<_>>()).await
}
