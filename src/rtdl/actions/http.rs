//! `/v1/actions`: asking for actions, and what became of them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::contracts::code::Code;
use crate::contracts::permission::Caller;
use crate::contracts::stamps::Actor;
use crate::domain::digest::ParseError;
use crate::rtdl::actions::intake::{self, INTENTS_MAX, IntentVerdict};
use crate::rtdl::actions::list::{PAGE_MAX, Wanted};
use crate::rtdl::actions::{Error, doc, list, show};
use crate::runtime::actions::TABLES;
use crate::runtime::ground::Ground;
use crate::runtime::partitions::Partitions;
use crate::substrate::http::{Api, problem};

/// A thousand intents of a kilobyte, and room.
const BODY_BYTES_MAX: usize = 4 << 20;
const PAGE: usize = 100;

/// What the routes stand on.
pub struct Desk {
    ground: Ground,
    partitions: Partitions,
}

impl Desk {
    #[must_use]
    pub fn create(ground: &Ground) -> Arc<Desk> {
        Arc::new(Desk {
            ground: ground.clone(),
            partitions: Partitions::of(TABLES),
        })
    }
}

/// The routes of the Action Layer.
#[must_use]
pub fn api() -> Api<Arc<Desk>> {
    Api::new()
        .post("/v1/actions/intents", post(intents), doc::intents())
        .get("/v1/actions", get(listed), doc::list())
        .get("/v1/actions/{action_intent_id}", get(shown), doc::show())
}

type Refused = Box<Response>;

fn refuse(status: u16, code: Code, detail: impl Into<String>) -> Refused {
    Box::new(problem(status, code, detail))
}

async fn intents(
    State(desk): State<Arc<Desk>>,
    caller: Option<Extension<Caller>>,
    body: Body,
) -> Response {
    // Where no door stands before the desk, as in its own tests, the process asks.
    let actor = caller.map_or_else(|| desk.ground.actor.clone(), |it| it.0.actor);
    let answer = answer(&desk, &actor, body).await;
    answer.unwrap_or_else(|refused| *refused)
}

async fn answer(desk: &Desk, actor: &Actor, body: Body) -> Result<Response, Refused> {
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| {
        let detail = format!("more than {BODY_BYTES_MAX} bytes, or the body broke off");
        refuse(413, Code::BodyTooLarge, detail)
    })?;
    let (items, is_array) =
        intake::split(&body).map_err(|why| refuse(400, Code::BodyUnreadable, why))?;
    if items.len() > INTENTS_MAX {
        let detail = format!("{} intents; {INTENTS_MAX} are taken at once", items.len());
        return Err(refuse(413, Code::BodyTooLarge, detail));
    }
    let answer = intake::take(&desk.ground, &desk.partitions, actor, &items).await;
    let mut answer = answer.map_err(|error| failed(&error))?;
    match (is_array, answer.results.first_mut()) {
        (false, Some(verdict)) if verdict.code.is_some() => Err(alone(verdict)),
        _ => Ok(axum::Json(answer).into_response()),
    }
}

/// One intent that is not accepted is a refusal of the whole request.
fn alone(verdict: &mut IntentVerdict) -> Refused {
    let detail = verdict.detail.take().unwrap_or_default();
    let code = verdict.code.unwrap_or(Code::IntentInvalid);
    let status = match code {
        Code::PayloadHashMismatch => 409,
        Code::RunUnknown => 404,
        _ => 400,
    };
    refuse(status, code, detail)
}

async fn shown(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let answer = async {
        let id = id
            .parse()
            .map_err(|cause: ParseError| refuse(404, Code::NotFound, cause.to_string()))?;
        let client = desk.ground.db.get().await;
        let client = client.map_err(|error| failed(&error.into()))?;
        let view = show::show(&client, id).await;
        let view = view.map_err(|error| failed(&error))?;
        Ok(axum::Json(view).into_response())
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

/// The parameters of the list, as they came.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    run: Option<String>,
    state: Option<String>,
    intent_type: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

impl Asked {
    fn wanted(&self) -> Result<Wanted, String> {
        fn read<T: std::str::FromStr<Err = ParseError>>(
            name: &str,
            text: Option<&String>,
        ) -> Result<Option<T>, String> {
            let read = text.map(|it| it.parse::<T>()).transpose();
            read.map_err(|cause| format!("{name}: {cause}"))
        }
        let limit = self.limit.as_ref().map(|it| it.parse::<usize>());
        let limit = limit.unwrap_or(Ok(PAGE));
        Ok(Wanted {
            run: read("run", self.run.as_ref())?,
            state: read("state", self.state.as_ref())?,
            intent_type: read("intent_type", self.intent_type.as_ref())?,
            after: read("after", self.after.as_ref())?,
            limit: limit
                .ok()
                .filter(|it| (1..=PAGE_MAX).contains(it))
                .ok_or_else(|| format!("limit: a whole number from 1 to {PAGE_MAX}"))?,
        })
    }
}

async fn listed(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let answer = async {
        let invalid = |why: String| refuse(400, Code::QueryInvalid, why);
        let asked = Query::<Asked>::try_from_uri(&uri);
        let asked = asked.map_err(|cause| invalid(cause.body_text()))?;
        let wanted = asked.wanted().map_err(invalid)?;
        let client = desk.ground.db.get().await;
        let client = client.map_err(|error| failed(&error.into()))?;
        let page = list::list(&client, &wanted).await;
        let page = page.map_err(|error| failed(&error))?;
        Ok(axum::Json(page).into_response())
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

fn failed(error: &Error) -> Refused {
    let status = match error.code() {
        Code::NotFound => 404,
        _ => 503,
    };
    refuse(status, error.code(), error.to_string())
}
