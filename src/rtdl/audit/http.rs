//! `GET /v1/decisions/{id}` and `/explain`: what was decided, from what, and why.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::contracts::code::Code;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, RuleResult};
use crate::contracts::problem::{CONTENT_TYPE, Problem};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::rtdl::audit::Error;
use crate::rtdl::audit::store::{self, StoredDecision};
use crate::runtime::ground::Ground;

/// A decision as the API gives it.
#[derive(Debug, Serialize)]
pub struct DecisionView {
    pub seq: i64,
    pub link: Digest,
    pub body_hash: Digest,
    pub evidence_hash: Digest,
    pub body: DecisionBody,
    pub evidence: DecisionEvidence,
}

/// The reasons of a decision, for people.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub decision_id: DecisionId,
    pub outcome: String,
    pub summary: String,
    pub fired: Vec<String>,
    pub missing: Vec<String>,
    pub decision: DecisionView,
}

/// The routes of the decision log.
pub fn router(ground: Ground) -> Router {
    Router::new()
        .route("/v1/decisions/{decision_id}", get(show))
        .route("/v1/decisions/{decision_id}/explain", get(explain))
        .with_state(Arc::new(ground))
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
    let found = store::find(&ground.db, &[id])
        .await
        .and_then(|found| view(&found[0]));
    found.map_err(|error| {
        let status = if matches!(error, Error::Unknown(_)) {
            404
        } else {
            500
        };
        problem(status, error.code(), error.to_string())
    })
}

/// A stored decision, opened: its halves are verified against their hashes.
///
/// # Errors
/// [`Error::Altered`].
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

fn problem(status: u16, code: Code, detail: String) -> Response {
    let body = serde_json::to_vec(&Problem::new(status, code, detail)).unwrap_or_default();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}
