//! `fraudplat ig receipts`: listed, shown, backfilled.

use anyhow::Context;

use crate::app::cli::Receipts;
use crate::app::commands::maintain::parse_day;
use crate::app::commands::table::{grouped, table};
use crate::app::commands::{Call, Refusal, parse_run, runs};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::contracts::verdict::Verdict;
use crate::domain::digest::ParseError;
use crate::domain::vocabulary::IngestResult;
use crate::ingress::ig::{self, Backfilled, Named, ReceiptPage, Wanted};

pub(crate) async fn run(call: &Call, command: &Receipts) -> anyhow::Result<u8> {
    match command {
        Receipts::List {
            run,
            after,
            class,
            result,
            limit,
        } => {
            let wanted = Wanted {
                after: after
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(invalid)?,
                limit: usize::try_from(*limit).unwrap_or(usize::MAX),
                class: class
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(invalid)?,
                result: result.as_deref().map(listed).transpose()?,
            };
            list(call, run, &wanted).await
        }
        Receipts::Show {
            run,
            class,
            day,
            event_id,
        } => {
            let named = Named {
                run: parse_run(run)?,
                class: class.parse().map_err(invalid)?,
                event_id: event_id.parse().map_err(invalid)?,
                day: day.as_deref().map(parse_day).transpose()?,
            };
            show(call, &named).await
        }
        Receipts::Backfill { run } => backfill(call, run).await,
    }
}

fn invalid(cause: ParseError) -> Refusal {
    Refusal::new(Code::QueryInvalid, cause.to_string())
}

fn listed(text: &str) -> Result<IngestResult, Refusal> {
    match text.parse().map_err(invalid)? {
        found @ (IngestResult::Admitted | IngestResult::PublishInFlight) => Ok(found),
        other => {
            let detail = format!(
                "--result is ADMITTED or PUBLISH_IN_FLIGHT; nothing that is {other} has a receipt"
            );
            Err(Refusal::new(Code::QueryInvalid, detail))
        }
    }
}

async fn list(call: &Call, run: &str, wanted: &Wanted) -> anyhow::Result<u8> {
    let run = parse_run(run)?;
    let page = ig::receipt_list(&call.ground, run, wanted).await?;
    let page = page.ok_or_else(|| runs::unknown(&run))?;
    call.output.result(&page, |page: &ReceiptPage| {
        let head = [
            "ADMITTED", "BATCH", "CLASS", "EVENT", "RESULT", "SHARD", "NUMBER",
        ];
        table(&head, page.results.iter().map(row), &[1, 6])
    });
    if let Some(next) = &page.next {
        call.output.note(format!("more follow: --after {next}"));
    }
    Ok(DONE)
}

fn row(verdict: &Verdict) -> Vec<String> {
    let event = verdict.event_id.clone().unwrap_or_default();
    let result = verdict.result.to_string();
    match &verdict.receipt {
        Some(receipt) => vec![
            receipt.admitted_at.to_string(),
            receipt.batch_id.to_string(),
            receipt.event_class.to_string(),
            event,
            result,
            receipt.eb_ref.shard_id.to_string(),
            receipt.eb_ref.sequence_number.to_string(),
        ],
        None => {
            let none = String::new;
            vec![none(), none(), none(), event, result, none(), none()]
        }
    }
}

async fn show(call: &Call, named: &Named) -> anyhow::Result<u8> {
    let found = ig::receipt_show(&call.ground, named).await;
    let found = found.map_err(|error| match error.code() {
        code @ (Code::QueryInvalid | Code::EvidenceMissing) => {
            anyhow::Error::from(Refusal::new(code, error.to_string()))
        }
        _ => error.into(),
    })?;
    let none = || {
        let (class, event) = (named.class, &named.event_id);
        Refusal::new(
            Code::NotFound,
            format!("no {class} {event} was admitted to {}", named.run),
        )
    };
    let verdict = found.ok_or_else(none)?;
    let text = match &verdict.receipt {
        Some(receipt) => serde_json::to_string_pretty(receipt)?,
        None => serde_json::to_string_pretty(&verdict)?,
    };
    call.output.line(text);
    Ok(DONE)
}

async fn backfill(call: &Call, run: &str) -> anyhow::Result<u8> {
    let run = parse_run(run)?;
    let gate = call.bells.as_ref().map(|bells| &bells.gate);
    let gate = gate.context("a backfill needs the gate of this process")?;
    let done = gate.backfill_receipts(run).await?;
    call.output.result(&done, |done: &Backfilled| {
        let count = |n: usize| grouped(i64::try_from(n).unwrap_or(i64::MAX));
        let mut lines = vec![format!(
            "{} receipts written in {} segments; {} writes had failed before",
            grouped(done.receipts),
            count(done.segments),
            grouped(done.failed_writes)
        )];
        if done.waiting > 0 {
            let waiting = grouped(done.waiting);
            lines.push(format!(
                "{waiting} receipts are another gate's, which is about to write them"
            ));
        }
        lines.join("\n")
    });
    Ok(DONE)
}
