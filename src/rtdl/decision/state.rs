//! What a worker holds in memory: the features of its run and which events it has met. A function
//! of the log up to a position; rebuilt from there after any doubt.

use std::collections::HashSet;
use std::sync::Arc;

use crate::contracts::run_position::RunPosition;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::vocabulary::EventClass;
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::engine::features::FeatureState;
use crate::rtdl::decision::Error;
use crate::runtime::ground::Ground;
use crate::runtime::guard::{self, Guarded};
use crate::substrate::bus::{ReadFrom, ReadLimit};

pub(super) struct RunState {
    pub(super) features: FeatureState,
    /// The first 16 bytes of the decision id of every event met: repeats on the bus are dropped.
    met: HashSet<[u8; 16]>,
}

impl RunState {
    fn empty(bundle: &CompiledBundle) -> RunState {
        RunState {
            features: FeatureState::new(Arc::clone(&bundle.feature_set)),
            met: HashSet::new(),
        }
    }

    /// Whether the event is new to this run; from now on it is not.
    pub(super) fn meet(&mut self, id: &DecisionId) -> bool {
        let mut short = [0u8; 16];
        short.copy_from_slice(&id.digest().as_bytes()[..16]);
        self.met.insert(short)
    }

    /// Reads the log of a run from its pinned tips up to its position.
    ///
    /// # Errors
    /// Those of the bus; a log that retention has cut is refused, never guessed (L8).
    pub(super) async fn rebuild(
        ground: &Ground,
        bundle: &CompiledBundle,
        run: &PlatformRunId,
        tips: &Basis,
        shards: &[ShardRef],
        position: &RunPosition,
    ) -> Result<RunState, Error> {
        let (basis, decided) = (&position.basis, position.seq);
        let mut state = RunState::empty(bundle);
        for shard in shards {
            let mut at = tips.position(shard).clone();
            while !at.reaches(basis.position(shard)) {
                let limit = ReadLimit {
                    records_max: 2_000,
                    bytes_max: 8 << 20,
                    wait_max: std::time::Duration::ZERO,
                };
                let from = ReadFrom::Position(at.clone());
                let read = ground
                    .bus
                    .read(shard.stream, &shard.shard_id, from, limit)
                    .await?;
                let Some(last) = read.records.last() else {
                    return Err(Error::Position {
                        run: *run,
                        cause: format!("{shard} ends at {at}, before {}", basis.position(shard)),
                    });
                };
                at = Position::After(last.sequence_number.clone());
                let covered = |it: &&crate::substrate::bus::BusRecord| {
                    basis.position(shard).covers(&it.sequence_number)
                };
                for record in read.records.iter().filter(covered) {
                    if let Ok(guarded) = guard::guard(shard, record) {
                        state.take_back(run, &guarded)?;
                    }
                }
            }
        }
        // Every event met so far was decided once: fewer means that retention has cut the log.
        if i64::try_from(state.met.len()) != Ok(decided) {
            let cause = format!(
                "the log holds {} of {decided} decided events",
                state.met.len()
            );
            return Err(Error::Position { run: *run, cause });
        }
        Ok(state)
    }

    fn take_back(&mut self, run: &PlatformRunId, guarded: &Guarded) -> Result<(), Error> {
        let envelope = &guarded.event.envelope;
        if envelope.platform_run_id != *run {
            return Ok(());
        }
        let id = DecisionId::of(run, EventClass::Traffic, &envelope.event_id);
        if let Ok(event) = EventRecord::parse(&guarded.event)
            && self.meet(&id)
        {
            let applied = self.features.apply_event(&event);
            applied.map_err(|cause| Error::Decide {
                event_id: event.event_id.to_string(),
                cause: cause.to_string(),
            })?;
        }
        Ok(())
    }
}
