//! The projection as a part of the role `rtdl-inlet`: one consumer group a stream.

use crate::contracts::groups::GRAPH_GROUPS;
use crate::domain::offset::ShardRef;
use crate::rtdl::graph::handler::Projecting;
use crate::runtime::consumer;
use crate::runtime::ground::Ground;
use crate::runtime::group::{self, Group};
use crate::substrate::tasks::Tasks;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub consumer: consumer::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            consumer: consumer::Options {
                batch_records_max: 2_000,
                batch_bytes_max: 4 << 20,
                late_bound_ms: 2_000,
            },
        }
    }
}

/// The groups of one process.
pub struct GraphProjection {
    options: Options,
    ground: Ground,
}

impl GraphProjection {
    #[must_use]
    pub fn create(options: Options, ground: &Ground) -> GraphProjection {
        GraphProjection {
            options,
            ground: ground.acting_as("svc:rtdl-inlet"),
        }
    }

    /// Starts the groups. Stopped, each finishes the batch in hand and releases its leases.
    pub fn start(&self, tasks: &mut Tasks) {
        for (name, stream) in GRAPH_GROUPS {
            let group = Group {
                name,
                stream,
                options: self.options.consumer,
                handler: move |_: &ShardRef| Projecting::new(name),
            };
            let stop = tasks.stop_token();
            tasks.spawn(name, group::run(group, self.ground.clone(), stop));
        }
    }
}
