//! The segments of the decision log: each is there, is what its row says, and holds the chain that the rows hold (L8).

use crate::contracts::decision::ChainLink;
use crate::reconcile::check::{Examples, Findings, int};
use crate::reconcile::{Audit, Error};
use crate::runtime::decisions::{self, Segment};

const PAGE: i64 = 500;

pub(super) async fn audit(audit: &Audit<'_>, findings: &mut Findings) -> Result<(), Error> {
    let mut chain = ChainLink::genesis(&audit.run);
    let (mut n_listed, mut n_held, mut wrong) = (0, 0, Examples::default());
    loop {
        let client = audit.ground.db.get().await?;
        let page = decisions::segments_after(&client, &audit.run, chain.seq, PAGE).await?;
        drop(client);
        if page.is_empty() {
            break;
        }
        for segment in page {
            n_listed += segment.decisions();
            match held(audit, chain, &segment).await? {
                Ok(n) => n_held += n,
                Err(why) => wrong.add(|| why),
            }
            // As stored, so that one broken segment is one broken segment.
            chain = ChainLink {
                seq: segment.last,
                link: segment.last_link,
            };
            (audit.progress)("decision segments", n_listed.unsigned_abs());
        }
    }
    findings.check("decision_segments_hold_the_chain", n_listed, n_held, wrong);
    Ok(())
}

/// How many decisions it holds, or what is wrong with it.
async fn held(
    audit: &Audit<'_>,
    chain: ChainLink,
    segment: &Segment,
) -> Result<Result<i64, String>, Error> {
    let read = match segment.read(audit.ground.objects.as_ref()).await {
        Ok(read) => read,
        Err(error @ (decisions::Error::Db(_) | decisions::Error::Objects(_))) => {
            return Err(error.into());
        }
        Err(error) => return Ok(Err(error.to_string())),
    };
    let wrong = |seq: i64, why: &str| Ok(Err(format!("seq {seq} of `{}`: {why}", segment.key)));
    let mut last = chain;
    for record in &read {
        match last.check(&record.chain_record()) {
            Ok(next) => last = next,
            Err(why) => return wrong(record.seq, why),
        }
    }
    // Links are hashes of all that is before them: the same end, the same chain.
    let rows = decisions::at(audit.ground, &audit.run, &[segment.last]).await?;
    match rows.first() {
        Some(row) if row.link == last.link => Ok(Ok(int(read.len()))),
        _ => wrong(segment.last, "the log has another link, or none"),
    }
}
