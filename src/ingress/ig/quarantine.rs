//! Where refused payloads rest: one object a batch and run, durable before the rows that name it.
//! And what an operator may ask: list, show.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde_json::Value;

use crate::contracts::code::Code;
use crate::domain::digest::{Digest, ParseError};
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::ingress::ig::batch::{Batch, Decision};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::store::Kept;
use crate::substrate::db::{Client, Row};
use crate::substrate::objects::{ObjectKey, Objects, Put};

const LIST: &str = include_str!("sql/list_quarantine.sql");
const SHOW: &str = include_str!("sql/show_quarantine.sql");

/// One line of an object.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The event's place in its batch.
    item: usize,
    code: Code,
    detail: String,
    payload_hash: Digest,
    /// As received, card numbers replaced, a pii map left out.
    envelope: Value,
}

/// A quarantined event as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Quarantined {
    pub quarantine_id: Digest,
    pub batch_id: i64,
    pub item: i32,
    pub platform_run_id: PlatformRunId,
    pub event_class: String,
    pub event_id: EventId,
    pub payload_hash: Option<Digest>,
    pub code: Code,
    pub detail: String,
    pub object_key: String,
    pub quarantined_at: Time,
}

/// A page of quarantined events, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct QuarantinePage {
    pub results: Vec<Quarantined>,
    /// What to ask after for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where a page ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantinePlace {
    at: Time,
    batch_id: i64,
    item: i32,
}

impl fmt::Display for QuarantinePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at.micros(), self.batch_id, self.item)
    }
}

impl FromStr for QuarantinePlace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<QuarantinePlace, ParseError> {
        let read = || {
            let mut parts = text.splitn(3, '.');
            let at = Time::from_micros(parts.next()?.parse().ok()?);
            let (batch_id, item) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(QuarantinePlace { at, batch_id, item })
        };
        // Read in one spelling only.
        let place = read().filter(|it| it.to_string() == text);
        place.ok_or_else(|| ParseError {
            found: text.chars().take(80).collect(),
            expected: "what a page gave as `next`",
        })
    }
}

/// Writes the payloads of what `decisions` quarantine and `kept` has not, one object a run.
pub(super) async fn keep(
    objects: &dyn Objects,
    gate_id: &str,
    batch: &Batch,
    decisions: &[Decision],
    kept: &mut Kept,
) -> Result<(), Error> {
    let mut by_run: BTreeMap<PlatformRunId, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (at, decision) in decisions.iter().enumerate() {
        let Decision::Quarantined(fault) = decision else {
            continue;
        };
        if kept.contains_key(&at) {
            continue;
        }
        let event = &batch.events[at];
        let line = Line {
            item: at,
            code: fault.code,
            detail: fault.detail.clone(),
            payload_hash: event.payload_hash,
            envelope: serde_json::from_slice(&event.envelope)
                .map_err(|cause| Error::evidence("envelope", cause))?,
        };
        let (items, body) = by_run.entry(event.run.id).or_default();
        items.push(at);
        serde_json::to_writer(&mut *body, &line)
            .map_err(|cause| Error::evidence("quarantine line", cause))?;
        body.push(b'\n');
    }
    for (run, (items, body)) in by_run {
        let day = batch.admitted_at.date();
        let hash = Digest::of_bytes(&body);
        let name = format!(
            "{run}/ig/quarantine/{day}/{gate_id}-{}-{hash}.ndjson",
            batch.batch_id
        );
        let key = object_key(&name)?;
        put(objects, &key, body.into()).await?;
        kept.extend(items.into_iter().map(|at| (at, key.clone())));
    }
    Ok(())
}

pub(super) fn object_key(name: &str) -> Result<ObjectKey, Error> {
    name.parse()
        .map_err(|cause| Error::evidence("object key", cause))
}

/// A key names its content's hash, so other bytes under it are damage.
pub(super) async fn put(objects: &dyn Objects, key: &ObjectKey, body: Bytes) -> Result<(), Error> {
    match objects.put_new(key, body).await? {
        Put::Created | Put::Same => Ok(()),
        Put::Conflict { .. } => Err(Error::evidence(
            "object",
            format!("{key} holds other bytes"),
        )),
    }
}

/// A page of the quarantined events of a run, of one code or of all, the newest first.
///
/// # Errors
/// Those of the database; [`Error::Evidence`] for a row that cannot be read.
pub async fn quarantine_list(
    client: &Client,
    run: PlatformRunId,
    code: Option<Code>,
    after: Option<QuarantinePlace>,
    limit: usize,
) -> Result<QuarantinePage, Error> {
    let code = code.map(Code::as_str);
    let (at, batch_id) = (after.map(|it| it.at), after.map(|it| it.batch_id));
    let item = after.map(|it| it.item);
    // One more, so that the last page is known as such.
    let limit_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let statement = client.prepare_cached(LIST).await?;
    let rows = client
        .query(
            &statement,
            &[&run, &code, &limit_more, &at, &batch_id, &item],
        )
        .await?;
    let mut results = rows.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let has_more = results.len() > limit;
    results.truncate(limit);
    let place = |it: &Quarantined| QuarantinePlace {
        at: it.quarantined_at,
        batch_id: it.batch_id,
        item: it.item,
    };
    let last = results.last().map(|it| place(it).to_string());
    Ok(QuarantinePage {
        next: last.filter(|_| has_more),
        results,
    })
}

/// One quarantined event with its envelope from the object; `None` if there is none of this id.
///
/// # Errors
/// Those of the database and the objects; [`Error::Evidence`] when the object does not hold it.
pub async fn quarantine_show(
    client: &Client,
    objects: &dyn Objects,
    quarantine_id: Digest,
) -> Result<Option<(Quarantined, Value)>, Error> {
    let statement = client.prepare_cached(SHOW).await?;
    let Some(row) = client.query_opt(&statement, &[&quarantine_id]).await? else {
        return Ok(None);
    };
    let row = read(&row)?;
    let key = object_key(&row.object_key)?;
    let missing = || {
        Error::evidence(
            "quarantine object",
            format!("{key} does not hold the event"),
        )
    };
    let body = objects.get(&key).await?.ok_or_else(missing)?;
    for line in body
        .split(|byte| *byte == b'\n')
        .filter(|it| !it.is_empty())
    {
        let line: Line = serde_json::from_slice(line)
            .map_err(|cause| Error::evidence("quarantine object", cause))?;
        if i32::try_from(line.item) == Ok(row.item) {
            return Ok(Some((row, line.envelope)));
        }
    }
    Err(missing())
}

fn read(row: &Row) -> Result<Quarantined, Error> {
    let refused = |cause| Error::evidence("quarantine row", cause);
    Ok(Quarantined {
        quarantine_id: row.get(0),
        batch_id: row.get(1),
        item: row.get(2),
        platform_run_id: row.get(3),
        event_class: row.get(4),
        event_id: row.get::<_, &str>(5).parse().map_err(refused)?,
        payload_hash: row.get(6),
        code: row.get::<_, &str>(7).parse().map_err(refused)?,
        detail: row.get(8),
        object_key: row.get(9),
        quarantined_at: row.get(10),
    })
}
