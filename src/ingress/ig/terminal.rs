//! The end of a batch: its terminal row under the gate's epoch, its bytes gone, its waiters told.

use std::sync::Arc;

use crate::domain::time::Time;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::publish::Places;
use crate::ingress::ig::settled::{self, Admitted, Settled};
use crate::runtime::ground::Ground;
use crate::substrate::db::{Client, Day, Transaction};

const INSERT: &str = include_str!("sql/insert_terminal.sql");
const DELETE_INFLIGHT: &str = include_str!("sql/delete_inflight.sql");

/// A batch whose records are all on the bus.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) day: Day,
    pub(super) batch_id: i64,
    pub(super) admitted_at: Time,
    pub(super) places: Places,
    pub(super) events: Arc<Vec<Admitted>>,
}

/// Writes the terminal rows of several batches in one transaction. Sending it again is harmless.
/// Of a race the stored row is answered, whoever wrote it; a batch without one keeps its bytes and
/// is answered `None`: the lease is lost, and its new holder resolves it.
pub(super) async fn finish(
    ground: &Ground,
    client: &mut Client,
    gate_id: &str,
    epoch: i64,
    published: &[Published],
) -> Result<Vec<Option<Arc<Settled>>>, Error> {
    let tx = client.transaction().await?;
    let written = futures::future::try_join_all(
        published
            .iter()
            .map(|it| write(&tx, gate_id, epoch, ground.clock.now(), it)),
    )
    .await?;
    tx.commit().await?;
    let mut settled = Vec::with_capacity(published.len());
    for (batch, is_written) in published.iter().zip(written) {
        settled.push(match is_written {
            true => Some(Arc::new(batch.settled(ground))),
            false => stored(client, batch).await?,
        });
    }
    Ok(settled)
}

async fn write(
    tx: &Transaction<'_>,
    gate_id: &str,
    epoch: i64,
    now: Time,
    batch: &Published,
) -> Result<bool, Error> {
    let places = || batch.places.iter().map(Option::as_ref);
    let shards: Vec<Option<&str>> = places().map(|it| it.map(|it| it.0.0.as_str())).collect();
    let numbers: Vec<Option<&str>> = places().map(|it| it.map(|it| it.1.as_str())).collect();
    let insert = tx.prepare_cached(INSERT).await?;
    let delete = tx.prepare_cached(DELETE_INFLIGHT).await?;
    let (day, batch_id) = (batch.day, batch.batch_id);
    // Polled in this order they travel together, and the second sees what the first did.
    let (rows, _) = futures::future::try_join(
        tx.execute(
            &insert,
            &[&day, &batch_id, &gate_id, &epoch, &shards, &numbers, &now],
        ),
        tx.execute(&delete, &[&day, &batch_id]),
    )
    .await?;
    Ok(rows == 1)
}

async fn stored(client: &Client, batch: &Published) -> Result<Option<Arc<Settled>>, Error> {
    let stored = settled::read(client, batch.day, batch.batch_id).await?;
    let stored = stored.map(|it| Settled {
        events: Some(batch.events.clone()),
        ..it
    });
    Ok(stored.map(Arc::new))
}

impl Published {
    fn settled(&self, ground: &Ground) -> Settled {
        Settled {
            batch_id: self.batch_id,
            admitted_at: self.admitted_at,
            stamps: ground.stamps.clone(),
            places: self.places.clone(),
            events: Some(self.events.clone()),
        }
    }
}
