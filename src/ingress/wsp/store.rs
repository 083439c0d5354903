//! The streamer's facts and its place, in the transactions that make them true.

use crate::contracts::fact::Fact;
use crate::governance::facts;
use crate::ingress::wsp::Error;
use crate::runtime::ground::Ground;
use crate::runtime::lease::Lease;

/// Appends one fact.
pub(super) async fn say(ground: &Ground, fact: Fact) -> Result<(), Error> {
    let mut client = ground.db.get().await?;
    let tx = client.transaction().await?;
    facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    Ok(())
}

/// Moves the place of the streamer, so that a restart goes on from there. Arrivals beyond it may
/// be sent again.
pub(super) async fn save(ground: &Ground, lease: &mut Lease, next: i64) -> Result<(), Error> {
    let to = next.to_string();
    let mut client = ground.db.get().await?;
    if to == lease.position {
        lease.renew(&client, None).await?;
        return Ok(());
    }
    let tx = client.transaction().await?;
    lease.advance(&tx, &to, None).await?;
    tx.commit().await?;
    lease.moved(to);
    Ok(())
}
