//! `?wait=decision`: a request waits for the decisions on its traffic events. How many wait is
//! bounded before anything is admitted; an event is admitted whether or not its decision comes in
//! time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::contracts::decision_notice::{DecisionWaiter, DecisionWatch};
use crate::contracts::verdict::Verdict;
use crate::domain::ids::DecisionId;
use crate::domain::vocabulary::IngestResult;
use crate::ingress::ig::queue::Full;
use crate::ingress::ig::role::Options;

/// Until when a request waits for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) at_most: Duration,
    pub(super) until: Instant,
}

/// How long `query` asks to wait; `None` where it does not.
///
/// # Errors
/// What is wrong with it, and what is meant.
pub(super) fn asked(query: Option<&str>, options: &Options) -> Result<Option<Duration>, String> {
    let (mut is_asked, mut timeout_ms) = (false, None);
    let pairs = query.unwrap_or_default().split('&');
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("wait", "decision") => is_asked = true,
            ("wait", _) => return Err("wait: the only thing to wait for is `decision`".to_owned()),
            ("timeout_ms", text) => timeout_ms = Some(milliseconds(text, options)?),
            _ => return Err("a parameter that is neither wait nor timeout_ms".to_owned()),
        }
    }
    match (is_asked, timeout_ms) {
        (true, timeout_ms) => {
            let at_most = timeout_ms.unwrap_or(options.decision_wait_ms);
            Ok(Some(Duration::from_millis(at_most)))
        }
        (false, None) => Ok(None),
        (false, Some(_)) => Err("timeout_ms: means nothing without wait=decision".to_owned()),
    }
}

fn milliseconds(text: &str, options: &Options) -> Result<u64, String> {
    let max = options.decision_wait_ms_max;
    let is_digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let number = is_digits.then(|| text.parse().ok()).flatten();
    let fits = number.filter(|number| *number <= max);
    fits.ok_or_else(|| format!("timeout_ms: a whole number of milliseconds, at most {max}"))
}

/// The places of those that wait, and whom they listen to.
pub(super) struct Waits {
    decisions: Arc<dyn DecisionWaiter>,
    places: Arc<Semaphore>,
}

/// The decisions that one request waits for.
pub(super) struct Waiting {
    watch: Box<dyn DecisionWatch>,
    /// Where the verdicts of each event stand in the answer.
    places: BTreeMap<DecisionId, Vec<usize>>,
    patience: Patience,
    _held: OwnedSemaphorePermit,
}

impl Waits {
    pub(super) fn new(decisions: Arc<dyn DecisionWaiter>, waits_max: usize) -> Waits {
        Waits {
            decisions,
            places: Arc::new(Semaphore::new(waits_max)),
        }
    }

    /// Begins to watch, before the events are admitted: no decision on them is missed.
    ///
    /// # Errors
    /// [`Full`] when too many wait already.
    pub(super) fn begin(
        &self,
        places: BTreeMap<DecisionId, Vec<usize>>,
        patience: Patience,
    ) -> Result<Waiting, Full> {
        let n = u32::try_from(places.len()).map_err(|_| Full)?;
        let held = self.places.clone().try_acquire_many_owned(n);
        let ids: Vec<DecisionId> = places.keys().copied().collect();
        Ok(Waiting {
            _held: held.map_err(|_| Full)?,
            watch: self.decisions.watch(&ids),
            places,
            patience,
        })
    }
}

impl Waiting {
    /// Puts the decisions into the verdicts as they come, until all are there or the time is over.
    /// Returns whether all are there.
    pub(super) async fn finish(mut self, verdicts: &mut [Verdict]) -> bool {
        let is_taken = |verdict: &Verdict| {
            use IngestResult::{Admitted, Duplicate, PublishInFlight};
            matches!(verdict.result, Admitted | Duplicate | PublishInFlight)
        };
        self.places.retain(|_, at| {
            at.retain(|at| is_taken(&verdicts[*at]));
            !at.is_empty()
        });
        let is_repeat = |at: &usize| verdicts[*at].result == IngestResult::Duplicate;
        let repeats = self.places.iter().filter(|it| it.1.iter().any(is_repeat));
        let repeats: Vec<DecisionId> = repeats.map(|it| *it.0).collect();
        if !repeats.is_empty() {
            self.watch.look_up(&repeats);
        }
        while !self.places.is_empty() {
            let next = tokio::time::timeout_at(self.patience.until, self.watch.next());
            let Ok(Some(notice)) = next.await else { break };
            for at in self.places.remove(&notice.decision_id).unwrap_or_default() {
                verdicts[at].decision = Some(notice.clone());
            }
        }
        for (id, at) in &self.places {
            for at in at {
                verdicts[*at].detail = Some(format!(
                    "not decided within {} ms; ask GET /v1/decisions/{id}, or send the same event again",
                    self.patience.at_most.as_millis()
                ));
            }
        }
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expect: Result<Option<u64>, &str>) {
        let asked = asked(Some(query), &Options::default());
        let expect = expect.map(|it| it.map(Duration::from_millis));
        match (asked, expect) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expect) => assert_eq!(found, expect.map_err(str::to_owned)),
        }
    }

    #[test]
    fn a_query_asks_for_a_wait_or_is_refused() {
        check("", Ok(None));
        check("wait=decision", Ok(Some(5_000)));
        check("wait=decision&timeout_ms=0", Ok(Some(0)));
        check("timeout_ms=30000&wait=decision", Ok(Some(30_000)));
        check("wait=decision&timeout_ms=30001", Err("at most 30000"));
        check("wait=decision&timeout_ms=-1", Err("whole number"));
        check("wait=decision&timeout_ms=%2B1", Err("whole number"));
        check("wait=decision&timeout_ms=+1", Err("whole number"));
        check("timeout_ms=5", Err("without wait=decision"));
        check("wait", Err("only thing"));
        check("wait=receipt", Err("only thing"));
        check("wiat=decision", Err("neither"));
    }
}
