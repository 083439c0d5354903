//! Reading: pages of a shard through a cursor, again and again at the tip until something comes.

use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::offset::{Position, ShardRef};
use crate::domain::time::Time;
use crate::substrate::bus::kinesis::answer::{Failure, Kind};
use crate::substrate::bus::kinesis::cursor::{Cursor, PAGE_RECORDS_MAX, Page};
use crate::substrate::bus::kinesis::open::time_of;
use crate::substrate::bus::kinesis::{KinesisBus, pace};
use crate::substrate::bus::{BusRecord, Error, ReadBatch, ReadFrom, ReadLimit};

/// The longest that a read waits at the tip, whatever it asks.
const READ_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long what is throttled or lost is asked again before the reader is told: with one request's
/// time less than a lease lasts.
const PATIENCE: Duration = Duration::from_secs(3);

impl KinesisBus {
    pub(super) async fn read_shard(
        &self,
        at: &ShardRef,
        from: ReadFrom,
        limit: ReadLimit,
    ) -> Result<ReadBatch, Error> {
        self.name(at.stream)?;
        let until = Instant::now() + limit.wait_max.min(READ_WAIT_MAX);
        // "At the tip" is said only after asking, however short the wait.
        let mut cursor = match self.cursors.take(at, &from) {
            Some(mut cursor) => {
                if !cursor.is_enough(limit) {
                    self.advance(at, &from, &mut cursor, limit).await?;
                }
                cursor
            }
            None => {
                let n_records = limit.records_max.max(1).saturating_add(1);
                self.open_at(at, &from, n_records, None).await?
            }
        };
        while cursor.first().is_none()
            && !cursor.is_drained()
            && (!cursor.is_at_tip() || Instant::now() < until)
        {
            self.advance(at, &from, &mut cursor, limit).await?;
        }
        let batch = cursor.give(limit, self.clock.now());
        let reached = batch.records.last();
        let place = reached.map_or(from, |it| {
            ReadFrom::Position(Position::After(it.sequence_number.clone()))
        });
        self.cursors.put(at, place, cursor);
        Ok(batch)
    }

    /// One more page; an iterator that is no longer good is replaced.
    async fn advance(
        &self,
        at: &ShardRef,
        from: &ReadFrom,
        cursor: &mut Cursor,
        limit: ReadLimit,
    ) -> Result<(), Error> {
        let n_records = cursor.wanted(limit);
        match self.fetch(at, cursor, n_records).await {
            Ok(()) => Ok(()),
            Err(failure) if matches!(failure.kind, Kind::Expired | Kind::Invalid) => {
                let place = cursor
                    .last()
                    .map(|it| ReadFrom::Position(Position::After(it.sequence_number.clone())));
                let place = place.as_ref().unwrap_or(from);
                let seen = cursor.tip_seen_at();
                cursor.renew(self.open_at(at, place, n_records, seen).await?);
                Ok(())
            }
            // What is held comes first; the next read meets the failure again.
            Err(_) if cursor.first().is_some() => Ok(()),
            Err(failure) => Err(self.failed(at, failure).await),
        }
    }

    /// Pages until there is a record, or the tip, or the end: a page in the middle may be empty.
    pub(super) async fn fill(
        &self,
        at: &ShardRef,
        cursor: &mut Cursor,
        n_records: usize,
    ) -> Result<(), Error> {
        loop {
            if let Err(failure) = self.fetch(at, cursor, n_records).await {
                return Err(self.failed(at, failure).await);
            }
            if cursor.first().is_some() || cursor.is_at_tip() {
                return Ok(());
            }
        }
    }

    async fn fetch(
        &self,
        at: &ShardRef,
        cursor: &mut Cursor,
        n_records: usize,
    ) -> Result<(), Failure> {
        let Some(iterator) = &cursor.iterator else {
            return Ok(());
        };
        let asked = n_records.clamp(1, PAGE_RECORDS_MAX);
        let asked_at = self.clock.now();
        let answer = self.get_records(at, iterator, asked).await?;
        let page = page(answer, asked, asked_at)?;
        if let Some(last) = page.records.last() {
            let arrived_at = Some(last.arrived_at);
            self.newest.note(at, &last.sequence_number, arrived_at);
        }
        cursor.take(page);
        Ok(())
    }

    async fn get_records(
        &self,
        at: &ShardRef,
        iterator: &str,
        asked: usize,
    ) -> Result<GetRecordsOutput, Failure> {
        let limit = i32::try_from(asked).unwrap_or(i32::MAX);
        let (started, mut attempt) = (Instant::now(), 0);
        loop {
            self.pace.turn(at).await;
            let request = self.client.get_records().shard_iterator(iterator);
            let failure = match request.limit(limit).send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => Failure::of(&error),
            };
            if !failure.kind.is_passing() || PATIENCE < started.elapsed() {
                return Err(failure);
            }
            self.pace.back_off(at, attempt, &*self.entropy).await;
            attempt += 1;
        }
    }

    /// Sends a request that changes nothing until it is answered, or patience is over.
    pub(super) async fn patiently<T, E, F>(&self, request: impl Fn() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let (started, mut attempt) = (Instant::now(), 0);
        loop {
            let failure = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => Failure::of(&error),
            };
            if !failure.kind.is_passing() || PATIENCE < started.elapsed() {
                return Err(failure);
            }
            tokio::time::sleep(pace::backoff(attempt, &*self.entropy)).await;
            attempt += 1;
        }
    }
}

fn page(answer: GetRecordsOutput, asked: usize, asked_at: Time) -> Result<Page, Failure> {
    let record = |it: aws_sdk_kinesis::types::Record| {
        let sequence_number = it.sequence_number.parse().map_err(|error| Failure {
            kind: Kind::Unknown,
            cause: format!("{error}"),
        })?;
        Ok(BusRecord {
            sequence_number,
            partition_key: it.partition_key,
            arrived_at: it
                .approximate_arrival_timestamp
                .as_ref()
                .map_or(asked_at, time_of),
            data: Bytes::from(it.data.into_inner()),
        })
    };
    let records: Result<Vec<_>, Failure> = answer.records.into_iter().map(record).collect();
    let behind_ms = answer.millis_behind_latest.unwrap_or_default();
    Ok(Page {
        records: records?,
        next: answer.next_shard_iterator,
        behind_ms: u64::try_from(behind_ms).unwrap_or_default(),
        asked,
        asked_at,
    })
}
