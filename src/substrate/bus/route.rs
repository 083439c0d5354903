//! Which shard a partition key belongs to: equal ranges of a 128-bit key hash. Pure.

use crate::domain::digest::Digest;
use crate::domain::offset::ShardId;
use crate::substrate::bus::Shard;

/// The first 16 bytes of BLAKE3 of the key, big endian.
pub(super) fn key_hash(partition_key: &str) -> u128 {
    let digest = Digest::of_bytes(partition_key.as_bytes());
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk::<16>()
        .expect("a digest has 32 bytes");
    u128::from_be_bytes(*first)
}

/// The shard, of `n_shards`, that holds this hash: `floor(hash * n / 2^128)`.
pub(super) fn shard_of(hash: u128, n_shards: u32) -> u32 {
    let n = u128::from(n_shards);
    let (high, low) = (hash >> 64, hash & u128::from(u64::MAX));
    let at = (high * n + ((low * n) >> 64)) >> 64;
    u32::try_from(at).expect("a hash below 2^128 falls below the number of shards")
}

/// The least hash of shard `at`: `ceil(at * 2^128 / n)`.
fn range_start(at: u32, n_shards: u32) -> u128 {
    if at == 0 {
        return 0;
    }
    let (at, n) = (u128::from(at), u128::from(n_shards));
    // 2^128 = n * quotient + rest; it does not fit a u128, so it is reached from 2^128 - 1.
    let (mut quotient, mut rest) = (u128::MAX / n, u128::MAX % n + 1);
    if rest == n {
        (quotient, rest) = (quotient + 1, 0);
    }
    at * quotient + (at * rest).div_ceil(n)
}

/// `shard-000000`, `shard-000001`, …
pub(super) fn shard_id(at: u32) -> ShardId {
    ShardId(format!("shard-{at:06}"))
}

/// The shards of a stream that was never resharded.
pub(super) fn shards(n_shards: u32) -> Vec<Shard> {
    let shard = |at: u32| {
        let last = match at + 1 {
            next if next == n_shards => u128::MAX,
            next => range_start(next, n_shards) - 1,
        };
        Shard {
            shard_id: shard_id(at),
            parents: Vec::new(),
            hash_range: (range_start(at, n_shards), last),
            is_closed: false,
        }
    };
    (0..n_shards).map(shard).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_lies_in_the_range_of_its_shard(hash: u128, n in 1u32..1_000) {
            let at = shard_of(hash, n) as usize;
            let (first, last) = shards(n)[at].hash_range;
            prop_assert!(first <= hash && hash <= last, "{first} {hash} {last}");
        }
    }

    #[test]
    fn ranges_meet_without_gap_and_their_ends_belong_to_them() {
        for n in [1, 2, 3, 4, 7, 64, 1_000] {
            let shards = shards(n);
            assert_eq!(shards[0].hash_range.0, 0);
            assert_eq!(shards[n as usize - 1].hash_range.1, u128::MAX);
            for pair in shards.windows(2) {
                assert_eq!(pair[0].hash_range.1 + 1, pair[1].hash_range.0);
            }
            for (at, shard) in (0..).zip(&shards) {
                assert_eq!(shard_of(shard.hash_range.0, n), at);
                assert_eq!(shard_of(shard.hash_range.1, n), at);
            }
        }
    }

    /// Where a key rests is for ever: another hash would tear a key's order apart.
    #[test]
    fn the_hash_of_a_key_is_pinned() {
        assert_eq!(
            format!("{:032x}", key_hash("customer-1")),
            "3fe85c3dea5cd8dcc619b50af3616fcd"
        );
    }
}
