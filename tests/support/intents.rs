//! Action intents as case management asks for them.

use fraudplat::contracts::action_intent::{ActionIntent, ActionSource, ActionSubject, SubjectType};
use fraudplat::domain::ids::{CaseId, CaseTimelineEventId};
use fraudplat::domain::keys::{CaseSubject, Pins};
use fraudplat::domain::vocabulary::{EventClass, TimelineEventType};
use serde_json::{Value, json};

use crate::events::{JSON, Port, Till};
use crate::home::{Home, LONG, until};

/// Where case management asks.
const PATH: &str = "/v1/actions/intents";

/// A port of case management.
pub(crate) fn case_management(home: &Home, port: &Port) -> Port {
    let create = ["auth", "key", "create", "--id", "cm", "--role", "svc:cm"];
    let made = home.json(&[&create[..], &["--actor", "svc:cm"]].concat());
    let port = port.with_key(made["key"].as_str().unwrap());
    until("the key", LONG, || {
        (port.post(PATH, JSON, "").status != 401).then_some(())
    });
    port
}

/// What a case asks for: the n-th challenge of the customer of an event.
pub(crate) fn challenge(till: &Till, event_id: &str, n: u64) -> Value {
    let event = till.event("traffic", event_id, json!({}));
    let text = |field: &str| event[field].as_str().unwrap();
    let pins = Pins {
        platform_run_id: text("platform_run_id").parse().unwrap(),
        scenario_run_id: text("scenario_run_id").parse().unwrap(),
        manifest_fingerprint: text("manifest_fingerprint").parse().unwrap(),
        tenant_id: None,
    };
    let about = CaseSubject {
        platform_run_id: pins.platform_run_id,
        event_class: EventClass::Traffic,
        event_id: event_id.parse().unwrap(),
    };
    let asked = TimelineEventType::ActionIntentRequested;
    let asked = CaseTimelineEventId::of(&CaseId::of(&about), asked, &n.to_string());
    let subject = ActionSubject {
        subject_type: SubjectType::CustomerId,
        subject_id: "c1".to_owned(),
    };
    let source = ActionSource::of_case(about, asked);
    let kind = "challenge_customer".parse().unwrap();
    json!(ActionIntent::new(pins, kind, subject, source, Vec::new()))
}

/// Asks; the status and what was answered, or nothing where nobody answers.
pub(crate) fn try_ask(port: &Port, intents: &Value) -> Option<(u16, Value)> {
    let answer = port.try_post(PATH, JSON, intents.to_string())?;
    Some((answer.status, answer.body))
}

#[track_caller]
pub(crate) fn ask(port: &Port, intents: &Value) -> (u16, Value) {
    try_ask(port, intents).unwrap()
}

/// The id of an intent.
pub(crate) fn id(intent: &Value) -> &str {
    intent["action_intent_id"].as_str().unwrap()
}
