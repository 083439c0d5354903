//! Who waits for which decision: a worker tells here what it has committed. What no worker of this
//! process tells (another process decided, a commit whose outcome came to light later, a decision
//! older than the question) is looked up in the decision log, all ids with one statement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, record_hash};
use crate::contracts::decision_notice::{DecisionNotice, DecisionWaiter, DecisionWatch};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::domain::time::Time;
use crate::rtdl::decision::batch::Decided;
use crate::substrate::db::{self, Db};

const READ: &str = include_str!("sql/read_decided.sql");
/// An id that waits this long is looked for in the log, and again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The waiting ids of a process.
#[derive(Default)]
pub(super) struct Told {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    waiting: HashMap<DecisionId, Waiting>,
    watches_count: u64,
    is_closed: bool,
}

#[derive(Default)]
struct Waiting {
    /// Each watch by its number, with where it listens.
    watches: Vec<(u64, mpsc::Sender<DecisionNotice>)>,
    /// The next look into the log is for it too.
    is_due: bool,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was committed to whoever waits for it.
    pub(super) fn tell(&self, decided: &[Decided]) {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            return;
        }
        for row in decided {
            if let Some(waiting) = state.waiting.remove(&row.decision_id) {
                waiting.tell(notice(&row.body, &row.body_hash, row.decided_at));
            }
        }
    }

    /// Nobody decides any more: whoever waits goes on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
    }

    /// Looks for what workers of this process do not tell, until stopped.
    pub(super) async fn look(self: Arc<Self>, db: Db, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let due = tokio::select! {
                () = self.wake.notified() => self.due(false),
                () = tokio::time::sleep(LOOK_EVERY) => self.due(true),
                () = stop.cancelled() => return,
            };
            if due.is_empty() {
                continue;
            }
            if let Err(error) = self.look_once(&db, &due).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "decisions could not be looked up; it tries again"
                );
            }
        }
    }

    /// The ids to look for now. At a tick, those that have waited for less than one are due at the
    /// next: a worker of this process will most likely tell them.
    fn due(&self, is_tick: bool) -> Vec<DecisionId> {
        let mut state = self.lock();
        let mut due = Vec::new();
        for (id, waiting) in &mut state.waiting {
            if waiting.is_due {
                due.push(*id);
            }
            waiting.is_due |= is_tick;
        }
        due
    }

    async fn look_once(&self, db: &Db, due: &[DecisionId]) -> Result<(), db::Error> {
        let client = db.get().await?;
        let statement = client.prepare_cached(READ).await?;
        for row in client.query(&statement, &[&due]).await? {
            let id: DecisionId = row.get(0);
            let notice = notice(row.get(1), &row.get(2), row.get(3));
            if let Some(waiting) = self.lock().waiting.remove(&id) {
                waiting.tell(notice);
            }
        }
        Ok(())
    }
}

impl Waiting {
    fn tell(self, notice: Option<DecisionNotice>) {
        let Some(notice) = notice else { return };
        for (_, watch) in self.watches {
            // It has room for every id that it watches; one that is gone needs nothing.
            drop(watch.try_send(notice.clone()));
        }
    }
}

/// `None` where the stored body is not what its hash says: nobody acts on it (L8).
fn notice(body: &[u8], body_hash: &Digest, decided_at: Time) -> Option<DecisionNotice> {
    if record_hash(body) != *body_hash {
        tracing::error!("a decision body does not hash to body_hash; its sender is not told");
        return None;
    }
    let body: DecisionBody = canonical::from_bytes("decision body", body).ok()?;
    Some(DecisionNotice::of(body, decided_at))
}

/// The corridor's end in this room.
pub(super) struct Waiter(pub(super) Arc<Told>);

impl DecisionWaiter for Waiter {
    fn watch(&self, ids: &[DecisionId]) -> Box<dyn DecisionWatch> {
        let (sender, receiver) = mpsc::channel(ids.len().max(1));
        let mut state = self.0.lock();
        state.watches_count += 1;
        let number = state.watches_count;
        if !state.is_closed {
            for id in ids {
                let waiting = state.waiting.entry(*id).or_default();
                waiting.watches.push((number, sender.clone()));
            }
        }
        drop(state);
        Box::new(Watch {
            told: self.0.clone(),
            number,
            ids: ids.to_vec(),
            receiver,
        })
    }
}

struct Watch {
    told: Arc<Told>,
    number: u64,
    ids: Vec<DecisionId>,
    receiver: mpsc::Receiver<DecisionNotice>,
}

#[async_trait]
impl DecisionWatch for Watch {
    fn look_up(&self, ids: &[DecisionId]) {
        let mut state = self.told.lock();
        for id in ids {
            if let Some(waiting) = state.waiting.get_mut(id) {
                waiting.is_due = true;
            }
        }
        drop(state);
        self.told.wake.notify_one();
    }

    async fn next(&mut self) -> Option<DecisionNotice> {
        self.receiver.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.told.lock();
        for id in &self.ids {
            let Some(waiting) = state.waiting.get_mut(id) else {
                continue;
            };
            waiting.watches.retain(|(number, _)| *number != self.number);
            if waiting.watches.is_empty() {
                state.waiting.remove(id);
            }
        }
    }
}
