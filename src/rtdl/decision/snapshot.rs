//! Snapshots of a worker's memory in the object store: written beside the work, read at a start.
//!
//! A snapshot exists if its object does: it is created whole or not at all, its key names the hash
//! of its bytes, and it is of a committed position. Nothing else is trusted: what does not hash to
//! its key, is of another run, feature set, engine or history, or lies ahead, is refused (L8).

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::contracts::chunks;
use crate::contracts::run_position::RunPosition;
use crate::contracts::run_snapshot::{self, RunSnapshot};
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::engine::features::SnapshotError;
use crate::rtdl::decision::memory::Memory;
use crate::rtdl::decision::state::{RunState, Sets};
use crate::runtime::decisions;
use crate::runtime::ground::Ground;
use crate::substrate::objects::{self, ObjectKey, Put};
use crate::substrate::tasks;

const LIST_MAX: usize = 1_000;

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    Log(#[from] decisions::Error),
    #[error("its object is gone")]
    Gone,
    #[error("its bytes hash to {found}, its key says {expected}")]
    Altered { expected: Digest, found: Digest },
    #[error(transparent)]
    Form(#[from] run_snapshot::Error),
    #[error(transparent)]
    Features(#[from] SnapshotError),
    #[error("it is of {0}")]
    OtherRun(PlatformRunId),
    #[error("it lies ahead of what is committed")]
    Ahead,
    #[error("its link is not the chain's: it is of another history")]
    OtherHistory,
}

/// A snapshot as its key tells of it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) key: ObjectKey,
    pub(super) seq: i64,
    content: Digest,
}

/// The snapshots of a run that are not ahead of `seq`, the newest first.
pub(super) async fn list(
    ground: &Ground,
    run: &PlatformRunId,
    seq: i64,
) -> Result<Vec<Stored>, objects::Error> {
    let prefix = RunSnapshot::prefix(run);
    let mut found: Vec<Stored> = Vec::new();
    let mut after: Option<ObjectKey> = None;
    loop {
        let listed = ground
            .objects
            .list(&prefix, after.as_ref(), LIST_MAX)
            .await?;
        after = listed.last().map(|it| it.key.clone());
        let n_listed = listed.len();
        found.extend(listed.into_iter().filter_map(|it| {
            let (seq, content) = RunSnapshot::parse_key(it.key.as_str())?;
            let key = it.key;
            Some(Stored { key, seq, content })
        }));
        if n_listed < LIST_MAX {
            break;
        }
    }
    found.retain(|it| it.seq <= seq);
    found.reverse();
    Ok(found)
}

/// Reads a snapshot and checks all that can be checked of it.
pub(super) async fn open(
    ground: &Ground,
    (sets, memory): (&Sets, &Memory),
    run: &PlatformRunId,
    committed: &RunPosition,
    stored: &Stored,
) -> Result<(RunPosition, RunState), Refusal> {
    let bytes = ground
        .objects
        .get(&stored.key)
        .await?
        .ok_or(Refusal::Gone)?;
    let (expected, sets, memory) = (stored.content, sets.clone(), memory.clone());
    let opened = tasks::blocking(move || {
        let found = Digest::of_bytes(&bytes);
        if found != expected {
            return Err(Refusal::Altered { expected, found });
        }
        let snapshot = RunSnapshot::from_bytes(&bytes)?;
        let state = RunState::of_snapshot(&sets, &snapshot, &memory)?;
        Ok((snapshot.run, snapshot.position, state))
    });
    let (of, position, state) = opened.await?;
    if of != *run {
        return Err(Refusal::OtherRun(of));
    }
    let reached = |(shard, at)| {
        committed
            .basis
            .0
            .get(shard)
            .is_some_and(|it| it.reaches(at))
    };
    if position.seq > committed.seq || !position.basis.0.iter().all(reached) {
        return Err(Refusal::Ahead);
    }
    let at = decisions::at(ground, run, &[position.seq]).await?;
    match at.first().map(|it| it.link) == Some(position.link) {
        true => Ok((position, state)),
        false => Err(Refusal::OtherHistory),
    }
}

/// Writes snapshots of one worker's memory, one at a time, beside its work.
pub(super) struct Writer {
    /// Of so many decisions, and of an eighth of the run, one is written at most.
    every: i64,
    /// What the newest one covers.
    pub(super) covered: i64,
    writing: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn new(every: i64) -> Writer {
        Writer {
            every,
            covered: 0,
            writing: None,
        }
    }

    /// Whether it is time. All snapshots of a run together are then a small multiple of the last.
    pub(super) fn is_due(&self, seq: i64) -> bool {
        let is_idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        is_idle && seq - self.covered >= self.every.max(seq / 8)
    }

    /// Encodes the memory at its position and writes it out in the background. A memory that has
    /// met more than was decided is left alone: it is no function of the position.
    pub(super) async fn write(
        &mut self,
        ground: &Ground,
        primary: &Digest,
        run: &PlatformRunId,
        position: &RunPosition,
        state: &mut Option<RunState>,
    ) {
        if position.seq <= self.covered {
            return;
        }
        let Some(whole) = state.take_if(|it| it.has_met(position.seq)) else {
            return;
        };
        let (run, position, primary) = (*run, position.clone(), *primary);
        self.covered = position.seq;
        let encoded = tasks::blocking(move || {
            let snapshot = whole.to_snapshot(run, position, &primary)?;
            let bytes = Bytes::from(snapshot.to_bytes());
            let key = snapshot.key(&Digest::of_bytes(&bytes));
            Ok::<_, chunks::Error>((whole, key, bytes))
        });
        let (whole, key, bytes) = match encoded.await {
            Ok(encoded) => encoded,
            Err(lost) => {
                tracing::warn!(run = %run, error = %lost, "a worker's memory is dropped; it is restored for the next event");
                return;
            }
        };
        *state = Some(whole);
        let objects = Arc::clone(&ground.objects);
        self.finish().await;
        self.writing = Some(tokio::spawn(async move {
            let key: ObjectKey = key.parse().expect("ids, numbers and digests make a key");
            match objects.put_new(&key, bytes).await {
                Ok(Put::Created | Put::Same) => {}
                Ok(Put::Conflict { stored }) => {
                    tracing::error!(key = %key, stored = %stored, "another object has the key of a snapshot");
                }
                Err(error) => {
                    tracing::warn!(key = %key, error = %error, "a snapshot was not written; the next one is");
                }
            }
        }));
    }

    /// Waits until what is being written is written.
    pub(super) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            drop(writing.await);
        }
    }
}
