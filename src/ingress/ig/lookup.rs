//! What may be asked of the gate's rows afterwards: the receipt of one event, the receipts of a run. Both
//! answer from the receipt segments where the rows have left.

use crate::contracts::verdict::Verdict;
use crate::domain::ids::{EventId, PlatformRunId};
use crate::domain::keys::EventKey;
use crate::domain::vocabulary::EventClass;
use crate::ingress::ig::error::Error;
use crate::ingress::ig::listing::{self, ReceiptPage, Wanted};
use crate::ingress::ig::role::Ig;
use crate::ingress::ig::runs::{Run, Runs};
use crate::ingress::ig::settled::{self, Admitted};
use crate::ingress::ig::{segments, store};
use crate::runtime::ground::Ground;
use crate::substrate::db::Day;

/// An event by its name.
#[derive(Debug, Clone)]
pub struct Named {
    pub run: PlatformRunId,
    pub class: EventClass,
    pub event_id: EventId,
    /// The day of its admission, where it is known: an old receipt is found faster.
    pub day: Option<Day>,
}

/// What the gate answers of an event; `None` if it was never admitted.
///
/// # Errors
/// Those of the substrates; [`Error::TooMany`] when the day must be named.
pub async fn receipt_show(ground: &Ground, named: &Named) -> Result<Option<Verdict>, Error> {
    match Runs::default().find(ground, named.run).await? {
        Some(run) => find(ground, &run, named).await,
        None => Ok(None),
    }
}

/// A page of the receipts of a run; `None` if there is no such run.
///
/// # Errors
/// Those of the substrates, and of segments that are not whole.
pub async fn receipt_list(
    ground: &Ground,
    run: PlatformRunId,
    wanted: &Wanted,
) -> Result<Option<ReceiptPage>, Error> {
    match Runs::default().find(ground, run).await? {
        Some(run) => listing::page(ground, &run, wanted).await.map(Some),
        None => Ok(None),
    }
}

impl Ig {
    pub(super) async fn find_receipt(&self, named: &Named) -> Result<Option<Verdict>, Error> {
        match self.runs.find(&self.ground, named.run).await? {
            Some(run) => find(&self.ground, &run, named).await,
            None => Ok(None),
        }
    }

    pub(super) async fn list_receipts(
        &self,
        run: PlatformRunId,
        wanted: &Wanted,
    ) -> Result<Option<ReceiptPage>, Error> {
        match self.runs.find(&self.ground, run).await? {
            Some(run) => listing::page(&self.ground, &run, wanted).await.map(Some),
            None => Ok(None),
        }
    }
}

/// By the dedupe index; what it does not know any more is looked for in the segments.
async fn find(ground: &Ground, run: &Run, named: &Named) -> Result<Option<Verdict>, Error> {
    let (class, event_id) = (named.class, &named.event_id);
    let key = EventKey {
        platform_run_id: run.id,
        event_class: class,
        event_id: event_id.clone(),
    };
    let key = key.digest();
    let client = ground.db.get().await?;
    let known = store::known(&client, &[key]).await?;
    let Some(known) = known.get(&key) else {
        let objects = ground.objects.as_ref();
        let found = segments::find(&client, objects, run.id, (class, event_id), named.day).await?;
        return Ok(found.map(listing::admitted));
    };
    let event = Admitted {
        item: known.place.item,
        run: run.id,
        tenant: run.pins().tenant_id.clone(),
        class,
        event_id: event_id.clone(),
        payload_hash: known.payload_hash,
    };
    let settled = settled::read(&client, known.place.day, known.place.batch_id).await?;
    Ok(Some(match settled {
        Some(settled) => listing::admitted(settled.receipt(&event)?),
        None => listing::in_flight(event_id),
    }))
}
