//! The cut: the tips of every shard, read first, and how far every group has come.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::contracts::groups::{ARCHIVE, CONTEXT_GROUPS, DECISION};
use crate::contracts::ready::Ready;
use crate::contracts::run_position::RunPosition;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;
use crate::reconcile::{Error, Options};
use crate::runtime::ground::Ground;
use crate::runtime::lease::{self, LeaseRow};
use crate::substrate::db::{self, Day};

const READ_RUN: &str = include_str!("sql/read_run.sql");
const READ_DROPPED: &str = include_str!("sql/read_dropped_days.sql");
const READ_SETTLING: &str = include_str!("sql/read_settling.sql");

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Up to where everything is counted.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) ready: Ready,
    /// No row of the run is older; a day's grace for clocks that differ.
    pub(super) since: Day,
    pub(super) tips: BTreeMap<ShardRef, Position>,
}

impl Cut {
    pub(super) async fn take(ground: &Ground, run: &PlatformRunId) -> Result<Cut, Error> {
        let row = ground.db.get().await?.query_opt(READ_RUN, &[run]).await?;
        let row = row.ok_or(Error::UnknownRun(*run))?;
        let (ready, created_at): (&[u8], Time) = (row.get(0), row.get(1));
        let ready =
            serde_json::from_slice(ready).map_err(|cause| db::Error::form("READY", &cause))?;
        let mut tips = BTreeMap::new();
        for stream in Stream::ALL {
            for shard in ground.bus.shards(*stream).await? {
                let tip = ground.bus.tip(*stream, &shard.shard_id).await?;
                let shard_id = shard.shard_id;
                tips.insert(
                    ShardRef {
                        stream: *stream,
                        shard_id,
                    },
                    tip,
                );
            }
        }
        let since = Day(Day::of(created_at).0 - 1);
        whole(ground, run).await?;
        Ok(Cut { ready, since, tips })
    }

    pub(super) fn basis(&self) -> Basis {
        let tips = self.tips.iter();
        Basis(
            tips.map(|(shard, tip)| (shard.to_string(), tip.clone()))
                .collect(),
        )
    }

    pub(super) fn shards(&self, stream: Stream) -> impl Iterator<Item = (&ShardRef, &Position)> {
        self.tips
            .iter()
            .filter(move |(shard, _)| shard.stream == stream)
    }
}

/// Refuses a run of which retention has dropped days: what is left of it cannot balance.
async fn whole(ground: &Ground, run: &PlatformRunId) -> Result<(), Error> {
    let row = ground
        .db
        .get()
        .await?
        .query_one(READ_DROPPED, &[run])
        .await?;
    let (n_days, first, last): (i64, Option<Day>, Option<Day>) =
        (row.get(0), row.get(1), row.get(2));
    match (first, last) {
        (Some(first), Some(last)) => Err(Error::Dropped {
            run: *run,
            n_days,
            first,
            last,
        }),
        _ => Ok(()),
    }
}

/// How far every group has come.
#[derive(Debug)]
pub(super) struct Positions {
    leases: Vec<LeaseRow>,
    pub(super) decision: RunPosition,
}

impl Positions {
    async fn read(ground: &Ground, run: &PlatformRunId, cut: &Cut) -> Result<Positions, Error> {
        let leases = lease::list(&ground.db.get().await?).await?;
        let scope = run.to_string();
        let of_run = |row: &&LeaseRow| row.key.group == DECISION && row.key.scope == scope;
        let decision = match leases.iter().find(of_run) {
            Some(row) => RunPosition::parse(&row.position)
                .map_err(|cause| db::Error::form("decision position", &cause))?,
            None => RunPosition::initial(run, &cut.ready.tips),
        };
        Ok(Positions { leases, decision })
    }

    /// How far `group` has come in the shard; a group that never read it is at its start.
    pub(super) fn of(&self, group: &str, shard: &ShardRef) -> Position {
        if group == DECISION {
            return self.decision.basis.position(shard).clone();
        }
        let scope = shard.to_string();
        let row = self
            .leases
            .iter()
            .find(|row| row.key.group == group && row.key.scope == scope);
        row.and_then(|row| row.position.parse().ok())
            .unwrap_or(Position::Start)
    }

    fn reach(&self, group: &str, cut: &Cut, stream: Stream) -> bool {
        cut.shards(stream)
            .all(|(shard, tip)| self.of(group, shard).reaches(tip))
    }
}

/// Reads the positions, again and again until all is settled or the wait is over.
pub(super) async fn wait(
    ground: &Ground,
    run: &PlatformRunId,
    cut: &Cut,
    options: &Options,
) -> Result<Positions, Error> {
    let deadline = Instant::now() + options.wait;
    loop {
        let positions = Positions::read(ground, run, cut).await?;
        if deadline <= Instant::now() || is_settled(ground, run, cut, options, &positions).await? {
            return Ok(positions);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn is_settled(
    ground: &Ground,
    run: &PlatformRunId,
    cut: &Cut,
    options: &Options,
    positions: &Positions,
) -> Result<bool, Error> {
    let mut context = CONTEXT_GROUPS.iter();
    let mut archived = Stream::ALL.iter();
    if !context.all(|(group, stream)| positions.reach(group, cut, *stream))
        || (options.has_archive && !archived.all(|stream| positions.reach(ARCHIVE, cut, *stream)))
    {
        return Ok(false);
    }
    let client = ground.db.get().await?;
    let row = client
        .query_one(READ_SETTLING, &[run, &cut.since, &DECISION])
        .await?;
    let (admitted, traffic, receipts): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (refused, open): (i64, i64) = (row.get(3), row.get(4));
    // The worker of a run that has ended stops where its own traffic ends, before the tip.
    let is_decided = positions.reach(DECISION, cut, Stream::Traffic)
        || traffic <= positions.decision.seq + refused;
    Ok(is_decided && admitted <= receipts && open == 0)
}
