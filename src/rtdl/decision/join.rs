//! The wait for context: how much of a batch may be decided now, and until when nothing may.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::contracts::groups::CONTEXT_GROUPS;
use crate::domain::keys::FlowKey;
use crate::domain::offset::ShardRef;
use crate::domain::time::Time;
use crate::governance::counters::Counter;
use crate::rtdl::decision::frames::{self, Found};
use crate::rtdl::decision::watermark::{self, Watermarks};
use crate::rtdl::decision::worker::{Item, Items, Worker};
use crate::rtdl::decision::{Error, force};
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Client};

/// Context is looked for again after 2, 4, 8, … ms, at most this.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(32);

/// The scopes of every listed shard of the context streams.
pub(super) async fn context_scopes(ground: &Ground) -> Result<BTreeSet<String>, Error> {
    let mut scopes = BTreeSet::new();
    for (_, stream) in CONTEXT_GROUPS {
        for shard in ground.bus.shards(stream).await? {
            let shard_id = shard.shard_id;
            scopes.insert(ShardRef { stream, shard_id }.to_string());
        }
    }
    Ok(scopes)
}

/// What is sent together must not wait for a statement to be prepared: another would go ahead.
async fn prepare(client: &Client) -> Result<(), db::Error> {
    for sql in [watermark::READ, force::READ, frames::READ_BINDINGS] {
        client.prepare_cached(sql).await?;
    }
    Ok(())
}

impl Worker {
    /// The lowest watermark of the context groups. A reshard is met by the drained parent, before
    /// anything is judged: its children hold what comes after it.
    async fn context_watermark(&mut self, watermarks: &Watermarks) -> Result<Option<Time>, Error> {
        let n_drained = watermarks.n_drained(&self.context_scopes);
        if self.context_drained < n_drained {
            self.context_scopes = context_scopes(&self.ground).await?;
            self.context_drained = watermarks.n_drained(&self.context_scopes);
        }
        Ok(watermarks.lowest(&self.context_scopes))
    }

    /// The frames of the longest prefix that may be decided: complete, or judged by the watermark.
    /// Waits until that is at least one; `None` when told to stop meanwhile.
    pub(super) async fn decidable(
        &mut self,
        items: &Items,
        has_waited: &mut bool,
        stop: &CancellationToken,
    ) -> Result<Option<VecDeque<Found>>, Error> {
        let pending: Vec<(FlowKey, Time)> = items
            .iter()
            .filter_map(|(_, item)| match item {
                Item::Pending(pending) => {
                    let event = &pending.event;
                    let platform_run_id = event.pins.platform_run_id;
                    let key = FlowKey {
                        platform_run_id,
                        flow_id: event.flow_id.clone(),
                    };
                    Some((key, pending.admitted_at.plus_ms(self.options.join_wait_ms)))
                }
                _ => None,
            })
            .collect();
        let mut found = vec![Found::default(); pending.len()];
        let mut is_waiting = false;
        let mut look_again = Duration::from_millis(2);
        loop {
            let client = self.ground.db.get().await?;
            prepare(&client).await?;
            let run = Some(*self.run());
            let open = frames::open(&pending, &found);
            // Sent together, and carried out as they are sent: the watermark before the frames, so that what it
            // covers is in the frames, if it exists.
            let (watermarks, forces, bound) = tokio::try_join!(
                biased;
                watermark::read(&client),
                force::read(&client, run),
                frames::bound(&client, &open),
            )?;
            self.forces = forces;
            let watermark = self.context_watermark(&watermarks).await?;
            frames::fill(&client, open, &bound, &mut found).await?;
            drop(client);
            let judged = |at: usize| watermark.is_some_and(|mark| mark >= pending[at].1);
            let ready = (0..pending.len()).take_while(|at| found[*at].is_complete() || judged(*at));
            let n_ready = ready.count();
            if n_ready > 0 || pending.is_empty() {
                if is_waiting {
                    let (now, (_, front)) = (self.ground.clock.now(), &pending[0]);
                    self.posture
                        .waited(now, front.minus_ms(self.options.join_wait_ms));
                }
                found.truncate(n_ready);
                return Ok(Some(found.into()));
            }
            is_waiting = true;
            if !*has_waited {
                *has_waited = true;
                self.ground
                    .counters
                    .add(&self.ready.pins, Counter::JoinWaitCount, 1);
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            self.renew(None).await?;
            tokio::time::sleep(look_again).await;
            look_again = (look_again * 2).min(LOOK_AGAIN_MAX);
        }
    }
}
