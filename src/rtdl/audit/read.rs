//! Decisions as commands ask for them: by id, by place, a sample.

use std::collections::BTreeSet;

use crate::domain::digest::Tagged;
use crate::domain::ids::{DecisionId, PlatformRunId};
use crate::rtdl::audit::Error;
use crate::runtime::decisions::{self, StoredDecision};
use crate::runtime::ground::Ground;

/// The decisions by id, ordered by run and seq.
///
/// # Errors
/// Those of [`decisions::find`].
pub async fn find(ground: &Ground, ids: &[DecisionId]) -> Result<Vec<StoredDecision>, Error> {
    Ok(decisions::find(ground, ids).await?)
}

/// At most `limit` decisions of a run that follow `after` in its chain, in order.
///
/// # Errors
/// Those of [`decisions::after`].
pub async fn list(
    ground: &Ground,
    run: &PlatformRunId,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredDecision>, Error> {
    Ok(decisions::after(ground, run, after, limit).await?)
}

/// The place of the newest decision of a run; 0 where there is none.
///
/// # Errors
/// Those of [`decisions::last_seq`].
pub async fn last_seq(ground: &Ground, run: &PlatformRunId) -> Result<i64, Error> {
    Ok(decisions::last_seq(ground, run).await?)
}

/// At most `n` decisions of a run, spread by the seed: the same seed picks the same ones.
///
/// # Errors
/// Those of the log.
pub async fn sample(
    ground: &Ground,
    run: &PlatformRunId,
    n: usize,
    seed: u64,
) -> Result<Vec<StoredDecision>, Error> {
    let last = decisions::last_seq(ground, run).await?;
    Ok(decisions::at(ground, run, &pick(last, n, seed)).await?)
}

/// `n` different numbers of `1..=last`, or all of them.
fn pick(last: i64, n: usize, seed: u64) -> Vec<i64> {
    if usize::try_from(last).is_ok_and(|last| last <= n) {
        return (1..=last).collect();
    }
    let mut picked = BTreeSet::new();
    for draw in 0.. {
        if picked.len() >= n {
            break;
        }
        let digest = Tagged::new("replay_sample")
            .int(seed.cast_signed())
            .int(draw)
            .digest();
        let mut word = [0u8; 8];
        word.copy_from_slice(&digest.as_bytes()[..8]);
        picked.insert(1 + (u64::from_le_bytes(word) % last.unsigned_abs()).cast_signed());
    }
    picked.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn a_sample_is_as_large_as_asked_and_repeats_with_its_seed() {
        assert_eq!(pick(3, 10, 1), [1, 2, 3]);
        let sample = pick(1_000, 100, 7);
        assert_eq!(sample.len(), 100);
        assert!(sample.iter().all(|seq| (1..=1_000).contains(seq)));
        assert_eq!(sample, pick(1_000, 100, 7));
        assert_ne!(sample, pick(1_000, 100, 8));
    }
}
