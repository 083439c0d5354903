//! One run's posture: gathers the signals of a batch, asks the ladder, and says what is written of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::contracts::decision::{BundleState, DecisionEvidence, PostureSignals};
use crate::contracts::fact::Fact;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{Capability, FactType, Posture, PostureReason};
use crate::engine::posture;
use crate::rtdl::decision::force::{self, Force};
use crate::rtdl::decision::ladder::{CALM, Excuse, Ladder, STORE_ERRORS_MS, Standing, Thresholds};
use crate::runtime::decisions;
use crate::runtime::ground::Ground;

/// When the store failed; outlives the workers of a run, which end by such failures.
#[derive(Debug, Default)]
pub(super) struct StoreErrors(Mutex<VecDeque<Time>>);

/// More say no more.
const STORE_ERRORS_MAX: usize = 1_000;

impl StoreErrors {
    pub(super) fn note(&self, now: Time, n: u32) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.extend((0..n).map(|_| now));
        while noted.len() > STORE_ERRORS_MAX {
            noted.pop_front();
        }
    }

    /// How many there were of late.
    fn count(&self, now: Time) -> u32 {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late = now.minus_micros(STORE_ERRORS_MS * 1_000);
        noted.retain(|at| *at > late);
        u32::try_from(noted.len()).unwrap_or(u32::MAX)
    }
}

/// What a ladder is asked about: the frames of a batch and the oldest of its events.
pub(super) struct Asked<'f> {
    pub(super) now: Time,
    pub(super) oldest_admitted_at: Time,
    /// Of each event, whether its frame lacks a part.
    pub(super) lacks: &'f [bool],
    pub(super) forces: &'f [Force],
    pub(super) store_errors: &'f StoreErrors,
    pub(super) bundle: BundleState,
}

/// What the decisions of a batch are made under.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) standing: Standing,
    pub(super) capabilities: BTreeSet<Capability>,
    pub(super) signals: PostureSignals,
    /// What the decision before them was made under.
    pub(super) before: Posture,
}

/// The memory that a posture needs. Lost with its worker, it is taken up where the newest decision's
/// evidence says it was; only the look back begins anew.
#[derive(Debug, Clone)]
pub(super) struct RunPosture {
    thresholds: Thresholds,
    ladder: Ladder,
    excuse: Excuse,
    before: Posture,
    /// A world is streamed as fast as it is taken: how long its payments lie in the log says nothing.
    is_live: bool,
}

impl RunPosture {
    pub(super) fn new(thresholds: Thresholds, is_live: bool) -> RunPosture {
        RunPosture {
            thresholds,
            ladder: Ladder::new(thresholds, CALM),
            excuse: Excuse::default(),
            before: Posture::Normal,
            is_live,
        }
    }

    /// Goes on where the newest decision left off. One that cannot be read is a posture judged afresh.
    pub(super) async fn resume(
        &self,
        ground: &Ground,
        (run, seq): (&PlatformRunId, i64),
    ) -> RunPosture {
        let fresh = RunPosture::new(self.thresholds, self.is_live);
        if seq == 0 {
            return fresh;
        }
        let read = decisions::after(ground, run, seq - 1, 1).await;
        let newest = read.and_then(|found| found.first().map(|it| it.open()).transpose());
        match newest {
            Ok(Some((_, evidence))) => fresh.after(&evidence),
            Ok(None) => fresh,
            Err(error) => {
                tracing::warn!(run = %run, error = %error, "the newest decision cannot be read; its posture is judged afresh");
                fresh
            }
        }
    }

    fn after(self, evidence: &DecisionEvidence) -> RunPosture {
        let reason = evidence.posture_reason.parse().ok();
        let standing = match reason {
            // What an operator says is read again; what the signals said beside it is not on record.
            None | Some(PostureReason::Forced | PostureReason::Calm) => CALM,
            Some(reason) => Standing {
                posture: evidence.posture,
                reason,
            },
        };
        let signals = evidence.posture_signals.as_ref();
        let excused_ms = signals.map_or(0, |it| it.excused_ms);
        RunPosture {
            ladder: Ladder::new(self.thresholds, standing),
            excuse: Excuse::of(excused_ms, evidence.decided_at),
            before: evidence.posture,
            ..self
        }
    }

    /// A wait for context ended.
    pub(super) fn waited(&mut self, now: Time, admitted_at: Time) {
        self.excuse.waited(now, admitted_at);
    }

    /// The posture of a batch.
    pub(super) fn judge(&mut self, asked: &Asked<'_>) -> Judged {
        let now = asked.now;
        let (recent, missing) = self.ladder.look_back(asked.lacks.iter().copied());
        let forced = force::decides(asked.forces, now);
        let own_lag_ms = self.excuse.own_lag_ms(now, asked.oldest_admitted_at);
        let signals = PostureSignals {
            recent,
            missing,
            store_errors: asked.store_errors.count(now),
            own_lag_ms: self.is_live.then_some(own_lag_ms),
            excused_ms: self.excuse.left_ms(now),
            bundle: asked.bundle,
            forced: forced.map(|(force, _)| force.named()),
        };
        let forced = forced.map(|(_, posture)| posture);
        let standing = self.ladder.judge(now, &signals, forced);
        let before = std::mem::replace(&mut self.before, standing.posture);
        Judged {
            standing,
            capabilities: posture::capabilities(standing.posture),
            signals,
            before,
        }
    }
}

impl Judged {
    /// The fact of a change; `seq` is that of the first decision under the new posture.
    pub(super) fn change(&self, ground: &Ground, run: &PlatformRunId, seq: i64) -> Option<Fact> {
        let Standing { posture, reason } = self.standing;
        if posture == self.before {
            return None;
        }
        let (run_text, seq) = (run.to_string(), seq.to_string());
        let natural_key = [run_text.as_str(), seq.as_str(), posture.as_str()];
        let mut fact = ground.fact(FactType::PostureChanged, &natural_key, Some(*run));
        let signals = serde_json::to_string(&self.signals).expect("signals are plain JSON");
        for (name, value) in [
            ("from", self.before.to_string()),
            ("reason", reason.to_string()),
            ("signals", signals),
        ] {
            fact.details.insert(name.to_owned(), value);
        }
        Some(fact)
    }
}
