//! The one port of a process: what every role offers, health, metrics, progress, and the commands
//! that other shells ask of the owner.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::cli::Cli;
use crate::app::commands::{self, Call};
use crate::app::output::{Frame, Output};
use crate::app::owner::Asked;
use crate::app::profile::Profile;
use crate::app::roles::Bells;
use crate::app::{doc, progress, report, run};
use crate::contracts::code::Code;
use crate::domain::ids::PlatformRunId;
use crate::ingress::ig;
use crate::rtdl::{actions, audit, decision, graph};
use crate::runtime::ground::Ground;
use crate::substrate::db::Db;
use crate::substrate::http::{Accesses, Api, Document, problem};

/// What the port's own routes stand on.
pub(crate) struct Port {
    pub(crate) ground: Ground,
    pub(crate) profile: Profile,
    /// Connected as the identity that may drop days of evidence.
    pub(crate) maintenance: Db,
    pub(crate) bells: Bells,
    /// Where this process listens.
    pub(crate) addr: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) stop: CancellationToken,
}

/// Frames that a slow reader of a command may lag behind.
const FRAMES_MAX: usize = 1_024;

const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// The routes that belong to no role.
pub(crate) fn api() -> Api<Arc<Port>> {
    let alive = || async { "ok" };
    Api::new()
        .get("/healthz", get(alive), doc::healthz())
        .get("/readyz", get(ready), doc::readyz())
        .get("/metrics", get(metrics), doc::metrics())
        .get("/openapi.json", get(openapi), doc::openapi())
        .get(
            "/v1/runs/{run}/progress",
            get(run_progress),
            doc::progress(),
        )
        .get("/v1/runs/{run}/report", get(run_report), doc::report())
        .post("/v1/runs/{run}/flush", post(flush), doc::flush())
        .post("/v1/commands", post(command), doc::commands())
}

/// Every route of the process in OpenAPI: what `/openapi.json` answers and `docs/openapi.json` holds.
#[must_use]
pub fn document() -> serde_json::Value {
    routes().openapi(
        "fraudplat",
        env!("CARGO_PKG_VERSION"),
        "One port per process. Callers prove who they are as auth.mode says (docs/authentication.md). \
         Errors are problem documents (RFC 9457) with a stable code, whose page is in docs/errors, and \
         advice. docs/http.md tells the same in prose.",
    )
}

/// Who may use which route of the process.
pub(crate) fn accesses() -> Accesses {
    routes().accesses()
}

fn routes() -> Document {
    let roles = ig::api().document().and(audit::http::api().document());
    roles
        .and(graph::http::api().document())
        .and(decision::http::api().document())
        .and(actions::http::api().document())
        .and(api().document())
}

async fn openapi() -> Response {
    Json(document()).into_response()
}

/// What answers where no route does: an unknown path, a method that a path does not take.
pub(crate) fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(|| async {
            problem(404, Code::NotFound, "no such path; docs/http.md lists them")
        })
        .method_not_allowed_fallback(|method: Method| async move {
            let detail = format!("{method} is not a method of this path");
            problem(405, Code::MethodNotAllowed, detail)
        })
}

/// Ready means that the database answers.
async fn ready(State(port): State<Arc<Port>>) -> Response {
    match port.ground.db.get().await {
        Ok(_) => "ready".into_response(),
        Err(error) => problem(503, Code::SubstrateUnavailable, error.to_string()),
    }
}

