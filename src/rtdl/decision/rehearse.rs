//! Brings a run's memory back beside its worker and lets go of it: how long a takeover would take, and from what.

use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use crate::contracts::groups::DECISION;
use crate::contracts::ready::Ready;
use crate::contracts::run_position::{BASIS_STREAMS, RunPosition};
use crate::domain::ids::PlatformRunId;
use crate::engine::bundle::CompiledBundle;
use crate::rtdl::decision::Error;
use crate::rtdl::decision::memory::Memory;
use crate::rtdl::decision::restore::Restore;
use crate::rtdl::decision::state::Sets;
use crate::runtime::ground::Ground;
use crate::runtime::lease::LeaseKey;
use crate::substrate::db;

/// Where the memory is to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As after a restart: the newest snapshot that holds, if there is one, and the log after it.
    SnapshotAndLog,
    /// As where both are gone: the archive, and of the log what it does not have yet.
    Archive,
}

/// What it took.
#[derive(Debug, Clone, Copy)]
pub struct Rehearsed {
    pub took: Duration,
    /// The seq of the snapshot; 0 without one.
    pub snapshot_seq: i64,
    /// Records read after it, of all runs on the log.
    pub records_read: u64,
}

/// Restores the memory of a run's committed position under a bundle.
///
/// # Errors
/// A run that nobody has decided on, and those of a restore.
pub async fn rehearse(
    ground: &Ground,
    (bundle, memory): (&CompiledBundle, &Memory),
    run: &PlatformRunId,
    source: Source,
) -> Result<Rehearsed, Error> {
    let (ready, position) = read(ground, run).await?;
    let mut shards = Vec::new();
    for stream in BASIS_STREAMS {
        let of_stream = ground.bus.shards(stream).await?.into_iter();
        shards.extend(of_stream.map(|it| it.of(stream)));
    }
    let restore = Restore {
        ground,
        sets: &Sets::of(bundle, []),
        memory,
        ready: &ready,
        shards: &shards,
        position: &position,
        progress: &AtomicI64::new(0),
    };
    let began = Instant::now();
    let restored = match source {
        Source::SnapshotAndLog => restore.restore().await?,
        Source::Archive => restore.restore_from_archive().await?,
    };
    Ok(Rehearsed {
        took: began.elapsed(),
        snapshot_seq: restored.snapshot_seq,
        records_read: restored.records_read,
    })
}

async fn read(ground: &Ground, run: &PlatformRunId) -> Result<(Ready, RunPosition), Error> {
    let client = ground.db.get().await?;
    let sql = "SELECT ready FROM governance.run WHERE platform_run_id = $1";
    let row = client.query_one(sql, &[run]).await?;
    let ready = serde_json::from_slice(row.get(0));
    let ready = ready.map_err(|cause| db::Error::form("READY", &cause))?;
    let refused = |cause: String| Error::Position { run: *run, cause };
    let held = LeaseKey::new(DECISION, run.to_string())
        .read(&client)
        .await?;
    let (_, text) = held.ok_or_else(|| refused("nobody has decided on it".to_owned()))?;
    let position = RunPosition::parse(&text).map_err(|cause| refused(cause.to_string()))?;
    Ok((ready, position))
}
