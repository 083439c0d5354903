//! `fraudplat ig`: what the gate refused, and what the bus did not answer.

use crate::app::cli::{Ambiguous, Ig, Quarantine};
use crate::app::commands::table::table;
use crate::app::commands::{Call, parse_run};
use crate::app::run::DONE;
use crate::ingress::ig;

pub async fn run(call: &Call, command: &Ig) -> anyhow::Result<u8> {
    match command {
        Ig::Quarantine(Quarantine::List { run, limit }) => {
            let found = ig::quarantine_list(&call.ground, &parse_run(run)?, *limit).await?;
            call.output.result(&found, |found| {
                let rows = found.iter().map(|row| {
                    vec![
                        row.quarantine_id.to_string(),
                        row.quarantined_at.to_string(),
                        row.event_class.clone(),
                        row.event_id.clone(),
                        row.code.clone(),
                        row.detail.clone(),
                    ]
                });
                table(&["QUARANTINE_ID", "AT", "CLASS", "EVENT", "CODE", "DETAIL"], rows, &[])
            });
        }
        Ig::Quarantine(Quarantine::Show { id }) => {
            let shown = ig::quarantine_show(&call.ground, &id.parse()?).await?;
            call.output.line(serde_json::to_string_pretty(&shown)?);
        }
        Ig::Ambiguous(Ambiguous::List) => {
            let found = ig::ambiguous_list(&call.ground).await?;
            call.output.result(&found, |found| {
                let rows = found.iter().map(|row| {
                    vec![row.batch_id.to_string(), row.since.to_string(), row.events.to_string(), row.cause.clone()]
                });
                table(&["BATCH", "SINCE", "EVENTS", "CAUSE"], rows, &[2])
            });
        }
    }
    Ok(DONE)
}
