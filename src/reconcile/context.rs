//! The inlets: what a context group counted is what stands on the bus, and what it wrote is what
//! was admitted, less what it refused (L11).

use crate::domain::ids::EventId;
use crate::domain::keys::EventKey;
use crate::domain::vocabulary::EventClass;
use crate::reconcile::bus::consumer;
use crate::reconcile::check::{Examples, Findings};
use crate::reconcile::index::{Index, short};
use crate::reconcile::{Audit, Error};

const SUM: &str = include_str!("sql/sum_inlet.sql");
const LIST_REFUSED: &str = include_str!("sql/list_refused.sql");
const COUNT_REFUSED: &str = include_str!("sql/count_refused.sql");

/// `passed`: records of the run on the bus that the group has passed.
pub(super) async fn balance(
    audit: &Audit<'_>,
    class: EventClass,
    index: &mut Index,
    passed: i64,
    findings: &mut Findings,
) -> Result<(), Error> {
    let group = consumer(class);
    refuse(audit, class, index).await?;
    let client = audit.ground.db.get().await?;
    let row = client
        .query_one(SUM, &[&audit.run, &group, &audit.cut.since])
        .await?;
    let (seen, written): (i64, i64) = (row.get(0), row.get(1));
    let (deduped, quarantined): (i64, i64) = (row.get(2), row.get(3));
    let none = Examples::default;
    let settled = written + deduped + quarantined;
    findings.check(format!("{group}_counts_balance"), seen, settled, none());
    findings.check(format!("{group}_counts_equal_bus"), passed, seen, none());
    let name = format!("{group}_written_equals_admitted");
    findings.check(name, index.n_payloads(), written, none());
    let row = client
        .query_one(COUNT_REFUSED, &[&audit.run, &group, &audit.cut.since])
        .await?;
    findings.check(
        format!("{group}_refusals_equal_counts"),
        quarantined,
        row.get(0),
        none(),
    );
    Ok(())
}

/// Marks the events that the class's group refused and, for traffic, did not decide after all.
pub(super) async fn refuse(
    audit: &Audit<'_>,
    class: EventClass,
    index: &mut Index,
) -> Result<(), Error> {
    let client = audit.ground.db.get().await?;
    let group = consumer(class);
    let rows = client
        .query(LIST_REFUSED, &[&audit.run, &group, &audit.cut.since])
        .await?;
    for event_id in rows
        .iter()
        .filter_map(|row| row.get::<_, &str>(0).parse::<EventId>().ok())
    {
        let key = EventKey {
            platform_run_id: audit.run,
            event_class: class,
            event_id,
        };
        for entry in index.find(&short(&key.digest())) {
            entry.is_refused = !entry.is_decided;
        }
    }
    Ok(())
}
