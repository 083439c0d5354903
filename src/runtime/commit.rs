//! One commit of effects with their position (L4): the same rows are submitted until they are in,
//! and an outcome that nobody told is settled by the position row.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::time::Time;
use crate::planted;
use crate::runtime::consumer::Error;
use crate::runtime::ground::Ground;
use crate::runtime::lease::{Lease, Settled};
use crate::substrate::db::Transaction;

/// What a position stands for, ready to be written, more than once if need be.
#[async_trait]
pub trait Effects: Send + Sync {
    fn group(&self) -> &'static str;

    /// Writes everything, rows sorted by key.
    async fn write(&self, tx: &Transaction<'_>) -> Result<(), Error>;
}

const ATTEMPTS_MAX: u32 = 20;

/// Submits the same rows until they are in: a rolled-back transaction is sent again, an unknown
/// outcome is settled by the position row. Returns how many attempts failed; then call [`Lease::moved`].
///
/// # Errors
/// [`crate::runtime::lease::Error::Lost`] when another holds the lease, and what no attempt heals.
pub async fn commit<E: Effects>(
    ground: &Ground,
    lease: &Lease,
    effects: &E,
    to: &str,
    watermark: Option<Time>,
) -> Result<u32, Error> {
    let mut attempt = 0;
    let mut is_open = false;
    loop {
        let outcome = match is_open {
            true => settle(ground, lease, to).await,
            false => Ok(Settled::RolledBack),
        };
        let outcome = match outcome {
            Ok(Settled::Committed) => return Ok(attempt),
            Ok(Settled::RolledBack) => submit(ground, lease, effects, to, watermark).await,
            Err(error) => Err(error),
        };
        let Err(error) = outcome else {
            return Ok(attempt);
        };
        let Some(cause) = error.as_db() else {
            return Err(error);
        };
        attempt += 1;
        if attempt >= ATTEMPTS_MAX || !(cause.is_retryable() || cause.outcome_unknown()) {
            return Err(error);
        }
        is_open |= cause.outcome_unknown();
        tracing::warn!(group = effects.group(), attempt, error = %cause, "commit failed; settling");
        tokio::time::sleep(Duration::from_millis(20 << attempt.min(6))).await;
    }
}

async fn settle(ground: &Ground, lease: &Lease, to: &str) -> Result<Settled, Error> {
    Ok(lease.settle(&ground.db.get().await?, to).await?)
}

async fn submit<E: Effects>(
    ground: &Ground,
    lease: &Lease,
    effects: &E,
    to: &str,
    watermark: Option<Time>,
) -> Result<(), Error> {
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    // First, so that who lost the lease is refused before it waits on the rows of who has it, and
    // a takeover waits until this is decided.
    lease.advance(&tx, to, watermark).await?;
    let tx = planted!(
        PositionAheadOfEffects,
        {
            tx.commit().await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            client.transaction().await?
        },
        tx
    );
    effects.write(&tx).await?;
    tx.commit().await?;
    Ok(())
}
