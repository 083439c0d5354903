//! Receipts that no segment holds: what waits is written now, what dead gates left too, and holes behind a
//! worker that has passed them (a position that was restored, a manifest that was not) are filled, each once.

use serde::Serialize;

use crate::domain::ids::PlatformRunId;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::receipts;
use crate::ingress::ig::role::Ig;
use crate::substrate::db::{Client, Day};

const HOLES: &str = include_str!("sql/list_receipt_holes.sql");
const COUNT_FAILED: &str = include_str!("sql/count_write_failed.sql");
const LOCK: &str = include_str!("sql/lock_receipts.sql");

/// What a backfill found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Backfilled {
    /// Writes that failed once, as their rows say.
    pub failed_writes: i64,
    /// Segments and receipts that filled holes.
    pub segments: usize,
    pub receipts: i64,
    /// Receipts that stand in no segment yet: another gate's worker is at them.
    pub waiting: i64,
}

/// Batches of one gate and day between two segments.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hole {
    day: Day,
    gate_id: String,
    /// The last batch of the segment before.
    behind: i64,
    batches: Vec<i64>,
    n_receipts: i64,
}

impl Ig {
    /// Returns when every receipt of the run stands in a segment, but for those that another live gate is
    /// about to write.
    ///
    /// # Errors
    /// Those of the substrates; what was written stands, and the command may be given again.
    pub async fn backfill_receipts(&self, run: PlatformRunId) -> Result<Backfilled, Error> {
        self.flush_receipts().await;
        receipts::write_of_dead_gates(self).await?;
        let client = self.ground.db.get().await?;
        let mut done = Backfilled {
            failed_writes: client.query_one(COUNT_FAILED, &[&run]).await?.get(0),
            ..Backfilled::default()
        };
        let holes = holes(&client, run).await?;
        for hole in holes {
            let passed = receipts::passed(&client, &hole.gate_id).await?;
            let last = hole.batches.last().copied().unwrap_or_default();
            if passed.is_none_or(|passed| passed < (hole.day, last)) {
                done.waiting += hole.n_receipts;
                continue;
            }
            if fill(self, run, &hole).await? {
                done.segments += 1;
                done.receipts += hole.n_receipts;
            }
        }
        Ok(done)
    }
}

async fn holes(client: &Client, run: PlatformRunId) -> Result<Vec<Hole>, Error> {
    let mut holes: Vec<Hole> = Vec::new();
    for row in client.query(HOLES, &[&run]).await? {
        let (day, gate_id, batch_id): (Day, String, i64) = (row.get(0), row.get(1), row.get(2));
        let (admitted, behind): (i64, i64) = (row.get(3), row.get(4));
        match holes.last_mut() {
            Some(it) if (it.day, &it.gate_id, it.behind) == (day, &gate_id, behind) => {
                it.batches.push(batch_id);
                it.n_receipts += admitted;
            }
            _ => holes.push(Hole {
                day,
                gate_id,
                behind,
                batches: vec![batch_id],
                n_receipts: admitted,
            }),
        }
    }
    Ok(holes)
}

/// Whether it was still there to be filled.
async fn fill(ig: &Ig, run: PlatformRunId, hole: &Hole) -> Result<bool, Error> {
    let n_receipts = usize::try_from(hole.n_receipts).unwrap_or_default();
    let (gate_id, batches) = (&hole.gate_id, hole.batches.as_slice());
    let made = receipts::make(ig, gate_id, (hole.day, batches), n_receipts, Some(run)).await?;
    let mut client = ig.ground.db.get().await?;
    let tx = client.transaction().await?;
    tx.execute(LOCK, &[gate_id]).await?;
    // A later statement than the lock: it sees what the holder before has written.
    let rows = tx.query(HOLES, &[&run]).await?;
    let is_open = |batch_id: &i64| {
        rows.iter()
            .any(|row| row.get::<_, Day>(0) == hole.day && row.get::<_, i64>(2) == *batch_id)
    };
    if !batches.iter().all(is_open) {
        return Ok(false);
    }
    let (first, last) = (batches[0], batches[batches.len() - 1]);
    receipts::append(ig, &tx, gate_id, (hole.day, first, last), &made).await?;
    tx.commit().await?;
    receipts::count_written(ig, made).await;
    Ok(true)
}
