//! The ladder NORMAL → DEGRADED_1 → DEGRADED_2 → FAIL_CLOSED. Pure: it is told the time and the signals,
//! and answers the posture and why it stands.
//!
//! It goes down at once, as far as the worst signal says. It comes up one step at a time, when every signal
//! has been below half of what led down for a stated calm time: a posture that flickers is worse than one
//! that stays. FAIL_CLOSED is entered only where no bundle may decide or an operator says so (L8): rules on
//! event and windows are better than none for whoever must answer a payment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::contracts::decision::{BundleState, PostureSignals};
use crate::domain::time::Time;
use crate::domain::vocabulary::{Posture, PostureReason};

/// When to leave NORMAL, and when to come back. Meaning, not envelope: part of `semantic_digest` where a
/// profile states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    pub degraded_1: Limits,
    pub degraded_2: Limits,
    /// How many decisions back the share of missing context is taken over.
    pub recent_decisions: u32,
    /// How long every signal must be below half before a step up.
    pub calm_ms: u64,
}

/// What leads to a step. Reached is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of the recent decisions that lack a part of their frame.
    pub missing_percent: u32,
    /// Failed reads and commits within [`STORE_ERRORS_MS`].
    pub store_errors: u32,
    pub own_lag_ms: u64,
}

/// How long a failure of the store counts.
pub const STORE_ERRORS_MS: i64 = 60_000;
/// A share of fewer decisions than this says nothing.
const RECENT_MIN: u32 = 20;

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            degraded_1: Limits {
                missing_percent: 20,
                store_errors: 3,
                own_lag_ms: 10_000,
            },
            degraded_2: Limits {
                missing_percent: 50,
                store_errors: 10,
                own_lag_ms: 60_000,
            },
            recent_decisions: 200,
            calm_ms: 30_000,
        }
    }
}

/// What the ladder answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub posture: Posture,
    pub reason: PostureReason,
}

pub const CALM: Standing = Standing {
    posture: Posture::Normal,
    reason: PostureReason::Calm,
};

/// One run's ladder.
#[derive(Debug, Clone)]
pub struct Ladder {
    thresholds: Thresholds,
    /// By the signals alone, whatever an operator says.
    standing: Standing,
    calm_since: Option<Time>,
    /// Of the newest decisions, which lack a part of their frame.
    recent: VecDeque<bool>,
}

impl Ladder {
    /// A ladder that begins where another left off.
    #[must_use]
    pub fn new(thresholds: Thresholds, standing: Standing) -> Ladder {
        Ladder {
            thresholds,
            standing,
            calm_since: None,
            recent: VecDeque::new(),
        }
    }

