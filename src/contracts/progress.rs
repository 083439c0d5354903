//! How far a run has come: what `GET /v1/runs/{run}/progress` says and lockstep waits for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
