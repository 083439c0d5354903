//! Context frames: projections that only payments to come can meet. Those of drained runs go, and those of
//! live runs once no payment of their time could be admitted any more. One sweep over the table a day.

use crate::contracts::payload::FlowAnchor;
use crate::contracts::ready::RunFacts;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::keys::FlowKey;
use crate::maintenance::Error;
use crate::maintenance::pass::Pass;
use crate::substrate::db::{Client, Day};
use crate::substrate::objects::ObjectKey;

const LIST_RUNS: &str = include_str!("sql/list_unclosed_runs.sql");
const READ_PAGE: &str = include_str!("sql/read_frame_page.sql");
const DELETE: &str = include_str!("sql/delete_frames.sql");
const EMPTIED: &str = include_str!("sql/mark_emptied_runs.sql");

const PAGE: i64 = 5_000;

/// Returns the rows that went, bindings not counted.
pub(super) async fn sweep(pass: &mut Pass<'_>, over: &[PlatformRunId]) -> Result<u64, Error> {
    let is_due = pass.swept().is_none_or(|day| day < pass.as_of);
    if pass.dry_run || !is_due {
        return Ok(0);
    }
    let live = live_runs(pass).await?;
    let client = pass.ground.db.get().await?;
    let mut n_gone = 0;
    if !over.is_empty() || !live.is_empty() {
        // Of the semantics, not of the profile: whether a late payment finds its context is no setting (L9).
        let kept = i64::from(pass.options.dedupe_horizon_days) + 1;
        let before = Day(pass.as_of.0 - kept).start();
        let mut after: (Vec<u8>, i16) = (Vec::new(), 0);
        loop {
            let (frame, part) = &after;
            let rows = client
                .query(READ_PAGE, &[frame, part, &PAGE, &over, &live, &before])
                .await?;
            let Some(last) = rows.last() else { break };
            after = (last.get(0), last.get(1));
            n_gone += delete(&client, &rows).await?;
            if !pass.goes_on().await? {
                return Ok(n_gone);
            }
        }
    }
    if !over.is_empty() {
        client
            .execute(EMPTIED, &[&over, &pass.ground.clock.now()])
            .await?;
    }
    drop(client);
    pass.has_swept().await?;
    Ok(n_gone)
}

/// Deletes those of a page that may go, and the bindings that point to them.
async fn delete(client: &Client, rows: &[crate::substrate::db::Row]) -> Result<u64, Error> {
    let (mut frames, mut parts, mut flows): (Vec<&[u8]>, Vec<i16>, Vec<Digest>) =
        Default::default();
    for row in rows.iter().filter(|row| row.get(2)) {
        frames.push(row.get(0));
        parts.push(row.get(1));
        let anchor: Option<&[u8]> = row.get(4);
        let anchor = anchor.and_then(|it| serde_json::from_slice::<FlowAnchor>(it).ok());
        if let (Some(anchor), Some(platform_run_id)) = (anchor, row.get(3)) {
            let flow_id = anchor.flow_id;
            flows.push(
                FlowKey {
                    platform_run_id,
                    flow_id,
                }
                .digest(),
            );
        }
    }
    if frames.is_empty() {
        return Ok(0);
    }
    let n_gone = client.query_one(DELETE, &[&frames, &parts, &flows]).await?;
    Ok(n_gone.get::<_, i64>(0).unsigned_abs())
}

/// Runs without an end of their own: what their facts say.
async fn live_runs(pass: &Pass<'_>) -> Result<Vec<PlatformRunId>, Error> {
    let client = pass.ground.db.get().await?;
    let rows = client.query(LIST_RUNS, &[]).await?;
    drop(client);
    let mut live = Vec::new();
    for row in &rows {
        let run: PlatformRunId = row.get(0);
        let key: ObjectKey = row.get::<_, &str>(1).parse().map_err(Error::Key)?;
        let unread = |cause: String| Error::Facts {
            run: run.to_string(),
            cause,
        };
        let body = pass.ground.objects.get(&key).await?;
        let body = body.ok_or_else(|| unread(format!("{key} is missing")))?;
        let facts: RunFacts =
            serde_json::from_slice(&body).map_err(|cause| unread(cause.to_string()))?;
        if facts.world.is_none() {
            live.push(run);
        }
    }
    Ok(live)
}
