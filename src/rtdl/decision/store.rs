//! What a worker writes: decisions by COPY, counts and quarantine by row, all in the transaction
//! that moves its position.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::contracts::fact::Fact;
use crate::contracts::groups::DECISION;
use crate::domain::ids::PlatformRunId;
use crate::domain::time::Time;
use crate::domain::vocabulary::Outcome;
use crate::governance::facts;
use crate::rtdl::decision::asked;
use crate::rtdl::decision::batch::Decided;
use crate::rtdl::decision::{search, shadow};
use crate::runtime::commit::Effects;
use crate::runtime::consumer;
use crate::runtime::ground::Ground;
use crate::runtime::guard::Refused;
use crate::substrate::db::{self, Day, ToSql, Transaction, Type, copy_in};

const APPEND_DECISIONS: &str = include_str!("sql/append_decisions.sql");
const APPEND_COUNT: &str = include_str!("sql/append_count.sql");
const APPEND_QUARANTINE: &str = include_str!("sql/append_quarantine.sql");

pub(super) const TABLES: &[&str] = &[
    "dla.decision",
    "dla.decision_count",
    "dla.shadow_score",
    "rtdl.inlet_quarantine",
];

/// What one transaction of a worker counted: seen = decided + repeated + quarantined + other_runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) seen: i32,
    pub(super) decided: i32,
    pub(super) repeated: i32,
    pub(super) quarantined: i32,
    pub(super) other_runs: i32,
}

impl Counts {
    pub(super) fn balance(&self) -> bool {
        self.seen == self.decided + self.repeated + self.quarantined + self.other_runs
    }
}

/// What one commit of a worker holds.
pub(super) struct Batch {
    pub(super) key: CountKey,
    pub(super) decided: Vec<Decided>,
    pub(super) refused: Vec<Refused>,
    pub(super) counts: Counts,
    pub(super) facts: Vec<Fact>,
    pub(super) now: Time,
    /// In whose name it asks for actions.
    pub(super) ground: Ground,
    /// Whether others are told of it when it is committed.
    pub(super) is_told: AtomicBool,
}

#[async_trait]
impl Effects for Batch {
    fn group(&self) -> &'static str {
        DECISION
    }

    async fn write(&self, tx: &Transaction<'_>) -> Result<(), consumer::Error> {
        append_decisions(tx, &self.key.run, &self.decided).await?;
        asked::append(tx, &self.ground, self.now, &self.decided).await?;
        append_quarantine(tx, DECISION, &self.refused, self.now).await?;
        facts::append(tx, &self.facts).await?;
        let is_told = tokio::try_join!(
            biased;
            search::append(tx, &self.key.run, &self.decided),
            append_count(tx, self),
        )?
        .1;
        self.is_told.store(is_told, Ordering::Relaxed);
        Ok(shadow::append(tx, &self.key.run, &self.decided).await?)
    }
}

const DECISION_TYPES: &[Type] = &[
    Type::DATE,
    Type::BYTEA,
    Type::INT8,
    Type::BYTEA,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::BOOL,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::BYTEA,
    Type::TIMESTAMPTZ,
    Type::INT8_ARRAY,
];

async fn append_decisions(
    tx: &Transaction<'_>,
    run: &PlatformRunId,
    decided: &[Decided],
) -> Result<(), db::Error> {
    if decided.is_empty() {
        return Ok(());
    }
    let derived: Vec<(Day, &str, bool)> = decided.iter().map(derive).collect();
    // Collected before the await: a borrowing iterator held across it would not be Send.
    let rows: Vec<Columns<'_>> = decided
        .iter()
        .zip(&derived)
        .map(|it| columns(run, it))
        .collect();
    copy_in(tx, APPEND_DECISIONS, DECISION_TYPES, rows).await?;
    Ok(())
}

type Columns<'a> = [&'a (dyn ToSql + Sync); 15];

fn columns<'a>(
    run: &'a PlatformRunId,
    (row, (day, outcome, degraded)): (&'a Decided, &'a (Day, &'static str, bool)),
) -> Columns<'a> {
    [
        day,
        run,
        &row.chain.seq,
        &row.decision_id,
        &row.event_id,
        &row.ts_utc,
        outcome,
        degraded,
        &row.body,
        &row.evidence,
        &row.body_hash,
        &row.evidence_hash,
        &row.chain.link,
        &row.decided_at,
        &row.keys,
    ]
}

fn derive(row: &Decided) -> (Day, &'static str, bool) {
    (
        Day::of(row.decided_at),
        Outcome::as_str(row.outcome),
        !row.degraded.is_empty(),
    )
}

/// Where a count row belongs: under which epoch, as the how-manieth batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountKey {
    pub(super) run: PlatformRunId,
    pub(super) epoch: i64,
    pub(super) batch_no: i64,
    pub(super) last_seq: i64,
}

/// Returns whether the commit tells other processes.
async fn append_count(tx: &Transaction<'_>, batch: &Batch) -> Result<bool, db::Error> {
    let (key, counts) = (&batch.key, &batch.counts);
    // A batch of nothing but other runs' records counts nothing of this one.
    if counts.seen <= counts.other_runs {
        return Ok(false);
    }
    let (escalated, actions_requested) = asked::counts(&batch.decided);
    let statement = tx.prepare_cached(APPEND_COUNT).await?;
    let values: [&(dyn ToSql + Sync); 14] = [
        &Day::of(batch.now),
        &key.run,
        &key.last_seq,
        &key.epoch,
        &key.batch_no,
        &counts.seen,
        &counts.decided,
        &counts.repeated,
        &counts.quarantined,
        &counts.other_runs,
        &batch.now,
        &escalated,
        &actions_requested,
        &batch.ground.holder,
    ];
    Ok(tx.query_one(&statement, &values).await?.get(0))
}

async fn append_quarantine(
    tx: &Transaction<'_>,
    group: &str,
    refused: &[Refused],
    now: Time,
) -> Result<(), db::Error> {
    for refusal in refused {
        let offset = &refusal.origin_offset;
        let envelope = refusal.event.as_ref().map(|event| &event.envelope);
        let run = envelope.map(|envelope| envelope.platform_run_id);
        let event_id = envelope.map(|envelope| envelope.event_id.to_string());
        let statement = tx.prepare_cached(APPEND_QUARANTINE).await?;
        tx.execute(
            &statement,
            &[
                &Day::of(now),
                &group,
                &offset.stream.as_str(),
                &offset.shard_id.0,
                &offset.sequence_number.as_str(),
                &run,
                &event_id,
                &refusal.code.as_str(),
                &refusal.detail,
                &now,
            ],
        )
        .await?;
    }
    Ok(())
}
