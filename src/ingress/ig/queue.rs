//! The bounded queue between requests and batches: room is had before memory is, and given back
//! when the batch is on the bus; how long the oldest has been in it is how long a new one will be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The events of the last request that found no room for them; 0: the last one found it.
    missed: AtomicUsize,
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
            missed: AtomicUsize::new(0),
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

    /// Room of no bytes yet, for a body that begins and says how long it is. There is none while the oldest
    /// request waits longer than a new one may, while so many bytes would find none, and while the last
    /// request that was refused for its events still would be: a body that is read in vain costs as much as
    /// one that is not.
    pub(super) fn enter(&self, n_bytes: usize) -> Result<Room, Full> {
        let missed = self.missed.load(Ordering::Relaxed);
        let is_full = self.bytes.available_permits() < n_bytes
            || self.events.available_permits() < missed
            || self.age() > self.age_max;
        if is_full {
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
        let events = permits(&self.events, n_events);
        let missed = events.as_ref().map_or(n_events, |_| 0);
        self.missed.store(missed, Ordering::Relaxed);
        room.events = Some(events?);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(1_000, 100, Duration::from_secs(5))
    }

    #[test]
    fn a_body_that_says_it_is_longer_than_there_is_room_is_not_begun() {
        let queue = queue();
        let mut room = queue.enter(600).unwrap();
        queue.grow(&mut room, 600).unwrap();
        assert!(queue.enter(400).is_ok());
        assert!(queue.enter(401).is_err());
        drop(room);
        assert!(queue.enter(1_000).is_ok());
    }

    #[test]
    fn after_one_was_refused_for_its_events_none_is_read_until_it_would_have_found_room() {
        let queue = queue();
        let entered = [(); 4].map(|()| queue.enter(1).unwrap());
        let [mut first, mut second, mut third, _] = entered;
        queue.take_events(&mut first, 60).unwrap();
        queue.take_events(&mut second, 10).unwrap();
        assert!(
            queue.enter(1).is_ok(),
            "there is room, and nobody missed it"
        );
        assert!(queue.take_events(&mut third, 40).is_err());
        assert!(queue.enter(1).is_err());
        drop(second);
        let mut next = queue.enter(1).unwrap();
        queue.take_events(&mut next, 40).unwrap();
    }
}
