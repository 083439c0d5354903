//! The Action Layer: carries out what decisions and cases ask for, through `log` or a signed webhook, and
//! appends every attempt and how it ended (L1, L2).
//!
//! One worker an executor, under one lease an executor: its calls are bounded and its breaker is one, however
//! many processes there are.
//!
//! **Invariant:** an action is called again under the same key until its end is recorded, never under another:
//! whoever applies a key once has every effect once. `docs/actions.md` has the contract.

mod backoff;
mod breaker;
mod desk;
mod doc;
mod error;
mod executor;
pub mod http;
mod intake;
mod list;
mod next;
mod role;
mod show;
mod store;
mod worker;

pub use breaker::Limits as BreakerLimits;
pub use desk::{abandon, requeue};
pub use error::Error;
pub use executor::{Endpoint, LOG};
pub use intake::{IntentResult, IntentVerdict, IntentsAnswer};
pub use list::{ActionPage, ActionRow, ActionState, Place, Wanted, list};
pub use role::{Actions, Options, open_logged};
pub use show::{ActionView, AttemptView, RequeuedView, show};
