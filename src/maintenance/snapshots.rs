//! Snapshots of a run's memory: no evidence, so superseded ones are removed. The newest two stay, since a
//! start that cannot use one takes the one before; of a run that is drained none is needed.

use crate::contracts::run_snapshot::RunSnapshot;
use crate::domain::ids::PlatformRunId;
use crate::maintenance::Error;
use crate::maintenance::pass::Pass;
use crate::substrate::objects::{ObjectKey, Objects};

const LIST_OPEN: &str = include_str!("sql/list_unclosed_runs.sql");
const KEPT: usize = 2;
const LIST_MAX: usize = 1_000;

pub(super) async fn remove(pass: &mut Pass<'_>, over: &[PlatformRunId]) -> Result<u64, Error> {
    let client = pass.ground.db.get().await?;
    let open = client.query(LIST_OPEN, &[]).await?;
    drop(client);
    let open = open
        .iter()
        .map(|row| (row.get::<_, PlatformRunId>(0), KEPT));
    let runs: Vec<_> = over.iter().map(|run| (*run, 0)).chain(open).collect();
    let mut n_removed = 0;
    for (run, kept) in runs {
        let mut keys = list(pass.ground.objects.as_ref(), &run).await?;
        keys.truncate(keys.len().saturating_sub(kept));
        for key in keys {
            if !pass.dry_run {
                pass.ground.objects.remove(&key).await?;
            }
            n_removed += 1;
        }
        if !pass.goes_on().await? {
            break;
        }
    }
    Ok(n_removed)
}

/// The snapshots of a run, the oldest first.
async fn list(objects: &dyn Objects, run: &PlatformRunId) -> Result<Vec<ObjectKey>, Error> {
    let prefix = RunSnapshot::prefix(run);
    let mut keys: Vec<ObjectKey> = Vec::new();
    loop {
        let listed = objects.list(&prefix, keys.last(), LIST_MAX).await?;
        let n_listed = listed.len();
        keys.extend(listed.into_iter().map(|it| it.key));
        if n_listed < LIST_MAX {
            break;
        }
    }
    let seq = |key: &ObjectKey| Some(RunSnapshot::parse_key(key.as_str())?.0);
    let mut dated: Vec<(i64, ObjectKey)> = keys
        .into_iter()
        .filter_map(|it| Some((seq(&it)?, it)))
        .collect();
    dated.sort();
    Ok(dated.into_iter().map(|(_, key)| key).collect())
}
