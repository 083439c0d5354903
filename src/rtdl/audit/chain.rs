//! Verifies the hash chain of a run: every record hashes to what stands beside it and says what its columns say, every link
//! follows from the one before, no seq is missing; its segments hold the same chain, and its anchors its links.

use std::collections::VecDeque;

use serde::Serialize;

use crate::contracts::chain_anchor::ChainAnchor;
use crate::contracts::decision::ChainLink;
use crate::domain::digest::Digest;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::rtdl::audit::Error;
use crate::rtdl::audit::anchors::Anchors;
use crate::runtime::decisions::{self, Columns, Segment, StoredDecision};
use crate::runtime::ground::Ground;

const PAGE: i64 = 2_000;
/// Manifest rows read at a time.
const SEGMENTS_PAGE: i64 = 500;

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    pub platform_run_id: PlatformRunId,
    /// Records that were verified, up to the first that is wrong.
    pub verified: i64,
    /// The newest link that holds.
    pub head: Digest,
    /// Segments that were opened and hold the same chain, and up to which record they reach.
    pub segments: i64,
    pub in_segments: i64,
    /// Anchors in the object store that hold, and up to which record.
    pub anchors: i64,
    pub anchored: i64,
    pub broken: Option<Broken>,
}

/// The first record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub seq: i64,
    /// Where a rewritten log began to differ can lie before it: not before this one.
    pub not_before: i64,
    pub decision_id: DecisionId,
    pub why: &'static str,
}

/// Walks the chain from its genesis: the log, days that have left included, and beside it every segment and anchor.
///
/// # Errors
/// A segment that is missing or altered, and those of the substrates; a broken chain is a report, not an error.
pub async fn verify(
    ground: &Ground,
    run: &PlatformRunId,
    progress: &(dyn Fn(i64) + Send + Sync),
) -> Result<ChainReport, Error> {
    let mut chain = ChainLink::genesis(run);
    let mut beside = Beside {
        segments: Segments::of(run),
        anchors: Anchors::list(ground, run).await?,
    };
    let mut is_keyed = false;
    loop {
        let page = decisions::after(ground, run, chain.seq, PAGE).await?;
        if page.is_empty() {
            if let Some(beyond) = beside.segments.beyond(ground, chain.seq).await? {
                // Unless both have grown since the page was read.
                match decisions::after(ground, run, chain.seq, 1)
                    .await?
                    .is_empty()
                {
                    true => return Err(beyond.into()),
                    false => continue,
                }
            }
            if let Some(seq) = beside.anchors.beyond(ground).await? {
                return Err(Error::Anchor {
                    key: format!("{}{seq:012}.json", ChainAnchor::prefix(run)),
                    what: "the log ends before it",
                });
            }
            return Ok(report(run, chain, &beside, None));
        }
        let columns = decisions::columns(ground, run, &page).await?;
        for record in &page {
            let next = match chain.check(&record.chain_record()) {
                Ok(next) => match said_beside(record, columns.get(&record.seq), &mut is_keyed) {
                    Ok(()) => beside.meet(ground, &next).await?.map(|()| next),
                    Err(why) => Err((record.seq, why)),
                },
                Err(why) => Err((record.seq, why)),
            };
            match next {
                Ok(next) => chain = next,
                Err(wrong) => {
                    let broken = broken(record, wrong);
                    return Ok(report(run, chain, &beside, Some(broken)));
                }
            }
        }
        progress(chain.seq);
    }
}

/// What stands beside a record, against the record. Once one of a run has keys, all that follow have.
fn said_beside(
    record: &StoredDecision,
    columns: Option<&Columns>,
    is_keyed: &mut bool,
) -> Result<(), &'static str> {
    let opened = record.open();
    let (body, evidence) = opened.map_err(|_| "its columns are not those of its body")?;
    let Some(columns) = columns else {
        return Ok(());
    };
    if *is_keyed && !columns.has_keys() {
        return Err("its column keys is empty, and those of the records before it are not");
    }
    *is_keyed |= columns.has_keys();
    columns.unlike(&body, &evidence).map_or(Ok(()), Err)
}

/// From which record on it may be wrong, and why.
type Wrong = (i64, &'static str);

/// What a record is held against, beside the one before it.
struct Beside {
    segments: Segments,
    anchors: Anchors,
}

impl Beside {
    /// Anchors first: they name the record, a segment only itself.
    async fn meet(
        &mut self,
        ground: &Ground,
        link: &ChainLink,
    ) -> Result<Result<(), Wrong>, Error> {
        if let Err(since) = self.anchors.meet(ground, link).await? {
            return Ok(Err((
                since,
                "its link is not the one that was anchored: the log was rewritten",
            )));
        }
        let met = self.segments.meet(ground, link).await?;
        Ok(met.map_err(|why| (link.seq, why)))
    }
}

fn broken(record: &StoredDecision, (not_before, why): Wrong) -> Broken {
    Broken {
        seq: record.seq,
        not_before,
        decision_id: record.decision_id,
        why,
    }
}

fn report(
    run: &PlatformRunId,
    chain: ChainLink,
    beside: &Beside,
    broken: Option<Broken>,
) -> ChainReport {
    ChainReport {
        platform_run_id: *run,
        verified: chain.seq,
        head: chain.link,
        segments: beside.segments.n_held,
        in_segments: beside.segments.chain.seq,
        anchors: beside.anchors.n_held,
        anchored: beside.anchors.up_to,
        broken,
    }
}

/// The segments beside the log: each is walked on its own and must end with the log's link.
struct Segments {
    run: PlatformRunId,
    ahead: VecDeque<Segment>,
    is_all: bool,
    chain: ChainLink,
    n_held: i64,
}

impl Segments {
    fn of(run: &PlatformRunId) -> Segments {
        Segments {
            run: *run,
            ahead: VecDeque::new(),
            is_all: false,
            chain: ChainLink::genesis(run),
            n_held: 0,
        }
    }

    /// Where a segment ends at this link of the log, it is read and its chain compared.
    async fn meet(
        &mut self,
        ground: &Ground,
        link: &ChainLink,
    ) -> Result<Result<(), &'static str>, Error> {
        if self.ahead.is_empty() && !self.is_all {
            let client = ground.db.get().await?;
            let (after, limit) = (self.chain.seq, SEGMENTS_PAGE);
            let more = decisions::segments_after(&client, &self.run, after, limit).await?;
            self.is_all = more.is_empty();
            self.ahead.extend(more);
        }
        let is_end = |it: &mut Segment| it.last <= link.seq;
        let Some(segment) = self.ahead.pop_front_if(is_end) else {
            return Ok(Ok(()));
        };
        for record in segment.read(ground.objects.as_ref()).await? {
            match self.chain.check(&record.chain_record()) {
                Ok(next) => self.chain = next,
                Err(_) => return Ok(Err("its segment does not follow from the one before")),
            }
        }
        if self.chain != *link {
            return Ok(Err("its segment ends with another link"));
        }
        self.n_held += 1;
        Ok(Ok(()))
    }

    /// What is wrong if a segment reaches beyond the end of the log.
    async fn beyond(&self, ground: &Ground, seq: i64) -> Result<Option<decisions::Error>, Error> {
        let client = ground.db.get().await?;
        let more = decisions::segments_after(&client, &self.run, seq, 1).await?;
        Ok(more.first().map(|it| decisions::Error::SegmentDiffers {
            key: it.key.to_string(),
            what: "it reaches beyond the end of the log",
        }))
    }
}
