//! Receipts read back from their segments: a manifest row names the object and its hash, and stays when the
//! rows that the receipts were made of have left (L1). What is missing or altered is an error (L8).

use std::collections::{BTreeMap, VecDeque};

use futures::{StreamExt as _, stream};

use crate::contracts::receipt::Receipt;
use crate::domain::digest::Digest;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::vocabulary::EventClass;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::quarantine::object_key;
use crate::substrate::db::{Client, Day, Row};
use crate::substrate::objects::Objects;

const OF_DAY: &str = include_str!("sql/list_day_segments.sql");
const OF_RUN: &str = include_str!("sql/list_run_segments.sql");

/// Segments that a lookup opens before it asks for the day.
const SEARCHED_MAX: usize = 2_000;
const SEARCHED_TOGETHER: usize = 8;

/// A manifest row.
#[derive(Debug, Clone)]
struct Segment {
    first: i64,
    key: String,
    hash: Digest,
}

fn segment(row: &Row) -> Segment {
    Segment {
        first: row.get(0),
        key: row.get(1),
        hash: row.get(2),
    }
}

impl Segment {
    async fn read(&self, objects: &dyn Objects) -> Result<String, Error> {
        let key = object_key(&self.key)?;
        let wrong = |why: &str| Error::evidence("receipt segment", format!("{key} {why}"));
        let body = objects
            .get(&key)
            .await?
            .ok_or_else(|| wrong("is missing"))?;
        if Digest::of_bytes(&body) != self.hash {
            return Err(wrong("is not what its row says"));
        }
        String::from_utf8(body.into()).map_err(|_| wrong("is no text"))
    }
}

fn parse(line: &str) -> Result<Receipt, Error> {
    serde_json::from_str(line).map_err(|cause| Error::evidence("receipt", cause))
}

/// The receipts of one run and day in order of their batches, from a batch on. Segments of several gates
/// overlap, so one is opened before the batches that it may hold are given out.
pub(super) struct DayReceipts<'o> {
    objects: &'o dyn Objects,
    left: VecDeque<Segment>,
    open: BTreeMap<i64, Vec<Receipt>>,
}

impl<'o> DayReceipts<'o> {
    pub(super) async fn from(
        client: &Client,
        objects: &'o dyn Objects,
        (run, day): (PlatformRunId, Day),
        batch_id: i64,
    ) -> Result<DayReceipts<'o>, Error> {
        let statement = client.prepare_cached(OF_DAY).await?;
        let rows = client.query(&statement, &[&run, &day, &batch_id]).await?;
        Ok(DayReceipts {
            objects,
            left: rows.iter().map(segment).collect(),
            open: BTreeMap::new(),
        })
    }

    /// The next batch with its receipts of the run, in order.
    pub(super) async fn next(&mut self) -> Result<Option<(i64, Vec<Receipt>)>, Error> {
        while let Some(segment) = self.left.front() {
            let is_sure = self
                .open
                .keys()
                .next()
                .is_some_and(|first| *first < segment.first);
            if is_sure {
                break;
            }
            let body = segment.read(self.objects).await?;
            for line in body.lines() {
                let receipt = parse(line)?;
                self.open.entry(receipt.batch_id).or_default().push(receipt);
            }
            self.left.pop_front();
        }
        Ok(self.open.pop_first())
    }
}

/// The receipt of one event, from the segments of its run or of one of its days, the newest first.
///
/// # Errors
/// [`Error::TooMany`] when the day should be named, and those of a segment that is not whole.
pub(super) async fn find(
    client: &Client,
    objects: &dyn Objects,
    run: PlatformRunId,
    (class, event_id): (EventClass, &EventId),
    day: Option<Day>,
) -> Result<Option<Receipt>, Error> {
    let statement = client.prepare_cached(OF_RUN).await?;
    let limit = i64::try_from(SEARCHED_MAX + 1).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&run, &day, &limit]).await?;
    let many = rows.len() > SEARCHED_MAX;
    // As it stands in a receipt, escapes included: most segments are passed over without being parsed.
    let id = serde_json::to_string(event_id).map_err(|cause| Error::evidence("event id", cause))?;
    let id = format!("\"event_id\":{id}");
    let searched = rows.iter().take(SEARCHED_MAX).map(segment);
    let found = stream::iter(searched.map(|segment| {
        let id = &id;
        async move {
            let body = segment.read(objects).await?;
            for line in body.lines().filter(|line| line.contains(id)) {
                let receipt = parse(line)?;
                if receipt.event_class == class && receipt.event_id == *event_id {
                    return Ok(Some(receipt));
                }
            }
            Ok(None)
        }
    }));
    let mut found = found.buffered(SEARCHED_TOGETHER);
    while let Some(receipt) = found.next().await {
        let receipt: Result<Option<Receipt>, Error> = receipt;
        if let Some(receipt) = receipt? {
            return Ok(Some(receipt));
        }
    }
    match many {
        true => Err(Error::TooMany {
            searched: SEARCHED_MAX,
        }),
        false => Ok(None),
    }
}
