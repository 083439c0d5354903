//! Runs that have ended: their repeats need not be known once nothing of them can be admitted any more,
//! and their projections serve nobody once all of their traffic is decided.

use crate::contracts::groups;
use crate::contracts::run_position::RunPosition;
use crate::domain::ids::PlatformRunId;
use crate::maintenance::Error;
use crate::maintenance::dedupe::{self, Whose};
use crate::maintenance::pass::Pass;
use crate::substrate::db::{self, Day};

const LIST_ENDED: &str = include_str!("sql/list_ended_runs.sql");
const LIST_DAYS: &str = include_str!("sql/list_run_days.sql");
const CLOSE: &str = include_str!("sql/close_run.sql");
const LIST_UNDRAINED: &str = include_str!("sql/list_undrained_runs.sql");
const DRAIN: &str = include_str!("sql/drain_run.sql");
const LIST_DRAINED: &str = include_str!("sql/list_drained_runs.sql");

/// Runs that one pass looks at; the next one goes on.
const RUNS_MAX: i64 = 200;

/// Prunes the repeats of world runs whose end is older than the grace; those of live runs have a last day
/// of their own. Returns the runs and the rows.
pub(super) async fn close(pass: &mut Pass<'_>) -> Result<(u64, u64), Error> {
    let client = pass.ground.db.get().await?;
    let until = Day(pass.as_of.0 - i64::from(pass.options.dedupe_grace_days)).start();
    let ended = client.query(LIST_ENDED, &[&until, &RUNS_MAX]).await?;
    let (mut n_closed, mut n_rows) = (0, 0);
    for row in ended {
        let run: PlatformRunId = row.get(0);
        for row in client.query(LIST_DAYS, &[&run]).await? {
            n_rows += dedupe::prune_day(pass, &client, row.get(0), Whose::Run(run)).await?;
        }
        if !pass.goes_on().await? {
            break;
        }
        n_closed += 1;
        if !pass.dry_run {
            client
                .execute(CLOSE, &[&run, &pass.ground.clock.now()])
                .await?;
        }
    }
    if !pass.dry_run {
        drain(pass, &client).await?;
    }
    Ok((n_closed, n_rows))
}

/// Notes which of the closed runs have all their traffic decided or refused: no worker looks at them again.
async fn drain(pass: &Pass<'_>, client: &db::Client) -> Result<(), Error> {
    for row in client
        .query(LIST_UNDRAINED, &[&groups::DECISION, &RUNS_MAX])
        .await?
    {
        let (run, admitted): (PlatformRunId, i64) = (row.get(0), row.get(1));
        let (refused, position): (i64, Option<&str>) = (row.get(2), row.get(3));
        let position = position.map(RunPosition::parse).transpose();
        let position = position.map_err(|cause| db::Error::form("decision position", &cause))?;
        let decided = position.map_or(0, |it| it.seq);
        if admitted <= decided + refused {
            client
                .execute(DRAIN, &[&run, &pass.ground.clock.now()])
                .await?;
        }
    }
    Ok(())
}

/// Runs whose projections may go and have not gone yet.
pub(super) async fn drained(pass: &Pass<'_>) -> Result<Vec<PlatformRunId>, Error> {
    let client = pass.ground.db.get().await?;
    let rows = client.query(LIST_DRAINED, &[&RUNS_MAX]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
