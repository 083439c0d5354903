//! What may be asked of a gate over HTTP: one receipt, the receipts of a run, what was refused of it,
//! the payload schemas.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::contracts::code::Code;
use crate::contracts::payload_schemas::{PayloadSchema, PayloadSchemas};
use crate::domain::digest::ParseError;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, IngestResult};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::http::{VERDICT_BYTES, failed, json, refuse};
use crate::ingress::ig::listing::{PAGE_MAX, Wanted};
use crate::ingress::ig::lookup::Named;
use crate::ingress::ig::quarantine::{
    QuarantinePlace, Quarantined, quarantine_list, quarantine_show,
};
use crate::ingress::ig::requeue::{Requeued, requeues};
use crate::ingress::ig::role::Ig;
use crate::substrate::db::Day;

/// Rows on a page where the request does not say.
const PAGE: usize = 100;

/// A quarantined event with what was sent, and what became of it since.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct QuarantinedView {
    pub(super) quarantined: Quarantined,
    /// As received: card numbers replaced, a pii map left out.
    pub(super) envelope: Value,
    /// Each time that it was submitted again.
    pub(super) requeued: Vec<Requeued>,
}

type Refused = Box<Response>;

pub(super) async fn schemas(State(ig): State<Arc<Ig>>) -> Response {
    let schemas = ig.schemas.versions().map(|(event_class, schema_version)| {
        let path = format!("/v1/schemas/{event_class}/{schema_version}");
        PayloadSchema {
            event_class,
            schema_version,
            path,
        }
    });
    let answer = PayloadSchemas {
        schemas: schemas.collect(),
    };
    json(StatusCode::OK, &answer, 1_024)
}

pub(super) async fn schema(
    State(ig): State<Arc<Ig>>,
    Path((class, version)): Path<(String, String)>,
) -> Response {
    let named = || Some((class.parse().ok()?, version.parse().ok()?));
    let document = named().and_then(|(class, version)| ig.schemas.document(class, version));
    match document {
        Some(document) => json(StatusCode::OK, document, 8_192),
        None => *not_found("no such class and version; GET /v1/schemas lists them"),
    }
}

