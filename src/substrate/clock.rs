//! Time and chance as arguments (L12): the one place that reads the clock and draws entropy.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::domain::time::Time;

/// Tells the time. Readings may step backwards; nothing may rely on their order for truth.
pub trait Clock: Send + Sync {
    fn now(&self) -> Time;
}

/// Draws unpredictable bytes: holder names of leases, temporary names, keys.
pub trait Entropy: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);

    /// A random lowercase hex name of `n` digits, at most 64.
    fn name(&self, n: usize) -> String {
        let mut bytes = [0u8; 32];
        self.fill(&mut bytes);
        let digest = crate::domain::digest::Digest::from_bytes(bytes).to_string();
        digest.chars().take(n).collect()
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map(|since| since.as_micros()).unwrap_or_default();
        Time::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// The machine's entropy.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel's random source answers once it is seeded");
    }
}

/// A clock that a test sets.
#[derive(Debug, Default, Clone)]
pub struct SetClock(Arc<AtomicI64>);

impl SetClock {
    #[must_use]
    pub fn at(now: Time) -> SetClock {
        SetClock(Arc::new(AtomicI64::new(now.micros())))
    }

    pub fn set(&self, now: Time) {
        self.0.store(now.micros(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Entropy from a seed, for tests: the same seed draws the same bytes.
#[derive(Debug, Default)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    #[must_use]
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy(AtomicU64::new(seed << 32))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let draw = self.0.fetch_add(1, Ordering::SeqCst);
        blake3::Hasher::new()
            .update(&draw.to_le_bytes())
            .finalize_xof()
            .fill(bytes);
    }
}
