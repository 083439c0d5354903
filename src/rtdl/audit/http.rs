//! `GET /v1/decisions/{id}` and `/explain`: what was decided, from what, and why.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::code::Code;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, RuleResult};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::rtdl::audit::{Error, doc};
use crate::runtime::decisions::{self, StoredDecision};
use crate::runtime::ground::Ground;
use crate::substrate::http::{Api, problem};

/// A decision as the API gives it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionView {
    pub seq: i64,
    pub link: Digest,
    pub body_hash: Digest,
    pub evidence_hash: Digest,
    pub body: DecisionBody,
    pub evidence: DecisionEvidence,
}

/// The reasons of a decision, for people.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    pub decision_id: DecisionId,
    pub outcome: String,
    pub summary: String,
    pub fired: Vec<String>,
    pub missing: Vec<String>,
    pub decision: DecisionView,
}

/// The routes of the decision log.
#[must_use]
pub fn api() -> Api<Arc<Ground>> {
    Api::new()
        .get("/v1/decisions/{decision_id}", get(show), doc::show())
        .get(
            "/v1/decisions/{decision_id}/explain",
            get(explain),
            doc::explain(),
        )
}

async fn show(State(ground): State<Arc<Ground>>, Path(id): Path<String>) -> Response {
    match load(&ground, &id).await {
        Ok(view) => axum::Json(view).into_response(),
        Err(refused) => refused,
    }
}

async fn explain(State(ground): State<Arc<Ground>>, Path(id): Path<String>) -> Response {
    match load(&ground, &id).await {
        Ok(view) => axum::Json(explanation(view)).into_response(),
        Err(refused) => refused,
    }
}

async fn load(ground: &Ground, id: &str) -> Result<DecisionView, Response> {
    let id: DecisionId = id
        .parse()
        .map_err(|cause: crate::domain::digest::ParseError| {
            problem(404, Code::NotFound, cause.to_string())
        })?;
    let found = decisions::find(ground, &[id]).await.map_err(Error::Log);
    let found = found.and_then(|found| view(&found[0]));
    found.map_err(|error| {
        let status = match error.code() {
            Code::NotFound => 404,
            Code::SubstrateUnavailable => 503,
            _ => 500,
        };
        problem(status, error.code(), error.to_string())
    })
}

/// A stored decision, opened: its halves are verified against their hashes.
///
/// # Errors
/// Those of [`StoredDecision::open`].
pub fn view(stored: &StoredDecision) -> Result<DecisionView, Error> {
    let (body, evidence) = stored.open()?;
    Ok(DecisionView {
        seq: stored.seq,
        link: stored.link,
        body_hash: stored.body_hash,
        evidence_hash: stored.evidence_hash,
        body,
        evidence,
    })
}

fn explanation(decision: DecisionView) -> Explanation {
    let body = &decision.body;
    let with = |result: RuleResult| {
        let rules = body.trace.iter().filter(move |rule| rule.result == result);
        rules.map(|rule| rule.rule_id.clone()).collect::<Vec<_>>()
    };
    let (fired, missing) = (with(RuleResult::Fired), with(RuleResult::Missing));
    let because = match fired.as_slice() {
        [] => "no rule fired".to_owned(),
        _ => format!(
            "{} fired; reasons {}",
            fired.join(", "),
            body.reasons.join(", ")
        ),
    };
    Explanation {
        decision_id: body.decision_id,
        outcome: body.outcome.to_string(),
        summary: format!("{} at {}: {because}", body.outcome, body.ts_utc),
        fired,
        missing,
        decision,
    }
}