    /// Remembers frames, each whether it lacks a part. Returns how many are remembered, and how many of those
    /// lack one.
    pub fn look_back(&mut self, frames: impl Iterator<Item = bool>) -> (u32, u32) {
        let max = usize::try_from(self.thresholds.recent_decisions).unwrap_or(usize::MAX);
        for lacks in frames {
            self.recent.push_back(lacks);
            if self.recent.len() > max {
                self.recent.pop_front();
            }
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let missing = self.recent.iter().filter(|lacks| **lacks).count();
        (count(self.recent.len()), count(missing))
    }

    /// The posture of the decisions that are made now; `forced` is what an operator says.
    pub fn judge(
        &mut self,
        now: Time,
        signals: &PostureSignals,
        forced: Option<Posture>,
    ) -> Standing {
        self.correct(signals.bundle);
        let worst = self.worst(signals, 1);
        if worst.posture > self.standing.posture {
            (self.standing, self.calm_since) = (worst, None);
        } else if self.worst(signals, 2).posture < self.standing.posture {
            let since = *self.calm_since.get_or_insert(now);
            if now >= since.plus_ms(self.thresholds.calm_ms) {
                self.step_up(worst);
                self.calm_since = Some(now);
            }
        } else {
            self.calm_since = None;
        }
        match forced {
            // Nobody can have a bundle decide that is not there.
            Some(posture) if signals.bundle != BundleState::None => Standing {
                posture,
                reason: PostureReason::Forced,
            },
            _ => self.standing,
        }
    }

    /// What led down and is over must not be named any more: unlike a share or a lag, a bundle is there or not.
    fn correct(&mut self, bundle: BundleState) {
        let reason = &mut self.standing.reason;
        *reason = match (*reason, bundle) {
            (PostureReason::BundleNone, BundleState::Fallback) => PostureReason::BundleFallback,
            (PostureReason::BundleNone | PostureReason::BundleFallback, BundleState::Resolved) => {
                PostureReason::BundleRestored
            }
            (
                PostureReason::BundleNone
                | PostureReason::BundleFallback
                | PostureReason::BundleRestored,
                BundleState::None,
            ) => PostureReason::BundleNone,
            (PostureReason::BundleRestored, BundleState::Fallback) => PostureReason::BundleFallback,
            (reason, _) => reason,
        };
    }

    fn step_up(&mut self, worst: Standing) {
        self.standing = match self.standing.posture {
            Posture::FailClosed => Standing {
                posture: Posture::Degraded2,
                ..self.standing
            },
            Posture::Degraded2 => Standing {
                posture: Posture::Degraded1,
                ..self.standing
            },
            Posture::Degraded1 | Posture::Normal => CALM,
        };
        if worst.posture == self.standing.posture {
            self.standing = worst;
        }
    }

    /// The lowest step that a signal leads to when its limits are divided by `divisor`.
    fn worst(&self, signals: &PostureSignals, divisor: u32) -> Standing {
        let at = |posture, reason| Standing { posture, reason };
        match signals.bundle {
            BundleState::None => return at(Posture::FailClosed, PostureReason::BundleNone),
            BundleState::Fallback | BundleState::Resolved => {}
        }
        let Thresholds {
            degraded_1,
            degraded_2,
            ..
        } = &self.thresholds;
        if let Some(reason) = degraded_2.reached(signals, divisor) {
            return at(Posture::Degraded2, reason);
        }
        if let Some(reason) = degraded_1.reached(signals, divisor) {
            return at(Posture::Degraded1, reason);
        }
        match signals.bundle {
            BundleState::Fallback => at(Posture::Degraded1, PostureReason::BundleFallback),
            _ => CALM,
        }
    }
}

impl Limits {
    fn reached(&self, signals: &PostureSignals, divisor: u32) -> Option<PostureReason> {
        let share = u64::from(signals.missing) * 100 * u64::from(divisor);
        let needed = u64::from(self.missing_percent) * u64::from(signals.recent);
        let lag = signals.own_lag_ms.unwrap_or_default();
        if signals.store_errors.saturating_mul(divisor) >= self.store_errors {
            Some(PostureReason::StoreErrors)
        } else if signals.recent >= RECENT_MIN && share >= needed {
            Some(PostureReason::MissingContext)
        } else if lag.saturating_mul(u64::from(divisor)) >= self.own_lag_ms {
            Some(PostureReason::OwnLag)
        } else {
            None
        }
    }
}

/// Lateness that is not the group's own. What it waited for was nowhere until the wait ended, so all that
/// was admitted before has waited with it; and what is admitted while the rest is worked off waits behind
/// that. So the lateness at the end of a wait is excused: no more of it than is still there as the group
/// catches up, and a tenth of a second less with every second, so that one who never does is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Excuse {
    lateness_ms: u64,
    since: Time,
}

impl Excuse {
    /// As a decision of another process left it.
    #[must_use]
    pub fn of(lateness_ms: u64, since: Time) -> Excuse {
        Excuse { lateness_ms, since }
    }

    /// A wait ended: the context of an event that was admitted then is there now, or is judged missing.
    pub fn waited(&mut self, now: Time, admitted_at: Time) {
        let lateness_ms = admitted_at.ms_until(now);
        if self.left_ms(now) < lateness_ms {
            *self = Excuse {
                lateness_ms,
                since: now,
            };
        }
    }

    /// How much lateness is still excused.
    #[must_use]
    pub fn left_ms(&self, now: Time) -> u64 {
        self.lateness_ms
            .saturating_sub(self.since.ms_until(now) / 10)
    }

