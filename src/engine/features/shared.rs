//! What all series of a state share.

use crate::engine::features::ids::EventIds;
use crate::engine::features::index::Index;
use crate::engine::features::labels::Labels;
use crate::engine::features::spill::{Room, Spill};
use crate::engine::features::texts::Texts;
use crate::engine::features::{FeatureSet, Group};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ids: EventIds,
    pub(crate) texts: Texts,
    pub(crate) labels: Labels,
    pub(crate) spill: Spill,
}

impl Shared {
    pub(crate) fn new(set: &FeatureSet, room: Room) -> Shared {
        let entries = set.groups.iter().map(|it: &Group| it.block_entries).max();
        let page_entries = 2 * entries.unwrap_or(1);
        let n_labelled = set.groups.iter().filter(|it| it.labelled).count();
        Shared {
            ids: EventIds::new(page_entries, room.memory_bytes),
            texts: Texts::default(),
            labels: Labels::new(Index::new(n_labelled, page_entries)),
            spill: Spill::new(room.chunks),
        }
    }
}
