//! The bounded queue between requests and batches: room is had before memory is, and given back
//! when the batch is on the bus; how long the oldest has been in it is how long a new one will be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::ingress::ig::batch::{Decision, Received};

/// The events of one request on their way into a batch.
pub(super) struct Job {
    pub(super) events: Vec<Received>,
    pub(super) room: Room,
    /// One decision an event, in order; dropped when the gate ends first.
    pub(super) answer: oneshot::Sender<Vec<Decision>>,
}

/// What a request occupies.
pub(super) struct Room {
    pub(super) bytes: OwnedSemaphorePermit,
    events: Option<OwnedSemaphorePermit>,
    _ticket: Option<Ticket>,
}

/// The queue is full, or the gate stops: ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Since when each request is in hand, in the order in which they came.
#[derive(Default)]
struct Backlog {
    in_hand: Mutex<InHand>,
}

#[derive(Default)]
struct InHand {
    since: BTreeMap<u64, Instant>,
    next: u64,
}

/// A request's place in the backlog, left when dropped.
struct Ticket {
    backlog: Arc<Backlog>,
    no: u64,
}

impl Backlog {
    fn enter(self: &Arc<Self>, now: Instant) -> Ticket {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let no = in_hand.next;
        in_hand.next += 1;
        in_hand.since.insert(no, now);
        drop(in_hand);
        Ticket {
            backlog: Arc::clone(self),
            no,
        }
    }

    fn age(&self, now: Instant) -> Duration {
        let in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = in_hand.since.first_key_value().map(|it| *it.1);
        oldest.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let in_hand = self.backlog.in_hand.lock();
        let mut in_hand = in_hand.unwrap_or_else(PoisonError::into_inner);
        in_hand.since.remove(&self.no);
    }
}

pub(super) struct Queue {
    bytes: Arc<Semaphore>,
    events: Arc<Semaphore>,
    sender: mpsc::Sender<Job>,
    receiver: Mutex<Option<mpsc::Receiver<Job>>>,
    backlog: Arc<Backlog>,
    age_max: Duration,
}

impl Queue {
    pub(super) fn new(bytes_max: usize, events_max: usize, age_max: Duration) -> Queue {
        // A job has at least one event, so the channel is never the limit.
        let (sender, receiver) = mpsc::channel(events_max.max(1));
        Queue {
            bytes: Arc::new(Semaphore::new(bytes_max)),
            events: Arc::new(Semaphore::new(events_max)),
            sender,
            receiver: Mutex::new(Some(receiver)),
            backlog: Arc::default(),
            age_max,
        }
    }

    /// Where jobs come out; once.
    pub(super) fn receiver(&self) -> Option<mpsc::Receiver<Job>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }

    /// How long the oldest request in hand has been there.
    pub(super) fn age(&self) -> Duration {
        self.backlog.age(Instant::now())
    }

    /// Room of no bytes yet, for a body that begins. There is none while the oldest request waits
    /// longer than a new one may.
    pub(super) fn enter(&self) -> Result<Room, Full> {
        if self.age() > self.age_max {
            return Err(Full);
        }
        let bytes = permits(&self.bytes, 0)?;
        Ok(Room {
            bytes,
            events: None,
            _ticket: None,
        })
    }

    /// Room for more bytes of the body.
    pub(super) fn grow(&self, room: &mut Room, n_bytes: usize) -> Result<(), Full> {
        room.bytes.merge(permits(&self.bytes, n_bytes)?);
        Ok(())
    }

    pub(super) fn take_events(&self, room: &mut Room, n_events: usize) -> Result<(), Full> {
        room.events = Some(permits(&self.events, n_events)?);
        Ok(())
    }

    pub(super) fn send(&self, mut job: Job) -> Result<(), Full> {
        job.room._ticket = Some(self.backlog.enter(Instant::now()));
        self.sender.try_send(job).map_err(|_| Full)
    }
}

fn permits(of: &Arc<Semaphore>, n: usize) -> Result<OwnedSemaphorePermit, Full> {
    let n = u32::try_from(n).map_err(|_| Full)?;
    of.clone().try_acquire_many_owned(n).map_err(|_| Full)
}
