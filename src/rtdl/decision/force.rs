//! What operators say of the posture: forced or released, for one run or all, with a reason, appended and told
//! as a fact. A run's own word goes before the word on all; one that has expired is as if released.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::decision::PostureForceRef;
use crate::contracts::fact::Fact;
use crate::contracts::stamps::Actor;
use crate::domain::ids::{FactId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{FactType, Posture};
use crate::governance::facts;
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Client, Row};

const APPEND: &str = include_str!("sql/append_force.sql");
pub(super) const READ: &str = include_str!("sql/read_forces.sql");

/// A reason is a sentence, not a document.
pub const REASON_CHARS_MAX: usize = 1_000;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// `None`: all runs.
    pub run: Option<PlatformRunId>,
    /// `None`: release.
    pub posture: Option<Posture>,
    pub reason: String,
    /// Of a force; `None`: until it is released.
    pub expires_at: Option<Time>,
}

/// What is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Force {
    /// The fact that tells the same.
    pub force_id: FactId,
    /// Left out: all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_run_id: Option<PlatformRunId>,
    /// Left out: released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture: Option<Posture>,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    pub recorded_at: Time,
    pub actor: Actor,
}

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(
        "give a reason of at most {REASON_CHARS_MAX} characters, none of them NUL: it is what others will read"
    )]
    Reason,
    #[error("expires_at {expires_at} is not after {now}")]
    Expired { expires_at: Time, now: Time },
    #[error("there is no run {0}")]
    Run(PlatformRunId),
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<db::DriverError> for Refusal {
    fn from(error: db::DriverError) -> Refusal {
        Refusal::Db(error.into())
    }
}

/// Appends what an operator asks for, with its fact, in one transaction. `ground` acts as the operator.
///
/// # Errors
/// [`Refusal`]: nothing was written.
pub async fn record(ground: &Ground, order: Order) -> Result<Force, Refusal> {
    let now = ground.clock.now();
    let n_chars = order.reason.chars().count();
    // No column takes a NUL.
    let is_storable = n_chars <= REASON_CHARS_MAX && !order.reason.contains('\0');
    if order.reason.trim().is_empty() || !is_storable {
        return Err(Refusal::Reason);
    }
    if let Some(expires_at) = order.expires_at.filter(|it| *it <= now) {
        return Err(Refusal::Expired { expires_at, now });
    }
    let mut client = ground.db.get().await?;
    if let Some(run) = order.run {
        let sql = "SELECT FROM governance.run WHERE platform_run_id = $1";
        if client.query_opt(sql, &[&run]).await?.is_none() {
            return Err(Refusal::Run(run));
        }
    }
    let fact = fact(ground, &order, now);
    let force = Force {
        force_id: fact.fact_id,
        platform_run_id: order.run,
        posture: order.posture,
        reason: order.reason,
        expires_at: order.expires_at,
        recorded_at: now,
        actor: ground.actor.clone(),
    };
    let tx = client.transaction().await?;
    let posture = force.posture.map(Posture::as_str);
    let values: [&(dyn db::ToSql + Sync); 9] = [
        &force.force_id,
        &force.platform_run_id,
        &posture,
        &force.reason,
        &force.expires_at,
        &force.recorded_at,
        &force.actor.actor_id.as_str(),
        &force.actor.source_type.as_str(),
        &ground.stamps.service_release_id,
    ];
    tx.execute(APPEND, &values).await?;
    facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    Ok(force)
}

fn fact(ground: &Ground, order: &Order, now: Time) -> Fact {
    let scope = order.run.map_or("all".to_owned(), |run| run.to_string());
    let (fact_type, posture) = match order.posture {
        Some(posture) => (FactType::PostureForced, posture.as_str()),
        None => (FactType::PostureReleased, "released"),
    };
    let (at, actor) = (now.to_string(), ground.actor.actor_id.as_str());
    let natural_key = [scope.as_str(), posture, at.as_str(), actor];
    let mut fact = ground.fact(fact_type, &natural_key, order.run);
    fact.details
        .insert("reason".to_owned(), order.reason.clone());
    if let Some(expires_at) = order.expires_at {
        let expires_at = expires_at.to_string();
        fact.details.insert("expires_at".to_owned(), expires_at);
    }
    fact
}

