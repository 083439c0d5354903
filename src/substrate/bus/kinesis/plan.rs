//! How the records of one put are cut into requests. Pure.
//!
//! Kinesis may store one record of a request and refuse an earlier one of the same key. So no
//! request holds a key twice, and a request waits for those that hold its keys' earlier records.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::substrate::bus::PutRecord;

/// As Kinesis: records a request.
const REQUEST_RECORDS_MAX: usize = 500;

/// As Kinesis: data and keys of a request.
const REQUEST_BYTES_MAX: usize = 5 << 20;

/// The places of the records that one request holds.
pub(super) type Request = Vec<usize>;

/// Rounds of requests: those of a round share no key and may run side by side, a round waits for
/// the one before. A request that is not full is never in a round with others: what follows its
/// round's records may fill it.
pub(super) fn rounds(records: &[PutRecord], places: &[usize]) -> Vec<Vec<Request>> {
    let mut rounds = Vec::new();
    let (mut ready, next_of) = in_order(records, places);
    while !ready.is_empty() {
        let mut round = Vec::new();
        loop {
            let (request, is_full) = fill(records, &mut ready);
            match (is_full, round.is_empty()) {
                (true, _) => round.push(request),
                (false, true) => {
                    round.push(request);
                    break;
                }
                (false, false) => {
                    ready.extend(request.into_iter().map(Reverse));
                    break;
                }
            }
        }
        let sent = round.iter().flatten();
        ready.extend(
            sent.filter_map(|place| next_of.get(place))
                .map(|it| Reverse(*it)),
        );
        rounds.push(round);
    }
    rounds
}

/// The first record of every key, and the next of its key behind each record.
fn in_order(
    records: &[PutRecord],
    places: &[usize],
) -> (BinaryHeap<Reverse<usize>>, HashMap<usize, usize>) {
    let mut last_of_key: HashMap<&str, usize> = HashMap::with_capacity(places.len());
    let (mut first, mut next_of) = (BinaryHeap::with_capacity(places.len()), HashMap::new());
    for &place in places {
        match last_of_key.insert(&records[place].partition_key, place) {
            Some(before) => drop(next_of.insert(before, place)),
            None => first.push(Reverse(place)),
        }
    }
    (first, next_of)
}

/// Takes what is ready, the earliest first, and says whether the request took all it can.
fn fill(records: &[PutRecord], ready: &mut BinaryHeap<Reverse<usize>>) -> (Request, bool) {
    let (mut request, mut n_bytes) = (Request::new(), 0);
    while let Some(Reverse(place)) = ready.peek() {
        let record = &records[*place];
        n_bytes += record.partition_key.len() + record.data.len();
        // A single record is always smaller than a request.
        if request.len() == REQUEST_RECORDS_MAX || REQUEST_BYTES_MAX < n_bytes {
            return (request, true);
        }
        request.push(*place);
        ready.pop();
    }
    let is_full = request.len() == REQUEST_RECORDS_MAX;
    (request, is_full)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn records(keys: impl IntoIterator<Item = (u16, usize)>) -> Vec<PutRecord> {
        let record = |(key, n_bytes): (u16, usize)| PutRecord {
            partition_key: format!("key-{key}"),
            data: Bytes::from(vec![0; n_bytes]),
        };
        keys.into_iter().map(record).collect()
    }

    fn sizes(records: &[PutRecord]) -> Vec<Vec<usize>> {
        let places: Vec<usize> = (0..records.len()).collect();
        let rounds = rounds(records, &places);
        let lens = |round: &Vec<Request>| round.iter().map(Vec::len).collect();
        rounds.iter().map(lens).collect()
    }

    #[test]
    fn requests_are_as_full_as_the_keys_allow() {
        assert_eq!(sizes(&[]), Vec::<Vec<usize>>::new());
        let distinct = records((0..1_200).map(|it| (it, 10)));
        assert_eq!(sizes(&distinct), [vec![500, 500], vec![200]]);
        // Six hundred first records and four hundred second ones of the same keys.
        let twice = records((0..600).chain(0..400).map(|it| (it, 10)));
        assert_eq!(sizes(&twice), [[500], [500]]);
        let one_key = records((0..3).map(|_| (1, 10)));
        assert_eq!(sizes(&one_key), [[1], [1], [1]]);
        let large = records((0..6).map(|it| (it, (1 << 20) - 10)));
        assert_eq!(sizes(&large), [[5], [1]]);
    }

    proptest! {
        #[test]
        fn every_record_is_sent_once_and_keys_keep_their_order(
            keys in prop::collection::vec((0u16..60, 0usize..40_000), 0..1_500),
        ) {
            let records = records(keys);
            let places: Vec<usize> = (0..records.len()).collect();
            let rounds = rounds(&records, &places);
            let mut last_of_key: HashMap<&str, usize> = HashMap::new();
            let mut sent = HashSet::new();
            for round in &rounds {
                let mut keys = HashSet::new();
                for request in round {
                    let size = |it: &usize| records[*it].partition_key.len() + records[*it].data.len();
                    prop_assert!(request.len() <= REQUEST_RECORDS_MAX);
                    prop_assert!(request.iter().map(size).sum::<usize>() <= REQUEST_BYTES_MAX);
                    for &place in request {
                        let key = records[place].partition_key.as_str();
                        prop_assert!(keys.insert(key), "{key} twice in a round");
                        let before = last_of_key.insert(key, place);
                        prop_assert!(before < Some(place), "{key} out of order");
                        prop_assert!(sent.insert(place));
                    }
                }
            }
            prop_assert_eq!(sent.len(), records.len());
        }
    }
}
