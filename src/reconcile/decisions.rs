//! The decision log: one decision an admitted traffic event, one whole chain, one position that
//! knows its head (L4, L5).

use crate::contracts::decision::{ChainLink, ChainRecord};
use crate::contracts::groups::DECISION;
use crate::domain::ids::{DecisionId, EventId};
use crate::domain::keys::EventKey;
use crate::domain::vocabulary::EventClass;
use crate::reconcile::check::{Examples, Findings};
use crate::reconcile::context;
use crate::reconcile::index::{Index, Short, short};
use crate::reconcile::references::References;
use crate::reconcile::{Audit, Error};
use crate::substrate::db::{Day, Row};

const READ: &str = include_str!("sql/read_decisions.sql");
const SUM: &str = include_str!("sql/sum_decision_counts.sql");
const COUNT_REFUSED: &str = include_str!("sql/count_refused.sql");

const PAGE: i64 = 2_000;

/// What a walk over the log met.
#[derive(Debug)]
pub(super) struct DecisionLog {
    pub(super) references: References,
    rows: i64,
    /// The newest record, as it stands.
    head: ChainLink,
    n_seqs: i64,
    n_linked: i64,
    broken: Examples,
    n_named: i64,
    unnamed: Examples,
    n_twice: i64,
    twice: Examples,
}

/// Walks the chain, recomputes it, marks in the index what is decided, and takes up the evidence
/// that is to be followed.
pub(super) async fn walk(audit: &Audit<'_>, index: &mut Index) -> Result<DecisionLog, Error> {
    let mut log = DecisionLog {
        references: References::default(),
        rows: 0,
        head: ChainLink::genesis(&audit.run),
        n_seqs: 0,
        n_linked: 0,
        broken: Examples::default(),
        n_named: 0,
        unnamed: Examples::default(),
        n_twice: 0,
        twice: Examples::default(),
    };
    let stride = match audit.options.deep {
        true => Some(1),
        false => stride(
            audit.positions.decision.seq,
            audit.options.evidence_samples_max,
        ),
    };
    let client = audit.ground.db.get().await?;
    let mut after = (i64::MIN, audit.cut.since);
    loop {
        let statement = client.prepare_cached(READ).await?;
        let (seq, day) = &after;
        let rows = client
            .query(&statement, &[&audit.run, &audit.cut.since, seq, day, &PAGE])
            .await?;
        let Some(last) = rows.last() else { break };
        after = (last.get(1), last.get::<_, Day>(0));
        for row in &rows {
            let key = log.take(audit, row, index);
            let seq: i64 = row.get(1);
            if stride.is_some_and(|stride| (seq - 1) % stride == 0) {
                log.references
                    .add(seq, key.unwrap_or_default(), row.get(4), row.get(5));
            }
        }
        (audit.progress)("decisions", log.rows.unsigned_abs());
    }
    log.references.seal();
    Ok(log)
}

/// Every how-manieth decision is followed, so that at most `n` are; `None`: none of them.
fn stride(last: i64, n: u64) -> Option<i64> {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    (n > 0).then(|| ((last - 1) / n.max(1) + 1).max(1))
}

impl DecisionLog {
    /// Returns the key of the decided event.
    fn take(&mut self, audit: &Audit<'_>, row: &Row, index: &mut Index) -> Option<Short> {
        let (seq, event_id): (i64, &str) = (row.get(1), row.get(3));
        let record = ChainRecord {
            seq,
            body: row.get(4),
            evidence: row.get(5),
            body_hash: row.get(6),
            evidence_hash: row.get(7),
            link: row.get(8),
        };
        match self.head.check(&record) {
            Ok(_) => self.n_linked += 1,
            Err(why) => self.broken.add(|| format!("seq {seq}: {why}")),
        }
        self.rows += 1;
        self.n_seqs += i64::from(self.rows == 1 || seq != self.head.seq);
        // As stored, so that one broken record is one broken record.
        self.head = ChainLink {
            seq,
            link: record.link,
        };
        let key = self.named(audit, row, event_id);
        let rows = key.map(|key| index.find(&key)).unwrap_or_default();
        match rows.first_mut() {
            None => self
                .unnamed
                .add(|| format!("traffic/{event_id} of seq {seq}")),
            Some(entry) => {
                self.n_named += 1;
                if entry.is_decided {
                    self.n_twice += 1;
                    self.twice
                        .add(|| format!("traffic/{event_id} of seq {seq}"));
                }
                rows.iter_mut().for_each(|entry| entry.is_decided = true);
            }
        }
        key
    }

