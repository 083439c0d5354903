//! `fraudplat ig`: what the gate refused, and what the bus did not answer.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::Instant;

use crate::app::cli::{Ambiguous, Ig, Quarantine, Receipts};
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal, parse_run, receipts, requeue};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::time::Time;
use crate::ingress::ig::{self, Quarantined, Requeued};

const LIST_AMBIGUOUS: &str = include_str!("../sql/list_ambiguous.sql");

/// A quarantined event with what was sent and what became of it since.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    quarantined: Quarantined,
    envelope: serde_json::Value,
    requeued: Vec<Requeued>,
}

/// A batch that is open.
#[derive(Debug, Serialize)]
struct Open {
    batch_id: i64,
    since: Time,
    events: i32,
    cause: String,
}

/// What `ig ambiguous resolve` did.
#[derive(Debug, Serialize)]
struct Resolved {
    resolved: usize,
}

/// How long the log may take to answer for open batches.
const RESOLVE_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(call: &Call, command: &Ig) -> anyhow::Result<u8> {
    match command {
        Ig::Receipts(command) => receipts::run(call, command).await,
        Ig::Quarantine(Quarantine::List {
            run,
            after,
            code,
            limit,
        }) => list(call, run, (after.as_deref(), code.as_deref()), *limit).await,
        Ig::Quarantine(Quarantine::Show { id }) => show(call, id).await,
        Ig::Quarantine(Quarantine::Requeue { id, reason }) => {
            requeue::run(call, quarantine_id(id)?, reason).await
        }
        Ig::Ambiguous(Ambiguous::List) => ambiguous(call).await,
        Ig::Ambiguous(Ambiguous::Resolve) => resolve(call).await,
    }
}

/// Whether the command asks something of a running gate.
pub(crate) fn needs_roles(command: &Ig) -> bool {
    matches!(
        command,
        Ig::Quarantine(Quarantine::Requeue { .. })
            | Ig::Ambiguous(Ambiguous::Resolve)
            | Ig::Receipts(Receipts::Backfill { .. })
    )
}

fn quarantine_id(text: &str) -> anyhow::Result<Digest> {
    let id = text.parse();
    id.context("reading the quarantine id; `fraudplat ig quarantine list --run RUN` shows them")
}

/// One quarantined event with its payload.
pub(crate) async fn find(
    call: &Call,
    id: Digest,
) -> anyhow::Result<(Quarantined, serde_json::Value)> {
    let client = call.ground.db.get().await?;
    let found = ig::quarantine_show(&client, call.ground.objects.as_ref(), id).await?;
    let none = || Refusal::new(Code::NotFound, format!("nothing is quarantined under {id}"));
    Ok(found.ok_or_else(none)?)
}

async fn list(
    call: &Call,
    run: &str,
    (after, code): (Option<&str>, Option<&str>),
    limit: u64,
) -> anyhow::Result<u8> {
    let run = parse_run(run)?;
    let refused = |cause: ParseError| Refusal::new(Code::QueryInvalid, cause.to_string());
    let after = after.map(str::parse).transpose().map_err(refused)?;
    let code = code.map(str::parse).transpose().map_err(refused)?;
    let client = call.ground.db.get().await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = ig::quarantine_list(&client, run, code, after, limit).await?;
    call.output.result(&page, |page| {
        let cells = page.results.iter().map(|row| {
            let (id, at) = (
                row.quarantine_id.to_string(),
                row.quarantined_at.to_string(),
            );
            let (class, event) = (row.event_class.clone(), row.event_id.to_string());
            vec![
                id,
                at,
                class,
                event,
                row.code.to_string(),
                row.detail.clone(),
            ]
        });
        table(
            &["QUARANTINE_ID", "AT", "CLASS", "EVENT", "CODE", "DETAIL"],
            cells,
            &[],
        )
    });
    if let Some(next) = page.next {
        call.output.note(format!("more follow: --after {next}"));
    }
    Ok(DONE)
}

async fn show(call: &Call, id: &str) -> anyhow::Result<u8> {
    let id = quarantine_id(id)?;
    let (quarantined, envelope) = find(call, id).await?;
    let shown = Shown {
        quarantined,
        envelope,
        requeued: ig::requeues(&call.ground.db.get().await?, id).await?,
    };
    call.output.line(serde_json::to_string_pretty(&shown)?);
    Ok(DONE)
}

async fn ambiguous(call: &Call) -> anyhow::Result<u8> {
    print_open(call, &open_batches(call).await?);
    Ok(DONE)
}

/// Rings the resolver until nothing is open, or it has had its time.
async fn resolve(call: &Call) -> anyhow::Result<u8> {
    let gate = call.bells.as_ref().map(|bells| &bells.gate);
    let gate = gate.context("resolving needs the gate of this process")?;
    let begun = Instant::now();
    let before = open_batches(call).await?.len();
    let mut open = before;
    while open > 0 && begun.elapsed() < RESOLVE_MAX && !call.stop.is_cancelled() {
        gate.resolve_now();
        call.output.progress("open batches", open as u64, 0);
        drop(tokio::time::timeout(LOOK_EVERY, call.stop.cancelled()).await);
        open = open_batches(call).await?.len();
    }
    if open > 0 {
        print_open(call, &open_batches(call).await?);
        let detail = format!(
            "the log did not answer for {open} batches within {} s; their events are kept, and the \
             gate looks again by itself",
            begun.elapsed().as_secs()
        );
        return Err(Refusal::new(Code::SubstrateUnavailable, detail).into());
    }
    call.output
        .result(&Resolved { resolved: before }, |it| match it.resolved {
            0 => "no batch is open".to_owned(),
            n => format!("{n} batches resolved"),
        });
    Ok(DONE)
}

async fn open_batches(call: &Call) -> anyhow::Result<Vec<Open>> {
    let client = call.ground.db.get().await?;
    let rows = client.query(LIST_AMBIGUOUS, &[]).await?;
    let open = rows.iter().map(|row| Open {
        batch_id: row.get(0),
        since: row.get(1),
        events: row.get(2),
        cause: row.get(3),
    });
    Ok(open.collect())
}

fn print_open(call: &Call, open: &[Open]) {
    call.output.result(&open, |open| {
        let cells = open.iter().map(|row| {
            vec![
                row.batch_id.to_string(),
                row.since.to_string(),
                row.events.to_string(),
                row.cause.clone(),
            ]
        });
        table(&["BATCH", "SINCE", "EVENTS", "CAUSE"], cells, &[2])
    });
}
