//! What the port's own routes take and answer, for the OpenAPI document.

use serde_json::json;

use crate::app::output::Frame;
use crate::app::owner::Asked;
use crate::contracts::code::Code;
use crate::contracts::permission::Corridor;
use crate::contracts::progress::RunProgress;
use crate::substrate::http::Doc;

const RUN: &str = "run_c0f5f55e9f320bdd80dc7f2f3d34630be3642efa7359ecc1ef997197aeeaf10e";

pub(crate) fn healthz() -> Doc {
    Doc::new("process", "The process is alive")
        .open()
        .answers_text(200, "It is", "ok")
}

pub(crate) fn readyz() -> Doc {
    Doc::new("process", "The database answers")
        .open()
        .answers_text(200, "It does", "ready")
        .refuses(
            503,
            &[(
                Code::SubstrateUnavailable,
                "no connection to the database was had in time",
            )],
        )
}

pub(crate) fn metrics() -> Doc {
    Doc::new(
        "process",
        "Counters since the process began, as Prometheus reads them",
    )
    .open()
    .about("They end with the process; what must balance is in rows.")
    .answers_text(
        200,
        "Counters",
        "# TYPE admitted counter\nadmitted{platform_run_id=\"run_c0f5…\"} 4\n",
    )
}

pub(crate) fn openapi() -> Doc {
    Doc::new("process", "This document")
        .open()
        .answers_object(200, "OpenAPI 3.1")
}

pub(crate) fn progress() -> Doc {
    let group = json!({
        "group": "decision", "stream": "fp.bus.traffic.fraud.v1", "shard_id": "shard-000000",
        "position": {"after": "17"}, "tip": {"after": "18"},
    });
    Doc::new("runs", "How far each consumer of a run has come")
        .through(Corridor::RunRead)
        .about("Streams are shared by all runs, so positions and tips count the records of all.")
        .part("run", "platform_run_id", RUN)
        .answers::<RunProgress>(
            200,
            "Positions and tips",
            json!({
                "platform_run_id": RUN, "state": "STARTED", "groups": [group], "decisions_count": 17,
                "first_decided_at": "2025-01-31T12:00:00.502117Z",
                "last_decided_at": "2025-01-31T12:00:04.757606Z",
                "feature_sets": [{
                    "feature_set_digest": "6".repeat(64), "slots": ["primary"], "state": "WARM", "events": 17,
                    "decided": 17,
                }],
            }),
        )
        .refuses(404, &[(Code::RunUnknown, "there is no run run_c0f5…")])
        .refuses(503, &[(Code::SubstrateUnavailable, "connection closed")])
}

pub(crate) fn report() -> Doc {
    Doc::new("runs", "The page of a run as it was last written")
        .through(Corridor::RunRead)
        .about("HTML that has no script and loads nothing; `demo` and `run report` write it.")
        .part("run", "platform_run_id", RUN)
        .answers_page(200, "The page")
        .refuses(
            404,
            &[
                (Code::RunUnknown, "not the id of a run"),
                (Code::NotFound, "no report was made of it yet"),
            ],
        )
}

pub(crate) fn flush() -> Doc {
    Doc::new(
        "runs",
        "Write out now what archive and receipts hold, of all runs",
    )
    .through(Corridor::RunOperate)
    .part("run", "platform_run_id", RUN)
    .answers_nothing(202, "Asked; progress shows when it is there")
}

pub(crate) fn commands() -> Doc {
    Doc::new("process", "Carry out a command line, for the owner of the data directory")
        .about(
            "What a second shell uses. Stop reading at the frame `exit`; hanging up before it stops the command.",
        )
        .through(Corridor::Commands)
        .takes::<Asked>(
            "The arguments as typed, and where relative paths begin",
            json!({"args": ["fraudplat", "run", "list"], "cwd": "/"}),
        )
        .answers_lines::<Frame>(200, "What the command says, one frame a line; the last is `exit`")
        .refuses(
            400,
            &[(
                Code::CommandUnreadable,
                "Failed to parse the request body as JSON: EOF while parsing a value",
            )],
        )
        .refuses(
            413,
            &[(Code::BodyTooLarge, "Failed to buffer the request body: length limit exceeded")],
        )
}
