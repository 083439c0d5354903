//! Group commit: one thread takes everything that queued while it was committing as its next
//! batch, so the busier the bus the fewer fsyncs a record (no timer).

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::domain::time::Time;
use crate::substrate::bus::PutCounts;
use crate::substrate::clock::Clock;

/// A batch ends with the put that passes this many records…
const BATCH_RECORDS_MAX: usize = 16_384;
/// … or this many bytes. Larger batches no longer save fsyncs, they only make the first wait.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// One record on its way, already routed.
#[derive(Debug)]
pub(super) struct Queued {
    /// Index into the log's shards.
    pub(super) shard: usize,
    pub(super) partition_key: String,
    pub(super) data: Bytes,
}

type Reply = oneshot::Sender<Result<Vec<u64>, Failure>>;

/// The records of one put, and where their numbers go.
#[derive(Debug)]
pub(super) struct QueuedPut {
    pub(super) records: Vec<Queued>,
    pub(super) reply: Reply,
    /// This put's share of the queue's bytes, given back when it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// Why a batch has no numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing was written.
    Refused,
    /// Written or not.
    Unknown(String),
}

/// Makes a batch durable and visible, all of it or nothing, and numbers its records.
pub(super) trait Commit: Send + Sync + 'static {
    fn commit(&self, records: &[Queued], now: Time) -> Result<Vec<u64>, Failure>;
}

/// Runs until every sender of the queue is gone and the queue is empty.
///
/// After a failed commit nothing more is written: the kernel may have dropped the pages that an
/// fsync failed on, so a second fsync that succeeds would prove nothing. Opening the log again
/// reads what the disk really holds.
pub(super) fn run(
    log: &Arc<impl Commit>,
    clock: &Arc<dyn Clock>,
    puts: &PutCounts,
    mut queue: mpsc::Receiver<QueuedPut>,
) {
    let mut has_failed = false;
    while let Some(first) = queue.blocking_recv() {
        let mut batch = Batch::default();
        batch.take(first);
        while !batch.is_full() {
            let Ok(put) = queue.try_recv() else { break };
            batch.take(put);
        }
        let answer = if has_failed {
            Err(Failure::Refused)
        } else {
            puts.add(batch.records.len());
            log.commit(&batch.records, clock.now())
        };
        if let Err(cause) = &answer
            && !has_failed
        {
            tracing::error!(?cause, "bus commit failed, the bus takes no more puts");
            has_failed = true;
        }
        batch.answer(answer);
    }
}

#[derive(Default)]
struct Batch {
    records: Vec<Queued>,
    n_bytes: usize,
    /// How many records each put has, and whom to tell.
    puts: Vec<(usize, Reply)>,
    rooms: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    fn take(&mut self, put: QueuedPut) {
        let sizes = put
            .records
            .iter()
            .map(|it| it.partition_key.len() + it.data.len());
        self.n_bytes += sizes.sum::<usize>();
        self.puts.push((put.records.len(), put.reply));
        self.rooms.push(put.room);
        self.records.extend(put.records);
    }

    fn is_full(&self) -> bool {
        BATCH_RECORDS_MAX <= self.records.len() || BATCH_BYTES_MAX <= self.n_bytes
    }

    fn answer(self, answer: Result<Vec<u64>, Failure>) {
        let mut numbers = match answer {
            Ok(numbers) => Ok(numbers.into_iter()),
            Err(failure) => Err(failure),
        };
        for (n_records, reply) in self.puts {
            let share = match &mut numbers {
                Ok(numbers) => Ok(numbers.take(n_records).collect()),
                Err(failure) => Err(failure.clone()),
            };
            // A caller that went away asked for no answer.
            drop(reply.send(share));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::substrate::clock::SetClock;

    /// Numbers records from 1; the commits of `fails` fail.
    struct Scripted {
        fails: Vec<usize>,
        batches: Mutex<Vec<usize>>,
    }

    impl Commit for Scripted {
        fn commit(&self, records: &[Queued], _: Time) -> Result<Vec<u64>, Failure> {
            let mut batches = self.batches.lock().unwrap();
            let before = batches.iter().sum::<usize>();
            batches.push(records.len());
            if self.fails.contains(&batches.len()) {
                return Err(Failure::Unknown("disk".to_owned()));
            }
            let after = before + records.len();
            Ok((before..after).map(|it| it as u64 + 1).collect())
        }
    }

    type Answer = Result<Result<Vec<u64>, Failure>, oneshot::error::TryRecvError>;

    /// Queues puts of so many records, lets the writer run dry, and returns batches and answers.
    fn run_dry(fails: &[usize], puts: &[usize]) -> (Vec<usize>, Vec<Answer>) {
        let log = Arc::new(Scripted {
            fails: fails.to_vec(),
            batches: Mutex::default(),
        });
        let clock: Arc<dyn Clock> = Arc::new(SetClock::default());
        let (sender, queue) = mpsc::channel(puts.len());
        let room = Arc::new(Semaphore::new(puts.len()));
        let mut replies = Vec::new();
        for n_records in puts {
            let (reply, answer) = oneshot::channel();
            let record = |_| Queued {
                shard: 0,
                partition_key: "k".to_owned(),
                data: Bytes::new(),
            };
            let put = QueuedPut {
                records: (0..*n_records).map(record).collect(),
                reply,
                room: room.clone().try_acquire_owned().unwrap(),
            };
            sender.try_send(put).unwrap();
            replies.push(answer);
        }
        drop(sender);
        run(&log, &clock, &PutCounts::default(), queue);
        assert_eq!(room.available_permits(), puts.len());
        let answers = replies.iter_mut().map(|it| it.try_recv()).collect();
        (log.batches.lock().unwrap().clone(), answers)
    }

    #[test]
    fn what_queued_is_one_batch_and_each_put_gets_its_share() {
        let (batches, answers) = run_dry(&[], &[1, 0, 2]);
        assert_eq!(batches, [3]);
        assert_eq!(
            answers,
            [Ok(Ok(vec![1])), Ok(Ok(vec![])), Ok(Ok(vec![2, 3]))]
        );
    }

    #[test]
    fn a_batch_is_bounded() {
        let (batches, _) = run_dry(&[], &[BATCH_RECORDS_MAX, 1]);
        assert_eq!(batches, [BATCH_RECORDS_MAX, 1]);
    }

    #[test]
    fn a_failed_commit_is_unknown_and_nothing_is_written_after_it() {
        let full = BATCH_RECORDS_MAX;
        let (batches, answers) = run_dry(&[2], &[full, full, full, 1]);
        assert_eq!(batches, [full, full]);
        let unknown = Failure::Unknown("disk".to_owned());
        assert!(matches!(&answers[0], Ok(Ok(numbers)) if numbers.len() == full));
        assert_eq!(answers[1], Ok(Err(unknown)));
        assert_eq!(answers[2], Ok(Err(Failure::Refused)));
        assert_eq!(answers[3], Ok(Err(Failure::Refused)));
    }
}
