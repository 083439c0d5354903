//! A Bloom filter of the decisions of a segment. Their ids are hashes, so eight words of an id are eight
//! independent hashes of it. With sixteen bits a decision, one segment in 1,700 is opened in vain.

use crate::domain::ids::DecisionId;

const BITS_PER_ID: usize = 16;
/// The 32 bytes of an id.
const WORDS: usize = 8;

/// Bit `n` is bit `n % 8`, from the lowest, of byte `n / 8`, as `get_bit` of the database counts.
#[must_use]
pub fn id_filter<'a>(ids: impl ExactSizeIterator<Item = &'a DecisionId>) -> Vec<u8> {
    let n_bytes = (ids.len() * BITS_PER_ID).div_ceil(8).max(1);
    let n_bits = i64::try_from(8 * n_bytes).expect("a segment is bounded");
    let mut filter = vec![0u8; n_bytes];
    for word in ids.flat_map(words) {
        let bit = usize::try_from(word % n_bits).expect("it is below the filter's length");
        filter[bit / 8] |= 1 << (bit % 8);
    }
    filter
}

/// The words of an id, which `find_segments.sql` asks a filter for.
pub(super) fn words(id: &DecisionId) -> [i64; WORDS] {
    let bytes = id.digest().as_bytes();
    let word = |at: usize| {
        let four = [0, 1, 2, 3].map(|n| bytes[4 * at + n]);
        i64::from(u32::from_le_bytes(four))
    };
    std::array::from_fn(word)
}

#[cfg(test)]
mod tests {
    use super::{id_filter, words};
    use crate::domain::digest::Digest;
    use crate::domain::ids::DecisionId;

    fn ids(from: u32, n: u32) -> Vec<DecisionId> {
        let id = |it: u32| DecisionId::from_digest(Digest::of_bytes(&it.to_le_bytes()));
        (from..from + n).map(id).collect()
    }

    /// As `find_segments.sql` asks.
    fn may_hold(filter: &[u8], id: &DecisionId) -> bool {
        let is_set = |word: &i64| {
            let bit = usize::try_from(*word).unwrap() % (8 * filter.len());
            filter[bit / 8] >> (bit % 8) & 1 == 1
        };
        words(id).iter().all(is_set)
    }

    #[test]
    fn a_filter_knows_its_own_and_hardly_another() {
        let mine = ids(0, 2_000);
        let filter = id_filter(mine.iter());
        assert_eq!(filter.len(), 4_000);
        assert!(mine.iter().all(|id| may_hold(&filter, id)));
        let others = ids(1_000_000, 100_000);
        let in_vain = others.iter().filter(|id| may_hold(&filter, id)).count();
        assert!((20..120).contains(&in_vain), "{in_vain} of 100,000");
    }
}
