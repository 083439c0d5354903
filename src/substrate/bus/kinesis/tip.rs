//! The newest record of a shard. Kinesis can stand behind it but cannot name it, so this process
//! remembers the newest that it put or read, and reads on from there.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::domain::offset::{Position, SequenceNumber, ShardRef};
use crate::domain::time::Time;
use crate::substrate::bus::kinesis::KinesisBus;
use crate::substrate::bus::kinesis::open::Place;
use crate::substrate::bus::{Error, ReadFrom, ReadLimit};

/// As much as one answer of Kinesis holds.
const PAGE: ReadLimit = ReadLimit {
    records_max: 9_999,
    bytes_max: 64 << 20,
    wait_max: Duration::ZERO,
};

/// A reader less far behind comes to the tip sooner by reading than by searching.
const SEARCH_BEHIND_MS_MIN: u64 = 60_000;
/// A search ends when it knows the newest record's time so well.
const SEARCH_MS_MIN: u64 = 5_000;
/// An emulator never answers for a time behind its newest record.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// A record that no later one is known of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: SequenceNumber,
    /// `None` of what this process put and has not read.
    pub(super) arrived_at: Option<Time>,
}

impl Mark {
    pub(super) fn has_arrived_at(&self, time: Time) -> bool {
        self.arrived_at.is_some_and(|it| time <= it)
    }
}

/// The newest record that this process knows in each shard.
#[derive(Default)]
pub(super) struct Newest(Mutex<HashMap<ShardRef, Mark>>);

impl Newest {
    pub(super) fn note(&self, at: &ShardRef, number: &SequenceNumber, arrived_at: Option<Time>) {
        let mark = || Mark {
            number: number.clone(),
            arrived_at,
        };
        let mut marks = self.lock();
        let known = marks.entry(at.clone()).or_insert_with(mark);
        match known.number.cmp(number) {
            Ordering::Less => *known = mark(),
            Ordering::Equal => known.arrived_at = known.arrived_at.or(arrived_at),
            Ordering::Greater => {}
        }
    }

    pub(super) fn of(&self, at: &ShardRef) -> Option<Mark> {
        self.lock().get(at).cloned()
    }

    /// Whether this process met the record, or a later one.
    pub(super) fn is_known(&self, at: &ShardRef, number: &SequenceNumber) -> bool {
        self.lock().get(at).is_some_and(|it| *number <= it.number)
    }

    /// Forgets a record at or after one that the shard does not know.
    pub(super) fn forget(&self, at: &ShardRef, number: &SequenceNumber) {
        if self.is_known(at, number) {
            self.lock().remove(at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ShardRef, Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KinesisBus {
    /// The newest record, `None` where none is kept. Boxed, for it reads, and a read by time asks
    /// for the newest record.
    pub(super) fn find_newest<'a>(
        &'a self,
        at: &'a ShardRef,
    ) -> BoxFuture<'a, Result<Option<Mark>, Error>> {
        async move {
            loop {
                let known = self.newest.of(at);
                let from = known
                    .as_ref()
                    .map_or(Position::Start, |it| Position::After(it.number.clone()));
                let read = self.read_shard(at, ReadFrom::Position(from), PAGE).await;
                let batch = match read {
                    // What came instead is known now.
                    Err(Error::Trimmed { .. } | Error::BeyondTip { .. }) if known.is_some() => {
                        continue;
                    }
                    read => read?,
                };
                if batch.behind_tip == 0 {
                    return Ok(self.newest.of(at));
                }
                if let Some(last) = batch.records.last()
                    && SEARCH_BEHIND_MS_MIN < batch.behind_ms
                {
                    self.skip_towards_tip(at, last.arrived_at).await;
                }
            }
        }
        .boxed()
    }

    /// Looks for later records by bisecting the time up to now. What it finds is noted; what it
    /// misses costs reading, nothing else.
    async fn skip_towards_tip(&self, at: &ShardRef, arrived_at: Time) {
        let (mut low, mut high) = (arrived_at, self.clock.now());
        while SEARCH_MS_MIN < low.ms_until(high) {
            let middle = low.plus_ms(low.ms_until(high) / 2);
            match tokio::time::timeout(PROBE_MAX, self.last_from(at, middle)).await {
                Ok(Ok((Some(last), false))) => low = last.max(middle),
                Ok(Ok((Some(_), true))) => return,
                Ok(Ok((None, _)) | Err(_)) | Err(_) => high = middle,
            }
        }
    }

    /// When the last record arrived of a page that begins at a time, and whether the page ends at
    /// the tip.
    async fn last_from(&self, at: &ShardRef, time: Time) -> Result<(Option<Time>, bool), Error> {
        let mut cursor = self.begin(at, Place::Time(time)).await?;
        self.fill(at, &mut cursor, PAGE.records_max).await?;
        let last = cursor.last().map(|it| it.arrived_at);
        Ok((last, cursor.is_at_tip()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::offset::ShardId;
    use crate::domain::vocabulary::Stream;

    #[test]
    fn the_newest_of_puts_and_reads_is_kept() {
        let (newest, at) = (
            Newest::default(),
            ShardRef {
                stream: Stream::Traffic,
                shard_id: ShardId("shardId-000000000000".to_owned()),
            },
        );
        let number = |text: &str| text.parse::<SequenceNumber>().unwrap();
        let time = Time::from_micros;
        newest.note(&at, &number("9"), Some(time(9)));
        newest.note(&at, &number("10"), None);
        newest.note(&at, &number("8"), Some(time(8)));
        let mark = |text, arrived_at| {
            Some(Mark {
                number: number(text),
                arrived_at,
            })
        };
        assert_eq!(newest.of(&at), mark("10", None));
        newest.note(&at, &number("10"), Some(time(10)));
        newest.note(&at, &number("10"), None);
        assert_eq!(newest.of(&at), mark("10", Some(time(10))));
        newest.forget(&at, &number("11"));
        assert!(newest.is_known(&at, &number("10")));
        newest.forget(&at, &number("9"));
        assert_eq!(newest.of(&at), None);
    }
}
