//! The JSON Schemas of every form, generated from the types: what `docs/contracts` holds, what a
//! producer validates against, and what the gate validates payloads with.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};

use crate::contracts::{
    action_intent, action_outcome, archive_row, bundle, case_message, case_trigger, chain_anchor,
    control, decision, envelope, fact, label_assertion, payload, problem, progress, ready, receipt,
    reconciliation, verdict,
};
use crate::domain::vocabulary::EventClass;

/// A form that crosses a wire or rests in a store.
#[derive(Debug, Clone)]
pub struct Form {
    /// The name of its file in `docs/contracts` and of its folder in `tests/golden`.
    pub name: &'static str,
    /// What it is and where it is found, in one line.
    pub what: &'static str,
    pub schema: Schema,
}

/// The schema of one type, JSON Schema 2020-12, with the bounds of i64 where no narrower ones are.
#[must_use]
pub fn of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(bound_integers))
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema of a payload, by its class; of [`EventClass::schema_version`].
#[must_use]
pub fn payload(class: EventClass) -> Schema {
    match class {
        EventClass::ArrivalEvent => of::<payload::ArrivalEvent>(),
        EventClass::ArrivalEntities => of::<payload::ArrivalEntities>(),
        EventClass::FlowAnchor => of::<payload::FlowAnchor>(),
        EventClass::Traffic => of::<payload::Traffic>(),
    }
}

/// Every form, in the order in which an event meets them.
#[must_use]
pub fn forms() -> Vec<Form> {
    [until_decided(), afterwards()]
        .into_iter()
        .flatten()
        .collect()
}

fn until_decided() -> Vec<Form> {
    let payload_of = |class: EventClass, what| Form {
        name: class.as_str(),
        what,
        schema: payload(class),
    };
    vec![
        form::<ready::RunFacts>(
            "run_facts",
            "What a run is: `{run}/sr/run_facts_view.json`.",
        ),
        form::<ready::Ready>("ready", "READY: a run may be streamed."),
        form::<control::ControlMessage>(
            "control_message",
            "What travels on the control bus: READY, facts, anomalies.",
        ),
        form::<envelope::Envelope>("envelope", "An event as a producer sends it."),
        payload_of(
            EventClass::ArrivalEvent,
            "Payload: an arrival at a merchant.",
        ),
        payload_of(
            EventClass::ArrivalEntities,
            "Payload: the entities of an arrival.",
        ),
        payload_of(
            EventClass::FlowAnchor,
            "Payload: binds a flow to its arrival.",
        ),
        payload_of(
            EventClass::Traffic,
            "Payload: an authorisation, the event that is decided.",
        ),
        form::<verdict::IngestAnswer>("ingest_answer", "The answer to `POST /v1/events`."),
        form::<receipt::Receipt>(
            "receipt",
            "Proof that one event was admitted, and where it stands.",
        ),
        form::<envelope::AdmittedEvent>(
            "admitted_event",
            "A record on the bus: the envelope and what the gate adds.",
        ),
        form::<archive_row::ArchiveRow>(
            "archive_row",
            "A record of the bus as the archive keeps it.",
        ),
    ]
    .into_iter()
    .chain(after_decision())
    .collect()
}

/// Those from the decision on.
fn after_decision() -> Vec<Form> {
    vec![
        form::<decision::DecisionBody>(
            "decision_body",
            "The half of a decision that replay recomputes; at rest canonical CBOR.",
        ),
        form::<decision::DecisionEvidence>(
            "decision_evidence",
            "The half that says from what; at rest canonical CBOR.",
        ),
        form::<chain_anchor::ChainAnchor>(
            "chain_anchor",
            "What a run's decision log was at a moment: `{run}/dla/anchors/{seq}.json`.",
        ),
        form::<bundle::Bundle>("bundle", "What decides: `mpr/bundles/{digest}.json`."),
    ]
}

fn afterwards() -> Vec<Form> {
    vec![
        form::<action_intent::ActionIntent>(
            "action_intent",
            "What asks for an action: `POST /v1/actions/intents`, and the body of a webhook.",
        ),
        form::<action_outcome::ActionOutcome>("action_outcome", "How an action ended."),
        form::<case_trigger::CaseTrigger>("case_trigger", "What asks for a case."),
        form::<case_message::CaseMessage>(
            "case_message",
            "What travels on the stream of cases: triggers and outcomes of actions.",
        ),
        form::<label_assertion::LabelAssertion>(
            "label_assertion",
            "A label as someone asserts it.",
        ),
        form::<fact::Fact>("fact", "A governance fact or an anomaly."),
        form::<progress::RunProgress>(
            "progress",
            "How far a run has come: `GET /v1/runs/{run}/progress`.",
        ),
        form::<reconciliation::Reconciliation>(
            "reconciliation",
            "The balance of a run: `{run}/obs/reconciliation/YYYY-MM-DD.json`.",
        ),
        form::<problem::Problem>("problem", "An error over HTTP (RFC 9457)."),
    ]
}

fn form<T: JsonSchema>(name: &'static str, what: &'static str) -> Form {
    let schema = of::<T>();
    Form { name, what, schema }
}

/// JSON Schema's `integer` has no size; ours has 64 bits.
pub(crate) fn bound_integers(schema: &mut Schema) {
    if schema.get("format").and_then(|it| it.as_str()) != Some("int64") {
        return;
    }
    for (bound, value) in [("minimum", i64::MIN), ("maximum", i64::MAX)] {
        if schema.get(bound).is_none() {
            schema.insert(bound.to_owned(), value.into());
        }
    }
}
