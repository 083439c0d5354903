//! An anomaly about one event asks for a case about it: two payloads under one id, two flows of one arrival.
//! A payload of a wrong shape asks for none: that is its producer's to mend.

use std::collections::BTreeMap;

use crate::contracts::case_message::CaseMessage;
use crate::contracts::case_trigger::CaseTrigger;
use crate::contracts::fact::{EvidenceRef, Fact};
use crate::contracts::ready::Ready;
use crate::domain::ids::PlatformRunId;
use crate::domain::keys::{CaseSubject, Pins};
use crate::domain::vocabulary::{CaseTriggerType, FactType, RefType};
use crate::substrate::db::{self, Row, Transaction};

const READ_PINS: &str = include_str!("sql/read_pins.sql");

/// The event that a fact of an anomaly is about: its natural key begins with run, class and event id.
fn subject(fact: &Fact) -> Option<CaseSubject> {
    let is_anomaly = matches!(
        fact.fact_type,
        FactType::PayloadHashMismatch | FactType::FlowbindingConflict
    );
    let [run, class, event_id, ..] = fact.natural_key.as_slice() else {
        return None;
    };
    let named = || {
        Some(CaseSubject {
            platform_run_id: run.parse().ok()?,
            event_class: class.parse().ok()?,
            event_id: event_id.parse().ok()?,
        })
    };
    named().filter(|_| is_anomaly)
}

/// The messages of what these new facts ask for, with their keys.
pub(super) async fn asked(
    tx: &Transaction<'_>,
    facts: &[&Fact],
) -> Result<Vec<(String, Vec<u8>)>, db::Error> {
    let about = facts.iter().filter_map(|it| Some((*it, subject(it)?)));
    let about: Vec<(&Fact, CaseSubject)> = about.collect();
    if about.is_empty() {
        return Ok(Vec::new());
    }
    let runs: Vec<PlatformRunId> = about.iter().map(|(_, it)| it.platform_run_id).collect();
    let rows = tx.query(READ_PINS, &[&runs]).await?;
    let read = |row: &Row| {
        let ready = serde_json::from_slice::<Ready>(row.get(1));
        let ready = ready.map_err(|cause| db::Error::form("READY", &cause))?;
        Ok::<_, db::Error>((row.get(0), ready.pins))
    };
    let pins: BTreeMap<PlatformRunId, Pins> = rows.iter().map(read).collect::<Result<_, _>>()?;
    let messages = about.into_iter().filter_map(|(fact, subject)| {
        let pins = pins.get(&subject.platform_run_id)?.clone();
        let trigger = trigger(fact, subject, pins);
        Some(CaseMessage::CaseTrigger(Box::new(trigger)).to_record())
    });
    Ok(messages.collect())
}

fn trigger(fact: &Fact, subject: CaseSubject, pins: Pins) -> CaseTrigger {
    let fact_id = fact.fact_id.to_string();
    let refs = vec![EvidenceRef {
        ref_type: RefType::ExternalRef,
        ref_id: fact_id.clone(),
    }];
    CaseTrigger::new(pins, subject, CaseTriggerType::Anomaly, fact_id, refs)
}
