//! The statements of the projection.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::contracts::graph::{EntityKind, EntityRef};
use crate::contracts::groups::GRAPH_GROUPS;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position};
use crate::domain::time::Time;
use crate::engine::graph::HUB_LINKS_MAX;
use crate::rtdl::graph::rows::{Rows, kind, number};
use crate::substrate::db::{Day, Error, Row, Transaction};

const PAYMENTS: &str = include_str!("sql/insert_payments.sql");
const LABELS: &str = include_str!("sql/insert_labels.sql");
const LABELLED: &str = include_str!("sql/read_labelled.sql");
const UPSERT: &str = include_str!("sql/upsert_links.sql");
const POSITIONS: &str = include_str!("sql/read_positions.sql");
const LOCK: &str = include_str!("sql/lock_positions.sql");
const RUN: &str = include_str!("sql/read_run.sql");
const NEIGHBOURS: &str = include_str!("sql/read_neighbours.sql");
const FRONTIER: &str = include_str!("sql/read_frontier.sql");
const SHARED: &str = include_str!("sql/read_shared.sql");

/// Customers of a shared entity that a page names.
const CUSTOMERS_MAX: i64 = 100;
/// Entities whose links one statement reads.
const FRONTIER_MAX: usize = 200;

/// A neighbour as its row has it.
pub(super) struct Found {
    pub(super) entity: EntityRef,
    pub(super) first_seen: Time,
    pub(super) last_day: Day,
}

/// A shared entity: its id, how many customers use it, the first of them with their times.
pub(super) type SharedRow = (String, i64, Vec<(String, Time)>);

/// Writes the rows of a batch, in the order of their keys.
pub(super) async fn write(tx: &Transaction<'_>, rows: &Rows) -> Result<(), Error> {
    upsert(tx, rows).await?;
    if !rows.payments.is_empty() {
        let keys = rows.payments.keys();
        let (runs, events): (Vec<_>, Vec<_>) = keys.map(|it| (it.0, it.1.as_str())).unzip();
        let customers = rows.payments.values().map(|it| stored(it));
        let customers: Vec<Cow<'_, str>> = customers.collect();
        let statement = tx.prepare_cached(PAYMENTS).await?;
        tx.execute(&statement, &[&runs, &events, &customers])
            .await?;
    }
    if !rows.labels.is_empty() {
        let keys = || rows.labels.keys();
        let runs: Vec<PlatformRunId> = keys().map(|it| it.0).collect();
        let events: Vec<&str> = keys().map(|it| it.1.as_str()).collect();
        let observed: Vec<Time> = keys().map(|it| it.2).collect();
        let ids: Vec<&str> = keys().map(|it| it.3.as_str()).collect();
        let frauds: Vec<bool> = rows.labels.values().copied().collect();
        let statement = tx.prepare_cached(LABELS).await?;
        tx.execute(&statement, &[&runs, &events, &observed, &ids, &frauds])
            .await?;
    }
    Ok(())
}

async fn upsert(tx: &Transaction<'_>, rows: &Rows) -> Result<(), Error> {
    let links = &rows.links;
    if links.is_empty() {
        return Ok(());
    }
    let keys = || links.keys();
    let runs: Vec<PlatformRunId> = keys().map(|it| it.0).collect();
    let lead_kinds: Vec<i16> = keys().map(|it| number(it.1.kind)).collect();
    let leads: Vec<Cow<'_, str>> = keys().map(|it| stored(&it.1.id)).collect();
    let other_kinds: Vec<i16> = keys().map(|it| number(it.2.kind)).collect();
    let others: Vec<Cow<'_, str>> = keys().map(|it| stored(&it.2.id)).collect();
    let first: Vec<Time> = links.values().map(|it| it.first).collect();
    let last: Vec<Day> = links.values().map(|it| it.last).collect();
    let statement = tx.prepare_cached(UPSERT).await?;
    tx.execute(
        &statement,
        &[
            &runs,
            &lead_kinds,
            &leads,
            &other_kinds,
            &others,
            &first,
            &last,
        ],
    )
    .await?;
    Ok(())
}

/// How far the groups have come; `lock` holds their commits off until the transaction ends.
pub(super) async fn positions(tx: &Transaction<'_>, lock: bool) -> Result<Basis, Error> {
    let groups: Vec<&str> = GRAPH_GROUPS.iter().map(|(group, _)| *group).collect();
    let statement = tx
        .prepare_cached(if lock { LOCK } else { POSITIONS })
        .await?;
    let mut basis = Basis::default();
    for row in tx.query(&statement, &[&groups]).await? {
        let position = row.get::<_, &str>(1).parse::<Position>();
        let position = position.map_err(|cause| Error::form("position", &cause))?;
        basis.0.insert(row.get(0), position);
    }
    Ok(basis)
}

/// Whether there is such a run, and whether its links are being rebuilt.
pub(super) async fn run(tx: &Transaction<'_>, run: &PlatformRunId) -> Result<(bool, bool), Error> {
    let statement = tx.prepare_cached(RUN).await?;
    let row = tx.query_one(&statement, &[run]).await?;
    Ok((row.get(0), row.get(1)))
}

