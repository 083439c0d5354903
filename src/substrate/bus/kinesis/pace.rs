//! How often a shard is asked: the readers of one process take turns, within what Kinesis allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::offset::ShardRef;
use crate::substrate::clock::Entropy;

const BACKOFF_MS_MIN: u64 = 100;
const BACKOFF_MS_MAX: u64 = 2_000;

pub(super) struct Pace {
    interval: Duration,
    /// When the next call on a shard may go out. The lock is fair, so readers take turns.
    next: StdMutex<HashMap<ShardRef, Arc<Mutex<Instant>>>>,
}

impl Pace {
    /// 0 calls a second are taken as 1.
    pub(super) fn new(calls_per_second: u32) -> Pace {
        Pace {
            interval: Duration::from_secs(1) / calls_per_second.max(1),
            next: StdMutex::default(),
        }
    }

    /// Waits until the shard may be asked.
    pub(super) async fn turn(&self, at: &ShardRef) {
        let next = self.next_of(at);
        let mut next = next.lock().await;
        if Instant::now() < *next {
            tokio::time::sleep_until(*next).await;
        }
        *next = Instant::now() + self.interval;
    }

    /// After a call that was throttled or lost: no reader of this process asks for a while.
    pub(super) async fn back_off(&self, at: &ShardRef, attempt: u32, entropy: &dyn Entropy) {
        let until = Instant::now() + backoff(attempt, entropy);
        let next = self.next_of(at);
        let mut next = next.lock().await;
        *next = until.max(*next);
    }

    fn next_of(&self, at: &ShardRef) -> Arc<Mutex<Instant>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let of_shard = next.entry(at.clone());
        let of_shard = of_shard.or_insert_with(|| Arc::new(Mutex::new(Instant::now())));
        of_shard.clone()
    }
}

/// Doubles, up to 2 s, and draws from its upper half, so that processes do not ask in step.
pub(super) fn backoff(attempt: u32, entropy: &dyn Entropy) -> Duration {
    let ceiling = (BACKOFF_MS_MIN << attempt.min(10)).min(BACKOFF_MS_MAX);
    let mut draw = [0u8; 8];
    entropy.fill(&mut draw);
    Duration::from_millis(ceiling / 2 + u64::from_le_bytes(draw) % (ceiling / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::offset::ShardId;
    use crate::domain::vocabulary::Stream;
    use crate::substrate::clock::SeededEntropy;

    #[tokio::test]
    async fn readers_of_a_shard_take_turns_and_back_off_together() {
        let pace = Pace::new(50);
        let shard = |id: &str| ShardRef {
            stream: Stream::Traffic,
            shard_id: ShardId(id.to_owned()),
        };
        let (one, other) = (shard("1"), shard("2"));
        let started = Instant::now();
        tokio::join!(pace.turn(&one), pace.turn(&one), pace.turn(&one));
        assert!(Duration::from_millis(40) <= started.elapsed());
        // Another shard has turns of its own.
        assert!(futures::poll!(std::pin::pin!(pace.turn(&other))).is_ready());
        let least = Instant::now() + Duration::from_millis(BACKOFF_MS_MIN / 2);
        pace.back_off(&one, 0, &SeededEntropy::new(1)).await;
        // Whoever waited before, all wait until then.
        let until = *pace.next_of(&one).lock().await;
        assert!(least <= until);
        pace.turn(&one).await;
        assert!(until <= Instant::now());
    }

    #[test]
    fn a_backoff_doubles_to_its_limit() {
        let entropy = SeededEntropy::new(1);
        for (attempt, ms) in [
            (0, 50..100),
            (1, 100..200),
            (4, 800..1_600),
            (5, 1_000..2_000),
            (99, 1_000..2_000),
        ] {
            let found = backoff(attempt, &entropy).as_millis();
            assert!(ms.contains(&found), "{attempt}: {found}");
        }
    }
}
