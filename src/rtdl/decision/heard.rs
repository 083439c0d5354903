//! Hears what other processes decide while somebody waits here. It first listens, then says that somebody waits,
//! then lets the batches end that may not have seen that, then looks: whatever is decided is found by
//! the look or heard. Where nobody waits there is no connection, and nobody is told (ADR 0029).

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::contracts::groups::DECISION;
use crate::domain::time::MICROS_PER_DAY;
use crate::governance::counters::Way;
use crate::rtdl::decision::told::{EVER, Told};
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Day, Listener};

const WATCH: &str = include_str!("sql/watch_decisions.sql");
const UNWATCH: &str = include_str!("sql/unwatch_decisions.sql");
const AWAIT: &str = include_str!("sql/await_open_batches.sql");
/// The name in `runtime.tell_decided`.
const CHANNEL: &str = "fraudplat_decided";

/// How long others go on telling a process that does not say again that it waits.
const WATCH_MS: i64 = 15_000;
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// A process in which nobody has waited for so long listens no more.
const LINGER: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Until `over`.
pub(super) async fn hear(told: &Told, ground: &Ground, over: &CancellationToken) {
    let mut backoff = BACKOFF_MIN;
    loop {
        tokio::select! {
            () = told.awaited() => {}
            () = over.cancelled() => return,
        }
        let began = Instant::now();
        tokio::select! {
            done = listen(told, ground) => match done {
                Ok(()) => continue,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "decisions of other processes are not heard; it tries again"
                ),
            },
            () = over.cancelled() => {
                unwatch(ground).await;
                return;
            }
        }
        if began.elapsed() > BACKOFF_MAX {
            backoff = BACKOFF_MIN;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = over.cancelled() => return,
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Listens until nobody has waited for a while.
async fn listen(told: &Told, ground: &Ground) -> Result<(), db::Error> {
    let mut listener = ground.db.listen(CHANNEL).await?;
    watch(&listener, ground).await?;
    listener.execute(AWAIT, &[&DECISION]).await?;
    told.look_at_all(&ground.db, EVER, Way::Look).await?;
    let mut renew = tokio::time::interval(RENEW_EVERY);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waited_at, mut n_watches) = (Instant::now(), told.n_watches());
    loop {
        tokio::select! {
            heard = listener.heard() => {
                heard?;
                // Decided a moment ago, by a clock that is not far from this one.
                let since = ground.clock.now().minus_micros(MICROS_PER_DAY);
                told.look_at_all(&ground.db, Day::of(since), Way::Notice).await?;
            }
            _ = renew.tick() => {
                let before = std::mem::replace(&mut n_watches, told.n_watches());
                if told.is_awaited() || before < n_watches {
                    waited_at = Instant::now();
                }
                if waited_at.elapsed() > LINGER {
                    unwatch(ground).await;
                    return Ok(());
                }
                watch(&listener, ground).await?;
            }
        }
    }
}

async fn watch(listener: &Listener, ground: &Ground) -> Result<(), db::Error> {
    let values: [&(dyn db::ToSql + Sync); 2] = [&ground.holder, &WATCH_MS];
    listener.execute(WATCH, &values).await?;
    Ok(())
}

/// Others need not tell this process any more; where that cannot be said, the time runs out.
async fn unwatch(ground: &Ground) {
    let done = async {
        let client = ground.db.get().await?;
        client.execute(UNWATCH, &[&ground.holder]).await?;
        Ok::<(), db::Error>(())
    };
    if let Err(error) = done.await {
        tracing::debug!(error = %error, "nobody was told that nobody waits");
    }
}