    /// How late an event of this admission is by the group's own fault. What has been caught up is excused no
    /// longer.
    #[must_use]
    pub fn own_lag_ms(&mut self, now: Time, admitted_at: Time) -> u64 {
        let (lateness_ms, left_ms) = (admitted_at.ms_until(now), self.left_ms(now));
        if lateness_ms < left_ms {
            *self = Excuse {
                lateness_ms,
                since: now,
            };
        }
        lateness_ms.saturating_sub(left_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * SECOND)
    }

    fn ladder() -> Ladder {
        Ladder::new(Thresholds::default(), CALM)
    }

    fn lag(own_lag_ms: u64) -> PostureSignals {
        PostureSignals {
            own_lag_ms: Some(own_lag_ms),
            ..PostureSignals::default()
        }
    }

    fn missing(missing: u32, recent: u32) -> PostureSignals {
        PostureSignals {
            missing,
            recent,
            ..PostureSignals::default()
        }
    }

    fn errors(store_errors: u32) -> PostureSignals {
        PostureSignals {
            store_errors,
            ..PostureSignals::default()
        }
    }

    fn bundle(bundle: BundleState) -> PostureSignals {
        PostureSignals {
            bundle,
            ..PostureSignals::default()
        }
    }

    #[test]
    fn each_signal_leads_down_at_once_and_says_so() {
        use Posture::{Degraded1, Degraded2, FailClosed, Normal};
        use PostureReason::{
            BundleFallback, BundleNone, Calm, MissingContext, OwnLag, StoreErrors,
        };
        let check = |signals: PostureSignals, posture, reason| {
            let stands = ladder().judge(at(0), &signals, None);
            assert_eq!(stands, Standing { posture, reason }, "{signals:?}");
        };
        check(PostureSignals::default(), Normal, Calm);
        check(lag(9_999), Normal, Calm);
        check(lag(10_000), Degraded1, OwnLag);
        check(lag(60_000), Degraded2, OwnLag);
        check(lag(u64::MAX), Degraded2, OwnLag);
        check(missing(19, 100), Normal, Calm);
        check(missing(20, 100), Degraded1, MissingContext);
        check(missing(100, 200), Degraded2, MissingContext);
        // Too few to say anything.
        check(missing(19, 19), Normal, Calm);
        check(errors(2), Normal, Calm);
        check(errors(3), Degraded1, StoreErrors);
        check(errors(10), Degraded2, StoreErrors);
        check(bundle(BundleState::Fallback), Degraded1, BundleFallback);
        check(bundle(BundleState::None), FailClosed, BundleNone);
        let both = PostureSignals {
            bundle: BundleState::Fallback,
            ..lag(60_000)
        };
        check(both, Degraded2, OwnLag);
    }

    /// Postures at each second under these lags.
    fn postures(lags_ms: &[(i64, u64)]) -> Vec<Posture> {
        let mut ladder = ladder();
        let judge =
            |(second, lag_ms): &(i64, u64)| ladder.judge(at(*second), &lag(*lag_ms), None).posture;
        lags_ms.iter().map(judge).collect()
    }

    #[test]
    fn it_comes_up_one_step_after_each_calm_time() {
        use Posture::{Degraded1, Degraded2, Normal};
        let lags = [(0, 60_000), (1, 0), (30, 0), (31, 0), (60, 0), (61, 0)];
        let expected = [
            Degraded2, Degraded2, Degraded2, Degraded1, Degraded1, Normal,
        ];
        assert_eq!(postures(&lags), expected);
    }

    #[test]
    fn half_a_limit_is_not_calm_and_starts_the_time_again() {
        use Posture::{Degraded1, Normal};
        // 5 s is half of what led down: it neither leads down nor lets up.
        let lags = [
            (0, 10_000),
            (10, 0),
            (39, 5_000),
            (40, 4_999),
            (69, 0),
            (70, 0),
        ];
        let expected = [
            Degraded1, Degraded1, Degraded1, Degraded1, Degraded1, Normal,
        ];
        assert_eq!(postures(&lags), expected);
    }

    #[test]
    fn what_still_stands_names_itself_on_the_way_up() {
        let mut ladder = ladder();
        ladder.judge(at(0), &lag(60_000), None);
        let still = errors(3);
        ladder.judge(at(1), &still, None);
        let stands = ladder.judge(at(31), &still, None);
        let expected = Standing {
            posture: Posture::Degraded1,
            reason: PostureReason::StoreErrors,
        };
        assert_eq!(stands, expected);
        assert_eq!(ladder.judge(at(600), &still, None), expected);
    }

