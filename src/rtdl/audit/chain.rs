//! Verifies the hash chain of a run: every record hashes to what stands beside it, every link
//! follows from the one before, no seq is missing.

use serde::Serialize;

use crate::contracts::decision::{ChainLink, ChainRecord};
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::rtdl::audit::Error;
use crate::rtdl::audit::store::{self, StoredDecision};
use crate::substrate::db::Db;

const PAGE: i64 = 2_000;

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    pub platform_run_id: PlatformRunId,
    /// Records that were verified, up to the first that is wrong.
    pub verified: i64,
    /// The newest link that holds.
    pub head: Digest,
    pub broken: Option<Broken>,
}

/// The first record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub seq: i64,
    pub decision_id: DecisionId,
    pub why: &'static str,
}

/// Walks the chain from its genesis.
///
/// # Errors
/// Those of the database; a broken chain is a report, not an error.
pub async fn verify(
    db: &Db,
    run: &PlatformRunId,
    progress: &(dyn Fn(i64) + Send + Sync),
) -> Result<ChainReport, Error> {
    let client = db.get().await?;
    let mut chain = ChainLink::genesis(run);
    loop {
        let page = store::read_after(&client, run, chain.seq, PAGE).await?;
        if page.is_empty() {
            return Ok(report(run, chain, None));
        }
        for record in &page {
            match step(chain, record) {
                Ok(next) => chain = next,
                Err(why) => {
                    let broken = Broken {
                        seq: record.seq,
                        decision_id: record.decision_id,
                        why,
                    };
                    return Ok(report(run, chain, Some(broken)));
                }
            }
        }
        progress(chain.seq);
    }
}

fn report(run: &PlatformRunId, chain: ChainLink, broken: Option<Broken>) -> ChainReport {
    ChainReport {
        platform_run_id: *run,
        verified: chain.seq,
        head: chain.link,
        broken,
    }
}

fn step(chain: ChainLink, record: &StoredDecision) -> Result<ChainLink, &'static str> {
    chain.check(&ChainRecord {
        seq: record.seq,
        body: &record.body,
        evidence: &record.evidence,
        body_hash: record.body_hash,
        evidence_hash: record.evidence_hash,
        link: record.link,
    })
}
