//! The inlets as a part of the role `rtdl-inlet`: one consumer group a context stream.

use crate::contracts::groups::CONTEXT_GROUPS;
use crate::domain::offset::ShardRef;
use crate::rtdl::inlet::handler;
use crate::runtime::consumer;
use crate::runtime::ground::Ground;
use crate::runtime::group::{self, Group};
use crate::runtime::partitions::Partitions;
use crate::substrate::tasks::Tasks;

/// What is written beside the projections, by day.
const TABLES: &[&str] = &["rtdl.inlet_quarantine", "rtdl.inlet_count"];

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

/// The three inlets of one process.
pub struct Inlet {
    options: Options,
    ground: Ground,
}

impl Inlet {
    #[must_use]
    pub fn create(options: Options, ground: &Ground) -> Inlet {
        Inlet {
            options,
            ground: ground.acting_as("svc:rtdl-inlet"),
        }
    }

    /// What one shard of one of the context groups is consumed with.
    #[must_use]
    pub fn handler(&self, group: &'static str) -> impl consumer::Handler + use<> {
        handler::Inlet::new(self.ground.clone(), group, Partitions::of(TABLES))
    }

    /// Starts the groups. Stopped, each finishes the batch in hand and releases its leases.
    pub fn start(&self, tasks: &mut Tasks) {
        let partitions = Partitions::of(TABLES);
        for (name, stream) in CONTEXT_GROUPS {
            let (own, partitions) = (self.ground.clone(), partitions.clone());
            let group = Group {
                name,
                stream,
                options: self.options.consumer,
                handler: move |_: &ShardRef| {
                    handler::Inlet::new(own.clone(), name, partitions.clone())
                },
            };
            let stop = tasks.stop_token();
            tasks.spawn(name, group::run(group, self.ground.clone(), stop));
        }
    }
}
