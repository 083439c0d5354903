//! How far a run has come: what `GET /v1/runs/{run}/progress` says and lockstep waits for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::ids::PlatformRunId;
use crate::domain::offset::{Basis, Position, ShardId};
use crate::domain::time::Time;
use crate::domain::vocabulary::Stream;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunProgress {
    pub platform_run_id: PlatformRunId,
    pub state: RunState,
    /// Every consumer group with its committed position and the tip of its shard.
    pub groups: Vec<GroupProgress>,
    pub decisions_count: i64,
    pub first_decided_at: Option<Time>,
    pub last_decided_at: Option<Time>,
    /// How warm the features of the run are, as its worker last said; none before it has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_sets: Vec<FeatureSetProgress>,
}

/// The features of one feature set over a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureSetProgress {
    pub feature_set_digest: Digest,
    /// The slots of the bundles that need it.
    pub slots: Vec<String>,
    pub state: FeatureSetState,
    /// Events that are in its features, of those that were decided.
    pub events: i64,
    pub decided: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FeatureSetState {
    /// All that is decided is in its features.
    Warm,
    /// Being built from the archive and the log.
    Warming,
    /// Not yet begun, or begun again after a failure.
    Cold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    Ready,
    Started,
    Ended,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupProgress {
    pub group: String,
    pub stream: Stream,
    pub shard_id: ShardId,
    pub position: Position,
    pub tip: Position,
}

impl std::fmt::Display for FeatureSetState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FeatureSetState::Warm => "WARM",
            FeatureSetState::Warming => "WARMING",
            FeatureSetState::Cold => "COLD",
        })
    }
}

impl RunProgress {
    /// Whether every group has passed `target` in every shard that it reads.
    #[must_use]
    pub fn has_passed(&self, target: &Basis) -> bool {
        self.groups.iter().all(|group| {
            let shard = crate::domain::offset::ShardRef {
                stream: group.stream,
                shard_id: group.shard_id.clone(),
            };
            group.position.reaches(target.position(&shard))
        })
    }
}