/// Neighbours after one of them, at most so many, of one kind or of all.
pub(super) async fn neighbours(
    tx: &Transaction<'_>,
    (run, as_of): (&PlatformRunId, Time),
    of: &EntityRef,
    after: Option<&EntityRef>,
    (kind, limit): (Option<EntityKind>, i64),
) -> Result<Vec<Found>, Error> {
    let statement = tx.prepare_cached(NEIGHBOURS).await?;
    let (after_kind, after_id) =
        after.map_or((-1, "".into()), |it| (number(it.kind), stored(&it.id)));
    let kind = kind.map(number);
    let rows = tx
        .query(
            &statement,
            &[
                run,
                &number(of.kind),
                &stored(&of.id),
                &as_of,
                &after_kind,
                &after_id,
                &kind,
                &limit,
            ],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Found {
            entity: entity(row.get(0), row.get(1))?,
            first_seen: row.get(2),
            last_day: row.get(3),
        })
    };
    rows.iter().map(read).collect()
}

/// The links of each of several entities with their first times; one more than a hub's least at most.
pub(super) async fn frontier(
    tx: &Transaction<'_>,
    (run, as_of): (&PlatformRunId, Time),
    nodes: &[EntityRef],
) -> Result<BTreeMap<EntityRef, Vec<(EntityRef, Time)>>, Error> {
    let statement = tx.prepare_cached(FRONTIER).await?;
    let limit = i64::try_from(HUB_LINKS_MAX + 1).unwrap_or(i64::MAX);
    let mut links: BTreeMap<EntityRef, Vec<(EntityRef, Time)>> = BTreeMap::new();
    for nodes in nodes.chunks(FRONTIER_MAX) {
        let places: Vec<i32> = (0_i32..).take(nodes.len()).collect();
        let kinds: Vec<i16> = nodes.iter().map(|it| number(it.kind)).collect();
        let ids: Vec<Cow<'_, str>> = nodes.iter().map(|it| stored(&it.id)).collect();
        let found = tx
            .query(&statement, &[run, &places, &kinds, &ids, &as_of, &limit])
            .await?;
        for row in &found {
            let at = usize::try_from(row.get::<_, i32>(0)).unwrap_or(usize::MAX);
            let Some(node) = nodes.get(at) else { continue };
            let of = links.entry(node.clone()).or_default();
            of.push((entity(row.get(1), row.get(2))?, row.get(3)));
        }
    }
    Ok(links)
}

/// Entities of a kind that at least `least` customers use, after one of them, at most so many.
pub(super) async fn shared(
    tx: &Transaction<'_>,
    (run, as_of): (&PlatformRunId, Time),
    kind: EntityKind,
    after: &str,
    (least, limit): (i64, i64),
) -> Result<Vec<SharedRow>, Error> {
    let statement = tx.prepare_cached(SHARED).await?;
    let kind = number(kind);
    let rows = tx
        .query(
            &statement,
            &[
                run,
                &kind,
                &as_of,
                &stored(after),
                &least,
                &limit,
                &CUSTOMERS_MAX,
            ],
        )
        .await?;
    let read = |row: &Row| {
        let (ids, since): (Vec<String>, Vec<Time>) = (row.get(2), row.get(3));
        let customers = ids.into_iter().map(read_back).zip(since);
        let id = read_back(row.get(0));
        (id, row.get(1), customers.collect())
    };
    Ok(rows.iter().map(read).collect())
}

/// Of these customers those known for fraud as of a time: of how many payments, and since when of the
/// first of them.
pub(super) async fn labelled(
    tx: &Transaction<'_>,
    (run, as_of): (&PlatformRunId, Time),
    customers: &[&str],
) -> Result<BTreeMap<String, (i64, Time)>, Error> {
    let statement = tx.prepare_cached(LABELLED).await?;
    let customers: Vec<Cow<'_, str>> = customers.iter().map(|it| stored(it)).collect();
    let rows = tx.query(&statement, &[run, &as_of, &customers]).await?;
    let read = |row: &Row| (read_back(row.get(0)), (row.get(1), row.get(2)));
    Ok(rows.iter().map(read).collect())
}

fn entity(number: i16, id: String) -> Result<EntityRef, Error> {
    let kind = kind(number);
    let kind = kind.ok_or_else(|| Error::form("entity kind", &number))?;
    let id = read_back(id);
    Ok(EntityRef { kind, id })
}

/// An id as a text column takes it: a payment may name an entity with a NUL in it, which none does.
fn stored(id: &str) -> Cow<'_, str> {
    match id.contains(['\0', '\\']) {
        true => id.replace('\\', r"\\").replace('\0', r"\0").into(),
        false => id.into(),
    }
}

/// The id that was [`stored`].
fn read_back(id: String) -> String {
    if !id.contains('\\') {
        return id;
    }
    let mut read = String::with_capacity(id.len());
    let mut rest = id.chars();
    while let Some(it) = rest.next() {
        read.push(match it {
            '\\' if rest.next() == Some('0') => '\0',
            it => it,
        });
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_stored_and_read_back() {
        for id in ["c1", "", "\0", "a\0b", r"\", r"\0", r"a\\0", "\\\0\\", "ä"] {
            let kept = stored(id);
            assert!(!kept.contains('\0'));
            assert_eq!(read_back(kept.into_owned()), id);
        }
        assert_ne!(stored("\0"), stored(r"\0"));
    }
}
