//! How far a run is decided: basis and chain in one text, so that one lease row fences both (L4).

use serde::{Deserialize, Serialize};

use crate::contracts::decision::ChainLink;
use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardRef};
use crate::domain::vocabulary::Stream;

/// The streams whose records decisions are a function of.
pub const BASIS_STREAMS: [Stream; 2] = [Stream::Traffic, Stream::Labels];

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
        let ChainLink { seq, link } = ChainLink::genesis(run);
        let mut initial = RunPosition {
            basis: Basis::default(),
            seq,
            link,
        };
        initial.widen(tips);
        initial
    }

    /// Begins what it does not name where the run began: a release before it read fewer streams.
    pub fn widen(&mut self, tips: &Basis) {
        for (shard, at) in &tips.0 {
            let stream = shard.split('/').next().unwrap_or_default();
            if BASIS_STREAMS.iter().any(|it| it.as_str() == stream) {
                let named = self.basis.0.entry(shard.clone());
                named.or_insert_with(|| at.clone());
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::offset::SequenceNumber;

    #[test]
    fn a_position_of_an_earlier_release_begins_the_labels_where_the_run_began() {
        let run = PlatformRunId::from_digest(Digest::of_bytes(b"run"));
        let at = |number: u64| Position::After(SequenceNumber::from_u64(number));
        let shard = |stream: Stream| format!("{stream}/0");
        let tips = [Stream::Traffic, Stream::Labels, Stream::FlowAnchor];
        let tips = tips.iter().zip([3, 4, 5]);
        let tips = Basis(tips.map(|(it, nth)| (shard(*it), at(nth))).collect());
        let initial = RunPosition::initial(&run, &tips);
        let expect = [
            (shard(Stream::Labels), at(4)),
            (shard(Stream::Traffic), at(3)),
        ];
        assert_eq!(initial.basis.0, expect.clone().into());

        let mut old = initial.clone();
        old.basis.0.remove(&shard(Stream::Labels));
        old.basis.0.insert(shard(Stream::Traffic), at(9));
        old.widen(&tips);
        let expect = [
            (shard(Stream::Labels), at(4)),
            (shard(Stream::Traffic), at(9)),
        ];
        assert_eq!(old.basis.0, expect.into());
    }
}
