//! Puts the records of a batch on the bus: contexts before traffic, one put in flight a stream, in
//! order; refused records again until they are stored or the gate stops (L5).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::offset::{SequenceNumber, ShardId};
use crate::domain::vocabulary::Stream;
use crate::ingress::ig::batch::Line;
use crate::substrate::bus::{Bus, PutOutcome, PutRecord, RefusalCode};
use crate::substrate::clock::Entropy;

const BACKOFF_MS_MIN: u64 = 10;
const BACKOFF_MS_MAX: u64 = 2_000;

/// Consumers find a payment's context before it, unless the bus delivers late.
const ROUNDS: [&[Stream]; 2] = [
    &[
        Stream::ArrivalEvents,
        Stream::ArrivalEntities,
        Stream::FlowAnchor,
    ],
    &[Stream::Traffic],
];

/// Where each item of a batch stands; `None` where the batch has a gap, or not yet.
pub(super) type Places = Vec<Option<(ShardId, SequenceNumber)>>;

/// Why not every record is known to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The bus did not say: `PUBLISH_AMBIGUOUS`.
    Ambiguous { cause: String },
    /// The gate stops while the bus refuses: nothing is ambiguous, the next start goes on.
    GivenUp,
}

pub(super) struct Publisher<'g> {
    pub(super) bus: &'g dyn Bus,
    pub(super) entropy: &'g dyn Entropy,
    /// Cancelled when waiting on has no more sense.
    pub(super) give_up: &'g CancellationToken,
}

impl Publisher<'_> {
    /// Publishes the lines that have no place yet and fills their places in.
    pub(super) async fn publish(&self, lines: &[Line], places: &mut Places) -> Result<(), Stopped> {
        for round in ROUNDS {
            let puts = round.iter().map(|stream| {
                let open = |line: &&Line| line.stream == *stream && places[index(line)].is_none();
                let lines: Vec<&Line> = lines.iter().filter(open).collect();
                self.put_stream(*stream, lines)
            });
            let mut stopped = None;
            for (stored, end) in futures::future::join_all(puts).await {
                for (item, place) in stored {
                    places[item] = Some(place);
                }
                stopped = stopped.or(end);
            }
            // Traffic must not overtake a context of unknown fate.
            if let Some(stopped) = stopped {
                return Err(stopped);
            }
        }
        Ok(())
    }

    async fn put_stream(
        &self,
        stream: Stream,
        mut lines: Vec<&Line>,
    ) -> (Vec<(usize, (ShardId, SequenceNumber))>, Option<Stopped>) {
        let mut stored = Vec::with_capacity(lines.len());
        let mut ambiguous = None;
        let mut attempt = 0;
        while !lines.is_empty() {
            let record = |line: &&Line| PutRecord {
                partition_key: line.partition_key.clone(),
                data: line.data.clone(),
            };
            let outcomes = self
                .bus
                .put_records(stream, lines.iter().map(record).collect())
                .await;
            let mut refused = Vec::new();
            let mut code = RefusalCode::Throttled;
            for (line, outcome) in lines.iter().zip(outcomes) {
                match outcome {
                    PutOutcome::Stored(at) => {
                        stored.push((index(line), (at.shard_id, at.sequence_number)));
                    }
                    PutOutcome::Refused {
                        code: RefusalCode::HeldBack,
                    } => refused.push(*line),
                    PutOutcome::Refused { code: why } => {
                        code = why;
                        refused.push(*line);
                    }
                    PutOutcome::Unknown { cause } => {
                        ambiguous.get_or_insert(Stopped::Ambiguous { cause });
                    }
                }
            }
            lines = refused;
            if ambiguous.is_some() || lines.is_empty() {
                return (stored, ambiguous);
            }
            attempt += 1;
            if attempt % 10 == 1 {
                tracing::warn!(%stream, records = lines.len(), ?code, attempt, "the bus refuses records; they are put again");
            }
            if !self.pause(attempt).await {
                return (stored, Some(Stopped::GivenUp));
            }
        }
        (stored, None)
    }

    /// Backs off with jitter; false when the gate gives up.
    async fn pause(&self, attempt: u32) -> bool {
        let ceiling = (BACKOFF_MS_MIN << attempt.min(10)).min(BACKOFF_MS_MAX);
        let mut draw = [0u8; 8];
        self.entropy.fill(&mut draw);
        let jitter = u64::from_le_bytes(draw) % ceiling;
        let pause = Duration::from_millis(ceiling / 2 + jitter / 2);
        tokio::time::timeout(pause, self.give_up.cancelled())
            .await
            .is_err()
    }
}

fn index(line: &Line) -> usize {
    usize::try_from(line.item).expect("items count from 0")
}
