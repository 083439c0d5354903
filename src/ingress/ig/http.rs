//! The gate over HTTP: `POST /v1/events` here, what may be asked afterwards in `lists.rs`.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::contracts::code::Code;
use crate::contracts::permission::Caller;
use crate::contracts::verdict::{IngestAnswer, Verdict};
use crate::domain::vocabulary::IngestResult;
use crate::governance::latencies::Latency;
use crate::ingress::ig::encoding::{ACCEPTED, Encoding, Fault};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::queue::{Full, Room};
use crate::ingress::ig::receive::NoVerdicts;
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::wait::{self, Patience};
use crate::ingress::ig::{body, doc, lists};
use crate::substrate::http::{Api, problem};
use crate::substrate::{meter, tasks};

/// A verdict with its receipt is about this long.
pub(super) const VERDICT_BYTES: usize = 900;

/// The routes of the gate.
#[must_use]
pub fn api() -> Api<Arc<Ig>> {
    Api::new()
        .post("/v1/events", post(events), doc::events())
        .get(
            "/v1/receipts/{run}/{class}/{event_id}",
            get(lists::receipt),
            doc::receipt(),
        )
        .get("/v1/schemas", get(lists::schemas), doc::schemas())
        .get(
            "/v1/schemas/{class}/{version}",
            get(lists::schema),
            doc::schema(),
        )
        .get("/v1/receipts/{run}", get(lists::receipts), doc::receipts())
        .get(
            "/v1/quarantine/{run}",
            get(lists::quarantine),
            doc::quarantine(),
        )
        .get(
            "/v1/quarantine/{run}/{quarantine_id}",
            get(lists::quarantined),
            doc::quarantined(),
        )
}

async fn events(
    State(ig): State<Arc<Ig>>,
    caller: Option<Extension<Caller>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let producer = caller.as_ref().map(|it| it.0.actor.actor_id.as_str());
    let producer = producer.unwrap_or(ANYBODY);
    let answer = answer(&ig, producer, query.as_deref(), &headers, body);
    match meter::task("ig http", answer).await {
        Ok((results, is_decided)) => {
            let in_flight = |it: &Verdict| it.result == IngestResult::PublishInFlight;
            let status = match results.iter().any(in_flight) || !is_decided {
                true => StatusCode::ACCEPTED,
                false => StatusCode::OK,
            };
            let size = results.len() * VERDICT_BYTES + 64;
            json(status, &IngestAnswer { results }, size)
        }
        Err(refused) => *refused,
    }
}

/// The verdicts, and whether every decision that was waited for is in them.
async fn answer(
    ig: &Ig,
    producer: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<Verdict>, bool), Box<Response>> {
    if ig.stopping.is_cancelled() {
        return Err(overloaded(ig, StatusCode::SERVICE_UNAVAILABLE));
    }
    let at_most =
        wait::asked(query, &ig.options).map_err(|cause| refuse(400, Code::QueryInvalid, cause))?;
    let (body, room) = content(ig, headers, body).await?;
    let received = Instant::now();
    let patience = at_most.map(|at_most| Patience {
        at_most,
        until: received + at_most,
    });
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or("");
    let items = body::split(content_type, &body)
        .map_err(|cause| refuse(400, Code::BodyUnreadable, cause.to_string()))?;
    let limit = ig.options.events_per_request_max;
    if items.len() > limit {
        let detail = format!("{} events; events_per_request_max is {limit}", items.len());
        return Err(refuse(413, Code::BodyTooLarge, detail));
    }
    ig.rates
        .take(producer, items.len())
        .map_err(|wait| too_fast(ig, wait))?;
    let answer = ig.receive(&body, items, room, patience).await;
    let mut answer = answer.map_err(|refused| match refused {
        NoVerdicts::Overloaded => overloaded(ig, StatusCode::TOO_MANY_REQUESTS),
        NoVerdicts::TooManyWait => {
            let detail = "too many wait for decisions; nothing was admitted";
            busy(ig, StatusCode::TOO_MANY_REQUESTS, detail)
        }
        NoVerdicts::Failed(error) => failed(ig, &error),
    })?;
    let counters = &ig.ground.counters;
    counters.observe(Latency::Admission, received.elapsed());
    // Who waits holds verdicts, not what was sent.
    drop(body);
    let is_decided = match answer.waiting {
        Some(waiting) => {
            let is_decided = waiting.finish(&mut answer.verdicts).await;
            if is_decided && answer.verdicts.iter().any(|it| it.decision.is_some()) {
                counters.observe(Latency::Answer, received.elapsed());
            }
            is_decided
        }
        None => true,
    };
    Ok((answer.verdicts, is_decided))
}

