//! `fraudplat ig`: what the gate refused, and what the bus did not answer.

use anyhow::Context;
use serde::Serialize;

use crate::app::cli::{Ambiguous, Ig, Quarantine};
use crate::app::commands::table::table;
use crate::app::commands::{Call, Refusal, parse_run};
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::domain::digest::Digest;
use crate::domain::time::Time;
use crate::ingress::ig::{self, Quarantined};

const LIST_AMBIGUOUS: &str = include_str!("../sql/list_ambiguous.sql");

/// A quarantined event as it is printed.
#[derive(Debug, Serialize)]
struct Row {
    quarantine_id: Digest,
    quarantined_at: Time,
    platform_run_id: String,
    event_class: String,
    event_id: String,
    code: Code,
    detail: String,
    object_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<serde_json::Value>,
}

/// A batch that is open.
#[derive(Debug, Serialize)]
struct Open {
    batch_id: i64,
    since: Time,
    events: i32,
    cause: String,
}

pub(crate) async fn run(call: &Call, command: &Ig) -> anyhow::Result<u8> {
    match command {
        Ig::Quarantine(Quarantine::List { run, limit }) => list(call, run, *limit).await,
        Ig::Quarantine(Quarantine::Show { id }) => show(call, id).await,
        Ig::Ambiguous(Ambiguous::List) => ambiguous(call).await,
    }
}

async fn list(call: &Call, run: &str, limit: i64) -> anyhow::Result<u8> {
    let client = call.ground.db.get().await?;
    let found = ig::quarantine_list(&client, parse_run(run)?, None, limit).await?;
    let rows: Vec<Row> = found.into_iter().map(|it| row(it, None)).collect();
    call.output.result(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let (id, at) = (
                row.quarantine_id.to_string(),
                row.quarantined_at.to_string(),
            );
            let (class, event) = (row.event_class.clone(), row.event_id.clone());
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
    Ok(DONE)
}

async fn show(call: &Call, id: &str) -> anyhow::Result<u8> {
    let id: Digest = id.parse().context("reading the quarantine id")?;
    let client = call.ground.db.get().await?;
    let found = ig::quarantine_show(&client, call.ground.objects.as_ref(), id).await?;
    let none = || Refusal::new(Code::NotFound, format!("nothing is quarantined under {id}"));
    let (quarantined, envelope) = found.ok_or_else(none)?;
    call.output.line(serde_json::to_string_pretty(&row(
        quarantined,
        Some(envelope),
    ))?);
    Ok(DONE)
}

async fn ambiguous(call: &Call) -> anyhow::Result<u8> {
    let rows = call
        .ground
        .db
        .get()
        .await?
        .query(LIST_AMBIGUOUS, &[])
        .await?;
    let open: Vec<Open> = rows
        .iter()
        .map(|row| Open {
            batch_id: row.get(0),
            since: row.get(1),
            events: row.get(2),
            cause: row.get(3),
        })
        .collect();
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
    Ok(DONE)
}

fn row(it: Quarantined, envelope: Option<serde_json::Value>) -> Row {
    Row {
        quarantine_id: it.quarantine_id,
        quarantined_at: it.quarantined_at,
        platform_run_id: it.platform_run_id.to_string(),
        event_class: it.event_class,
        event_id: it.event_id.to_string(),
        code: it.code,
        detail: it.detail,
        object_key: it.object_key,
        envelope,
    }
}
