//! The archive's writer as a part of the role `rtdl-inlet`: one group over every stream.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::contracts::groups;
use crate::domain::offset::ShardRef;
use crate::domain::vocabulary::Stream;
use crate::rtdl::archive::writer::Writer;
use crate::runtime::archive::Flush;
use crate::runtime::ground::Ground;
use crate::runtime::group::{self, Members};
use crate::runtime::lease::Lease;
use crate::runtime::partitions::Partitions;
use crate::substrate::tasks::Tasks;

const TABLES: &[&str] = &["rtdl.archive_segment"];

/// What one shard's writer holds in memory before it writes a segment out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub hold_records_max: usize,
    /// Passed by one read at most.
    pub hold_bytes_max: usize,
    /// The age of the oldest record held.
    pub hold_ms_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            hold_records_max: 50_000,
            hold_bytes_max: 32 << 20,
            hold_ms_max: 5_000,
        }
    }
}

impl Options {
    pub(super) fn hold_max(&self) -> Duration {
        Duration::from_millis(self.hold_ms_max)
    }
}

/// The archive's writer of one process.
pub struct Archive {
    options: Options,
    ground: Ground,
    flush: Flush,
}

impl Archive {
    /// `flush` is the bell that this process's lockstep and drain ring.
    #[must_use]
    pub fn create(options: Options, ground: &Ground, flush: Flush) -> Archive {
        Archive {
            options,
            ground: ground.acting_as("svc:rtdl-archive"),
            flush,
        }
    }

    /// Starts a writer a stream. Stopped, each writes out what it holds and releases its leases.
    pub fn start(&self, tasks: &mut Tasks) {
        let partitions = Partitions::of(TABLES);
        for stream in Stream::ALL {
            let (ground, options) = (self.ground.clone(), self.options);
            let (partitions, flush) = (partitions.clone(), self.flush.clone());
            let members = Members {
                name: groups::ARCHIVE,
                stream: *stream,
                consume: move |shard: ShardRef, lease: Lease, stop: CancellationToken| {
                    let writer = Writer {
                        ground: ground.clone(),
                        options,
                        partitions: partitions.clone(),
                        flush: flush.listen(),
                    };
                    writer.run(shard, lease, stop)
                },
            };
            let stop = tasks.stop_token();
            tasks.spawn(
                groups::ARCHIVE,
                group::run_members(members, self.ground.clone(), stop),
            );
        }
    }
}
