//! The gate as its producers see it: HTTP, with what each answer means for the sender.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::contracts::problem::Problem;
use crate::contracts::progress::RunProgress;
use crate::contracts::verdict::IngestAnswer;
use crate::domain::ids::PlatformRunId;
use crate::ingress::wsp::Error;
use crate::substrate::auth::client::Outgoing;

/// A gate, and as whom it is called.
#[derive(Clone)]
pub struct Gate {
    client: Outgoing,
}

/// What became of a request.
pub(super) enum Sent {
    Answered(IngestAnswer),
    /// Nothing is known or nothing was taken: send the same again after this long.
    Again {
        after: Duration,
        cause: String,
    },
}

const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(250);

impl Gate {
    #[must_use]
    pub const fn new(client: Outgoing) -> Gate {
        Gate { client }
    }

    fn broken(&self, cause: impl ToString) -> Error {
        Error::Gate {
            url: self.client.url().to_owned(),
            cause: cause.to_string(),
        }
    }

    /// Sends events, one JSON object a line.
    pub(super) async fn send(&self, ndjson: bytes::Bytes) -> Result<Sent, Error> {
        let request = self
            .client
            .request(Method::POST, "/v1/events")
            .header("content-type", "application/x-ndjson")
            .body(ndjson);
        let response = match request.send().await {
            Ok(response) => response,
            Err(cause) => {
                return Ok(Sent::Again {
                    after: RETRY_AFTER_DEFAULT,
                    cause: cause.to_string(),
                });
            }
        };
        let status = response.status();
        if status.as_u16() == 429 || status.is_server_error() {
            let after = retry_after(response.headers()).unwrap_or(RETRY_AFTER_DEFAULT);
            return Ok(Sent::Again {
                after,
                cause: format!("HTTP {status}"),
            });
        }
        if status == StatusCode::UNAUTHORIZED && self.client.is_renewed() {
            return Ok(Sent::Again {
                after: RETRY_AFTER_DEFAULT,
                cause: "the credential was changed meanwhile".to_owned(),
            });
        }
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(cause) => {
                return Ok(Sent::Again {
                    after: RETRY_AFTER_DEFAULT,
                    cause: cause.to_string(),
                });
            }
        };
        if !status.is_success() {
            let problem: Result<Problem, _> = serde_json::from_slice(&body);
            let cause = problem.map_or_else(
                |_| format!("HTTP {status}"),
                |problem| format!("{}: {}", problem.code, problem.detail),
            );
            return Err(self.broken(cause));
        }
        let answer = serde_json::from_slice(&body).map_err(|cause| self.broken(cause))?;
        Ok(Sent::Answered(answer))
    }

    /// How far the run has come. `None` when nobody answers just now.
    pub(super) async fn progress(&self, run: &PlatformRunId) -> Result<Option<RunProgress>, Error> {
        let path = format!("/v1/runs/{run}/progress");
        let request = self.client.request(Method::GET, &path);
        let Ok(response) = request.send().await else {
            return Ok(None);
        };
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !self.client.is_renewed() => {
                Err(self.broken(format!("HTTP {} to {path}", response.status())))
            }
            status if !status.is_success() => Ok(None),
            _ => Ok(response.json().await.ok()),
        }
    }

    /// Asks archive and receipts to write out what they hold.
    pub(super) async fn flush(&self, run: &PlatformRunId) {
        let path = format!("/v1/runs/{run}/flush");
        let request = self.client.request(Method::POST, &path);
        if let Err(cause) = request.send().await {
            tracing::debug!(error = %cause, "flush was not heard; it is asked again");
        }
    }
}

fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get("retry-after")?
        .to_str()
        .ok()?
        .parse::<u64>()
        .ok()?;
    Some(Duration::from_secs(seconds.min(30)))
}
