//! Where a read of a dense log begins and where it ends. Pure: the log is told, not asked.

use crate::domain::offset::{Position, SequenceNumber, ShardRef};
use crate::domain::time::Time;
use crate::substrate::bus::{BusRecord, Error, ReadBatch, ReadFrom, ReadLimit};

/// What a dense log holds: the numbers `oldest..=newest`; none while `newest < oldest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    /// When the newest of the dropped records arrived.
    pub(super) dropped_until: Option<Time>,
}

impl Extent {
    pub(super) fn tip(&self) -> Position {
        match self.newest {
            0 => Position::Start,
            newest => Position::After(SequenceNumber::from_u64(newest)),
        }
    }
}

/// The number to read first; `newest + 1` when it is yet to come.
///
/// # Errors
/// [`Error::Trimmed`], [`Error::BeyondTip`], or what `arrived_at` answers.
pub(super) fn first_number(
    shard: &ShardRef,
    from: &ReadFrom,
    extent: Extent,
    arrived_at: impl Fn(u64) -> Result<Time, Error>,
) -> Result<u64, Error> {
    match from {
        ReadFrom::Position(Position::Start) => Ok(extent.oldest),
        ReadFrom::Position(Position::After(read)) => {
            let next = read
                .as_str()
                .parse::<u64>()
                .ok()
                .map(|it| it.saturating_add(1));
            match next {
                Some(next) if next < extent.oldest => Err(trimmed(shard, from, extent)),
                Some(next) if next <= extent.newest.saturating_add(1) => Ok(next),
                _ => Err(Error::BeyondTip {
                    stream: shard.stream,
                    shard_id: shard.shard_id.clone(),
                    asked: read.clone(),
                    tip: extent.tip(),
                }),
            }
        }
        ReadFrom::ArrivedAt(time) => {
            if extent.dropped_until.is_some_and(|dropped| *time <= dropped) {
                return Err(trimmed(shard, from, extent));
            }
            first_arrival(*time, extent, arrived_at)
        }
    }
}

pub(super) fn trimmed(shard: &ShardRef, asked: &ReadFrom, extent: Extent) -> Error {
    Error::Trimmed {
        stream: shard.stream,
        shard_id: shard.shard_id.clone(),
        asked: asked.clone(),
        oldest: SequenceNumber::from_u64(extent.oldest),
    }
}

/// The first number that arrived at or after `time`, by bisection: arrival never runs backwards
/// along a shard.
///
/// # Errors
/// What `arrived_at` answers.
pub(super) fn first_arrival(
    time: Time,
    extent: Extent,
    arrived_at: impl Fn(u64) -> Result<Time, Error>,
) -> Result<u64, Error> {
    let (mut low, mut high) = (extent.oldest, extent.newest + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if arrived_at(middle)? < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The most records one batch allocates room for before it has seen any.
const CAPACITY_RECORDS_MAX: usize = 1_024;

/// Takes `first..=extent.newest` as far as the limit goes. `next` yields the records from `first`
/// on, in order.
///
/// # Errors
/// What `next` answers.
pub(super) fn fill(
    first: u64,
    extent: Extent,
    limit: ReadLimit,
    now: Time,
    mut next: impl FnMut(u64) -> Result<BusRecord, Error>,
) -> Result<ReadBatch, Error> {
    let n_unread = (extent.newest + 1).saturating_sub(first);
    let records_max = limit.records_max.max(1);
    let wanted = usize::try_from(n_unread)
        .unwrap_or(usize::MAX)
        .min(records_max);
    let mut records = Vec::with_capacity(wanted.min(CAPACITY_RECORDS_MAX));
    let (mut number, mut n_bytes) = (first, 0usize);
    while records.len() < wanted && (records.is_empty() || n_bytes < limit.bytes_max) {
        let record = next(number)?;
        n_bytes += record.partition_key.len() + record.data.len();
        number += 1;
        records.push(record);
    }
    let behind_tip = (extent.newest + 1).saturating_sub(number);
    let behind_ms = match behind_tip {
        0 => 0,
        _ => next(number)?.arrived_at.ms_until(now),
    };
    Ok(ReadBatch {
        records,
        behind_tip,
        behind_ms,
        shard_end: false,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::domain::offset::ShardId;
    use crate::domain::vocabulary::Stream;

    const EXTENT: Extent = Extent {
        oldest: 3,
        newest: 9,
        dropped_until: Some(Time::from_micros(20)),
    };

    fn shard() -> ShardRef {
        ShardRef {
            stream: Stream::Traffic,
            shard_id: ShardId("shard-000000".to_owned()),
        }
    }

    /// Record `n` arrived at `10 n`.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the shape that the log's lookup has"
    )]
    fn arrived_at(number: u64) -> Result<Time, Error> {
        Ok(Time::from_micros(10 * i64::try_from(number).unwrap()))
    }

    #[track_caller]
    fn check(from: ReadFrom, expect: Result<u64, &str>) {
        let found = first_number(&shard(), &from, EXTENT, arrived_at);
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{from:?}"),
            (Err(found), Err(expect)) => {
                let found = found.to_string();
                assert!(found.contains(expect), "{from:?}: {found}");
            }
            (found, expect) => panic!("{from:?}: {found:?}, expected {expect:?}"),
        }
    }

    fn after(text: &str) -> ReadFrom {
        ReadFrom::Position(Position::After(text.parse().unwrap()))
    }

    fn at(micros: i64) -> ReadFrom {
        ReadFrom::ArrivedAt(Time::from_micros(micros))
    }

    #[test]
    fn a_read_begins_where_it_was_left() {
        check(ReadFrom::Position(Position::Start), Ok(3));
        check(after("2"), Ok(3));
        check(after("8"), Ok(9));
        check(after("9"), Ok(10));
    }

    #[test]
    fn a_read_never_jumps_silently() {
        check(
            after("1"),
            Err("dropped by retention; the oldest kept is 3"),
        );
        check(after("0"), Err("dropped by retention"));
        check(after("10"), Err("beyond the newest record 9"));
        check(after("18446744073709551615"), Err("beyond"));
        check(
            after("49590338271490256608559692538361571095921575989136588898"),
            Err("beyond"),
        );
        check(at(20), Err("dropped by retention"));
    }

    #[test]
    fn a_time_is_found_by_bisection() {
        check(at(21), Ok(3));
        check(at(30), Ok(3));
        check(at(31), Ok(4));
        check(at(90), Ok(9));
        check(at(91), Ok(10));
    }

    #[test]
    fn a_batch_ends_with_the_record_that_passes_the_bytes() {
        let record = |number: u64| {
            Ok(BusRecord {
                sequence_number: SequenceNumber::from_u64(number),
                partition_key: "k".to_owned(),
                arrived_at: arrived_at(number)?,
                data: Bytes::from_static(b"123456789"),
            })
        };
        let fill = |first, records_max, bytes_max| {
            let limit = ReadLimit {
                records_max,
                bytes_max,
                wait_max: Duration::ZERO,
            };
            let batch = fill(first, EXTENT, limit, Time::from_micros(5_060), record).unwrap();
            (batch.records.len(), batch.behind_tip, batch.behind_ms)
        };
        assert_eq!(fill(3, 100, 1_000), (7, 0, 0));
        assert_eq!(fill(3, 2, 1_000), (2, 5, 5));
        assert_eq!(fill(3, 100, 20), (2, 5, 5));
        assert_eq!(fill(3, 100, 21), (3, 4, 5));
        assert_eq!(fill(3, 0, 0), (1, 6, 5));
        assert_eq!(fill(10, 100, 1_000), (0, 0, 0));
    }
}
