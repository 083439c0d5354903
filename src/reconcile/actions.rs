//! Actions and cases: what decisions asked for stands, every action stands somewhere, and the stream of cases
//! has heard of each escalation, each death and each end (L2, L11).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::contracts::case_message::CaseMessage;
use crate::domain::ids::{ActionIntentId, CaseTriggerId};
use crate::domain::offset::Position;
use crate::domain::vocabulary::{CaseTriggerType, Stream};
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::{Audit, Error};
use crate::substrate::bus::{BusRecord, ReadFrom, ReadLimit};

const SUM: &str = include_str!("sql/sum_actions.sql");
const COUNT_DEAD: &str = include_str!("sql/count_dead_letters.sql");

const LIMIT: ReadLimit = ReadLimit {
    records_max: 2_000,
    bytes_max: 8 << 20,
    wait_max: Duration::from_millis(50),
};
/// A bus may answer empty now and then.
const EMPTY_READS_MAX: u32 = 100;

/// What the stream of cases has heard of a run, each once.
#[derive(Debug, Default)]
struct Told {
    escalations: BTreeSet<CaseTriggerId>,
    failures: BTreeSet<CaseTriggerId>,
    outcomes: BTreeSet<ActionIntentId>,
    n_unread: i64,
    unread: Examples,
}

pub(super) async fn audit(audit: &Audit<'_>, findings: &mut Findings) -> Result<(), Error> {
    let client = audit.ground.db.get().await?;
    let row = client
        .query_one(SUM, &[&audit.run, &audit.cut.since])
        .await?;
    let at = |n: usize| row.get::<_, i64>(n);
    let (escalated, requested, of_decisions, intents) = (at(0), at(1), at(2), at(3));
    let (standing, ended) = (at(4), at(5));
    let dead: i64 = client
        .query_one(COUNT_DEAD, &[&audit.run, &audit.cut.since])
        .await?
        .get(0);
    drop(client);
    let told = listen(audit).await?;
    let none = Examples::default;
    findings.check("actions_equal_counts", requested, of_decisions, none());
    findings.check("actions_stand_once", intents, standing, none());
    findings.check("case_messages_are_read", 0, told.n_unread, told.unread);
    let found = int(told.escalations.len());
    findings.check("escalations_ask_for_cases", escalated, found, none());
    let found = int(told.failures.len());
    findings.check("dead_letters_ask_for_cases", dead, found, none());
    let found = int(told.outcomes.len());
    findings.check("action_outcomes_are_told", ended, found, none());
    Ok(())
}

/// Reads the stream from where the run began to its tip: what is told is told after it was counted, so it may
/// lie beyond the cut.
async fn listen(audit: &Audit<'_>) -> Result<Told, Error> {
    let mut told = Told::default();
    let bus = &audit.ground.bus;
    for (shard, _) in audit.cut.shards(Stream::CaseTriggers) {
        let tip = bus.tip(shard.stream, &shard.shard_id).await?;
        let mut at = audit.cut.ready.tips.position(shard).clone();
        let mut n_empty = 0;
        while !at.reaches(&tip) {
            let from = ReadFrom::Position(at.clone());
            let read = bus.read(shard.stream, &shard.shard_id, from, LIMIT).await?;
            let Some(last) = read.records.last() else {
                n_empty += 1;
                if read.shard_end || n_empty >= EMPTY_READS_MAX {
                    let shard = shard.clone();
                    return Err(Error::LogEnds { shard, at, tip });
                }
                continue;
            };
            n_empty = 0;
            at = Position::After(last.sequence_number.clone());
            for record in &read.records {
                told.take(audit, record);
            }
        }
    }
    Ok(told)
}

impl Told {
    fn take(&mut self, audit: &Audit<'_>, record: &BusRecord) {
        match serde_json::from_slice::<CaseMessage>(&record.data) {
            Ok(CaseMessage::CaseTrigger(trigger)) if trigger.pins.platform_run_id == audit.run => {
                let id = trigger.case_trigger_id;
                match trigger.trigger_type {
                    CaseTriggerType::DecisionEscalation => self.escalations.insert(id),
                    CaseTriggerType::ActionFailure => self.failures.insert(id),
                    _ => false,
                };
            }
            Ok(CaseMessage::ActionOutcome(outcome))
                if outcome.pins.platform_run_id == audit.run =>
            {
                self.outcomes.insert(outcome.action_intent_id);
            }
            Ok(_) => {}
            Err(_) => {
                self.n_unread += 1;
                let number = &record.sequence_number;
                self.unread.add(|| format!("record {number}"));
            }
        }
    }
}
