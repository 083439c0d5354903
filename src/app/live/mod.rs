//! What a long command is doing, seen as a whole: the stages, how fast, what was decided, what came
//! of the checks. Each picture replaces the one before; whoever asked draws it at their own width.

mod show;
mod view;
mod watch;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::vocabulary::Outcome;

pub(crate) use crate::app::live::show::Show;
pub(crate) use crate::app::live::view::{Face, plain, view};

/// One picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Live {
    /// What it is about: scenario and size.
    pub(crate) title: String,
    /// The run, once it is pinned.
    pub(crate) run: String,
    pub(crate) elapsed_ms: u64,
    pub(crate) stages: Vec<Stage>,
    /// Decisions a second: in the last second, and one sample a tick, the oldest first.
    pub(crate) rate: u64,
    pub(crate) rates: Vec<u64>,
    /// Until everything is decided, at the rate of the last seconds.
    pub(crate) eta_ms: Option<u64>,
    /// In order of [`Outcome::ALL`].
    pub(crate) outcomes: [u64; 4],
    pub(crate) degraded: u64,
    /// Of the newest decisions.
    pub(crate) waited: Option<Waited>,
    /// Payments stopped last, the newest first.
    pub(crate) stopped: Vec<Stopped>,
    /// Checks of reconciliation: how many are equal, and how many there are.
    pub(crate) balance: Option<(u64, u64)>,
    /// Decisions recomputed: how many, and how many differ.
    pub(crate) replay: Option<(u64, u64)>,
}

/// A part of the work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) done: u64,
    /// 0 where it is not known.
    pub(crate) total: u64,
    /// What is being done, or what came of it.
    pub(crate) detail: String,
    pub(crate) took_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    #[default]
    Waiting,
    Doing,
    Done,
}

/// From admission to decision, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Waited {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// A payment that was not approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stopped {
    /// In event time, to the minute.
    pub(crate) ts: String,
    pub(crate) outcome: Outcome,
    pub(crate) score: i64,
    pub(crate) event_id: String,
    pub(crate) reasons: Vec<String>,
}

impl Live {
    pub(crate) fn decided(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}
