//! What becomes of an action after an attempt. Pure.

use crate::domain::time::Time;
use crate::rtdl::actions::backoff::{self, Bounds};
use crate::rtdl::actions::executor::{AttemptResult, Tried};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is done.
    Done,
    /// It is tried again then.
    Again { failures: i32, due_at: Time },
    /// It waits for an operator.
    Dead { failures: i32 },
}

/// How patient an executor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// So many attempts may fail, from the request or from the last requeue.
    pub(super) attempts_max: u32,
    pub(super) bounds: Bounds,
}

/// `failures` are those before this attempt; `draw` is any number.
pub(super) fn next(patience: Patience, failures: i32, tried: &Tried, now: Time, draw: u64) -> Next {
    let failures = failures.saturating_add(1);
    match tried.result {
        AttemptResult::Done => Next::Done,
        AttemptResult::Refused => Next::Dead { failures },
        AttemptResult::Failed if failures.unsigned_abs() >= patience.attempts_max => {
            Next::Dead { failures }
        }
        AttemptResult::Failed => {
            let wait_ms = backoff::wait_ms(patience.bounds, failures.unsigned_abs(), draw);
            let asked = tried.retry_after.map_or(0, |it| it.as_millis());
            let asked = u64::try_from(asked).unwrap_or(u64::MAX);
            let due_at = now.plus_ms(wait_ms.max(asked));
            Next::Again { failures, due_at }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time::from_micros(1_000_000);

    #[track_caller]
    fn check(failures: i32, result: AttemptResult, retry_after_s: Option<u64>, expect: Next) {
        let patience = Patience {
            attempts_max: 3,
            bounds: Bounds {
                first_ms: 100,
                ms_max: 1_000,
            },
        };
        let tried = Tried {
            result,
            http_status: None,
            detail: String::new(),
            retry_after: retry_after_s.map(Duration::from_secs),
            is_ill: false,
        };
        assert_eq!(next(patience, failures, &tried, NOW, 0), expect);
    }

    #[test]
    fn an_action_is_tried_again_until_it_is_done_refused_or_out_of_attempts() {
        let again = |failures, ms| Next::Again {
            failures,
            due_at: NOW.plus_ms(ms),
        };
        check(0, AttemptResult::Done, None, Next::Done);
        check(0, AttemptResult::Failed, None, again(1, 50));
        check(1, AttemptResult::Failed, None, again(2, 100));
        check(0, AttemptResult::Failed, Some(7), again(1, 7_000));
        check(2, AttemptResult::Failed, None, Next::Dead { failures: 3 });
        check(0, AttemptResult::Refused, None, Next::Dead { failures: 1 });
    }
}