/// The body as it was before anyone compressed it, and the room it takes.
async fn content(ig: &Ig, headers: &HeaderMap, body: Body) -> Result<(Bytes, Room), Box<Response>> {
    let encoding = match Encoding::of(headers) {
        Ok(encoding) => encoding,
        Err(said) => {
            let bytes_max = 2 * ig.options.body_bytes_max;
            discard(&mut body.into_data_stream(), bytes_max).await;
            return Err(unsupported(&said));
        }
    };
    let (body, mut room) = read_body(ig, headers, body).await?;
    let content = match encoding {
        Some(encoding) => decode(ig, encoding, body, &mut room).await?,
        None => body,
    };
    Ok((content, room))
}

/// Where no door stands before the gate, as in its own tests, all are one producer.
const ANYBODY: &str = "anybody";

/// How long the rest of a refused body is read.
const DISCARD_MAX: Duration = Duration::from_secs(2);

/// Reads the body, having room for each byte before it is read.
async fn read_body(
    ig: &Ig,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Room), Box<Response>> {
    let limit = ig.options.body_bytes_max;
    let too_large = |n_bytes: usize| {
        let detail = format!("{n_bytes} bytes or more; body_bytes_max is {limit}");
        refuse(413, Code::BodyTooLarge, detail)
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    let mut chunks = body.into_data_stream();
    if declared > limit {
        discard(&mut chunks, 2 * limit).await;
        return Err(too_large(declared));
    }
    let full = |_| overloaded(ig, StatusCode::TOO_MANY_REQUESTS);
    let until = Instant::now() + Duration::from_millis(ig.options.body_ms_max);
    // What is declared is no reason to have room: who sends nothing would keep others out.
    let Ok(mut room) = ig.queue.enter(declared) else {
        // Who waits for leave to send gets the answer instead.
        if !headers.contains_key(header::EXPECT) {
            discard(&mut chunks, 2 * limit).await;
        }
        return Err(full(Full));
    };
    let mut read = BytesMut::with_capacity(declared);
    loop {
        let chunk = tokio::time::timeout_at(until, chunks.next()).await;
        let chunk = chunk.map_err(|_| too_slow(ig))?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|cause| {
            refuse(
                400,
                Code::BodyUnreadable,
                format!("the body broke off: {cause}"),
            )
        })?;
        let n_bytes = read.len() + chunk.len();
        if n_bytes > limit {
            discard(&mut chunks, 2 * limit).await;
            return Err(too_large(n_bytes));
        }
        if let Err(none) = ig.queue.grow(&mut room, chunk.len()) {
            drop((read, room));
            discard(&mut chunks, 2 * limit).await;
            return Err(full(none));
        }
        read.extend_from_slice(&chunk);
    }
    Ok((read.freeze(), room))
}