async fn metrics(State(port): State<Arc<Port>>) -> Response {
    let ground = &port.ground;
    let text = ground.counters.render() + &ground.usage().render(&ground.stamps);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn run_progress(State(port): State<Arc<Port>>, Path(run): Path<String>) -> Response {
    let run: PlatformRunId = match run.parse() {
        Ok(run) => run,
        Err(error) => return problem(404, Code::RunUnknown, format!("{error}")),
    };
    match progress::read(&port.ground, &run, port.profile.archive.enabled).await {
        Ok(Some(progress)) => Json(progress).into_response(),
        Ok(None) => problem(404, Code::RunUnknown, format!("there is no run {run}")),
        // Nothing but database and log is asked.
        Err(error) => problem(503, Code::SubstrateUnavailable, format!("{error:#}")),
    }
}

/// The page of a run as it was last written. It holds no script and loads nothing, and the browser
/// is told to keep it so.
async fn run_report(State(port): State<Arc<Port>>, Path(run): Path<String>) -> Response {
    let run: PlatformRunId = match run.parse() {
        Ok(run) => run,
        Err(error) => return problem(404, Code::RunUnknown, format!("{error}")),
    };
    let path = report::path_of(&port.data_dir, &run);
    match tokio::fs::read(&path).await {
        Ok(page) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, page).into_response()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let detail = format!("no report was made yet: fraudplat run report {run}");
            problem(404, Code::NotFound, detail)
        }
        Err(error) => problem(500, Code::Internal, format!("{}: {error}", path.display())),
    }
}

async fn flush(State(port): State<Arc<Port>>) -> StatusCode {
    port.bells.flush.ask();
    StatusCode::ACCEPTED
}

/// Carries out a command of the owner and streams what it says, a frame a line; the last is its exit
/// code.
async fn command(
    State(port): State<Arc<Port>>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(unread) => return unread_command(&unread),
    };
    let (frames, receiver) = mpsc::channel::<Frame>(FRAMES_MAX);
    tokio::spawn(carry_out(port, asked, frames));
    let lines = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let lines = futures::StreamExt::map(lines, |frame| {
        let mut line = serde_json::to_vec(&frame).unwrap_or_default();
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(line)
    });
    Body::from_stream(lines).into_response()
}

fn unread_command(unread: &JsonRejection) -> Response {
    let (status, code) = match unread.status() {
        StatusCode::PAYLOAD_TOO_LARGE => (413, Code::BodyTooLarge),
        _ => (400, Code::CommandUnreadable),
    };
    problem(status, code, unread.body_text())
}

async fn carry_out(port: Arc<Port>, asked: Asked, frames: mpsc::Sender<Frame>) {
    // The asker hangs up: the command is told to stop.
    let stop = port.stop.child_token();
    let (gone, watched) = (frames.clone(), stop.clone());
    let watcher = tokio::spawn(async move {
        gone.closed().await;
        watched.cancel();
    });
    let speaking = frames.clone();
    let cli = Cli::try_parse_from(&asked.args);
    let json = cli.as_ref().is_ok_and(|cli| cli.json);
    let output = Output::new(json, move |frame| {
        // Progress may be skipped when the reader lags; lines are waited for.
        let is_progress = matches!(frame, Frame::Progress { .. } | Frame::Live { .. });
        if let Err(mpsc::error::TrySendError::Full(frame)) = speaking.try_send(frame)
            && !is_progress
        {
            let speaking = speaking.clone();
            tokio::task::block_in_place(move || drop(speaking.blocking_send(frame)));
        }
    });
    let code = match cli {
        Ok(cli) => Box::pin(run_command(&port, cli, &asked, &output, stop)).await,
        Err(usage) => {
            output.note(usage.to_string());
            2
        }
    };
    drop(frames.send(Frame::Exit { code }).await);
    // It holds a sender: the answer ends when the last one is gone.
    watcher.abort();
}

async fn run_command(
    port: &Port,
    cli: Cli,
    asked: &Asked,
    output: &Output,
    stop: CancellationToken,
) -> u8 {
    let Some(command) = cli.command else { return 2 };
    let call = Call {
        profile: port.profile.clone(),
        ground: port.ground.clone(),
        maintenance: port.maintenance.clone(),
        bells: Some(port.bells.clone()),
        gate_addr: Some(port.addr.clone()),
        cwd: asked.cwd.clone(),
        data_dir: port.data_dir.clone(),
        output: output.clone(),
        stop,
    };
    match Box::pin(commands::run(&call, command)).await {
        Ok(code) => code,
        Err(error) => run::report(output, &error),
    }
}
