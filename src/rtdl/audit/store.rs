//! Rows of the decision log.

use std::collections::BTreeSet;

use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, DecisionEvidence, record_hash};
use crate::domain::digest::{Digest, Tagged};
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::rtdl::audit::Error;
use crate::substrate::db::{Client, Db, Row};

const FIND: &str = include_str!("sql/find_decisions.sql");
const READ_AFTER: &str = include_str!("sql/read_decisions_after.sql");
const READ_AT: &str = include_str!("sql/read_decisions_at.sql");
const LAST_SEQ: &str = include_str!("sql/read_last_seq.sql");

/// A row as it stands.
#[derive(Debug, Clone)]
pub struct StoredDecision {
    pub run: PlatformRunId,
    pub seq: i64,
    pub decision_id: DecisionId,
    /// Canonical CBOR.
    pub body: Vec<u8>,
    pub evidence: Vec<u8>,
    pub body_hash: Digest,
    pub evidence_hash: Digest,
    pub link: Digest,
}

impl StoredDecision {
    fn read(row: &Row) -> StoredDecision {
        StoredDecision {
            run: row.get(0),
            seq: row.get(1),
            decision_id: row.get(2),
            body: row.get(3),
            evidence: row.get(4),
            body_hash: row.get(5),
            evidence_hash: row.get(6),
            link: row.get(7),
        }
    }

    /// Both halves, once their hashes are verified.
    ///
    /// # Errors
    /// [`Error::Altered`] naming the half that was changed.
    pub fn open(&self) -> Result<(DecisionBody, DecisionEvidence), Error> {
        let altered = |part| Error::Altered {
            decision_id: self.decision_id,
            part,
        };
        if record_hash(&self.body) != self.body_hash {
            return Err(altered("body"));
        }
        if record_hash(&self.evidence) != self.evidence_hash {
            return Err(altered("evidence"));
        }
        let body = canonical::from_bytes("decision body", &self.body)?;
        Ok((
            body,
            canonical::from_bytes("decision evidence", &self.evidence)?,
        ))
    }
}

/// The decisions by id, ordered by run and seq.
///
/// # Errors
/// [`Error::Unknown`] for the first that is not there.
pub async fn find(db: &Db, ids: &[DecisionId]) -> Result<Vec<StoredDecision>, Error> {
    let rows = db.get().await?.query(FIND, &[&ids]).await?;
    let found: Vec<StoredDecision> = rows.iter().map(StoredDecision::read).collect();
    let known: BTreeSet<DecisionId> = found.iter().map(|row| row.decision_id).collect();
    match ids.iter().find(|id| !known.contains(id)) {
        Some(missing) => Err(Error::Unknown(*missing)),
        None => Ok(found),
    }
}

/// At most `n` decisions of a run, spread by the seed: the same seed picks the same ones.
///
/// # Errors
/// Those of the database.
pub async fn sample(
    db: &Db,
    run: &PlatformRunId,
    n: usize,
    seed: u64,
) -> Result<Vec<StoredDecision>, Error> {
    let client = db.get().await?;
    let last: i64 = client.query_one(LAST_SEQ, &[run]).await?.get(0);
    let seqs = pick(last, n, seed);
    let rows = client.query(READ_AT, &[run, &seqs]).await?;
    Ok(rows.iter().map(StoredDecision::read).collect())
}

/// `n` different numbers of `1..=last`, or all of them.
fn pick(last: i64, n: usize, seed: u64) -> Vec<i64> {
    if usize::try_from(last).is_ok_and(|last| last <= n) {
        return (1..=last).collect();
    }
    let mut picked = BTreeSet::new();
    for draw in 0.. {
        if picked.len() >= n {
            break;
        }
        let digest = Tagged::new("replay_sample")
            .int(seed.cast_signed())
            .int(draw)
            .digest();
        let mut word = [0u8; 8];
        word.copy_from_slice(&digest.as_bytes()[..8]);
        picked.insert(1 + (u64::from_le_bytes(word) % last.unsigned_abs()).cast_signed());
    }
    picked.into_iter().collect()
}

/// At most `limit` decisions of a run that follow `after` in its chain, in order.
///
/// # Errors
/// Those of the database.
pub async fn list(
    db: &Db,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredDecision>, Error> {
    read_after(&db.get().await?, run, after, limit).await
}

/// The decisions that follow `after`, in order.
pub(super) async fn read_after(
    client: &Client,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredDecision>, Error> {
    let statement = client.prepare_cached(READ_AFTER).await?;
    let rows = client.query(&statement, &[run, &after, &limit]).await?;
    Ok(rows.iter().map(StoredDecision::read).collect())
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn a_sample_is_as_large_as_asked_and_repeats_with_its_seed() {
        assert_eq!(pick(3, 10, 1), [1, 2, 3]);
        let sample = pick(1_000, 100, 7);
        assert_eq!(sample.len(), 100);
        assert!(sample.iter().all(|seq| (1..=1_000).contains(seq)));
        assert_eq!(sample, pick(1_000, 100, 7));
        assert_ne!(sample, pick(1_000, 100, 8));
    }
}
