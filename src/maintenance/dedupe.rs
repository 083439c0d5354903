//! Prunes the dedupe index along the events of a day, whose keys name its rows: no index of its own is
//! needed, which every admission would pay for. A page is a transaction.

use crate::domain::ids::PlatformRunId;
use crate::maintenance::Error;
use crate::maintenance::pass::Pass;
use crate::substrate::db::{Client, Day};

const LIST_DAYS: &str = include_str!("sql/list_unpruned_days.sql");
const PRUNE: &str = include_str!("sql/prune_dedupe.sql");
const COUNT: &str = include_str!("sql/count_dedupe.sql");
const MARK: &str = include_str!("sql/mark_pruned_day.sql");

const PAGE: i64 = 5_000;

/// Whose rows of a day go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// Of live runs: rows that may be needed on no day from this one on.
    Live(Day),
    /// Of a world run that has ended.
    Run(PlatformRunId),
}

/// The first day whose rows are all needed still: an event may be a day ahead of its admission, and a
/// gate may have judged it just before.
fn needed_from(pass: &Pass<'_>) -> Day {
    let kept = i64::from(pass.options.dedupe_horizon_days) + 1 + grace(pass);
    Day(pass.as_of.0 - kept)
}

fn grace(pass: &Pass<'_>) -> i64 {
    i64::from(pass.options.dedupe_grace_days)
}

/// Prunes what no live run can meet again, a day of admission once.
pub(super) async fn prune_live(pass: &mut Pass<'_>) -> Result<u64, Error> {
    let client = pass.ground.db.get().await?;
    let rows = client.query(LIST_DAYS, &[&needed_from(pass)]).await?;
    let mut n_pruned = 0;
    for row in rows {
        let day: Day = row.get(0);
        n_pruned += prune_day(
            pass,
            &client,
            day,
            Whose::Live(Day(pass.as_of.0 - grace(pass))),
        )
        .await?;
        if !pass.goes_on().await? {
            break;
        }
        if !pass.dry_run {
            client
                .execute(MARK, &[&day, &pass.ground.clock.now()])
                .await?;
        }
    }
    Ok(n_pruned)
}

/// Prunes along one day, or counts what would be. What a stop leaves is taken up by the next pass.
pub(super) async fn prune_day(
    pass: &mut Pass<'_>,
    client: &Client,
    day: Day,
    whose: Whose,
) -> Result<u64, Error> {
    let (before, run) = match whose {
        Whose::Live(day) => (Some(day), None),
        Whose::Run(run) => (None, Some(run)),
    };
    if pass.dry_run {
        let row = client.query_one(COUNT, &[&day, &before, &run]).await?;
        return Ok(row.get::<_, i64>(0).unsigned_abs());
    }
    let statement = client.prepare_cached(PRUNE).await?;
    let mut n_pruned = 0;
    let mut after = (-1i64, -1i32);
    loop {
        let (batch_id, item) = &after;
        let row = client
            .query_one(&statement, &[&day, batch_id, item, &PAGE, &before, &run])
            .await?;
        n_pruned += row.get::<_, i64>(2).unsigned_abs();
        let last: (Option<i64>, Option<i32>) = (row.get(0), row.get(1));
        match last {
            (Some(batch_id), Some(item)) => after = (batch_id, item),
            _ => return Ok(n_pruned),
        }
        if !pass.goes_on().await? {
            return Ok(n_pruned);
        }
    }
}
