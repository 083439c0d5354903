//! The third kind of feature: a count in the entity graph around one entity of the event.

use crate::contracts::feature_set::{self as shape, Entity, GraphMeasure, ValueType};
use crate::contracts::graph::EntityKind;
use crate::engine::features::How;
use crate::engine::features::compile::Compiling;
use crate::engine::graph::Measure;
use crate::engine::yaml::Node;

const PLACE: &str =
    "a merchant or terminal is a place, no node of the graph: it meets everyone in turn";

impl Compiling<'_> {
    pub(super) fn graph(
        &mut self,
        node: &Node,
        feature: &shape::Feature,
        measure: GraphMeasure,
    ) -> Option<(ValueType, How)> {
        for key in [
            "agg",
            "expr",
            "type",
            "value",
            "window",
            "delay",
            "include_current",
            "filter",
            "empty",
        ] {
            if node.get(key).is_some() {
                let message = format!("`{key}` does not go with `graph`");
                self.fault::<()>(node, key, message);
            }
        }
        let entity = match feature.entity.as_deref() {
            Some([entity]) => match EntityKind::of(*entity) {
                Some(kind) => Some((*entity, kind)),
                None => self.fault(node, "entity", PLACE),
            },
            Some(_) => self.fault(node, "entity", "`graph` asks about one entity"),
            None => self.fault(node, "graph", "a `graph` needs its `entity`"),
        };
        let through = match &feature.through {
            None => Some(EntityKind::ALL.to_vec()),
            Some(through) => self.through(node, through),
        };
        let is_walk = measure == GraphMeasure::LabelledNeighbours;
        let hops = match feature.hops {
            None => Some(2),
            Some(_) if !is_walk => {
                self.fault(node, "hops", "`hops` belongs to `labelled_neighbours`")
            }
            Some(hops @ 1..=2) => u32::try_from(hops).ok(),
            Some(_) => self.fault(node, "hops", "`hops` is 1 or 2"),
        };
        let ((entity, kind), through, hops) = (entity?, through?, hops?);
        let measure = Measure {
            measure,
            kind,
            through,
            hops,
        };
        Some((ValueType::Int, How::Graph { entity, measure }))
    }

    fn through(&mut self, node: &Node, through: &[Entity]) -> Option<Vec<EntityKind>> {
        let kinds: Option<Vec<EntityKind>> = through.iter().copied().map(EntityKind::of).collect();
        let Some(mut kinds) = kinds else {
            return self.fault(node, "through", PLACE);
        };
        kinds.sort_unstable();
        kinds.dedup();
        match kinds.len() {
            0 => self.fault(node, "through", "`through` names at least one kind"),
            n if n != through.len() => self.fault(node, "through", "a kind stands twice"),
            _ => Some(kinds),
        }
    }
}
