//! Maintenance as a task of a process: every so often one pass, under a lease that one process holds.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::maintenance::Error;
use crate::maintenance::pass::{self, Asked};
use crate::runtime::ground::Ground;
use crate::substrate::db::Db;
use crate::substrate::tasks::Tasks;

/// How long things are kept. The envelope, not the meaning (L9): what a decision sees does not depend on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Days of evidence that stay in the database, counted from the day of admission.
    pub evidence_days: u32,
    /// Days that a repeat is still known after it could not be admitted any more, and that the rest of an
    /// ended run stays.
    pub dedupe_grace_days: u32,
    /// As the gate has it.
    pub dedupe_horizon_days: u32,
    pub interval: Duration,
    /// Without an archive no evidence leaves.
    pub has_archive: bool,
}

/// The task of one process.
pub struct Maintenance {
    options: Options,
    ground: Ground,
    /// Connected as the maintenance identity: the only one that may drop.
    identity: Db,
}

impl Maintenance {
    #[must_use]
    pub fn create(options: Options, ground: &Ground, identity: Db) -> Arc<Maintenance> {
        Arc::new(Maintenance {
            options,
            ground: ground.acting_as("svc:maintenance"),
            identity,
        })
    }

    /// Starts the task; on stop it ends after the step that it is in.
    pub fn start(self: &Arc<Self>, tasks: &mut Tasks) {
        let (role, stop) = (Arc::clone(self), tasks.stop_token());
        tasks.spawn("maintenance", async move { role.tend(stop).await });
    }

    async fn tend(&self, stop: CancellationToken) {
        let asked = Asked::default();
        while !stop.is_cancelled() {
            let pass = pass::run(&self.ground, &self.identity, &self.options, &asked, &stop);
            match Box::pin(pass).await {
                Ok(report) if report.is_idle() => {}
                Ok(report) => tracing::info!(report = %report, "maintenance has pruned"),
                Err(Error::Busy) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "maintenance did not come to its end; it tries again"
                    );
                }
            }
            drop(tokio::time::timeout(self.options.interval, stop.cancelled()).await);
        }
    }
}
