//! The entity graph as a part of a feature state: kept only where a feature asks it. It is made of
//! the payments alone, so it is a function of the same basis as the windows, and nothing of it ends:
//! a link stays a link.

use crate::contracts::decision::Value;
use crate::contracts::feature_set::{Entity, GraphMeasure};
use crate::domain::canonical::{Canon, Reader};
use crate::engine::event::{EventRecord, LabelRecord};
use crate::engine::features::{FeatureSet, How};
use crate::engine::graph::{Graph, Measure, Met, SnapshotError};

#[derive(Debug)]
pub(crate) struct GraphPart {
    graph: Graph,
    /// Whether any feature asks for labels: else nobody keeps whose each payment was.
    has_labels: bool,
}

impl GraphPart {
    pub(crate) fn of(set: &FeatureSet) -> Option<GraphPart> {
        let measures = set.features.iter().filter_map(|it| match &it.how {
            How::Graph { measure, .. } => Some(measure.measure),
            _ => None,
        });
        let measures: Vec<GraphMeasure> = measures.collect();
        (!measures.is_empty()).then(|| GraphPart {
            graph: Graph::default(),
            has_labels: measures.contains(&GraphMeasure::LabelledNeighbours),
        })
    }

    pub(crate) fn apply_event(&mut self, event: &EventRecord) {
        match self.has_labels {
            true => self.graph.apply_event(event),
            false => self.graph.apply(Met::in_event(event), event.ts),
        }
    }

    pub(crate) fn apply_label(&mut self, label: &LabelRecord) {
        if self.has_labels {
            self.graph.apply_label(label);
        }
    }

    pub(crate) fn compute(&self, event: &EventRecord, entity: Entity, measure: &Measure) -> Value {
        let id = event.entity(entity);
        id.map_or(Value::Missing, |id| measure.of(&self.graph, id, event.ts))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.graph.bytes()
    }

    pub(crate) fn write(&self, canon: &mut Canon) {
        self.graph.write(canon);
    }

    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
        self.graph = Graph::read(reader)?;
        Ok(())
    }
}
