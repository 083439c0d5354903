//! How far a run is decided: basis and chain in one text, so that one lease row fences both (L4).

use serde::{Deserialize, Serialize};

use crate::contracts::decision::ChainLink;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::vocabulary::Stream;

/// What the lease row holds, as JSON with sorted keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPosition {
    /// The position in every basis shard.
    pub basis: Basis,
    /// The newest link of the chain.
    pub seq: i64,
    pub link: Digest,
}

impl RunPosition {
    /// A run begins at the tips that READY pins.
    #[must_use]
    pub fn initial(run: &PlatformRunId, tips: &Basis) -> RunPosition {
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

    #[must_use]
    pub fn chain(&self) -> ChainLink {
        ChainLink {
            seq: self.seq,
            link: self.link,
        }
    }

    pub fn extend(&mut self, chain: ChainLink) {
        (self.seq, self.link) = (chain.seq, chain.link);
    }

    pub fn advance(&mut self, shard: &ShardRef, to: Position) {
        self.basis.advance(shard, to);
    }

    /// As the lease row holds it.
    ///
    /// # Panics
    /// Never: a position is plain JSON.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a position is plain JSON")
    }

    /// Reads what a lease row holds.
    ///
    /// # Errors
    /// When the text is no such position.
    pub fn parse(text: &str) -> Result<RunPosition, serde_json::Error> {
        serde_json::from_str(text)
    }
}
