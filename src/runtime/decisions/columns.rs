//! The columns beside a record of the log, by which it is listed and searched. No hash covers them: they are held
//! against the record, which says the same.

use std::collections::BTreeMap;

use crate::contracts::decision::{DecisionBody, DecisionEvidence};
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::runtime::decisions::keys::{ENTITIES, rule_keys};
use crate::runtime::decisions::{Error, StoredDecision};
use crate::runtime::ground::Ground;
use crate::substrate::db::{Day, Row};

const READ: &str = include_str!("sql/read_columns.sql");

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    day: Day,
    event_id: String,
    ts_utc: Time,
    outcome: String,
    degraded: bool,
    decided_at: Time,
    keys: Option<Vec<i64>>,
}

/// Those of the decisions that stand in the database, by their place in the chain. Of days that have left they rest
/// in segments, whose hash covers them.
///
/// # Errors
/// Those of the database.
pub async fn columns(
    ground: &Ground,
    run: &PlatformRunId,
    page: &[StoredDecision],
) -> Result<BTreeMap<i64, Columns>, Error> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return Ok(BTreeMap::new());
    };
    let client = ground.db.get().await?;
    let statement = client.prepare_cached(READ).await?;
    let rows = client
        .query(&statement, &[run, &first.seq, &last.seq])
        .await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), Columns::read(row)))
        .collect())
}

impl Columns {
    fn read(row: &Row) -> Columns {
        Columns {
            day: row.get(1),
            event_id: row.get(2),
            ts_utc: row.get(3),
            outcome: row.get(4),
            degraded: row.get(5),
            decided_at: row.get(6),
            keys: row.get(7),
        }
    }

    /// Whether it is found by its keys; records of earlier releases have none.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The first column that is not what the record says. Of the keys, those of its rules are in the record; those
    /// of its entities are only counted, for it names its event by reference.
    #[must_use]
    pub fn unlike(&self, body: &DecisionBody, evidence: &DecisionEvidence) -> Option<&'static str> {
        let is_like = [
            (
                "its column day is not that of its evidence",
                self.day == Day::of(evidence.decided_at),
            ),
            (
                "its column event_id is not that of its body",
                self.event_id == body.event_id.as_str(),
            ),
            (
                "its column ts_utc is not that of its body",
                self.ts_utc == body.ts_utc,
            ),
            (
                "its column outcome is not that of its body",
                self.outcome == body.outcome.as_str(),
            ),
            (
                "its column degraded is not that of its body",
                self.degraded != body.degraded.is_empty(),
            ),
            (
                "its column decided_at is not that of its evidence",
                self.decided_at == evidence.decided_at,
            ),
            (
                "its column keys is not that of its body",
                self.keys.as_ref().is_none_or(|keys| fit(keys, body)),
            ),
        ];
        is_like.iter().find(|(_, is)| !is).map(|(what, _)| *what)
    }
}

/// Sorted, each once; those of every rule that fired, and of no more entities than there are.
fn fit(keys: &[i64], body: &DecisionBody) -> bool {
    let rules = rule_keys(body);
    let is_sorted = keys.windows(2).all(|pair| pair[0] < pair[1]);
    let has_rules = rules.iter().all(|it| keys.binary_search(it).is_ok());
    is_sorted && has_rules && keys.len() <= rules.len() + ENTITIES.len()
}
