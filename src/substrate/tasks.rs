//! The tasks of a process: all are told to stop together, and the end of one that should have
//! gone on stops the rest.

use std::future::Future;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::substrate::meter;

/// Named tasks under one stop signal.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
    stop: CancellationToken,
}

/// A task that panicked: a law was broken, or the code is wrong.
#[derive(Debug, thiserror::Error)]
#[error("a task of this process panicked: {0}")]
pub struct Panicked(String);

/// Runs what takes long without waiting, beside the tasks.
///
/// # Panics
/// When the work does.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|cause| std::panic::resume_unwind(cause.into_panic()))
}

impl Tasks {
    #[must_use]
    pub fn new(stop: CancellationToken) -> Tasks {
        Tasks {
            set: JoinSet::new(),
            stop,
        }
    }

    /// What every task watches.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task; it must end soon after the stop token is cancelled.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            meter::task(name, task).await;
            name
        });
    }

    /// Waits until every task has ended. The first panic stops the others.
    ///
    /// # Errors
    /// [`Panicked`] with the first panic, after the others ended.
    pub async fn join(mut self) -> Result<(), Panicked> {
        let mut panicked = None;
        while let Some(ended) = self.set.join_next().await {
            match ended {
                Ok(name) if !self.stop.is_cancelled() => tracing::debug!(task = name, "task ended"),
                Ok(_) => {}
                Err(error) => {
                    self.stop.cancel();
                    panicked.get_or_insert(Panicked(error.to_string()));
                }
            }
        }
        panicked.map_or(Ok(()), Err)
    }
}
