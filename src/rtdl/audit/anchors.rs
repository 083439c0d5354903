//! The anchors of a run beside its log: each record is held against what was anchored of it.

use std::collections::VecDeque;

use crate::contracts::chain_anchor::ChainAnchor;
use crate::contracts::decision::ChainLink;
use crate::domain::ids::PlatformRunId;
use crate::rtdl::audit::Error;
use crate::runtime::ground::Ground;
use crate::substrate::objects::ObjectKey;

const LIST_MAX: usize = 1_000;

/// Anchors in order of the chain, read as the walk comes to them. Listed before it begins: what they anchor was
/// committed by then.
pub(super) struct Anchors {
    run: PlatformRunId,
    ahead: VecDeque<ObjectKey>,
    open: Option<ChainAnchor>,
    /// How many hold, and up to which record.
    pub(super) n_held: i64,
    pub(super) up_to: i64,
}

impl Anchors {
    pub(super) async fn list(ground: &Ground, run: &PlatformRunId) -> Result<Anchors, Error> {
        let prefix = ChainAnchor::prefix(run);
        let mut ahead: VecDeque<ObjectKey> = VecDeque::new();
        loop {
            let listed = ground.objects.list(&prefix, ahead.back(), LIST_MAX).await?;
            let n_listed = listed.len();
            ahead.extend(listed.into_iter().map(|it| it.key));
            if n_listed < LIST_MAX {
                break;
            }
        }
        Ok(Anchors {
            run: *run,
            ahead,
            open: None,
            n_held: 0,
            up_to: 0,
        })
    }

    /// Whether the next record is what was anchored. Where it is not: the first record that may differ. It is this
    /// one, but for records of which no anchor says anything: a process that was killed took their digits with it.
    pub(super) async fn meet(
        &mut self,
        ground: &Ground,
        link: &ChainLink,
    ) -> Result<Result<(), i64>, Error> {
        if self.open.is_none() {
            self.open = self.next(ground).await?;
        }
        let Some(anchor) = &self.open else {
            return Ok(Ok(()));
        };
        if !anchor.agrees(link) {
            let is_first = link.seq == anchor.after_seq + 1;
            let since = if is_first { self.up_to + 1 } else { link.seq };
            return Ok(Err(since));
        }
        if anchor.seq == link.seq {
            (self.n_held, self.up_to) = (self.n_held + 1, link.seq);
            self.open = None;
        }
        Ok(Ok(()))
    }

    /// The place that is anchored beyond the end of the log, if any.
    pub(super) async fn beyond(&mut self, ground: &Ground) -> Result<Option<i64>, Error> {
        if self.open.is_none() {
            self.open = self.next(ground).await?;
        }
        Ok(self.open.as_ref().map(|it| it.seq))
    }

    async fn next(&mut self, ground: &Ground) -> Result<Option<ChainAnchor>, Error> {
        let Some(key) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let altered = || Error::Anchor {
            key: key.to_string(),
            what: "it is not what its key says",
        };
        let bytes = ground.objects.get(&key).await?.ok_or_else(altered)?;
        let anchor: ChainAnchor = serde_json::from_slice(&bytes).map_err(|_| altered())?;
        let is_next = self.up_to <= anchor.after_seq && anchor.is_whole(&self.run, key.as_str());
        is_next.then_some(Some(anchor)).ok_or_else(altered)
    }
}
