//! Looks the entities of a batch up in the lists of its bundle, all with one query, at the time of
//! the decision. What is found is evidence: a replay reads it there and no list.

use std::collections::HashMap;

use crate::contracts::decision::ListHit;
use crate::contracts::policy::List;
use crate::domain::time::Time;
use crate::engine::event::EventRecord;
use crate::substrate::db::{self, Client};

const READ_HITS: &str = include_str!("sql/read_list_hits.sql");

/// The hits of each event, in order of the events and of the lists.
pub(super) async fn read(
    client: &Client,
    lists: &[List],
    events: &[&EventRecord],
    now: Time,
) -> Result<Vec<Vec<ListHit>>, db::Error> {
    let mut asked: HashMap<(usize, &str), i64> = HashMap::new();
    let (mut names, mut entities, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        for (at, list) in lists.iter().enumerate() {
            // No entry holds a NUL: no text column does, though a payment may.
            let Some(value) = event.entity(list.entity).filter(|it| !it.contains('\0')) else {
                continue;
            };
            asked.entry((at, value)).or_insert_with(|| {
                names.push(list.name.as_str());
                entities.push(list.entity.as_str());
                values.push(value);
                // Postgres counts the rows from 1.
                i64::try_from(values.len()).unwrap_or(i64::MAX)
            });
        }
    }
    let mut found: HashMap<i64, ListHit> = HashMap::new();
    if !asked.is_empty() {
        let statement = client.prepare_cached(READ_HITS).await?;
        let rows = client
            .query(&statement, &[&names, &entities, &values, &now])
            .await?;
        let by_number: HashMap<i64, &db::Row> = rows.iter().map(|it| (it.get(0), it)).collect();
        for ((list, _), n) in &asked {
            if let Some(row) = by_number.get(n) {
                let hit = ListHit {
                    list: lists[*list].name.clone(),
                    entity: lists[*list].entity,
                    entry_id: row.get(1),
                    expires_at: row.get(2),
                };
                found.insert(*n, hit);
            }
        }
    }
    let hits = |event: &&EventRecord| {
        let of = |(at, list): (usize, &List)| {
            let n = asked.get(&(at, event.entity(list.entity)?))?;
            found.get(n).cloned()
        };
        lists.iter().enumerate().filter_map(of).collect()
    };
    Ok(events.iter().map(hits).collect())
}
