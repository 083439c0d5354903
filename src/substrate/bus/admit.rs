//! Which records of a put a bus may take at all. Pure, and the same for every bus of our own.

use std::collections::HashSet;

use crate::substrate::bus::{PARTITION_KEY_CHARS_MAX, PutRecord, RECORD_BYTES_MAX, RefusalCode};

/// One verdict a record: `None` is good. A refused record holds back later ones of its key.
pub(super) fn verdicts(records: &[PutRecord]) -> Vec<Option<RefusalCode>> {
    let mut refused_keys = HashSet::new();
    let verdict = |record| {
        let verdict = fault_of(record).or_else(|| {
            refused_keys
                .contains(record.partition_key.as_str())
                .then_some(RefusalCode::HeldBack)
        });
        if verdict.is_some() {
            refused_keys.insert(record.partition_key.as_str());
        }
        verdict
    };
    records.iter().map(verdict).collect()
}

fn fault_of(record: &PutRecord) -> Option<RefusalCode> {
    let key = &record.partition_key;
    // Bytes bound characters, so only a key with multi-byte characters is counted.
    let key_is_long =
        PARTITION_KEY_CHARS_MAX < key.len() && PARTITION_KEY_CHARS_MAX < key.chars().count();
    if key.is_empty() || key_is_long {
        return Some(RefusalCode::KeyInvalid);
    }
    (RECORD_BYTES_MAX < key.len() + record.data.len()).then_some(RefusalCode::TooLarge)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[track_caller]
    fn check(records: &[(&str, usize)], expect: &[Option<RefusalCode>]) {
        let record = |(key, n_bytes): &(&str, usize)| PutRecord {
            partition_key: (*key).to_owned(),
            data: Bytes::from(vec![0; *n_bytes]),
        };
        let records: Vec<PutRecord> = records.iter().map(record).collect();
        assert_eq!(verdicts(&records), expect);
    }

    #[test]
    fn a_refused_record_holds_back_its_key_only() {
        let (large, held) = (Some(RefusalCode::TooLarge), Some(RefusalCode::HeldBack));
        check(
            &[("a", 1), ("a", RECORD_BYTES_MAX), ("b", 1), ("a", 1)],
            &[None, large, None, held],
        );
        check(
            &[("a", RECORD_BYTES_MAX - 1), ("a", RECORD_BYTES_MAX)],
            &[None, large],
        );
    }

    #[test]
    fn keys_are_counted_in_characters() {
        let (fits, long) = ("é".repeat(256), "é".repeat(257));
        let invalid = Some(RefusalCode::KeyInvalid);
        check(
            &[("", 0), (&fits, 0), (&long, 0)],
            &[invalid, None, invalid],
        );
    }
}
