//! `fraudplat dla verify`.

use crate::app::cli::Dla;
use crate::app::commands::table::grouped;
use crate::app::commands::{Call, Refusal, parse_run, runs};
use crate::app::progress;
use crate::app::run::DONE;
use crate::contracts::code::Code;
use crate::rtdl::audit;

pub(crate) async fn run(call: &Call, command: &Dla) -> anyhow::Result<u8> {
    let Dla::Verify { run } = command;
    let run = parse_run(run)?;
    let client = call.ground.db.get().await?;
    if progress::state(&client, &run).await?.is_none() {
        return Err(runs::unknown(&run).into());
    }
    drop(client);
    let output = call.output.clone();
    let said = move |done: i64| output.progress("verifying", done.unsigned_abs(), 0);
    let report = audit::verify(&call.ground.db, &run, &said).await?;
    call.output.result(&report, |report| {
        format!(
            "{} records verified; head {}",
            grouped(report.verified),
            report.head
        )
    });
    match report.broken {
        None => Ok(DONE),
        Some(broken) => {
            let detail = format!(
                "record {} ({}): {}",
                broken.seq, broken.decision_id, broken.why
            );
            Err(Refusal::new(Code::ChainBroken, detail).into())
        }
    }
}