/// The content of a compressed body, with room for it beside the body's own.
async fn decode(
    ig: &Ig,
    encoding: Encoding,
    body: Bytes,
    room: &mut Room,
) -> Result<Bytes, Box<Response>> {
    let limit = ig.options.body_bytes_max;
    let decoder = ig.decoders.clone().acquire_owned().await;
    let decoded = tasks::blocking(move || {
        let content = encoding.decode(&body, limit);
        // Held until here, also where the sender has gone meanwhile.
        drop(decoder);
        content
    });
    let content = decoded.await.map_err(|fault| match fault {
        Fault::TooLarge => {
            let detail = format!("more than {limit} bytes once decompressed: body_bytes_max");
            refuse(413, Code::BodyTooLarge, detail)
        }
        Fault::Broken(cause) => {
            let detail = format!("the body is not {encoding}, or not whole: {cause}");
            refuse(400, Code::BodyUnreadable, detail)
        }
    })?;
    let full = |_| overloaded(ig, StatusCode::TOO_MANY_REQUESTS);
    ig.queue.grow(room, content.len()).map_err(full)?;
    Ok(content.into())
}

fn too_slow(ig: &Ig) -> Box<Response> {
    let limit = ig.options.body_ms_max;
    let detail = format!("the body did not end within {limit} ms");
    let mut response = refuse(408, Code::RequestTimeout, detail);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

fn unsupported(said: &str) -> Box<Response> {
    let detail = format!("content-encoding: {said}; {ACCEPTED} are read, one at a time");
    let mut response = refuse(415, Code::EncodingUnsupported, detail);
    let accepted = HeaderValue::from_static(ACCEPTED);
    response
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, accepted);
    response
}

/// Reads and drops what is still coming, within limits: a sender that is cut off while it writes
/// sees a reset connection instead of the answer.
async fn discard(chunks: &mut BodyDataStream, bytes_max: usize) {
    let until = Instant::now() + DISCARD_MAX;
    let mut n_bytes = 0;
    while n_bytes < bytes_max {
        match tokio::time::timeout_at(until, chunks.next()).await {
            Ok(Some(Ok(chunk))) => n_bytes += chunk.len(),
            _ => return,
        }
    }
}

/// `size` is about how long the body gets: growing it step by step would copy it several times.
pub(super) fn json(status: StatusCode, answer: &impl serde::Serialize, size: usize) -> Response {
    let mut body = Vec::with_capacity(size);
    serde_json::to_writer(&mut body, answer).expect("an answer is plain JSON");
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body).into_response()
}

pub(super) fn refuse(status: u16, code: Code, detail: String) -> Box<Response> {
    Box::new(problem(status, code, detail))
}

fn overloaded(ig: &Ig, status: StatusCode) -> Box<Response> {
    let detail = match status {
        StatusCode::SERVICE_UNAVAILABLE => "the gate is stopping",
        _ => "the gate has as much in hand as it may hold",
    };
    busy(ig, status, detail)
}

/// What Retry-After says at most: who comes back later than that finds nothing changed.
const RETRY_AFTER_S_MAX: u64 = 60;

fn busy(ig: &Ig, status: StatusCode, detail: &str) -> Box<Response> {
    let response = refuse(status.as_u16(), Code::Overloaded, detail.to_owned());
    // What is in hand was as long on its way as this request would be.
    retry_after(ig, response, ig.queue.age())
}

fn too_fast(ig: &Ig, wait: Duration) -> Box<Response> {
    let rate = ig.options.producer_events_per_s.map_or(0, NonZero::get);
    let detail = format!("more than {rate} events a second of one producer: producer_events_per_s");
    retry_after(ig, refuse(429, Code::RateLimited, detail), wait)
}

fn retry_after(ig: &Ig, mut response: Box<Response>, wait: Duration) -> Box<Response> {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let seconds = seconds.clamp(ig.options.retry_after_s.into(), RETRY_AFTER_S_MAX);
    let after = HeaderValue::from(seconds);
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}

pub(super) fn failed(ig: &Ig, error: &Error) -> Box<Response> {
    tracing::warn!(error = %error.chain(), "a request could not be answered");
    let detail = "the gate could not answer; what it took is safe".to_owned();
    retry_after(ig, refuse(503, error.code(), detail), Duration::ZERO)
}
