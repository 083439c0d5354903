//! Lists: who stands on one, since when, until when, by whom and why (L1, L10). A change is
//! appended; what is in force is the last change of each entity.

use serde::Serialize;

use crate::contracts::feature_set::Entity;
use crate::contracts::policy::ListChange;
use crate::domain::ids::ListEntryId;
use crate::domain::time::Time;
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Client};

const LAST: &str = include_str!("sql/last_list_change.sql");
const APPEND: &str = include_str!("sql/append_list_change.sql");
const ENTRIES: &str = include_str!("sql/list_entries.sql");

/// Who else changes the same entity of the same list at the same moment: nobody this often.
const TRIES_MAX: u32 = 10;

/// An entity on a list.
#[derive(Debug, Clone)]
pub struct Place {
    pub list: String,
    pub entity: Entity,
    pub value: String,
}

/// What became of a change that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// It stands there as asked, or does not stand there: nothing was written.
    AsItWas,
}

/// A change, and its id.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    pub outcome: Outcome,
    /// Of the last change, this one or the one before; none where there never was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_id: Option<ListEntryId>,
}

/// An entry that was not removed; it may have expired.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub list: String,
    pub entity: String,
    pub value: String,
    pub entry_id: ListEntryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    pub reason: String,
    pub changed_at: Time,
    pub actor_id: String,
}

struct Last {
    nth: i64,
    change: String,
    expires_at: Option<Time>,
    entry_id: ListEntryId,
}

/// Puts an entity on a list, or takes it off, as the ground's actor. To be asked again is harmless.
///
/// # Errors
/// Those of the database; then nothing was written.
pub async fn change(
    ground: &Ground,
    place: &Place,
    change: ListChange,
    expires_at: Option<Time>,
    reason: &str,
) -> Result<Changed, db::Error> {
    let client = ground.db.get().await?;
    let mut tries = 0;
    loop {
        let last = last(&client, place).await?;
        let stands = last
            .as_ref()
            .filter(|it| it.change == ListChange::Added.as_str());
        let is_so = match change {
            ListChange::Added => stands.is_some_and(|it| it.expires_at == expires_at),
            ListChange::Removed => stands.is_none(),
        };
        if is_so {
            return Ok(Changed {
                outcome: Outcome::AsItWas,
                entry_id: last.map(|it| it.entry_id),
            });
        }
        let nth = last.map_or(1, |it| it.nth + 1);
        let entry_id = ListEntryId::of(&place.list, place.entity.as_str(), &place.value, nth);
        let (actor, now) = (&ground.actor, ground.clock.now());
        let new = client
            .query_opt(
                APPEND,
                &[
                    &entry_id,
                    &place.list,
                    &place.entity.as_str(),
                    &place.value,
                    &nth,
                    &change.as_str(),
                    &expires_at,
                    &reason,
                    &now,
                    &actor.actor_id.as_str(),
                    &actor.source_type.as_str(),
                    &ground.stamps.service_release_id,
                ],
            )
            .await?;
        if new.is_some() {
            return Ok(Changed {
                outcome: Outcome::Done,
                entry_id: Some(entry_id),
            });
        }
        tries += 1;
        if tries == TRIES_MAX {
            return Err(db::Error::form(
                "list change",
                &"others change it all the time",
            ));
        }
    }
}

async fn last(client: &Client, place: &Place) -> Result<Option<Last>, db::Error> {
    let entity = place.entity.as_str();
    let row = client
        .query_opt(LAST, &[&place.list, &entity, &place.value])
        .await?;
    Ok(row.map(|row| Last {
        nth: row.get(0),
        change: row.get(1),
        expires_at: row.get(2),
        entry_id: row.get(3),
    }))
}

/// What stands on a list, or on all of them, the newest first.
///
/// # Errors
/// Those of the database.
pub async fn entries(
    client: &Client,
    list: Option<&str>,
    limit: i64,
) -> Result<Vec<Entry>, db::Error> {
    let rows = client.query(ENTRIES, &[&list, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            list: row.get(0),
            entity: row.get(1),
            value: row.get(2),
            entry_id: row.get(3),
            expires_at: row.get(4),
            reason: row.get(5),
            changed_at: row.get(6),
            actor_id: row.get(7),
        })
        .collect())
}
