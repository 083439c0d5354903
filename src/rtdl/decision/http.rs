//! `/v1/posture`: what runs decide under, and an operator's word on it.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::code::Code;
use crate::contracts::fact::Fact;
use crate::contracts::permission::Caller;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::Posture;
use crate::rtdl::decision::doc;
use crate::rtdl::decision::force::{self, Force, Order, Refusal};
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Client};
use crate::substrate::http::{Api, problem};

const READ_POSTURES: &str = include_str!("sql/read_postures.sql");

/// What stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Postures {
    /// An operator's words that are in force.
    pub forces: Vec<Force>,
    /// The newest change of every run that had one; a run that is not here is `NORMAL`.
    pub runs: Vec<RunChange>,
}

/// A change of a run's posture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunChange {
    pub platform_run_id: PlatformRunId,
    pub posture: Posture,
    pub reason: String,
    /// The first decision under it, by its place in the chain.
    pub since_seq: i64,
    pub changed_at: Time,
}

/// To force a posture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceAsked {
    /// Left out: all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<PlatformRunId>,
    pub posture: Posture,
    #[schemars(length(min = 1, max = 1_000))]
    pub reason: String,
    /// Left out: until it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// To release what was forced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseAsked {
    /// Left out: what was said of all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<PlatformRunId>,
    #[schemars(length(min = 1, max = 1_000))]
    pub reason: String,
}

/// The routes of the posture.
#[must_use]
pub fn api() -> Api<Arc<Ground>> {
    Api::new()
        .get("/v1/posture", get(show), doc::show())
        .post("/v1/posture/force", post(force), doc::force())
        .post("/v1/posture/release", post(release), doc::release())
}

async fn show(State(ground): State<Arc<Ground>>) -> Response {
    let now = ground.clock.now();
    let read = async { read(&ground.db.get().await?, now).await };
    match read.await {
        Ok(postures) => Json(postures).into_response(),
        Err(error) => problem(503, Code::SubstrateUnavailable, error.to_string()),
    }
}

async fn force(
    State(ground): State<Arc<Ground>>,
    caller: Option<Extension<Caller>>,
    asked: Result<Json<ForceAsked>, JsonRejection>,
) -> Response {
    let asked = asked.map(|Json(asked)| Order {
        run: asked.platform_run_id,
        posture: Some(asked.posture),
        reason: asked.reason,
        expires_at: asked.expires_at,
    });
    record(&ground, caller, asked).await
}

async fn release(
    State(ground): State<Arc<Ground>>,
    caller: Option<Extension<Caller>>,
    asked: Result<Json<ReleaseAsked>, JsonRejection>,
) -> Response {
    let asked = asked.map(|Json(asked)| Order {
        run: asked.platform_run_id,
        posture: None,
        reason: asked.reason,
        expires_at: None,
    });
    record(&ground, caller, asked).await
}

async fn record(
    ground: &Ground,
    caller: Option<Extension<Caller>>,
    order: Result<Order, JsonRejection>,
) -> Response {
    let order = match order {
        Ok(order) => order,
        Err(unread) => {
            let status = match unread.status().as_u16() {
                413 => (413, Code::BodyTooLarge),
                _ => (400, Code::BodyUnreadable),
            };
            return problem(status.0, status.1, unread.body_text());
        }
    };
    let mut ground = ground.clone();
    if let Some(Extension(caller)) = caller {
        ground.actor = caller.actor;
    }
    match force::record(&ground, order).await {
        Ok(force) => Json(force).into_response(),
        Err(refused) => {
            let (status, code) = answer(&refused);
            problem(status, code, refused.to_string())
        }
    }
}

fn answer(refused: &Refusal) -> (u16, Code) {
    match refused {
        Refusal::Reason | Refusal::Expired { .. } => (400, Code::PostureRefused),
        Refusal::Run(_) => (404, Code::RunUnknown),
        Refusal::Db(_) => (503, Code::SubstrateUnavailable),
    }
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        answer(self).1
    }
}

/// What stands now, of all runs.
///
/// # Errors
/// Those of the database.
pub async fn read(client: &Client, now: Time) -> Result<Postures, db::Error> {
    let mut forces = force::read(client, None).await?;
    forces.retain(|it| it.in_force(now).is_some());
    let statement = client.prepare_cached(READ_POSTURES).await?;
    let rows = client.query(&statement, &[]).await?;
    let form = |cause: &dyn std::fmt::Display| db::Error::form("POSTURE_CHANGED", cause);
    let change = |row: &db::Row| -> Result<RunChange, db::Error> {
        let fact: Fact = serde_json::from_slice(row.get(0)).map_err(|cause| form(&cause))?;
        change(&fact).ok_or_else(|| form(&fact.fact_id))
    };
    let runs = rows.iter().map(change).collect::<Result<_, _>>()?;
    Ok(Postures { forces, runs })
}

fn change(fact: &Fact) -> Option<RunChange> {
    let [_, seq, posture] = fact.natural_key.as_slice() else {
        return None;
    };
    Some(RunChange {
        platform_run_id: fact.platform_run_id?,
        posture: posture.parse().ok()?,
        reason: fact.details.get("reason")?.clone(),
        since_seq: seq.parse().ok()?,
        changed_at: fact.observed_time,
    })
}