    /// The event's key, if the decision's id is that of the event.
    fn named(&self, audit: &Audit<'_>, row: &Row, event_id: &str) -> Option<Short> {
        let event_id: EventId = event_id.parse().ok()?;
        let decision_id = DecisionId::of(&audit.run, EventClass::Traffic, &event_id);
        let key = EventKey {
            platform_run_id: audit.run,
            event_class: EventClass::Traffic,
            event_id,
        };
        (row.get::<_, DecisionId>(2) == decision_id).then(|| short(&key.digest()))
    }
}

/// `passed`: records of the run on the bus that the worker has passed.
pub(super) async fn balance(
    audit: &Audit<'_>,
    index: &mut Index,
    log: &mut DecisionLog,
    passed: i64,
    findings: &mut Findings,
) -> Result<(), Error> {
    context::refuse(audit, EventClass::Traffic, index).await?;
    let owed = index.count(|entry| !entry.is_refused);
    let undecided = index
        .name(audit, |entry| !entry.is_decided && !entry.is_refused)
        .await?;
    let none = Examples::default;
    let taken = std::mem::take::<Examples>;
    findings.check(
        "decisions_equal_admitted_traffic",
        owed,
        log.rows,
        undecided,
    );
    let unnamed = taken(&mut log.unnamed);
    findings.check(
        "decisions_name_admitted_traffic",
        log.rows,
        log.n_named,
        unnamed,
    );
    findings.none("events_decided_twice", log.n_twice, taken(&mut log.twice));
    findings.check("decision_seqs_are_dense", log.head.seq, log.n_seqs, none());
    findings.check(
        "decision_chain_holds",
        log.rows,
        log.n_linked,
        taken(&mut log.broken),
    );
    let lease = &audit.positions.decision;
    findings.check(
        "decision_lease_knows_head_seq",
        log.head.seq,
        lease.seq,
        none(),
    );
    let same = i64::from(log.head.link == lease.link);
    findings.check("decision_lease_knows_head_link", 1, same, none());

    let client = audit.ground.db.get().await?;
    let row = client
        .query_one(SUM, &[&audit.run, &audit.cut.since])
        .await?;
    let (seen, decided, repeated): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (quarantined, other_runs): (i64, i64) = (row.get(3), row.get(4));
    let settled = decided + repeated + quarantined + other_runs;
    findings.check("decision_counts_balance", seen, settled, none());
    findings.check("decision_counts_equal_decisions", log.rows, decided, none());
    findings.check(
        "decision_counts_equal_bus",
        passed,
        seen - other_runs,
        none(),
    );
    let row = client
        .query_one(COUNT_REFUSED, &[&audit.run, &DECISION, &audit.cut.since])
        .await?;
    findings.check(
        "decision_refusals_equal_counts",
        quarantined,
        row.get(0),
        none(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::stride;

    #[test]
    fn a_sample_is_spread_and_never_larger_than_asked() {
        for (last, n) in [(0, 5), (1, 5), (5, 5), (6, 5), (11, 5), (1_504_628, 2_000)] {
            let stride = stride(last, n).unwrap();
            let followed = (1..=last).filter(|seq| (seq - 1) % stride == 0).count() as u64;
            assert!(
                followed <= n && (followed > 0 || last == 0),
                "{last} {n}: {followed}"
            );
        }
        assert_eq!(
            (stride(5, 5), stride(6, 5), stride(9, 0)),
            (Some(1), Some(2), None)
        );
    }
}
