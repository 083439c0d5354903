//! How long an action waits after an attempt that failed. Pure: chance is an argument (L12).

/// Bounds of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// After the first failure.
    pub(super) first_ms: u64,
    pub(super) ms_max: u64,
}

/// Doubles with each failure up to the bound; the upper half of it is chance, so that what failed together
/// does not come again together. `failures` counts from 1, `draw` is any number.
pub(super) fn wait_ms(bounds: Bounds, failures: u32, draw: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(62);
    let whole = bounds.first_ms.saturating_mul(1 << doublings);
    let whole = whole.min(bounds.ms_max);
    let half = whole / 2;
    half + draw % (whole - half + 1)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, wait_ms};

    #[test]
    fn a_wait_doubles_up_to_its_bound_and_half_of_it_is_chance() {
        let bounds = Bounds {
            first_ms: 100,
            ms_max: 1_000,
        };
        for (failures, least, most) in [
            (1, 50, 100),
            (2, 100, 200),
            (4, 400, 800),
            (5, 500, 1_000),
            (80, 500, 1_000),
        ] {
            let drawn: Vec<u64> = (0..5_000)
                .map(|draw| wait_ms(bounds, failures, draw))
                .collect();
            let (min, max) = (drawn.iter().min(), drawn.iter().max());
            assert_eq!((min, max), (Some(&least), Some(&most)), "{failures}");
        }
    }
}
