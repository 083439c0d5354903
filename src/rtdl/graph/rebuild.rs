//! Throws the rows of a run away and reads them back from the archive. Consumers go on meanwhile:
//! what they commit after the throwing-away stays, and the archive is read up to there.

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardId, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::rtdl::graph::rows::Rows;
use crate::rtdl::graph::{Error, store};
use crate::runtime::archive::{ArchiveReader, Flush, Folder};
use crate::runtime::ground::Ground;
use crate::runtime::guard;
use crate::substrate::bus::BusRecord;

const DELETE: &str = include_str!("sql/delete_rows.sql");
const BEGIN: &str = include_str!("sql/begin_rebuild.sql");
const END: &str = include_str!("sql/end_rebuild.sql");
const COUNT: &str = include_str!("sql/count_links.sql");

/// How long the archive may take to come to where the projection is.
const ARCHIVE_MAX: Duration = Duration::from_secs(60);
/// Records whose links one transaction writes.
const RECORDS_MAX: usize = 5_000;

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    pub platform_run_id: PlatformRunId,
    /// Links before it, and after.
    pub links_before: i64,
    pub links_after: i64,
    /// Records read of the archive.
    pub records_read: u64,
    pub basis: Basis,
}

/// Rebuilds the links of one run. Until it is done, and if it breaks off, questions of the run are
/// refused; starting it again is safe.
///
/// # Errors
/// Those of database and archive; an archive that does not come far enough in time is found before
/// anything is thrown away.
pub async fn rebuild(
    ground: &Ground,
    run: &PlatformRunId,
    flush: &Flush,
    progress: &(dyn Fn(u64) + Send + Sync),
    stop: &CancellationToken,
) -> Result<Rebuilt, Error> {
    let reader = ArchiveReader::new(ground.db.clone(), ground.objects.clone());
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    if !store::run(&tx, run).await?.0 {
        return Err(Error::RunUnknown { run: *run });
    }
    let basis = store::positions(&tx, false).await?;
    drop(tx);
    reader.wait_for(&basis, flush, ARCHIVE_MAX).await?;

    let tx = client.transaction().await?;
    // No batch is between its position and its rows while these are held.
    let basis = store::positions(&tx, true).await?;
    let links_before = tx.query_one(COUNT, &[run]).await?.get(0);
    tx.execute(BEGIN, &[run, &ground.clock.now()]).await?;
    tx.execute(DELETE, &[run]).await?;
    tx.commit().await?;
    drop(client);

    reader.wait_for(&basis, flush, ARCHIVE_MAX).await?;
    let mut records_read = 0;
    for (shard, up_to) in shards(&basis) {
        let mut scan = reader
            .scan(Folder::Run(*run), &shard, &Position::Start, &up_to)
            .await?;
        while let Some(records) = scan.next().await? {
            for records in records.chunks(RECORDS_MAX) {
                if stop.is_cancelled() {
                    return Err(Error::Stopped { run: *run });
                }
                write(ground, &rows(&shard, records, run)).await?;
                records_read += records.len() as u64;
                progress(records_read);
            }
        }
    }
    let client = ground.db.get().await?;
    let links_after = client.query_one(COUNT, &[run]).await?.get(0);
    client.execute(END, &[run]).await?;
    Ok(Rebuilt {
        platform_run_id: *run,
        links_before,
        links_after,
        records_read,
        basis,
    })
}

/// What records of a shard become, as far as they are the run's.
fn rows(shard: &ShardRef, records: &[BusRecord], run: &PlatformRunId) -> Rows {
    let mut rows = Rows::default();
    for record in records {
        if shard.stream == Stream::Labels {
            rows.take_label(record, Some(run));
            continue;
        }
        let guarded = guard::guard(shard, record).ok();
        if let Some(it) = guarded.filter(|it| it.event.envelope.platform_run_id == *run) {
            rows.take_event(&it);
        }
    }
    rows
}

async fn write(ground: &Ground, rows: &Rows) -> Result<(), Error> {
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    store::write(&tx, rows).await?;
    tx.commit().await?;
    Ok(())
}

/// The shards of a basis by their names.
fn shards(basis: &Basis) -> Vec<(ShardRef, Position)> {
    let named = basis.0.iter().filter_map(|(name, position)| {
        let (stream, shard_id) = name.split_once('/')?;
        let stream: Stream = stream.parse().ok()?;
        let shard_id = ShardId(shard_id.to_owned());
        Some((ShardRef { stream, shard_id }, position.clone()))
    });
    named.collect()
}