pub(super) async fn receipt(
    State(ig): State<Arc<Ig>>,
    Path((run, class, event_id)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let query = Query::read(query.as_deref(), &["day"])?;
        let named = || {
            Some(Named {
                run: run.parse().ok()?,
                class: class.parse().ok()?,
                event_id: event_id.parse().ok()?,
                day: None,
            })
        };
        let unknown = || not_found("the path is not /v1/receipts/{run}/{class}/{event_id}");
        let named = Named {
            day: query.day("day")?,
            ..named().ok_or_else(unknown)?
        };
        let found = ig.find_receipt(&named).await;
        let verdict = found.map_err(|error| of_error(&ig, &error))?;
        let verdict = verdict.ok_or_else(|| not_found("no such event was admitted"))?;
        Ok(match &verdict.receipt {
            Some(receipt) => json(StatusCode::OK, receipt, VERDICT_BYTES),
            None => json(StatusCode::ACCEPTED, &verdict, VERDICT_BYTES),
        })
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

pub(super) async fn receipts(
    State(ig): State<Arc<Ig>>,
    Path(run): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let run = run_of(&run)?;
        let query = Query::read(
            query.as_deref(),
            &["after", "limit", "event_class", "result"],
        )?;
        let wanted = Wanted {
            after: query.parsed("after")?,
            limit: query.limit()?,
            class: query.parsed::<EventClass>("event_class")?,
            result: listed_result(&query)?,
        };
        let page = ig.list_receipts(run, &wanted).await;
        let page = page.map_err(|error| of_error(&ig, &error))?;
        let page = page.ok_or_else(|| unknown_run(&run))?;
        let size = page.results.len() * VERDICT_BYTES + 64;
        Ok(json(StatusCode::OK, &page, size))
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

pub(super) async fn quarantine(
    State(ig): State<Arc<Ig>>,
    Path(run): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let answer = async {
        let run = known_run(&ig, &run).await?;
        let query = Query::read(query.as_deref(), &["after", "limit", "code"])?;
        let after = query.parsed::<QuarantinePlace>("after")?;
        let (code, limit) = (query.parsed::<Code>("code")?, query.limit()?);
        let page = async {
            let client = ig.ground.db.get().await?;
            quarantine_list(&client, run, code, after, limit).await
        };
        let page = page.await.map_err(|error| of_error(&ig, &error))?;
        let size = page.results.len() * VERDICT_BYTES + 64;
        Ok(json(StatusCode::OK, &page, size))
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

pub(super) async fn quarantined(
    State(ig): State<Arc<Ig>>,
    Path((run, id)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let run = known_run(&ig, &run).await?;
        let none = || not_found("nothing of this run is quarantined under this id");
        let id = id.parse().map_err(|_| none())?;
        let found = async {
            let client = ig.ground.db.get().await?;
            let found = quarantine_show(&client, ig.ground.objects.as_ref(), id).await?;
            let tries = requeues(&client, id).await?;
            Ok::<_, Error>(found.map(|found| (found, tries)))
        };
        let found = found.await.map_err(|error| of_error(&ig, &error))?;
        let of_run = found.filter(|((it, _), _)| it.platform_run_id == run);
        let ((quarantined, envelope), requeued) = of_run.ok_or_else(none)?;
        let view = QuarantinedView {
            quarantined,
            envelope,
            requeued,
        };
        Ok(json(StatusCode::OK, &view, 4 * VERDICT_BYTES))
    };
    answer.await.unwrap_or_else(|refused: Refused| *refused)
}

fn not_found(detail: &str) -> Refused {
    refuse(404, Code::NotFound, detail.to_owned())
}

fn unknown_run(run: &PlatformRunId) -> Refused {
    refuse(404, Code::RunUnknown, format!("there is no run {run}"))
}

fn run_of(text: &str) -> Result<PlatformRunId, Refused> {
    text.parse()
        .map_err(|error: ParseError| refuse(404, Code::RunUnknown, error.to_string()))
}

async fn known_run(ig: &Ig, text: &str) -> Result<PlatformRunId, Refused> {
    let run = run_of(text)?;
    let known = ig.runs.find(&ig.ground, run).await;
    match known.map_err(|error| of_error(ig, &error))? {
        Some(_) => Ok(run),
        None => Err(unknown_run(&run)),
    }
}

fn of_error(ig: &Ig, error: &Error) -> Refused {
    match error {
        Error::TooMany { .. } => refuse(400, Code::QueryInvalid, format!("day: {error}")),
        error => failed(ig, error),
    }
}

/// The two states that a listed event can be in.
fn listed_result(query: &Query) -> Result<Option<IngestResult>, Refused> {
    match query.parsed::<IngestResult>("result")? {
        found @ (None | Some(IngestResult::Admitted | IngestResult::PublishInFlight)) => Ok(found),
        Some(_) => {
            let detail = "result: ADMITTED or PUBLISH_IN_FLIGHT; nothing else has a receipt";
            Err(refuse(400, Code::QueryInvalid, detail.to_owned()))
        }
    }
}

/// The parameters of a request, each at most once; their values need no escapes.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(query: Option<&str>, known: &[&str]) -> Result<Query, Refused> {
        let invalid = |detail: String| refuse(400, Code::QueryInvalid, detail);
        let mut pairs: Vec<(String, String)> = Vec::new();
        let said = query.unwrap_or_default().split('&');
        for pair in said.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(invalid(format!(
                    "a parameter that is none of {}",
                    known.join(", ")
                )));
            }
            if pairs.iter().any(|(it, _)| it == name) {
                return Err(invalid(format!("{name}: said twice")));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Query(pairs))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    fn parsed<T: FromStr<Err = ParseError>>(&self, name: &str) -> Result<Option<T>, Refused> {
        let value = self.text(name).map(str::parse::<T>).transpose();
        value.map_err(|cause| {
            refuse(
                400,
                Code::QueryInvalid,
                format!("{name}: not {}", cause.expected),
            )
        })
    }

    fn day(&self, name: &str) -> Result<Option<Day>, Refused> {
        let midnight = self
            .text(name)
            .map(|it| format!("{it}T00:00:00Z").parse::<Time>());
        let day = midnight.transpose();
        let day = day.map_err(|_| {
            refuse(
                400,
                Code::QueryInvalid,
                format!("{name}: a day such as 2025-01-31"),
            )
        });
        Ok(day?.map(Day::of))
    }

    fn limit(&self) -> Result<usize, Refused> {
        let Some(text) = self.text("limit") else {
            return Ok(PAGE);
        };
        let is_digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let number = is_digits.then(|| text.parse().ok()).flatten();
        let fits = number.filter(|number| (1..=PAGE_MAX).contains(number));
        let detail = || format!("limit: a whole number from 1 to {PAGE_MAX}");
        fits.ok_or_else(|| refuse(400, Code::QueryInvalid, detail()))
    }
}
