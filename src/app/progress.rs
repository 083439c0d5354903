//! How far a run has come, from lease rows, facts and the tips of the bus.

use std::collections::BTreeMap;

use crate::contracts::groups::{ARCHIVE, CONTEXT_GROUPS, DECISION, GRAPH_GROUPS};
use crate::contracts::progress::{FeatureSetProgress, GroupProgress, RunProgress, RunState};
use crate::contracts::run_position::{BASIS_STREAMS, RunPosition};
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::runtime::ground::Ground;
use crate::runtime::lease::{self, LeaseRow};
use crate::substrate::db::Client;

const READ_STATE: &str = include_str!("sql/read_run_state.sql");
const LIST_OPEN: &str = include_str!("sql/list_open_runs.sql");
const READ_DECIDED: &str = include_str!("sql/read_decided.sql");
const READ_FEATURES: &str = include_str!("sql/read_feature_state.sql");

/// The progress of a run; `None` if there is no such run. Without an archive nobody waits for one.
///
/// # Errors
/// Those of the substrates.
pub(crate) async fn read(
    ground: &Ground,
    run: &PlatformRunId,
    has_archive: bool,
) -> anyhow::Result<Option<RunProgress>> {
    let client = ground.db.get().await?;
    let Some(state) = state(&client, run).await? else {
        return Ok(None);
    };
    let leases = lease::list(&client).await?;
    let statement = client.prepare_cached(READ_DECIDED).await?;
    let row = client.query_one(&statement, &[run]).await?;
    let (first, last): (Option<Time>, Option<Time>) = (row.get(1), row.get(2));
    Ok(Some(RunProgress {
        platform_run_id: *run,
        state,
        groups: groups(ground, &leases, run, has_archive).await?,
        decisions_count: row.get(0),
        first_decided_at: first,
        last_decided_at: last,
        feature_sets: feature_sets(&client, run).await?,
    }))
}

/// What the worker of the run last said of its features.
async fn feature_sets(
    client: &Client,
    run: &PlatformRunId,
) -> anyhow::Result<Vec<FeatureSetProgress>> {
    let statement = client.prepare_cached(READ_FEATURES).await?;
    let row = client.query_opt(&statement, &[run]).await?;
    let said = row.map(|row| serde_json::from_str(row.get(0)));
    Ok(said.transpose()?.unwrap_or_default())
}

/// The state that the run's facts say.
pub(crate) async fn state(
    client: &Client,
    run: &PlatformRunId,
) -> anyhow::Result<Option<RunState>> {
    let statement = client.prepare_cached(READ_STATE).await?;
    let row = client.query_opt(&statement, &[run]).await?;
    Ok(row.map(|row| {
        let facts: Vec<String> = row.get(0);
        let says = |fact: &str| facts.iter().any(|known| known == fact);
        match () {
            () if says("RUN_CANCELLED") => RunState::Cancelled,
            () if says("RUN_ENDED") => RunState::Ended,
            () if says("RUN_STARTED") => RunState::Started,
            () => RunState::Ready,
        }
    }))
}

/// Every group that reads something of the run, with its position and the tip of its shard.
async fn groups(
    ground: &Ground,
    leases: &[LeaseRow],
    run: &PlatformRunId,
    has_archive: bool,
) -> anyhow::Result<Vec<GroupProgress>> {
    let tips = tips(ground).await?;
    let basis = decided(leases, run);
    let mut groups = Vec::new();
    for (shard, tip) in &tips {
        for group in readers(shard.stream, has_archive) {
            let position = match group {
                DECISION => basis.position(shard).clone(),
                _ => leased(leases, group, shard),
            };
            groups.push(GroupProgress {
                group: group.to_owned(),
                stream: shard.stream,
                shard_id: shard.shard_id.clone(),
                position,
                tip: tip.clone(),
            });
        }
    }
    Ok(groups)
}

/// Up to where a run is decided; the start where nobody has looked at it.
fn decided(leases: &[LeaseRow], run: &PlatformRunId) -> Basis {
    let scope = run.to_string();
    let decision = leases
        .iter()
        .find(|row| row.key.group == DECISION && row.key.scope == scope);
    decision
        .and_then(|row| RunPosition::parse(&row.position).ok())
        .map(|position| position.basis)
        .unwrap_or_default()
}

/// How many positions have not reached their tips: those of the groups that read a stream whatever
/// the run, and those of the runs that are not drained.
///
/// # Errors
/// Those of the substrates.
pub(crate) async fn behind(ground: &Ground, has_archive: bool) -> anyhow::Result<usize> {
    let tips = tips(ground).await?;
    // Open runs first: one that is drained meanwhile counts once more, never once too few.
    let open = open_runs(ground).await?;
    let leases = lease::list(&ground.db.get().await?).await?;
    let mut behind = 0;
    for (shard, tip) in &tips {
        let groups = readers(shard.stream, has_archive);
        let groups = groups.into_iter().filter(|group| *group != DECISION);
        behind += groups
            .filter(|group| !leased(&leases, group, shard).reaches(tip))
            .count();
        if BASIS_STREAMS.contains(&shard.stream) {
            behind += open
                .iter()
                .filter(|run| !decided(&leases, run).position(shard).reaches(tip))
                .count();
        }
    }
    Ok(behind)
}

/// The groups that read a stream.
fn readers(stream: Stream, has_archive: bool) -> Vec<&'static str> {
    let inlets = CONTEXT_GROUPS
        .iter()
        .chain(&GRAPH_GROUPS)
        .filter(|(_, read)| *read == stream)
        .map(|(group, _)| *group);
    let decision = BASIS_STREAMS.contains(&stream).then_some(DECISION);
    let archive = has_archive.then_some(ARCHIVE);
    inlets.chain(decision).chain(archive).collect()
}

fn leased(leases: &[LeaseRow], group: &str, shard: &ShardRef) -> Position {
    let scope = shard.to_string();
    let row = leases
        .iter()
        .find(|row| row.key.group == group && row.key.scope == scope);
    row.and_then(|row| row.position.parse().ok())
        .unwrap_or(Position::Start)
}

/// The newest position of every shard of every stream.
///
/// # Errors
/// Those of the bus.
pub(crate) async fn tips(ground: &Ground) -> anyhow::Result<BTreeMap<ShardRef, Position>> {
    let mut tips = BTreeMap::new();
    for stream in Stream::ALL {
        for shard in ground.bus.shards(*stream).await? {
            let tip = ground.bus.tip(*stream, &shard.shard_id).await?;
            tips.insert(
                ShardRef {
                    stream: *stream,
                    shard_id: shard.shard_id,
                },
                tip,
            );
        }
    }
    Ok(tips)
}

/// Runs that a decision worker still looks after: every one that was not drained after its end.
///
/// # Errors
/// Those of the database.
pub(crate) async fn open_runs(ground: &Ground) -> anyhow::Result<Vec<PlatformRunId>> {
    let client = ground.db.get().await?;
    let rows = client.query(LIST_OPEN, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
