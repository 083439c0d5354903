//! The bounded queue between requests and batches: room is had before memory is, and given back
//! when the batch is on the bus.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

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
}

/// The queue is full, or the gate stops: ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

pub(super) struct Queue {
    bytes: Arc<Semaphore>,
    events: Arc<Semaphore>,
    sender: mpsc::Sender<Job>,
    receiver: Mutex<Option<mpsc::Receiver<Job>>>,
}

impl Queue {
    pub(super) fn new(bytes_max: usize, events_max: usize) -> Queue {
        // A job has at least one event, so the channel is never the limit.
        let (sender, receiver) = mpsc::channel(events_max.max(1));
        Queue {
            bytes: Arc::new(Semaphore::new(bytes_max)),
            events: Arc::new(Semaphore::new(events_max)),
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// Where jobs come out; once.
    pub(super) fn receiver(&self) -> Option<mpsc::Receiver<Job>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }

    /// Room of no bytes yet, for a body that begins.
    pub(super) fn enter(&self) -> Result<Room, Full> {
        let bytes = permits(&self.bytes, 0)?;
        Ok(Room {
            bytes,
            events: None,
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

    pub(super) fn send(&self, job: Job) -> Result<(), Full> {
        self.sender.try_send(job).map_err(|_| Full)
    }
}

fn permits(of: &Arc<Semaphore>, n: usize) -> Result<OwnedSemaphorePermit, Full> {
    let n = u32::try_from(n).map_err(|_| Full)?;
    of.clone().try_acquire_many_owned(n).map_err(|_| Full)
}
