//! The receipts of a run, a page at a time, in order of admission: by day, batch and place in the batch.
//! Days that have left are read from the segments; a place is counted the same in both.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::contracts::receipt::Receipt;
use crate::contracts::verdict::Verdict;
use crate::domain::digest::ParseError;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::time::Time;
use crate::domain::vocabulary::{EventClass, IngestResult};
use crate::ingress::ig::error::Error;
use crate::ingress::ig::runs::Run;
use crate::ingress::ig::segments::DayReceipts;
use crate::ingress::ig::settled::{self, Admitted};
use crate::runtime::ground::Ground;
use crate::substrate::db::{Client, Day, Row};

const DAYS: &str = include_str!("sql/list_receipt_days.sql");
const BATCHES: &str = include_str!("sql/list_run_batches.sql");
const EVENTS: &str = include_str!("sql/read_run_events.sql");

/// Receipts on a page at most.
pub const PAGE_MAX: usize = 1_000;

/// A page of what a single lookup would answer, event by event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReceiptPage {
    /// ADMITTED with the receipt, or `PUBLISH_IN_FLIGHT` where the log has not answered yet.
    pub results: Vec<Verdict>,
    /// What to ask after for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The place of an event among those of its run: the n-th of the run in its batch, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    day: Day,
    batch_id: i64,
    n: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.day, self.batch_id, self.n)
    }
}

impl FromStr for Place {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Place, ParseError> {
        let read = || {
            let mut parts = text.splitn(3, '.');
            let day = format!("{}T00:00:00Z", parts.next()?)
                .parse::<Time>()
                .ok()?;
            let mut number = || parts.next()?.parse::<u32>().ok().map(i64::from);
            // Batch ids pass 32 bits only after a hundred years of the fastest gate.
            let (batch_id, n) = (number()?, number()?);
            Some(Place {
                day: Day::of(day),
                batch_id,
                n,
            })
        };
        read().ok_or_else(|| ParseError {
            found: text.chars().take(80).collect(),
            expected: "what a page gave as `next`",
        })
    }
}

/// What of a run is listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub after: Option<Place>,
    pub limit: usize,
    pub class: Option<EventClass>,
    /// ADMITTED or `PUBLISH_IN_FLIGHT`; both where it is not said.
    pub result: Option<IngestResult>,
}

/// A page being filled.
struct Page<'a> {
    wanted: &'a Wanted,
    /// One more than is given, so that the last page is known as such.
    found: Vec<(Place, Verdict)>,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.found.len() > self.wanted.limit
    }

    fn left(&self) -> usize {
        (self.wanted.limit + 1).saturating_sub(self.found.len())
    }

    fn add(&mut self, place: Place, class: EventClass, verdict: Verdict) {
        let is_new = self.wanted.after.is_none_or(|after| after < place);
        let is_wanted = self.wanted.class.is_none_or(|it| it == class)
            && self.wanted.result.is_none_or(|it| it == verdict.result);
        if is_new && is_wanted && !self.is_full() {
            self.found.push((place, verdict));
        }
    }

    /// The first batch of a day that is looked at.
    fn batch_from(&self, day: Day) -> i64 {
        self.wanted
            .after
            .filter(|it| it.day == day)
            .map_or(0, |it| it.batch_id)
    }

    fn end(mut self) -> ReceiptPage {
        let has_more = self.is_full();
        self.found.truncate(self.wanted.limit);
        let last = self.found.last().map(|(place, _)| place.to_string());
        ReceiptPage {
            next: last.filter(|_| has_more),
            results: self.found.into_iter().map(|(_, verdict)| verdict).collect(),
        }
    }
}

/// A page of the receipts of a run.
pub(super) async fn page(
    ground: &Ground,
    run: &Run,
    wanted: &Wanted,
) -> Result<ReceiptPage, Error> {
    let mut page = Page {
        wanted,
        found: Vec::new(),
    };
    let client = ground.db.get().await?;
    let from = wanted.after.map(|it| it.day);
    let statement = client.prepare_cached(DAYS).await?;
    for row in client.query(&statement, &[&run.id, &from]).await? {
        let (day, has_left): (Day, bool) = (row.get(0), row.get(1));
        match has_left {
            true => read_segments(ground, &client, (run.id, day), &mut page).await?,
            false => read_rows(&client, run, day, &mut page).await?,
        }
        if page.is_full() {
            break;
        }
    }
    Ok(page.end())
}

async fn read_segments(
    ground: &Ground,
    client: &Client,
    (run, day): (PlatformRunId, Day),
    page: &mut Page<'_>,
) -> Result<(), Error> {
    if page
        .wanted
        .result
        .is_some_and(|it| it != IngestResult::Admitted)
    {
        return Ok(());
    }
    let objects = ground.objects.as_ref();
    let mut receipts = DayReceipts::from(client, objects, (run, day), page.batch_from(day)).await?;
    while let Some((batch_id, of_batch)) = receipts.next().await? {
        for (n, receipt) in (1..).zip(of_batch) {
            let class = receipt.event_class;
            page.add(Place { day, batch_id, n }, class, admitted(receipt));
        }
        if page.is_full() {
            break;
        }
    }
    Ok(())
}

