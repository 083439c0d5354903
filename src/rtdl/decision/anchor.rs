//! Anchors of the chain in the object store, written beside the work: a log that is rewritten later, every hash made
//! anew, no longer fits them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::contracts::chain_anchor::{ChainAnchor, SCHEMA_VERSION};
use crate::contracts::decision::ChainLink;
use crate::domain::ids::PlatformRunId;
use crate::rtdl::decision::batch::Decided;
use crate::runtime::ground::Ground;
use crate::substrate::objects::{ObjectKey, Put};

/// An anchor is due after so many decisions, or so long after the first that has none.
const DECISIONS: usize = 2_000;
const AFTER: Duration = Duration::from_secs(60);

/// The anchors of one worker's run, one at a time.
pub(super) struct Anchors {
    run: PlatformRunId,
    after_seq: i64,
    /// The committed decisions since then: their digits, and the newest link.
    links: String,
    newest: Option<ChainLink>,
    n: usize,
    since: Instant,
    writing: Option<JoinHandle<()>>,
}

impl Anchors {
    /// Of what is decided after this place.
    pub(super) fn new(run: PlatformRunId, seq: i64) -> Anchors {
        Anchors {
            run,
            after_seq: seq,
            links: String::new(),
            newest: None,
            n: 0,
            since: Instant::now(),
            writing: None,
        }
    }

    /// Takes what was committed.
    pub(super) fn note(&mut self, decided: &[Decided]) {
        if self.newest.is_none() {
            self.since = Instant::now();
        }
        for it in decided {
            self.links.push_str(&ChainAnchor::digits(&it.chain.link));
            self.newest = Some(it.chain);
            self.n += 1;
        }
    }

    pub(super) fn is_due(&self) -> bool {
        let is_idle = self.writing.as_ref().is_none_or(JoinHandle::is_finished);
        let is_old = self.newest.is_some() && AFTER <= self.since.elapsed();
        is_idle && (DECISIONS <= self.n || is_old)
    }

    /// Writes an anchor of all that was taken, in the background; nothing where there is nothing new.
    pub(super) async fn write(&mut self, ground: &Ground) {
        let Some(newest) = self.newest.take() else {
            return;
        };
        let anchor = ChainAnchor {
            schema_version: SCHEMA_VERSION,
            platform_run_id: self.run,
            seq: newest.seq,
            link: newest.link,
            after_seq: self.after_seq,
            links: std::mem::take(&mut self.links),
            anchored_at: ground.clock.now(),
            stamps: ground.stamps.clone(),
        };
        (self.after_seq, self.n) = (newest.seq, 0);
        self.finish().await;
        let objects = Arc::clone(&ground.objects);
        self.writing = Some(tokio::spawn(async move {
            let key: ObjectKey = anchor.key().parse().expect("ids and numbers make a key");
            let bytes = serde_json::to_vec(&anchor).expect("an anchor is plain JSON");
            match objects.put_new(&key, Bytes::from(bytes)).await {
                Ok(Put::Created | Put::Same) => {}
                Ok(Put::Conflict { stored }) => {
                    tracing::error!(key = %key, stored = %stored, "another anchor has this place of the chain");
                }
                Err(error) => {
                    tracing::warn!(key = %key, error = %error, "an anchor was not written; the next one proves the chain, too");
                }
            }
        }));
    }

    /// Waits until what is being written is written.
    pub(super) async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            drop(writing.await);
        }
    }
}
