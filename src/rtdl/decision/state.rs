//! What a worker holds in memory: the features of its run and which events it has met. A function
//! of the log up to a position; rebuilt from there after any doubt.

use std::collections::HashSet;
use std::sync::Arc;

use crate::contracts::chunks;
use crate::contracts::run_position::RunPosition;
use crate::contracts::run_snapshot::{MET_BYTES, Met, RunSnapshot};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::domain::vocabulary::EventClass;
use crate::engine::bundle::CompiledBundle;
use crate::engine::event::EventRecord;
use crate::engine::features::{FeatureState, Room, SnapshotError};
use crate::rtdl::decision::Error;
use crate::runtime::guard::Guarded;

pub(super) struct RunState {
    pub(super) features: FeatureState,
    /// Of every event met: repeats on the bus are dropped.
    met: HashSet<Met>,
}

impl RunState {
    pub(super) fn empty(bundle: &CompiledBundle, room: Room) -> RunState {
        RunState {
            features: FeatureState::within(Arc::clone(&bundle.feature_set), room),
            met: HashSet::new(),
        }
    }

    /// Whether the event is new to this run; from now on it is not.
    pub(super) fn meet(&mut self, id: &DecisionId) -> bool {
        let mut short = [0; MET_BYTES];
        short.copy_from_slice(&id.digest().as_bytes()[..MET_BYTES]);
        self.met.insert(short)
    }

    /// Whether so many events were met: every event that is decided was met once, and one that is
    /// met is decided with its batch.
    pub(super) fn has_met(&self, decided: i64) -> bool {
        i64::try_from(self.met.len()) == Ok(decided)
    }

    pub(super) fn n_met(&self) -> usize {
        self.met.len()
    }

    /// Takes a record of the past: this run's, unless it was met already.
    pub(super) fn take_back(
        &mut self,
        run: &PlatformRunId,
        guarded: &Guarded,
    ) -> Result<(), Error> {
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

    pub(super) fn to_snapshot(
        &self,
        run: PlatformRunId,
        position: RunPosition,
        feature_set_digest: &Digest,
    ) -> Result<RunSnapshot, chunks::Error> {
        let mut met: Vec<Met> = self.met.iter().copied().collect();
        met.sort_unstable();
        Ok(RunSnapshot {
            run,
            position,
            met,
            features: self.features.to_bytes(feature_set_digest)?,
        })
    }

    pub(super) fn of_snapshot(
        bundle: &CompiledBundle,
        snapshot: &RunSnapshot,
        room: Room,
    ) -> Result<RunState, SnapshotError> {
        let (set, digest) = (Arc::clone(&bundle.feature_set), &bundle.feature_set_digest);
        Ok(RunState {
            features: FeatureState::from_bytes_within(set, digest, &snapshot.features, room)?,
            met: snapshot.met.iter().copied().collect(),
        })
    }
}
