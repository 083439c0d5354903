//! The gate as its producers see it: HTTP, with what each answer means for the sender.

use std::time::Duration;

use crate::contracts::problem::Problem;
use crate::contracts::progress::RunProgress;
use crate::contracts::verdict::IngestAnswer;
use crate::domain::ids::PlatformRunId;
use crate::ingress::wsp::Error;

/// A gate by its address.
#[derive(Debug, Clone)]
pub struct Gate {
    url: String,
    http: reqwest::Client,
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

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(250);

impl Gate {
    /// `addr` is host and port, such as `127.0.0.1:7070`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn at(addr: &str) -> Result<Gate, Error> {
        let url = format!("http://{addr}");
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .tcp_nodelay(true)
            .build();
        let http = http.map_err(|cause| Error::Gate {
            url: url.clone(),
            cause: cause.to_string(),
        })?;
        Ok(Gate { url, http })
    }

    fn broken(&self, cause: impl ToString) -> Error {
        Error::Gate {
            url: self.url.clone(),
            cause: cause.to_string(),
        }
    }

    /// Sends events, one JSON object a line.
    pub(super) async fn send(&self, ndjson: bytes::Bytes) -> Result<Sent, Error> {
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
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
        let request = self
            .http
            .get(format!("{}/v1/runs/{run}/progress", self.url));
        let Ok(response) = request.send().await else {
            return Ok(None);
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        Ok(response.json().await.ok())
    }

    /// Asks archive and receipts to write out what they hold.
    pub(super) async fn flush(&self, run: &PlatformRunId) {
        let request = self.http.post(format!("{}/v1/runs/{run}/flush", self.url));
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