/// Reads as many batches as fill the page, by their counts.
async fn read_rows(client: &Client, run: &Run, day: Day, page: &mut Page<'_>) -> Result<(), Error> {
    let class = page.wanted.class.map(EventClass::as_str);
    let is_settled = page.wanted.result.map(|it| it == IngestResult::Admitted);
    let statement = client.prepare_cached(BATCHES).await?;
    let mut from = page.batch_from(day);
    while !page.is_full() {
        // The batch of the cursor may give nothing more.
        let limit = i64::try_from(page.left() + 1).unwrap_or(i64::MAX);
        let rows = client
            .query(
                &statement,
                &[&day, &from, &run.id, &class, &is_settled, &limit],
            )
            .await?;
        let Some(last) = rows.last() else { break };
        from = last.get::<_, i64>(0) + 1;
        let mut batches: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let counts: Vec<i64> = rows.iter().map(|row| row.get(1)).collect();
        let n_batches = enough(&counts, page.left());
        if n_batches < batches.len() {
            batches.truncate(n_batches);
            from = batches.last().map_or(from, |it| it + 1);
        }
        read_batches(client, run, day, &batches, page).await?;
    }
    Ok(())
}

/// How many batches hold what is left to be found; the first may have been given out in part.
fn enough(counts: &[i64], left: usize) -> usize {
    let left = i64::try_from(left).unwrap_or(i64::MAX);
    let mut n_found = 0;
    let is_short = |count: &&i64| {
        let was_short = n_found < left;
        n_found += **count;
        was_short
    };
    1 + counts
        .iter()
        .skip(1)
        .take_while(is_short)
        .count()
        .min(counts.len().saturating_sub(1))
}

async fn read_batches(
    client: &Client,
    run: &Run,
    day: Day,
    batches: &[i64],
    page: &mut Page<'_>,
) -> Result<(), Error> {
    let settled: BTreeMap<i64, _> = settled::read_many(client, day, batches).await?;
    let statement = client.prepare_cached(EVENTS).await?;
    for row in client.query(&statement, &[&day, &batches, &run.id]).await? {
        let (batch_id, event) = event_of(run, &row)?;
        let place = Place {
            day,
            batch_id,
            n: row.get(5),
        };
        let verdict = match settled.get(&batch_id) {
            Some(settled) => admitted(settled.receipt(&event)?),
            None => in_flight(&event.event_id),
        };
        page.add(place, event.class, verdict);
    }
    Ok(())
}

fn event_of(run: &Run, row: &Row) -> Result<(i64, Admitted), Error> {
    let refused = |cause| Error::evidence("event row", cause);
    let event = Admitted {
        item: row.get(1),
        run: run.id,
        tenant: run.pins().tenant_id.clone(),
        class: row.get::<_, &str>(2).parse().map_err(refused)?,
        event_id: row.get::<_, &str>(3).parse().map_err(refused)?,
        payload_hash: row.get(4),
    };
    Ok((row.get(0), event))
}

/// What a single lookup answers of an admitted event.
pub(super) fn admitted(receipt: Receipt) -> Verdict {
    Verdict {
        result: IngestResult::Admitted,
        event_id: Some(receipt.event_id.to_string()),
        code: None,
        detail: None,
        receipt: Some(receipt),
        decision: None,
    }
}

/// What it answers while the log has not answered.
pub(super) fn in_flight(event_id: &EventId) -> Verdict {
    Verdict {
        result: IngestResult::PublishInFlight,
        event_id: Some(event_id.to_string()),
        code: None,
        detail: None,
        receipt: None,
        decision: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let text = "2025-03-01.17.3";
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
        for wrong in [
            "",
            "x",
            "2025-03-01",
            "2025-03-01.17",
            "2025-03-01.-1.3",
            "2025-03-01.17.3.4",
            "2025-3-1.1.1",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert!(
            place < "2025-03-01.18.1".parse().unwrap() && place < "2025-03-02.1.1".parse().unwrap()
        );
    }

    #[test]
    fn as_many_batches_are_read_as_fill_a_page() {
        // The first may be given out already, so it fills nothing.
        for (counts, left, n) in [
            (&[5][..], 1, 1),
            (&[5, 5, 5], 1, 2),
            (&[5, 5, 5], 5, 2),
            (&[5, 5, 5], 6, 3),
            (&[5, 5, 5], 60, 3),
        ] {
            assert_eq!(enough(counts, left), n, "{counts:?} {left}");
        }
    }
}
