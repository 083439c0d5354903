//! Opening a place in a shard, and seeing that nothing between it and the records that come was
//! dropped: Kinesis itself begins with the oldest that it keeps and says nothing.

use std::time::Duration;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use tokio::time::Instant;

use crate::domain::offset::{Position, SequenceNumber, ShardRef};
use crate::domain::time::Time;
use crate::substrate::bus::kinesis::answer::{Failure, Kind};
use crate::substrate::bus::kinesis::cursor::{Cursor, KEPT_FOR_SURE};
use crate::substrate::bus::kinesis::{KinesisBus, io_error};
use crate::substrate::bus::{BusRecord, Error, ReadFrom};

/// A record can be read within a second of its put, Kinesis says, mostly much sooner.
const VISIBLE_WITHIN: Duration = Duration::from_secs(2);

/// Our clock and that of Kinesis.
const CLOCK_SKEW_MS: u64 = 300_000;

/// Where an iterator begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Oldest,
    At(&'a SequenceNumber),
    After(&'a SequenceNumber),
    Time(Time),
}

impl KinesisBus {
    /// A cursor with its first page. `tip_seen_at`: when this reader, at this place, last saw that
    /// nothing lay behind it.
    pub(super) async fn open_at(
        &self,
        at: &ShardRef,
        from: &ReadFrom,
        n_records: usize,
        tip_seen_at: Option<Time>,
    ) -> Result<Cursor, Error> {
        match from {
            ReadFrom::Position(Position::Start) => {
                let mut cursor = self.begin(at, Place::Oldest).await?;
                self.fill(at, &mut cursor, n_records).await?;
                Ok(cursor)
            }
            ReadFrom::Position(Position::After(number)) => {
                self.open_after(at, number, n_records, tip_seen_at).await
            }
            ReadFrom::ArrivedAt(time) => self.open_at_time(at, *time, n_records).await,
        }
    }

    /// Begins with the record of the position itself. Where that is gone, others may have gone
    /// with it: numbers are not dense, so this is all that can be known.
    async fn open_after(
        &self,
        at: &ShardRef,
        number: &SequenceNumber,
        n_records: usize,
        tip_seen_at: Option<Time>,
    ) -> Result<Cursor, Error> {
        let iterator = match self.iterator(at, Place::At(number)).await {
            Ok(iterator) => iterator,
            Err(failure) if failure.kind == Kind::Invalid => {
                return Err(self.foreign(at, number).await);
            }
            Err(failure) => return Err(self.failed(at, failure).await),
        };
        let mut cursor = Cursor::new(iterator).after(number.clone());
        self.fill(at, &mut cursor, n_records.saturating_add(1))
            .await?;
        let seen_at = tip_seen_at.max(self.recalled.of(at, number));
        let is_seen = seen_at.is_some_and(|it| self.is_kept_for_sure(it));
        if is_seen || cursor.has_met_own() {
            return Ok(cursor);
        }
        let patience = Instant::now() + VISIBLE_WITHIN;
        while cursor.is_waiting_for_own() && Instant::now() < patience {
            self.fill(at, &mut cursor, n_records.saturating_add(1))
                .await?;
        }
        match cursor.first() {
            Some(oldest) if cursor.is_own_gone() => match seen_at {
                Some(time) if self.keeps_since(at, time).await? => Ok(cursor),
                _ => {
                    let asked = ReadFrom::Position(Position::After(number.clone()));
                    Err(trimmed(at, asked, oldest))
                }
            },
            _ if cursor.has_met_own() || self.newest.is_known(at, number) => Ok(cursor),
            _ if self.oldest(at).await?.is_some() => Err(self.foreign(at, number).await),
            _ => {
                // An idle shard whose last record is too old, or a reader that was away longer
                // than that: only who comes back in time can be told.
                tracing::warn!(shard = %at, after = %number, "the position's record is gone and the shard is empty; reading on");
                Ok(cursor)
            }
        }
    }

    /// The first record at or after a time. A time that no record has reached yet is waited for
    /// behind the newest one: Kinesis refuses times that its clock has not reached.
    async fn open_at_time(
        &self,
        at: &ShardRef,
        time: Time,
        n_records: usize,
    ) -> Result<Cursor, Error> {
        let mut newest = self.newest.of(at);
        if !newest.as_ref().is_some_and(|it| it.has_arrived_at(time)) {
            newest = self.find_newest(at).await?;
        }
        let place = match &newest {
            None => Place::Oldest,
            Some(newest) if !newest.has_arrived_at(time) => Place::After(&newest.number),
            Some(_) => {
                self.refuse_if_trimmed(at, time).await?;
                Place::Time(time)
            }
        };
        let mut cursor = self.begin(at, place).await?.not_before(time);
        self.fill(at, &mut cursor, n_records).await?;
        Ok(cursor)
    }

    /// # Errors
    /// [`Error::Trimmed`] when records may have been dropped that arrived at or after the time.
    async fn refuse_if_trimmed(&self, at: &ShardRef, time: Time) -> Result<(), Error> {
        if self.keeps_since(at, time).await? {
            return Ok(());
        }
        match self.oldest(at).await? {
            Some(oldest) if time <= oldest.arrived_at => {
                Err(trimmed(at, ReadFrom::ArrivedAt(time), &oldest))
            }
            _ => Ok(()),
        }
    }

    /// Whether everything that arrived at or after the time is still there, by the stream's age and retention.
    async fn keeps_since(&self, at: &ShardRef, time: Time) -> Result<bool, Error> {
        if self.is_kept_for_sure(time) {
            return Ok(true);
        }
        let name = self.name(at.stream)?;
        let request = || self.client.describe_stream_summary().stream_name(name);
        let summary = self.patiently(|| request().send()).await;
        let summary = summary.map_err(|it| io_error("reading the retention", it))?;
        let Some(summary) = summary.stream_description_summary else {
            return Ok(true);
        };
        let hours = u64::try_from(summary.retention_period_hours).unwrap_or_default();
        let kept_since = self.clock.now().minus_ms(hours.saturating_mul(3_600_000));
        let is_young = kept_since <= time_of(&summary.stream_creation_timestamp);
        Ok(is_young || kept_since.plus_ms(CLOCK_SKEW_MS) <= time)
    }

    /// The error of a number that this shard does not know.
    async fn foreign(&self, at: &ShardRef, number: &SequenceNumber) -> Error {
        match self.oldest(at).await {
            Err(error) => return error,
            Ok(Some(oldest)) if *number < oldest.sequence_number => {
                let asked = ReadFrom::Position(Position::After(number.clone()));
                return trimmed(at, asked, &oldest);
            }
            Ok(_) => {}
        }
        // What this process believed to be the newest may be of the same other log.
        self.newest.forget(at, number);
        match self.find_newest(at).await {
            Err(error) => error,
            Ok(newest) => Error::BeyondTip {
                stream: at.stream,
                shard_id: at.shard_id.clone(),
                asked: number.clone(),
                tip: newest.map_or(Position::Start, |it| Position::After(it.number)),
            },
        }
    }

    /// The oldest record that is kept.
    async fn oldest(&self, at: &ShardRef) -> Result<Option<BusRecord>, Error> {
        let mut cursor = self.begin(at, Place::Oldest).await?;
        self.fill(at, &mut cursor, 1).await?;
        Ok(cursor.first().cloned())
    }

    pub(super) async fn begin(&self, at: &ShardRef, place: Place<'_>) -> Result<Cursor, Error> {
        match self.iterator(at, place).await {
            Ok(iterator) => Ok(Cursor::new(iterator)),
            Err(failure) => Err(self.failed(at, failure).await),
        }
    }

    async fn iterator(&self, at: &ShardRef, place: Place<'_>) -> Result<String, Failure> {
        let name = self.name(at.stream).map_err(|error| Failure {
            kind: Kind::NotFound,
            cause: error.to_string(),
        })?;
        let request = || {
            let request = self
                .client
                .get_shard_iterator()
                .stream_name(name)
                .shard_id(&at.shard_id.0);
            let request = match place {
                Place::Oldest => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
                Place::At(number) => request
                    .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                    .starting_sequence_number(number.as_str()),
                Place::After(number) => request
                    .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                    .starting_sequence_number(number.as_str()),
                Place::Time(time) => request
                    .shard_iterator_type(ShardIteratorType::AtTimestamp)
                    .timestamp(DateTime::from_millis(time.micros().div_euclid(1_000))),
            };
            request.send()
        };
        let answer = self.patiently(request).await?;
        answer.shard_iterator.ok_or_else(|| Failure {
            kind: Kind::Unknown,
            cause: "no iterator in the answer".to_owned(),
        })
    }

    fn is_kept_for_sure(&self, time: Time) -> bool {
        let micros = i64::try_from(KEPT_FOR_SURE.as_micros()).unwrap_or(i64::MAX);
        self.clock.now().minus_micros(micros) <= time
    }

    /// The error of a read that failed.
    pub(super) async fn failed(&self, at: &ShardRef, failure: Failure) -> Error {
        match failure.kind {
            Kind::NotFound => self.missing(at, failure).await,
            _ => io_error("read", failure),
        }
    }
}

fn trimmed(at: &ShardRef, asked: ReadFrom, oldest: &BusRecord) -> Error {
    Error::Trimmed {
        stream: at.stream,
        shard_id: at.shard_id.clone(),
        asked,
        oldest: oldest.sequence_number.clone(),
    }
}

/// Kinesis tells times in milliseconds, as a fraction that does not hold them exactly.
pub(super) fn time_of(time: &DateTime) -> Time {
    let nanos = i64::from(time.subsec_nanos());
    let ms = time.secs().saturating_mul(1_000) + (nanos + 500_000) / 1_000_000;
    Time::from_micros(ms.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_rounded_to_its_millisecond() {
        for (fraction, ms) in [(0.0, 0), (0.123, 123), (0.999, 999), (0.001, 1)] {
            let time = DateTime::from_secs_f64(1_700_000_000.0 + fraction);
            let expect = Time::from_micros((1_700_000_000_000 + ms) * 1_000);
            assert_eq!(time_of(&time), expect, "{fraction}");
        }
    }
}