/// The newest words: on this run and on all, or on every scope.
///
/// # Errors
/// Those of the database.
pub async fn read(client: &Client, run: Option<PlatformRunId>) -> Result<Vec<Force>, db::Error> {
    let statement = client.prepare_cached(READ).await?;
    let rows = client.query(&statement, &[&run]).await?;
    rows.iter().map(force).collect()
}

fn force(row: &Row) -> Result<Force, db::Error> {
    let form = |cause: &dyn std::fmt::Display| db::Error::form("posture force", cause);
    let posture: Option<&str> = row.get(2);
    let posture = posture.map(str::parse).transpose();
    let (actor_id, source_type): (&str, &str) = (row.get(6), row.get(7));
    Ok(Force {
        force_id: row.get(0),
        platform_run_id: row.get(1),
        posture: posture.map_err(|cause| form(&cause))?,
        reason: row.get(3),
        expires_at: row.get(4),
        recorded_at: row.get(5),
        actor: Actor {
            actor_id: actor_id.parse().map_err(|cause| form(&cause))?,
            source_type: source_type.parse().map_err(|cause| form(&cause))?,
        },
    })
}

impl Force {
    /// The posture that this word puts in force now.
    #[must_use]
    pub fn in_force(&self, now: Time) -> Option<Posture> {
        let lasts = self.expires_at.is_none_or(|it| now < it);
        self.posture.filter(|_| lasts)
    }

    pub(super) fn named(&self) -> PostureForceRef {
        PostureForceRef {
            force_id: self.force_id,
            actor_id: self.actor.actor_id.clone(),
        }
    }
}

/// Which of the newest words on a run and on all decides now.
pub(super) fn decides(forces: &[Force], now: Time) -> Option<(&Force, Posture)> {
    let in_force = forces
        .iter()
        .filter_map(|it| it.in_force(now).map(|posture| (it, posture)));
    in_force.max_by_key(|(it, _)| it.platform_run_id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::vocabulary::SourceType;

    fn force(run: Option<&str>, posture: Option<Posture>, expires_at: Option<i64>) -> Force {
        let id = |text: &str| PlatformRunId::from_digest(Digest::of_bytes(text.as_bytes()));
        Force {
            force_id: FactId::of("POSTURE_FORCED", &[run.unwrap_or("all")]),
            platform_run_id: run.map(id),
            posture,
            reason: "drill".to_owned(),
            expires_at: expires_at.map(Time::from_micros),
            recorded_at: Time::from_micros(0),
            actor: Actor {
                actor_id: "ops:ann".parse().unwrap(),
                source_type: SourceType::Human,
            },
        }
    }

    #[test]
    fn the_word_on_a_run_goes_before_the_word_on_all() {
        let check = |forces: &[Force], expected: Option<Posture>| {
            let now = Time::from_micros(10);
            let found = decides(forces, now).map(|(_, posture)| posture);
            assert_eq!(found, expected, "{forces:?}");
        };
        let (degraded, closed) = (Some(Posture::Degraded1), Some(Posture::FailClosed));
        check(&[], None);
        check(&[force(None, degraded, None)], degraded);
        check(
            &[force(Some("r"), closed, None), force(None, degraded, None)],
            closed,
        );
        check(
            &[
                force(None, degraded, None),
                force(Some("r"), closed, Some(11)),
            ],
            closed,
        );
        // Expired or released, what is said of all is left.
        check(
            &[
                force(Some("r"), closed, Some(10)),
                force(None, degraded, None),
            ],
            degraded,
        );
        check(
            &[force(Some("r"), None, None), force(None, degraded, None)],
            degraded,
        );
        check(&[force(Some("r"), None, None)], None);
    }
}
