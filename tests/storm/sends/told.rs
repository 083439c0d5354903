//! What producers were told, event by event, in a few bytes each: a million receipts are not kept.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fraudplat::contracts::code::Code;
use fraudplat::contracts::receipt::Receipt;
use fraudplat::contracts::verdict::Verdict;
use fraudplat::domain::vocabulary::IngestResult;

use crate::checks::check;
use crate::sends::plan::{Plan, Send};

/// What was said of one event; `[first, other]` where it is of a payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// How often it was said to be new.
    pub(crate) n_new: u32,
    /// The fingerprint of its receipt.
    pub(crate) receipt: Option<u64>,
    pub(crate) taken: [bool; 2],
    pub(crate) refused: [bool; 2],
}

pub(crate) struct Told {
    events: Mutex<Vec<Heard>>,
}

impl Told {
    pub(crate) fn new(plan: &Plan) -> Told {
        let n_events = usize::try_from(plan.n_events()).unwrap();
        Told {
            events: Mutex::new(vec![Heard::default(); n_events]),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the verdicts on these sends; returns those that have none that is final.
    pub(crate) fn hear(&self, plan: &Plan, sends: Vec<Send>, verdicts: &[Verdict]) -> Vec<Send> {
        check(
            "one verdict an event",
            verdicts.len() == sends.len(),
            verdicts.len(),
        );
        let mut events = self.lock();
        let mut open = Vec::new();
        for (send, verdict) in sends.into_iter().zip(verdicts) {
            let of = usize::from(send.is_other);
            let heard = &mut events[usize::try_from(send.event).unwrap()];
            match (verdict.result, &verdict.receipt, verdict.code) {
                (IngestResult::PublishInFlight, None, None) => open.push(send),
                (IngestResult::Admitted | IngestResult::Duplicate, Some(receipt), None) => {
                    heard.n_new += u32::from(verdict.result == IngestResult::Admitted);
                    heard.taken[of] = true;
                    let found = fingerprint(receipt);
                    let first = *heard.receipt.get_or_insert(found);
                    check(
                        "every reply has the first receipt",
                        first == found,
                        format!("{receipt:?}"),
                    );
                }
                (IngestResult::Quarantined, None, Some(Code::PayloadHashMismatch))
                    if plan.is_planted(send.event) =>
                {
                    heard.refused[of] = true;
                }
                _ => check(
                    "only a planted payload is refused",
                    false,
                    format!("{verdict:?}"),
                ),
            }
        }
        open
    }

    /// All of it, once everything is sent.
    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.lock())
    }
}

/// All that a receipt proves, in 64 bits.
pub(crate) fn fingerprint(receipt: &Receipt) -> u64 {
    let mut hasher = DefaultHasher::new();
    let place = &receipt.eb_ref;
    receipt.payload_hash.to_string().hash(&mut hasher);
    receipt.event_id.as_str().hash(&mut hasher);
    receipt.event_class.as_str().hash(&mut hasher);
    (receipt.batch_id, receipt.admitted_at.micros()).hash(&mut hasher);
    format!("{place:?}").hash(&mut hasher);
    hasher.finish()
}
