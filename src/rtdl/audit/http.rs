//! `GET /v1/decisions`, `/{id}` and `/{id}/explain`: what was decided, from what, and why.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::code::Code;
use crate::contracts::decision::{DecisionBody, DecisionEvidence};
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::rtdl::audit::shadows::{self, ShadowScore};
use crate::rtdl::audit::{Error, doc, explain, page, wanted};
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
    /// What the shadow bundles would have decided; none of it was acted on. No part of the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<ShadowScore>,
}

/// The routes of the decision log.
#[must_use]
pub fn api() -> Api<Arc<Ground>> {
    Api::new()
        .get("/v1/decisions", get(list), doc::list())
        .get("/v1/decisions/{decision_id}", get(show), doc::show())
        .get(
            "/v1/decisions/{decision_id}/explain",
            get(explained),
            doc::explain(),
        )
}

async fn list(
    State(ground): State<Arc<Ground>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let invalid = |detail: String| problem(400, Code::QueryInvalid, detail);
    let Ok(Query(asked)) = query else {
        return invalid("the query cannot be read".to_owned());
    };
    let pairs = asked
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let wanted = match wanted(pairs) {
        Ok(wanted) => wanted,
        Err((name, why)) => return invalid(format!("{name}: {why}")),
    };
    let Some((_, run)) = asked.iter().find(|(name, _)| name == "run") else {
        return invalid("run: the run whose decisions are listed".to_owned());
    };
    let unknown = |why: String| problem(404, Code::RunUnknown, why);
    let run: PlatformRunId = match run.parse() {
        Ok(run) => run,
        Err(error) => return unknown(ParseError::to_string(&error)),
    };
    match page(&ground, &run, &wanted).await {
        Ok(Some(page)) => axum::Json(page).into_response(),
        Ok(None) => unknown(format!("there is no run {run}")),
        Err(error) => failed(&error),
    }
}

async fn show(State(ground): State<Arc<Ground>>, Path(id): Path<String>) -> Response {
    match load(&ground, &id).await {
        Ok(view) => axum::Json(view).into_response(),
        Err(refused) => refused,
    }
}

async fn explained(State(ground): State<Arc<Ground>>, Path(id): Path<String>) -> Response {
    let id = match id_of(&id) {
        Ok(id) => id,
        Err(refused) => return refused,
    };
    match explain(&ground, id).await {
        Ok(explanation) => axum::Json(explanation).into_response(),
        Err(error) => failed(&error),
    }
}

fn id_of(text: &str) -> Result<DecisionId, Response> {
    let id = text.parse::<DecisionId>();
    id.map_err(|cause: ParseError| problem(404, Code::NotFound, cause.to_string()))
}

async fn load(ground: &Ground, id: &str) -> Result<DecisionView, Response> {
    let id = id_of(id)?;
    let found = whole(ground, id).await;
    found.map_err(|error| failed(&error))
}

/// A decision with its shadows.
///
/// # Errors
/// Those of reading either.
pub(super) async fn whole(ground: &Ground, id: DecisionId) -> Result<DecisionView, Error> {
    let found = decisions::find(ground, &[id]).await?;
    let mut view = view(&found[0])?;
    view.shadows = shadows::of_one(ground, &found[0]).await?;
    Ok(view)
}

fn failed(error: &Error) -> Response {
    let status = match error.code() {
        Code::NotFound => 404,
        Code::SubstrateUnavailable => 503,
        _ => 500,
    };
    problem(status, error.code(), error.to_string())
}

/// A stored decision, opened, without its shadows: its halves are verified against their hashes.
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
        shadows: Vec::new(),
    })
}
