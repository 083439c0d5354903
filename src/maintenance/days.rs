//! Days of evidence: those that are due, the proof of each, and its end.

use serde::Serialize;

use crate::contracts::fact::EvidenceRef;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::vocabulary::{FactType, RefType};
use crate::governance::facts;
use crate::maintenance::Error;
use crate::maintenance::ledger::{self, Ledger};
use crate::maintenance::pass::Pass;
use crate::substrate::db::{self, Client, Day};
use crate::substrate::objects::ObjectKey;

const LIST_DUE: &str = include_str!("sql/list_due_days.sql");
const OBSTACLES: &str = include_str!("sql/read_obstacles.sql");
const LIST_OBJECTS: &str = include_str!("sql/list_day_objects.sql");
const DROP: &str = include_str!("sql/drop_day.sql");
const FORGET_SEARCH: &str = include_str!("sql/forget_search.sql");
const UNMARK: &str = include_str!("sql/unmark_pruned_day.sql");

/// The database's word for a day that may not leave.
const REFUSED: &str = "FP002";
/// A drop locks tables that the gate writes to; it must not keep the gate waiting behind a long reader.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// In this order: the gate's rows are what the others are held against.
const GROUPS: [&str; 4] = ["ig", "rtdl", "dla", "al"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Dropped,
    /// A dry run found nothing against it.
    WouldDrop,
    Kept,
}

/// What became of a day that is old enough.
#[derive(Debug, Clone, Serialize)]
pub struct DayReport {
    pub group: String,
    pub day: String,
    pub outcome: Outcome,
    /// Why it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Drops the days that are due, the oldest first. A day that may not go is told of and holds up no other.
pub(super) async fn drop_due(pass: &mut Pass<'_>) -> Result<Vec<DayReport>, Error> {
    let mut reports = Vec::new();
    let until = Day(pass.as_of.0 - i64::from(pass.options.evidence_days));
    for group in GROUPS {
        let client = pass.identity.get().await?;
        let due = client.query(LIST_DUE, &[&group, &until]).await?;
        drop(client);
        let mut days: Vec<Day> = due.iter().map(|row| row.get(0)).collect();
        let blocked: Option<String> = due.first().and_then(|row| row.get(1));
        if blocked.is_some() {
            days.truncate(1);
        }
        for day in days {
            if !pass.goes_on().await? {
                return Ok(reports);
            }
            let refusal = drop_day(pass, group, day).await?;
            let outcome = match (&refusal, pass.dry_run) {
                (Some(_), _) => Outcome::Kept,
                (None, true) => Outcome::WouldDrop,
                (None, false) => Outcome::Dropped,
            };
            let (code, detail) = refusal.unzip();
            let (group, day) = (group.to_owned(), day.to_string());
            reports.push(DayReport {
                group,
                day,
                outcome,
                code,
                detail,
            });
        }
    }
    Ok(reports)
}

type Refusal = (String, String);

/// Why the day stays, or nothing: then it is gone, but for a dry run.
async fn drop_day(pass: &Pass<'_>, group: &str, day: Day) -> Result<Option<Refusal>, Error> {
    let client = pass.identity.get().await?;
    if let Some(refusal) = obstacle(pass, &client, group, day).await? {
        return Ok(Some(refusal));
    }
    if pass.dry_run {
        return Ok(None);
    }
    let ledger = ledger::write(pass.ground, &client, group, day).await?;
    match commit(pass, client, group, day, &ledger).await {
        Ok(()) => Ok(None),
        Err(Error::Db(error)) if error.sqlstate() == Some(REFUSED) => {
            Ok(Some(("CHANGED_MEANWHILE".to_owned(), error.to_string())))
        }
        // A long reader, or a gate that was first: the next pass tries again.
        Err(Error::Db(error @ db::Error::Conflict { .. })) => {
            Ok(Some(("LOCKED".to_owned(), error.to_string())))
        }
        Err(error) => Err(error),
    }
}

/// What the database and the object store have against it.
async fn obstacle(
    pass: &Pass<'_>,
    client: &Client,
    group: &str,
    day: Day,
) -> Result<Option<Refusal>, Error> {
    if !pass.options.has_archive {
        let why = "the profile has the archive off: without it these rows are the only copy";
        return Ok(Some(("ARCHIVE_REQUIRED".to_owned(), why.to_owned())));
    }
    let evidence_days = i32::try_from(pass.options.evidence_days).unwrap_or(i32::MAX);
    let found = client
        .query(OBSTACLES, &[&group, &day, &evidence_days, &pass.as_of])
        .await?;
    if let Some(row) = found.first() {
        return Ok(Some((row.get(0), row.get(1))));
    }
    for row in client.query(LIST_OBJECTS, &[&day, &group]).await? {
        let key: ObjectKey = row.get::<_, &str>(0).parse().map_err(Error::Key)?;
        let hash: Option<Digest> = row.get(1);
        let body = pass.ground.objects.get(&key).await?;
        let is_whole = body.is_some_and(|body| hash.is_none_or(|it| it == Digest::of_bytes(&body)));
        if !is_whole {
            let detail = format!("{key} is missing, or is not what its row says");
            return Ok(Some(("OBJECT_MISSING".to_owned(), detail)));
        }
    }
    Ok(None)
}

/// Proof, drop and fact in one transaction.
async fn commit(
    pass: &Pass<'_>,
    mut client: Client,
    group: &str,
    day: Day,
    ledger: &Ledger,
) -> Result<(), Error> {
    let ground = pass.ground;
    let evidence_days = i32::try_from(pass.options.evidence_days).unwrap_or(i32::MAX);
    let (actor, release) = (&ground.actor, &ground.stamps.service_release_id);
    let now = ground.clock.now();
    let tx = client.transaction().await?;
    tx.batch_execute(LOCK_TIMEOUT).await?;
    let row = tx
        .query_one(
            DROP,
            &[
                &group,
                &day,
                &evidence_days,
                &pass.as_of,
                &ledger.key.as_ref().map(ObjectKey::as_str),
                &ledger.hash,
                &ledger.rows_json(),
                &actor.actor_id.as_str(),
                &actor.source_type.as_str(),
                release,
                &now,
            ],
        )
        .await?;
    let (proof, sha256): (String, &str) = (row.get(0), row.get(1));
    tx.execute(UNMARK, &[&group, &day]).await?;
    tx.execute(FORGET_SEARCH, &[&group, &day]).await?;
    let of_day = day.to_string();
    let run: Option<PlatformRunId> = None;
    let mut fact = ground.fact(FactType::PartitionsDropped, &[group, &of_day, sha256], run);
    fact.details = [
        ("group", group.to_owned()),
        ("day", of_day.clone()),
        ("proof", proof),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    fact.refs = ledger.key.iter().map(reference).collect();
    facts::append(&tx, &[fact]).await?;
    tx.commit().await?;
    Ok(())
}

fn reference(key: &ObjectKey) -> EvidenceRef {
    EvidenceRef {
        ref_type: RefType::ExternalRef,
        ref_id: key.to_string(),
    }
}
