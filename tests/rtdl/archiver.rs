//! The archive writer as tests start and stop it.

use std::time::Duration;

use fraudplat::domain::offset::Basis;
use fraudplat::domain::vocabulary::Stream;
use fraudplat::rtdl::archive::{Archive, Options};
use fraudplat::runtime::archive::{ArchiveReader, Flush};
use fraudplat::substrate::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Never old, never full: only a bell or the end writes out.
pub(crate) fn patient() -> Options {
    Options {
        hold_ms_max: 600_000,
        ..Options::default()
    }
}

/// A started writer.
pub(crate) struct Running {
    pub(crate) flush: Flush,
    tasks: Tasks,
}

impl Running {
    pub(crate) fn start(world: &World, options: Options) -> Running {
        let flush = Flush::default();
        let mut tasks = Tasks::new(CancellationToken::new());
        Archive::create(options, &world.ground, flush.clone()).start(&mut tasks);
        Running { flush, tasks }
    }

    pub(crate) async fn drain(self) {
        self.tasks.stop_token().cancel();
        self.tasks.join().await.unwrap();
    }
}

pub(crate) fn reader(world: &World) -> ArchiveReader {
    ArchiveReader::new(world.ground.db.clone(), world.ground.objects.clone())
}

/// Archives all that stands on the bus.
pub(crate) async fn archive_all(world: &World, options: Options) -> Basis {
    let tips = world.tips(Stream::ALL).await;
    let running = Running::start(world, options);
    let waited = reader(world)
        .wait_for(&tips, &running.flush, Duration::from_secs(240))
        .await;
    waited.unwrap();
    running.drain().await;
    tips
}
