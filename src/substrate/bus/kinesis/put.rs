//! Putting: sends what `plan` cut, and turns every answer into an outcome a record.

use std::collections::HashSet;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use futures::{StreamExt as _, stream};

use crate::domain::offset::{OriginOffset, ShardId, ShardRef};
use crate::domain::vocabulary::Stream;
use crate::substrate::bus::kinesis::KinesisBus;
use crate::substrate::bus::kinesis::answer::{Failure, Kind, SentMark};
use crate::substrate::bus::kinesis::plan::{self, Request};
use crate::substrate::bus::{PutOutcome, PutRecord, RefusalCode, admit};

/// Requests of one put that are on their way at once.
const REQUESTS_AT_ONCE_MAX: usize = 4;

const THROTTLED: &str = "ProvisionedThroughputExceededException";

impl KinesisBus {
    /// A record whose key has an earlier one that is not known to be stored is held back, also when
    /// that one is `Unknown`: were it stored, and the earlier one put again, they would change
    /// places. A request that fails as a whole ends the put, for the next would wait as long.
    pub(super) async fn put(&self, stream: Stream, records: &[PutRecord]) -> Vec<PutOutcome> {
        let refused = |code| PutOutcome::Refused { code };
        let Ok(name) = self.name(stream) else {
            return vec![refused(RefusalCode::NoSuchStream); records.len()];
        };
        let verdicts = admit::verdicts(records);
        let is_good = |place: &usize| verdicts[*place].is_none();
        let good: Vec<usize> = (0..records.len()).filter(is_good).collect();
        // What is never sent keeps this outcome.
        let outcome = |code: Option<RefusalCode>| refused(code.unwrap_or(RefusalCode::HeldBack));
        let mut outcomes: Vec<PutOutcome> = verdicts.iter().copied().map(outcome).collect();
        let mut open_keys: HashSet<&str> = HashSet::new();
        let mut ended = None;
        let mut unsent = HashSet::new();
        for mut round in plan::rounds(records, &good) {
            if ended.is_some() {
                unsent.extend(round.into_iter().flatten());
                continue;
            }
            for request in &mut round {
                request.retain(|it| !open_keys.contains(records[*it].partition_key.as_str()));
            }
            round.retain(|request| !request.is_empty());
            let send = |request: Request| async move {
                let answer = self.send(name, records, &request).await;
                (request, answer)
            };
            let answers = stream::iter(round)
                .map(send)
                .buffer_unordered(REQUESTS_AT_ONCE_MAX);
            for (request, answer) in answers.collect::<Vec<_>>().await {
                let answer = answer.map_err(|failure| {
                    ended.get_or_insert(failure.kind.refusal().unwrap_or(RefusalCode::Unavailable));
                    told(stream, &failure);
                    of_failure(failure)
                });
                for (at, place) in request.into_iter().enumerate() {
                    outcomes[place] = match &answer {
                        Ok(results) => self.of_result(stream, &results[at]),
                        Err(outcome) => outcome.clone(),
                    };
                    if !matches!(outcomes[place], PutOutcome::Stored(_)) {
                        open_keys.insert(&records[place].partition_key);
                    }
                }
            }
        }
        for place in unsent {
            outcomes[place] = refused(ended.unwrap_or(RefusalCode::Unavailable));
        }
        outcomes
    }

    /// One request; the answer has a result a record.
    async fn send(
        &self,
        name: &str,
        records: &[PutRecord],
        request: &Request,
    ) -> Result<Vec<PutRecordsResultEntry>, Failure> {
        let entry = |place: &usize| {
            let record = &records[*place];
            PutRecordsRequestEntry::builder()
                .partition_key(&record.partition_key)
                .data(Blob::new(record.data.as_ref()))
                .build()
        };
        let entries: Result<Vec<_>, _> = request.iter().map(entry).collect();
        let entries = entries.map_err(|error| Failure {
            kind: Kind::NotSent,
            cause: error.to_string(),
        })?;
        self.puts.add(request.len());
        let sent = SentMark::default();
        let answer = self
            .client
            .put_records()
            .stream_name(name)
            .set_records(Some(entries))
            .customize()
            .interceptor(sent.clone())
            .send()
            .await;
        let results = answer.map_err(|error| {
            let failure = Failure::of(&error);
            match sent.is_set() {
                true => failure,
                false => Failure {
                    kind: Kind::NotSent,
                    ..failure
                },
            }
        })?;
        if results.records.len() != request.len() {
            return Err(Failure {
                kind: Kind::Unknown,
                cause: format!(
                    "{} results to {} records",
                    results.records.len(),
                    request.len()
                ),
            });
        }
        Ok(results.records)
    }

    fn of_result(&self, stream: Stream, result: &PutRecordsResultEntry) -> PutOutcome {
        let stored = (
            &result.shard_id,
            &result.sequence_number,
            &result.error_code,
        );
        let cause = match stored {
            (Some(shard_id), Some(number), None) => match number.parse() {
                Ok(sequence_number) => {
                    let shard_id = ShardId(shard_id.clone());
                    let offset = OriginOffset {
                        stream,
                        shard_id: shard_id.clone(),
                        sequence_number,
                    };
                    self.newest.note(
                        &ShardRef { stream, shard_id },
                        &offset.sequence_number,
                        None,
                    );
                    return PutOutcome::Stored(offset);
                }
                Err(error) => error.to_string(),
            },
            (_, _, Some(code)) if code == THROTTLED => {
                return PutOutcome::Refused {
                    code: RefusalCode::Throttled,
                };
            }
            // `InternalFailure`, the only other code that is documented ("Internal Service
            // Failure"). Nowhere is it said that nothing was written then, and the same words
            // stand for a whole request's HTTP 500: it stays open.
            (_, _, code) => {
                let message = result.error_message.as_deref().unwrap_or_default();
                format!("{}: {message}", code.as_deref().unwrap_or("no place"))
            }
        };
        PutOutcome::Unknown { cause }
    }
}

fn of_failure(failure: Failure) -> PutOutcome {
    match failure.kind.refusal() {
        Some(code) => PutOutcome::Refused { code },
        None => PutOutcome::Unknown {
            cause: failure.cause,
        },
    }
}

/// The outcome of a refused record has no room for the cause.
fn told(stream: Stream, failure: &Failure) {
    if !matches!(failure.kind, Kind::Throttled | Kind::Unknown) {
        tracing::warn!(%stream, kind = ?failure.kind, cause = failure.cause, "kinesis took no record of a put");
    }
}
