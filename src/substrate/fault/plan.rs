//! Which call fails, and how: a script, a function of the call, or a seed. No chance of its own.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::substrate::bus::RefusalCode;

/// What a wrapper may be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    PutRecords,
    Shards,
    Read,
    Tip,
    PutNew,
    Get,
    GetRange,
    List,
    Remove,
    Presign,
}

/// One call, as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub operation: Operation,
    /// Counts the calls of all wrappers that share the plan, from 0.
    pub number: u64,
}

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Pass,
    /// Nothing is applied and a put says so: each record is refused with this code. Other calls
    /// fail as with [`Fault::Fail`].
    Refuse(RefusalCode),
    /// Nothing is applied, but the caller cannot know: `Unknown` for a put, else an IO error.
    Fail,
    /// Applied, but the reply is lost: `Unknown` for a put, else an IO error.
    LoseReply,
    /// A put refuses the records at these places with this code, holds back later ones of their
    /// keys, and applies the rest. Other calls pass.
    RefuseSome {
        places: Vec<usize>,
        code: RefusalCode,
    },
    /// The call is first polled in vain this many times.
    Delay {
        polls: u32,
        then: Box<Fault>,
    },
}

/// How often, of a million calls, a seeded plan does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    pub refuse_ppm: u32,
    pub fail_ppm: u32,
    pub lose_reply_ppm: u32,
    /// Of puts: the first record is refused.
    pub refuse_some_ppm: u32,
    pub delay_ppm: u32,
}

type Choice = dyn Fn(Call) -> Fault + Send + Sync;

#[derive(Default)]
struct State {
    n_calls: u64,
    scripted: BTreeMap<Operation, VecDeque<Fault>>,
    otherwise: Option<Box<Choice>>,
    injected: Vec<(Call, Fault)>,
}

/// A handle on a plan; clones share it. Scripted faults go first, each to the next call of its
/// operation; then the plan's function decides; without one, calls pass.
#[derive(Clone, Default)]
pub struct FaultPlan(Arc<Mutex<State>>);

impl FaultPlan {
    /// Every call passes until [`FaultPlan::script`] says otherwise.
    #[must_use]
    pub fn none() -> FaultPlan {
        FaultPlan::default()
    }

    /// Each call is asked for; the answer must depend on the call alone.
    #[must_use]
    pub fn by(choice: impl Fn(Call) -> Fault + Send + Sync + 'static) -> FaultPlan {
        let plan = FaultPlan::default();
        plan.state().otherwise = Some(Box::new(choice));
        plan
    }

    /// The same seed and rates give the same fault to the same call.
    #[must_use]
    pub fn seeded(seed: u64, rates: Rates) -> FaultPlan {
        FaultPlan::by(move |call| drawn(seed, rates, call))
    }

    /// Appends faults for the next calls of an operation, one each; [`Fault::Pass`] skips a call.
    pub fn script(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state.scripted.entry(operation).or_default().extend(faults);
    }

    /// How many calls were made.
    #[must_use]
    pub fn n_calls(&self) -> u64 {
        self.state().n_calls
    }

    /// What did not pass, in order.
    #[must_use]
    pub fn injected(&self) -> Vec<(Call, Fault)> {
        self.state().injected.clone()
    }

    /// Counts a call, waits out its delay, and answers what else befalls it: never a delay.
    pub(super) async fn next(&self, operation: Operation) -> Fault {
        let mut fault = self.draw(operation);
        while let Fault::Delay { polls, then } = fault {
            delay(polls).await;
            fault = *then;
        }
        fault
    }

    fn draw(&self, operation: Operation) -> Fault {
        let mut state = self.state();
        let call = Call {
            operation,
            number: state.n_calls,
        };
        state.n_calls += 1;
        let scripted = state
            .scripted
            .get_mut(&operation)
            .and_then(VecDeque::pop_front);
        let fault = scripted
            .or_else(|| state.otherwise.as_ref().map(|choice| choice(call)))
            .unwrap_or(Fault::Pass);
        if fault != Fault::Pass {
            state.injected.push((call, fault.clone()));
        }
        fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn delay(polls: u32) {
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn drawn(seed: u64, rates: Rates, call: Call) -> Fault {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&seed.to_le_bytes())
        .update(&call.number.to_le_bytes());
    let mut bytes = [0u8; 8];
    hasher.finalize_xof().fill(&mut bytes);
    let mut draw = u32::try_from(u64::from_le_bytes(bytes) % 1_000_000).unwrap_or_default();
    let some = Fault::RefuseSome {
        places: vec![0],
        code: RefusalCode::Throttled,
    };
    let late = Fault::Delay {
        polls: 1 + draw % 7,
        then: Box::new(Fault::Pass),
    };
    let choices = [
        (rates.refuse_ppm, Fault::Refuse(RefusalCode::Throttled)),
        (rates.fail_ppm, Fault::Fail),
        (rates.lose_reply_ppm, Fault::LoseReply),
        (rates.refuse_some_ppm, some),
        (rates.delay_ppm, late),
    ];
    for (ppm, fault) in choices {
        if draw < ppm {
            return fault;
        }
        draw -= ppm;
    }
    Fault::Pass
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_all(plan: &FaultPlan) -> Vec<Fault> {
        (0..1_000)
            .map(|_| plan.draw(Operation::PutRecords))
            .collect()
    }

    #[test]
    fn a_seed_gives_the_same_plan_and_about_its_rates() {
        let rates = Rates {
            fail_ppm: 100_000,
            lose_reply_ppm: 50_000,
            ..Rates::default()
        };
        let plan = FaultPlan::seeded(7, rates);
        let drawn = draw_all(&plan);
        assert_eq!(drawn, draw_all(&FaultPlan::seeded(7, rates)));
        assert_ne!(drawn, draw_all(&FaultPlan::seeded(8, rates)));
        let count = |fault| drawn.iter().filter(|it| **it == fault).count();
        assert!(
            (70..130).contains(&count(Fault::Fail)),
            "{}",
            count(Fault::Fail)
        );
        assert!((30..70).contains(&count(Fault::LoseReply)));
        assert_eq!(count(Fault::Refuse(RefusalCode::Throttled)), 0);
        assert_eq!(plan.injected().len() + count(Fault::Pass), 1_000);
    }

    #[test]
    fn a_script_is_per_operation_and_goes_before_the_function() {
        let plan = FaultPlan::by(|call| match call.number {
            3 => Fault::Fail,
            _ => Fault::Pass,
        });
        plan.script(Operation::Read, [Fault::Pass, Fault::LoseReply]);
        assert_eq!(plan.draw(Operation::Tip), Fault::Pass);
        assert_eq!(plan.draw(Operation::Read), Fault::Pass);
        assert_eq!(plan.draw(Operation::Read), Fault::LoseReply);
        assert_eq!(plan.draw(Operation::Read), Fault::Fail);
        assert_eq!(plan.draw(Operation::Read), Fault::Pass);
        assert_eq!(plan.n_calls(), 5);
    }
}
