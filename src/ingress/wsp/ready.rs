//! Finds READY on the control bus and verifies what it names (L8).

use std::time::Duration;

use crate::contracts::control::ControlMessage;
use crate::contracts::ready::{Ready, RunFacts};
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::Position;
use crate::domain::vocabulary::Stream;
use crate::ingress::wsp::Error;
use crate::runtime::ground::Ground;
use crate::substrate::bus::{ReadFrom, ReadLimit};

/// READY of the run and the facts it names, their digest verified.
pub(super) async fn find(ground: &Ground, run: &PlatformRunId) -> Result<(Ready, RunFacts), Error> {
    let ready = on_bus(ground, run)
        .await?
        .ok_or(Error::NotReady { run: *run })?;
    let mismatch = || Error::FactsMismatch { run: *run };
    let key = ready.run_facts_ref.parse().map_err(|_| mismatch())?;
    let stored = ground.objects.get(&key).await?.ok_or_else(mismatch)?;
    if Digest::of_bytes(&stored) != ready.run_facts_digest {
        return Err(mismatch());
    }
    let facts: RunFacts = serde_json::from_slice(&stored).map_err(|_| mismatch())?;
    if facts.pins != ready.pins {
        return Err(mismatch());
    }
    Ok((ready, facts))
}

/// Reads the control bus from its beginning. READY may still be on its way through the outbox, so
/// the tip is waited at for a moment.
async fn on_bus(ground: &Ground, run: &PlatformRunId) -> Result<Option<Ready>, Error> {
    let limit = ReadLimit {
        records_max: 1_000,
        bytes_max: 8 << 20,
        wait_max: Duration::from_secs(3),
    };
    for shard in ground.bus.shards(Stream::Control).await? {
        let mut at = Position::Start;
        loop {
            let from = ReadFrom::Position(at.clone());
            let read = ground
                .bus
                .read(Stream::Control, &shard.shard_id, from, limit)
                .await?;
            let Some(last) = read.records.last() else {
                break;
            };
            at = Position::After(last.sequence_number.clone());
            for record in &read.records {
                if let Ok(ControlMessage::Ready { ready }) = serde_json::from_slice(&record.data)
                    && ready.pins.platform_run_id == *run
                {
                    return Ok(Some(*ready));
                }
            }
        }
    }
    Ok(None)
}
