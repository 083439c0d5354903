//! The admitted events of one class in memory, by short key: what the bus and the decisions are
//! held against.

use std::collections::HashMap;

use crate::domain::digest::Digest;
use crate::domain::vocabulary::EventClass;
use crate::reconcile::check::{EXAMPLES_MAX, Examples, int};
use crate::reconcile::{Audit, Error};
use crate::substrate::db::{Client, Day, Row, ToSql};

const NEXT_DAY: &str = include_str!("sql/next_day.sql");
const READ_EVENTS: &str = include_str!("sql/read_events.sql");
const READ_TERMINALS: &str = include_str!("sql/read_terminals.sql");
const NAME_EVENTS: &str = include_str!("sql/name_events.sql");

const PAGE: i64 = 20_000;

/// 128 bits of a BLAKE3 digest: two of 10^9 events meet with a chance of 10^-21.
pub(super) type Short = [u8; 16];

#[must_use]
pub(super) fn short(digest: &Digest) -> Short {
    let mut short = [0u8; 16];
    short.copy_from_slice(&digest.as_bytes()[..16]);
    short
}

/// 64 bits of a digest, where a wrong match would need a wrong key as well.
#[must_use]
pub(super) fn head(digest: &Digest) -> u64 {
    let mut head = [0u8; 8];
    head.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(head)
}

/// A place of one stream.
#[must_use]
pub(super) fn place(shard_id: &str, sequence_number: &str) -> u64 {
    head(&Digest::of_bytes(
        format!("{shard_id}/{sequence_number}").as_bytes(),
    ))
}

/// One row of `ig.event` with what was met of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) key: Short,
    pub(super) payload: u64,
    /// Where its terminal row says that it stands.
    pub(super) place: u64,
    /// Its batch has no terminal row.
    pub(super) is_open: bool,
    pub(super) is_at_place: bool,
    pub(super) is_on_bus: bool,
    pub(super) is_decided: bool,
    pub(super) is_refused: bool,
}

#[derive(Debug)]
pub(super) struct Index {
    /// Sorted by key.
    entries: Vec<Entry>,
}

/// The places of a batch by item; absent where the batch is open.
pub(super) type Places = HashMap<i64, Vec<Option<(String, String)>>>;

impl Index {
    /// Reads the rows of the class with the places of their terminal rows.
    pub(super) async fn load(audit: &Audit<'_>, class: EventClass) -> Result<Index, Error> {
        let client = audit.ground.db.get().await?;
        let mut entries = Vec::new();
        let mut before = Day(audit.cut.since.0 - 1);
        loop {
            let row = client.query_one(NEXT_DAY, &[&before]).await?;
            let Some(day) = row.get::<_, Option<Day>>(0) else {
                break;
            };
            load_day(audit, &client, class, day, &mut entries).await?;
            before = day;
        }
        entries.sort_unstable_by_key(|entry: &Entry| entry.key);
        Ok(Index { entries })
    }

    pub(super) fn len(&self) -> i64 {
        int(self.entries.len())
    }

    pub(super) fn count(&self, is: impl Fn(&Entry) -> bool) -> i64 {
        int(self.entries.iter().filter(|entry| is(entry)).count())
    }

    pub(super) fn n_keys(&self) -> i64 {
        int(self.entries.chunk_by(|a, b| a.key == b.key).count())
    }

    /// Different payloads of the entries that are not refused.
    pub(super) fn n_payloads(&self) -> i64 {
        let unrefused = self.entries.iter().filter(|entry| !entry.is_refused);
        let mut payloads: Vec<u64> = unrefused.map(|entry| entry.payload).collect();
        payloads.sort_unstable();
        payloads.dedup();
        int(payloads.len())
    }

    /// The rows under a key: one, where nothing is wrong.
    pub(super) fn find(&mut self, key: &Short) -> &mut [Entry] {
        let from = self.entries.partition_point(|entry| entry.key < *key);
        let n = self.entries[from..]
            .iter()
            .take_while(|entry| entry.key == *key)
            .count();
        &mut self.entries[from..from + n]
    }

    /// The names of the first entries that are so.
    pub(super) async fn name(
        &self,
        audit: &Audit<'_>,
        is: impl Fn(&Entry) -> bool,
    ) -> Result<Examples, Error> {
        let keys = self
            .entries
            .iter()
            .filter(|entry| is(entry))
            .map(|entry| entry.key.to_vec());
        let keys: Vec<Vec<u8>> = keys.take(EXAMPLES_MAX).collect();
        let mut examples = Examples::default();
        if !keys.is_empty() {
            let client = audit.ground.db.get().await?;
            let rows = client
                .query(NAME_EVENTS, &[&audit.run, &audit.cut.since, &keys])
                .await?;
            examples.extend(rows.iter().map(|row| row.get(0)));
        }
        Ok(examples)
    }

    /// The names of the first keys that more than one row has.
    pub(super) async fn name_repeated(&self, audit: &Audit<'_>) -> Result<Examples, Error> {
        let repeated: Vec<Short> = self
            .entries
            .chunk_by(|a, b| a.key == b.key)
            .filter(|rows| rows.len() > 1)
            .map(|rows| rows[0].key)
            .take(EXAMPLES_MAX)
            .collect();
        self.name(audit, |entry| repeated.contains(&entry.key))
            .await
    }
}

/// Adds the rows of one day.
async fn load_day(
    audit: &Audit<'_>,
    client: &Client,
    class: EventClass,
    day: Day,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let statement = client.prepare_cached(READ_EVENTS).await?;
    let mut after = (-1i64, -1i32);
    loop {
        let (batch_id, item) = &after;
        let keys: [&(dyn ToSql + Sync); 6] =
            [&audit.run, &class.as_str(), &day, batch_id, item, &PAGE];
        let rows = client.query(&statement, &keys).await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        let places = places(client, key_of(first), key_of(last)).await?;
        entries.extend(rows.iter().map(|row| entry(row, &places)));
        after = (last.get(1), last.get(2));
        (audit.progress)("admitted events", entries.len() as u64);
    }
}

fn key_of(row: &Row) -> (Day, i64) {
    (row.get(0), row.get(1))
}

fn entry(row: &Row, places: &Places) -> Entry {
    let (batch_id, item): (i64, i32) = (row.get(1), row.get(2));
    let batch = places.get(&batch_id);
    let at = usize::try_from(item).ok();
    let stands = batch.and_then(|places| places.get(at?)?.as_ref());
    let (event_key, payload_hash): (Digest, Digest) = (row.get(3), row.get(4));
    Entry {
        key: short(&event_key),
        payload: head(&payload_hash),
        place: stands.map_or(0, |(shard, number)| place(shard, number)),
        is_open: batch.is_none(),
        is_at_place: false,
        is_on_bus: false,
        is_decided: false,
        is_refused: false,
    }
}

/// The terminal rows from one batch to another, of whatever run.
pub(super) async fn places(
    client: &Client,
    (first_day, first_batch): (Day, i64),
    (last_day, last_batch): (Day, i64),
) -> Result<Places, Error> {
    let statement = client.prepare_cached(READ_TERMINALS).await?;
    let rows = client
        .query(
            &statement,
            &[&first_day, &first_batch, &last_day, &last_batch],
        )
        .await?;
    let mut places = Places::with_capacity(rows.len());
    for row in &rows {
        let shards: Vec<Option<String>> = row.get(1);
        let numbers: Vec<Option<String>> = row.get(2);
        let both = shards.into_iter().zip(numbers);
        places.insert(
            row.get(0),
            both.map(|(shard, number)| Some((shard?, number?)))
                .collect(),
        );
    }
    Ok(places)
}
