//! The actions, the newest first, a page at a time.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::action_intent::{ActionSubject, IntentType};
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::{ActionIntentId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::vocabulary;
use crate::rtdl::actions::Error;
use crate::substrate::db::{self, Client, Row, ToSql};

const LIST: &str = include_str!("sql/list.sql");
const LIST_OF_RUN: &str = include_str!("sql/list_of_run.sql");

/// Actions on a page at most.
pub(super) const PAGE_MAX: usize = 1_000;

vocabulary!(
    /// Where an action stands.
    ActionState {
        /// It is to be carried out.
        Open = "OPEN",
        /// Out of attempts, or refused: it waits for an operator.
        Dead = "DEAD",
        Succeeded = "SUCCEEDED",
        /// An operator gave it up.
        Failed = "FAILED",
    }
);

impl ActionState {
    /// From the row and from the result of the outcome, if there is one.
    pub(super) fn of(state: &str, result: Option<&str>) -> Result<ActionState, Error> {
        let word = match state {
            "DONE" => result.unwrap_or("DONE"),
            other => other,
        };
        let parsed = word.parse();
        Ok(parsed.map_err(|cause: ParseError| db::Error::form("state of an action", &cause))?)
    }

    /// The row's state and the outcome's result that it stands for.
    fn columns(self) -> (&'static str, Option<&'static str>) {
        match self {
            ActionState::Open | ActionState::Dead => (self.as_str(), None),
            ActionState::Succeeded | ActionState::Failed => ("DONE", Some(self.as_str())),
        }
    }
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ActionRow {
    pub action_intent_id: ActionIntentId,
    pub requested_at: Time,
    pub intent_type: IntentType,
    pub subject: ActionSubject,
    pub state: ActionState,
    /// Attempts that were begun.
    pub attempt_no: i64,
    /// When it is tried next; of an open one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
}

/// A page of actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ActionPage {
    pub results: Vec<ActionRow>,
    /// What to ask after for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub run: Option<PlatformRunId>,
    pub state: Option<ActionState>,
    pub intent_type: Option<IntentType>,
    pub after: Option<Place>,
    pub limit: usize,
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    requested_at: Time,
    id: ActionIntentId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.requested_at.micros(), self.id)
    }
}

impl FromStr for Place {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Place, ParseError> {
        let read = || {
            let (micros, id) = text.split_once('.')?;
            Some(Place {
                requested_at: Time::from_micros(micros.parse().ok()?),
                id: id.parse().ok()?,
            })
        };
        // What no column can hold is no place either.
        let place = read().filter(|it| (0..1 << 60).contains(&it.requested_at.micros()));
        place.ok_or_else(|| ParseError {
            found: text.chars().take(80).collect(),
            expected: "what a page gave as `next`",
        })
    }
}

/// One page.
///
/// # Errors
/// Those of the database.
pub async fn list(client: &Client, wanted: &Wanted) -> Result<ActionPage, Error> {
    let limit = wanted.limit.clamp(1, PAGE_MAX);
    let (state, result) = wanted.state.map(ActionState::columns).unzip();
    let result = result.flatten();
    let intent_type = wanted.intent_type.as_ref().map(IntentType::as_str);
    let last = Place {
        requested_at: Time::from_micros(1 << 60),
        id: ActionIntentId::from_digest(Digest::from_bytes([0xff; 32])),
    };
    let Place { requested_at, id } = wanted.after.unwrap_or(last);
    // One more than asked for tells whether there is a next page.
    let n = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut values: Vec<&(dyn ToSql + Sync)> =
        vec![&requested_at, &id, &state, &intent_type, &result, &n];
    let sql = match &wanted.run {
        Some(run) => {
            values.push(run);
            LIST_OF_RUN
        }
        None => LIST,
    };
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &values).await?;
    let results: Vec<ActionRow> = rows
        .iter()
        .take(limit)
        .map(read)
        .collect::<Result<_, _>>()?;
    let last = results.last().filter(|_| rows.len() > limit);
    let next = last.map(|it| Place {
        requested_at: it.requested_at,
        id: it.action_intent_id,
    });
    Ok(ActionPage {
        next: next.map(|it| it.to_string()),
        results,
    })
}

fn read(row: &Row) -> Result<ActionRow, Error> {
    let form = |cause: ParseError| db::Error::form("action", &cause);
    let state = ActionState::of(row.get(3), row.get(8))?;
    Ok(ActionRow {
        action_intent_id: row.get(0),
        requested_at: row.get(1),
        intent_type: row.get::<_, &str>(2).parse().map_err(form)?,
        subject: ActionSubject {
            subject_type: row.get::<_, &str>(6).parse().map_err(form)?,
            subject_id: row.get(7),
        },
        state,
        attempt_no: row.get(4),
        due_at: (state == ActionState::Open).then(|| row.get(5)),
    })
}
