//! `fraudplat ig quarantine requeue`.

use anyhow::Context;
use serde::Serialize;

use crate::app::auth::{self, Own};
use crate::app::commands::{Call, Refusal, ig as shown};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::contracts::problem::Problem;
use crate::contracts::verdict::{IngestAnswer, Verdict};
use crate::domain::digest::Digest;
use crate::domain::vocabulary::{IngestResult, SourceType};
use crate::ingress::ig::{self, Try};

/// A sentence or two.
const REASON_CHARS_MAX: usize = 500;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    quarantine_id: Digest,
    quarantined_as: Code,
    verdict: Verdict,
}

/// Submits the kept payload through the gate and appends what came of it.
pub(crate) async fn run(call: &Call, id: Digest, reason: &str) -> anyhow::Result<u8> {
    let reason = reason.trim();
    if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        let detail = format!("--reason is 1 to {REASON_CHARS_MAX} characters");
        return Err(Refusal::new(Code::QueryInvalid, detail).into());
    }
    let (quarantined, envelope) = shown::find(call, id).await?;
    if let Some(why) = ig::never_requeued(quarantined.code) {
        return Err(Refusal::new(quarantined.code, why).into());
    }
    let verdict = submit(call, &envelope).await?;
    let mut ground = call.ground.acting_as("human:cli");
    ground.actor.source_type = SourceType::Human;
    let made = Try {
        reason,
        verdict: &verdict,
    };
    ig::requeued(&ground, &quarantined, made).await?;
    let report = Report {
        quarantine_id: id,
        quarantined_as: quarantined.code,
        verdict,
    };
    call.output.result(&report, |report| {
        let event = report.verdict.event_id.as_deref().unwrap_or("the event");
        match report.verdict.result {
            IngestResult::Admitted => format!("{event} is admitted"),
            IngestResult::Duplicate => format!("{event} was admitted before"),
            IngestResult::PublishInFlight => {
                format!("{event} is taken; the log has not answered yet, so ask for its receipt")
            }
            IngestResult::Quarantined | IngestResult::Rejected => {
                format!("{event} is refused again")
            }
        }
    });
    match report.verdict.code {
        None => Ok(DONE),
        Some(code) => {
            let detail = report.verdict.detail.unwrap_or_default();
            Err(Refusal::new(code, detail).into())
        }
    }
}

/// Like any producer: one event over HTTP, one verdict.
async fn submit(call: &Call, envelope: &serde_json::Value) -> anyhow::Result<Verdict> {
    let addr = call.gate_addr.as_deref();
    let addr = addr.context("requeueing needs the gate of this process")?;
    let gate = auth::outgoing(&call.profile, &call.data_dir, Own::Ig, addr)?;
    let request = gate
        .request(reqwest::Method::POST, "/v1/events")
        .json(envelope);
    let response = request.send().await.context("asking the gate")?;
    let is_answered = response.status().is_success();
    let body = response
        .bytes()
        .await
        .context("reading the gate's answer")?;
    if !is_answered {
        let problem: Problem =
            serde_json::from_slice(&body).context("reading the gate's answer")?;
        anyhow::bail!(
            "the gate did not take it ({}: {}); nothing is changed, run the command again",
            problem.code,
            problem.detail
        );
    }
    let answer: IngestAnswer =
        serde_json::from_slice(&body).context("reading the gate's answer")?;
    let verdict = answer.results.into_iter().next();
    verdict.context("the gate gave no verdict")
}
