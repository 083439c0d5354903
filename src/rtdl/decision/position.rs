//! The position of a run's worker: basis and chain in one text, so that one row fences both.

use serde::{Deserialize, Serialize};

use crate::contracts::decision::ChainLink;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::vocabulary::Stream;

/// What the lease row holds, as JSON with sorted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunPosition {
    /// The position in every basis shard.
    pub(super) basis: Basis,
    /// The newest link of the chain.
    pub(super) seq: i64,
    pub(super) link: Digest,
}

impl RunPosition {
    /// A run begins at the tips that READY pins.
    pub(super) fn initial(run: &PlatformRunId, tips: &Basis) -> RunPosition {
        let traffic = format!("{}/", Stream::Traffic);
        let pinned = tips
            .0
            .iter()
            .filter(|(shard, _)| shard.starts_with(&traffic));
        let basis = Basis(
            pinned
                .map(|(shard, at)| (shard.clone(), at.clone()))
                .collect(),
        );
        let ChainLink { seq, link } = ChainLink::genesis(run);
        RunPosition { basis, seq, link }
    }

    pub(super) fn chain(&self) -> ChainLink {
        ChainLink {
            seq: self.seq,
            link: self.link,
        }
    }

    pub(super) fn extend(&mut self, chain: ChainLink) {
        (self.seq, self.link) = (chain.seq, chain.link);
    }

    pub(super) fn advance(&mut self, shard: &ShardRef, to: Position) {
        self.basis.advance(shard, to);
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a position is plain JSON")
    }

    pub(super) fn parse(text: &str) -> Result<RunPosition, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The basis in the text of a decision lease, for those who watch progress.
#[must_use]
pub fn basis_of(position: &str) -> Option<Basis> {
    RunPosition::parse(position)
        .ok()
        .map(|position| position.basis)
}
