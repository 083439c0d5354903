//! One record of the decision log as it stands.

use crate::contracts::canonical;
use crate::contracts::decision::{ChainRecord, DecisionBody, DecisionEvidence, record_hash};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::runtime::decisions::Error;
use crate::substrate::db::Row;

/// A record, of a row or of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Reads the first eight columns.
    #[must_use]
    pub fn read(row: &Row) -> StoredDecision {
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

    /// As a link of its chain checks it.
    #[must_use]
    pub fn chain_record(&self) -> ChainRecord<'_> {
        ChainRecord {
            seq: self.seq,
            body: &self.body,
            evidence: &self.evidence,
            body_hash: self.body_hash,
            evidence_hash: self.evidence_hash,
            link: self.link,
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
        let body: DecisionBody = canonical::from_bytes("decision body", &self.body)?;
        let evidence = canonical::from_bytes("decision evidence", &self.evidence)?;
        // No hash covers the columns beside the halves.
        if body.decision_id != self.decision_id || body.pins.platform_run_id != self.run {
            return Err(altered("id"));
        }
        Ok((body, evidence))
    }
}