    #[test]
    fn an_operator_decides_alone_but_cannot_conjure_a_bundle() {
        let mut ladder = ladder();
        let calm = PostureSignals::default();
        let stands = ladder.judge(at(0), &calm, Some(Posture::FailClosed));
        assert_eq!(stands.posture, Posture::FailClosed);
        assert_eq!(stands.reason, PostureReason::Forced);
        // Released, what the signals say stands at once.
        assert_eq!(ladder.judge(at(1), &calm, None), CALM);
        let late = ladder.judge(at(2), &lag(60_000), Some(Posture::Normal));
        assert_eq!(late.posture, Posture::Normal);
        let released = ladder.judge(at(3), &lag(60_000), None);
        assert_eq!(released.reason, PostureReason::OwnLag);
        let none = ladder.judge(at(4), &bundle(BundleState::None), Some(Posture::Normal));
        assert_eq!(none.posture, Posture::FailClosed);
    }

    #[test]
    fn on_the_way_up_a_bundle_is_named_as_it_is() {
        use BundleState::{Fallback, None as Closed, Resolved};
        use Posture::{Degraded1, Degraded2, FailClosed, Normal};
        use PostureReason::{BundleFallback, BundleNone, BundleRestored, Calm};
        let mut ladder = ladder();
        for (second, state, posture, reason) in [
            (0, Closed, FailClosed, BundleNone),
            (1, Resolved, FailClosed, BundleRestored),
            (2, Closed, FailClosed, BundleNone),
            (3, Fallback, FailClosed, BundleFallback),
            (33, Fallback, Degraded2, BundleFallback),
            (63, Fallback, Degraded1, BundleFallback),
            (64, Resolved, Degraded1, BundleRestored),
            (65, Fallback, Degraded1, BundleFallback),
            (66, Resolved, Degraded1, BundleRestored),
            (96, Resolved, Normal, Calm),
        ] {
            let stands = ladder.judge(at(second), &bundle(state), None);
            assert_eq!(stands, Standing { posture, reason }, "at {second}");
        }
    }

    #[test]
    fn the_share_is_of_the_newest_decisions() {
        let mut ladder = ladder();
        let of = |lacks: bool, n: usize| std::iter::repeat_n(lacks, n);
        assert_eq!(ladder.look_back(of(true, 150)), (150, 150));
        assert_eq!(ladder.look_back(of(false, 100)), (200, 100));
        assert_eq!(ladder.look_back(of(false, 200)), (200, 0));
    }

    #[test]
    fn an_hour_of_waiting_and_its_catch_up_are_not_the_groups_own() {
        let mut excuse = Excuse::default();
        let hour = 3_600;
        assert_eq!(excuse.own_lag_ms(at(10), at(0)), 10_000);
        // Admitted at 0, its context is there an hour later.
        excuse.waited(at(hour), at(0));
        // A fifth faster than they come: five hours until all is caught up.
        for minute in 0..=300 {
            let now = hour + 60 * minute;
            let admitted = 72 * minute;
            let own = excuse.own_lag_ms(at(now), at(admitted));
            assert_eq!(own, 0, "after {minute} minutes");
        }
        // From then on nothing is excused.
        let now = 7 * hour;
        assert_eq!(excuse.own_lag_ms(at(now), at(now - 20)), 20_000);
        // Who does not catch up at all is late by its own fault after a while.
        let mut slow = Excuse::default();
        slow.waited(at(hour), at(0));
        assert_eq!(slow.own_lag_ms(at(hour + 600), at(600)), 60_000);
        // A short wait excuses no more than itself.
        let mut short = Excuse::default();
        short.waited(at(100), at(99));
        assert_eq!(short.own_lag_ms(at(110), at(90)), 20_000);
        // A later short wait takes nothing back.
        let mut long = Excuse::default();
        long.waited(at(hour), at(0));
        long.waited(at(hour + 1), at(hour));
        assert_eq!(long.own_lag_ms(at(hour + 1), at(2)), 0);
    }
}
