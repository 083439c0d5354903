//! How often and how long: the limit of one try, and the pauses between them.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};

use super::S3Objects;
use super::fault::Fault;

const PAUSE_MS_MIN: u64 = 50;
const PAUSE_MS_MAX: u64 = 5_000;

impl S3Objects {
    /// Tries until it is done, the fault will not pass, or `attempts_max` is reached.
    pub(super) async fn again<T, F>(&self, mut once: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut attempt = 1;
        loop {
            match once().await {
                Err(fault) if fault.passes() && attempt < self.options.attempts_max => {
                    tracing::debug!(attempt, ?fault, "the object store is tried again");
                    self.pause(attempt).await;
                    attempt += 1;
                }
                tried => return tried,
            }
        }
    }

    async fn pause(&self, attempt: u32) {
        let mut draw = [0; 8];
        self.entropy.fill(&mut draw);
        sleep(pause(attempt, u64::from_le_bytes(draw))).await;
    }

    /// One request that carries `n_bytes` up, within the time that a try may take. Boxed: the
    /// SDK's futures are large, and everything above holds one.
    pub(super) fn within<'a, T: 'a, E: Into<Fault> + 'a>(
        &self,
        n_bytes: u64,
        request: impl Future<Output = Result<T, E>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Fault>> {
        let limit = self.limit(n_bytes);
        Box::pin(async move {
            match timeout(limit, request).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(late(limit)),
            }
        })
    }

    /// How long a try may take that moves so many bytes.
    pub(super) fn limit(&self, n_bytes: u64) -> Duration {
        let moving = n_bytes.saturating_mul(1_000) / self.options.bytes_per_s_min;
        Duration::from_millis(self.options.attempt_ms_max.saturating_add(moving))
    }
}

pub(super) fn late(limit: Duration) -> Fault {
    Fault::unsure(format!("no answer within {} ms", limit.as_millis()))
}

/// Between half of and all of a ceiling that doubles: writers that were refused together do not
/// come back together.
fn pause(attempt: u32, draw: u64) -> Duration {
    let ceiling = PAUSE_MS_MIN
        .saturating_mul(1 << attempt.min(20))
        .min(PAUSE_MS_MAX);
    Duration::from_millis(ceiling / 2 + draw % (ceiling / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_differ_and_end() {
        for (attempt, ceiling) in [(1, 100), (2, 200), (6, 3_200), (7, 5_000), (60, 5_000)] {
            for draw in [0, 1, 12_345, u64::MAX] {
                let found = pause(attempt, draw).as_millis();
                assert!((ceiling / 2..=ceiling).contains(&found), "{attempt} {draw}");
            }
        }
        assert_ne!(pause(3, 1), pause(3, 2));
    }
}
