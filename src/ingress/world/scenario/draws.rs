//! Chance as a function: a stream of draws follows from the seed, what is drawn for, and two
//! numbers of it. Nothing is shared, so no number of threads changes a draw (L12).

/// What is drawn for; the first word of every stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Customer = 1,
    Favourite,
    Habit,
    Device,
    Card,
    Address,
    Merchant,
    Beneficiary,
    Campaigns,
    Campaign,
    Skim,
    Label,
}

/// SplitMix64 (Steele, Lea, Flood 2014): the n-th draw is a mixer over a start plus n times an odd
/// constant, so a stream is a counter.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Draws {
    pub(crate) fn of(seed: u64, kind: Kind, a: u64, b: u64) -> Draws {
        let state = mix(seed.wrapping_add(STEP).wrapping_mul(2 * kind as u64 + 1));
        Draws(mix(
            mix(state ^ a.wrapping_mul(STEP)) ^ b.wrapping_mul(0xd6e8_feb8_6659_fd93)
        ))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// `0..limit`, 0 where the limit is 0. The bias is below limit / 2^32.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// `from..=to`.
    pub(crate) fn between(&mut self, [from, to]: [u32; 2]) -> u32 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// `0 <= u < 1`, all 53 bits of it.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// The standard normal, by Box and Muller (1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }

    /// Mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Median 1.
    pub(crate) fn log_normal(&mut self, deviation: f64) -> f64 {
        libm::exp(deviation * self.normal())
    }

    /// By inversion, in parts of mean 8 so that no term underflows.
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        let (mut left, mut count) = (mean, 0);
        while 8.0 < left {
            count += self.poisson_part(8.0);
            left -= 8.0;
        }
        count + self.poisson_part(left)
    }

    fn poisson_part(&mut self, mean: f64) -> u32 {
        let draw = self.unit();
        // The least that exp(-mean) can be: most customers pay nothing in a slice.
        if draw < 1.0 - mean {
            return 0;
        }
        let mut term = libm::exp(-mean);
        let (mut total, mut count) = (term, 0);
        // At mean 8 the terms beyond 64 are nothing.
        while total <= draw && count < 64 {
            count += 1;
            term *= mean / f64::from(count);
            total += term;
        }
        count
    }

    /// The index of a weight; the weights are given as running sums, which are not empty.
    pub(crate) fn pick(&mut self, sums: &[f64]) -> usize {
        let draw = self.unit() * sums.last().copied().unwrap_or(0.0);
        sums.partition_point(|it| *it <= draw).min(sums.len() - 1)
    }
}

/// Running sums of weights.
pub(crate) fn sums(weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut total = 0.0;
    let add = |weight: f64| {
        total += weight;
        total
    };
    weights.into_iter().map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: u64 = 200_000;

    /// Mean and variance of many streams' first values.
    fn moments(of: impl Fn(&mut Draws) -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..N)
            .map(|it| of(&mut Draws::of(7, Kind::Habit, it, it % 5)))
            .collect();
        let mean = values.iter().sum::<f64>() / N as f64;
        let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / N as f64;
        (mean, variance)
    }

    #[track_caller]
    fn check(of: impl Fn(&mut Draws) -> f64, mean: f64, variance: f64) {
        let found = moments(of);
        assert!((found.0 - mean).abs() < 0.02 * (1.0 + mean), "{found:?}");
        assert!(
            (found.1 - variance).abs() < 0.03 * (1.0 + variance),
            "{found:?}"
        );
    }

    #[test]
    fn distributions_have_their_moments() {
        check(Draws::unit, 0.5, 1.0 / 12.0);
        check(Draws::normal, 0.0, 1.0);
        check(Draws::exponential, 1.0, 1.0);
        check(|it| f64::from(it.poisson(0.05)), 0.05, 0.05);
        check(|it| f64::from(it.poisson(3.0)), 3.0, 3.0);
        check(|it| f64::from(it.poisson(40.0)), 40.0, 40.0);
        check(|it| f64::from(it.below(10)), 4.5, 8.25);
        check(|it| f64::from(it.between([3, 5])), 4.0, 2.0 / 3.0);
    }

    #[test]
    fn a_pick_keeps_the_weights() {
        let sums = sums([1.0, 0.0, 3.0]);
        let mut found = [0_u32; 3];
        for at in 0..N {
            found[Draws::of(1, Kind::Habit, at, 0).pick(&sums)] += 1;
        }
        assert_eq!(found[1], 0);
        let share = f64::from(found[0]) / N as f64;
        assert!((0.24..0.26).contains(&share), "{share}");
    }

    #[test]
    fn a_stream_follows_from_its_name() {
        let first = |seed, kind, a, b| Draws::of(seed, kind, a, b).next();
        let it = first(1, Kind::Habit, 2, 3);
        assert_eq!(it, first(1, Kind::Habit, 2, 3));
        let others = [
            first(2, Kind::Habit, 2, 3),
            first(1, Kind::Device, 2, 3),
            first(1, Kind::Habit, 3, 2),
            first(1, Kind::Habit, 2, 4),
        ];
        assert!(!others.contains(&it));
    }
}
