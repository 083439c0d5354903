//! `GET /v1/graph/{run}/…`: neighbours, shared entities, components, labelled customers, paths, as of a time.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::contracts::code::Code;
use crate::contracts::graph::{EntityKind, EntityRef};
use crate::domain::time::Time;
use crate::rtdl::graph::query::{self, Asked};
use crate::rtdl::graph::{Error, doc};
use crate::runtime::ground::Ground;
use crate::substrate::http::{Api, problem};

/// Entries of a page, and what it has where the request does not say.
pub(super) const PAGE_MAX: usize = 1_000;
pub(super) const PAGE: usize = 100;
/// Entities of a component, and what it has where the request does not say.
pub const COMPONENT_MAX: usize = 10_000;
pub(super) const COMPONENT: usize = 1_000;
/// Links that labelled customers are looked for within, and how many where the request does not say.
pub const HOPS_MAX: u32 = 4;
pub(super) const HOPS: u32 = 2;

type Refused = Box<Response>;
type Asking<Q> = Result<Query<Q>, QueryRejection>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskNeighbours {
    entity: EntityRef,
    kind: Option<EntityKind>,
    as_of: Option<Time>,
    after: Option<EntityRef>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskShared {
    kind: EntityKind,
    min: Option<i64>,
    as_of: Option<Time>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskComponent {
    entity: EntityRef,
    as_of: Option<Time>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskLabelled {
    entity: EntityRef,
    hops: Option<u32>,
    as_of: Option<Time>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskPath {
    from: EntityRef,
    to: EntityRef,
    as_of: Option<Time>,
}

/// The routes of the graph.
#[must_use]
pub fn api() -> Api<Arc<Ground>> {
    Api::new()
        .get(
            "/v1/graph/{run}/neighbours",
            get(neighbours),
            doc::neighbours(),
        )
        .get("/v1/graph/{run}/shared", get(shared), doc::shared())
        .get(
            "/v1/graph/{run}/component",
            get(component),
            doc::component(),
        )
        .get("/v1/graph/{run}/labelled", get(labelled), doc::labelled())
        .get("/v1/graph/{run}/path", get(path), doc::path())
}

async fn neighbours(
    State(ground): State<Arc<Ground>>,
    Path(run): Path<String>,
    asking: Asking<AskNeighbours>,
) -> Response {
    answer(async {
        let ask = read(asking)?;
        let asked = asked(&ground, &run, ask.as_of)?;
        let limit = within("limit", ask.limit.unwrap_or(PAGE), 1, PAGE_MAX)?;
        let page = (ask.kind, ask.after);
        given(query::neighbours(&ground, asked, ask.entity, page, limit).await)
    })
    .await
}

async fn shared(
    State(ground): State<Arc<Ground>>,
    Path(run): Path<String>,
    asking: Asking<AskShared>,
) -> Response {
    answer(async {
        let ask = read(asking)?;
        let asked = asked(&ground, &run, ask.as_of)?;
        let limit = within("limit", ask.limit.unwrap_or(PAGE), 1, PAGE_MAX)?;
        let least = within("min", ask.min.unwrap_or(2), 1, i64::MAX)?;
        if ask.kind == EntityKind::Customer {
            return Err(invalid(
                "kind: customers are who shares, not what is shared",
            ));
        }
        let after = ask.after.unwrap_or_default();
        if after.contains('\0') {
            return Err(invalid("after: what a page gave as `next`"));
        }
        let page = (least, after.as_str());
        given(query::shared(&ground, asked, ask.kind, page, limit).await)
    })
    .await
}

async fn component(
    State(ground): State<Arc<Ground>>,
    Path(run): Path<String>,
    asking: Asking<AskComponent>,
) -> Response {
    answer(async {
        let ask = read(asking)?;
        let asked = asked(&ground, &run, ask.as_of)?;
        let limit = within("limit", ask.limit.unwrap_or(COMPONENT), 1, COMPONENT_MAX)?;
        given(query::component(&ground, asked, ask.entity, limit).await)
    })
    .await
}

async fn labelled(
    State(ground): State<Arc<Ground>>,
    Path(run): Path<String>,
    asking: Asking<AskLabelled>,
) -> Response {
    answer(async {
        let ask = read(asking)?;
        let asked = asked(&ground, &run, ask.as_of)?;
        let hops = within("hops", ask.hops.unwrap_or(HOPS), 1, HOPS_MAX)?;
        let limit = within("limit", ask.limit.unwrap_or(COMPONENT), 1, COMPONENT_MAX)?;
        given(query::labelled(&ground, asked, ask.entity, hops, limit).await)
    })
    .await
}

async fn path(
    State(ground): State<Arc<Ground>>,
    Path(run): Path<String>,
    asking: Asking<AskPath>,
) -> Response {
    answer(async {
        let ask = read(asking)?;
        let asked = asked(&ground, &run, ask.as_of)?;
        given(query::path(&ground, asked, ask.from, ask.to).await)
    })
    .await
}

async fn answer(answered: impl Future<Output = Result<Response, Refused>>) -> Response {
    answered.await.unwrap_or_else(|refused| *refused)
}

fn read<Q>(asking: Asking<Q>) -> Result<Q, Refused> {
    match asking {
        Ok(Query(ask)) => Ok(ask),
        Err(unread) => Err(invalid(&unread.body_text())),
    }
}

/// Of what is asked: where no time is said, of now.
fn asked(ground: &Ground, run: &str, as_of: Option<Time>) -> Result<Asked, Refused> {
    let run = run.parse();
    let run = run.map_err(|cause: crate::domain::digest::ParseError| {
        Box::new(problem(404, Code::RunUnknown, cause.to_string()))
    })?;
    Ok(Asked {
        run,
        as_of: as_of.unwrap_or_else(|| ground.clock.now()),
    })
}

fn within<N: PartialOrd + std::fmt::Display>(
    name: &str,
    value: N,
    least: N,
    most: N,
) -> Result<N, Refused> {
    match least <= value && value <= most {
        true => Ok(value),
        false => Err(invalid(&format!(
            "{name}: {value} is not {least} to {most}"
        ))),
    }
}

fn invalid(detail: &str) -> Refused {
    Box::new(problem(400, Code::QueryInvalid, detail))
}

fn given<A: Serialize>(answer: Result<A, Error>) -> Result<Response, Refused> {
    match answer {
        Ok(answer) => Ok(axum::Json(answer).into_response()),
        Err(error) => {
            let status = match error.code() {
                Code::RunUnknown => 404,
                _ => 503,
            };
            Err(Box::new(problem(status, error.code(), error.to_string())))
        }
    }
}
