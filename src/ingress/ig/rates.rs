//! How many events a second one producer may send: a bucket each, so that none keeps the others out.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// The buckets. A producer is a caller whose identity is proven, so there are few.
pub(super) struct Rates {
    limiter: Option<DefaultKeyedRateLimiter<String>>,
    clock: DefaultClock,
}

impl Rates {
    /// `None`: no limit. A bucket holds a second's worth, and always one whole request.
    pub(super) fn new(events_per_s: Option<NonZeroU32>, request_events_max: usize) -> Rates {
        let limiter = events_per_s.map(|rate| {
            let request = u32::try_from(request_events_max).unwrap_or(u32::MAX);
            let burst = NonZeroU32::new(request).map_or(rate, |it| it.max(rate));
            RateLimiter::hashmap(Quota::per_second(rate).allow_burst(burst))
        });
        Rates {
            limiter,
            clock: DefaultClock::default(),
        }
    }

    /// Takes `n_events` of a producer's share.
    ///
    /// # Errors
    /// How long until it may send so many; nothing is taken.
    pub(super) fn take(&self, producer: &str, n_events: usize) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let Some(n) = u32::try_from(n_events).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        match limiter.check_key_n(&producer.to_owned(), n) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            // No request is larger than its bucket.
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_that_sends_too_much_waits_and_others_do_not() {
        let rates = Rates::new(NonZeroU32::new(1), 100);
        let begun = std::time::Instant::now();
        assert_eq!(rates.take("a", 100), Ok(()));
        let wait = rates.take("a", 50).unwrap_err();
        // What passed meanwhile gave room already.
        let whole = wait + begun.elapsed();
        assert!(whole > Duration::from_secs(49), "{wait:?}");
        assert!(wait <= Duration::from_secs(50), "{wait:?}");
        assert_eq!(rates.take("b", 100), Ok(()));
        assert_eq!(rates.take("a", 0), Ok(()));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let rates = Rates::new(None, 100);
        for _ in 0..100 {
            assert_eq!(rates.take("a", 100_000), Ok(()));
        }
    }
}
