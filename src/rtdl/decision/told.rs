//! Who waits for which decision: a worker tells here what it has committed. What no worker of this
//! process tells is heard of from the process that decided it (`heard.rs`); now and then the decision log is
//! looked at all the same, all ids with one statement: for an outcome that came to light late, and where no
//! notice comes through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::contracts::canonical;
use crate::contracts::decision::{DecisionBody, record_hash};
use crate::contracts::decision_notice::{DecisionNotice, DecisionWaiter, DecisionWatch};
use crate::domain::digest::Digest;
use crate::domain::ids::DecisionId;
use crate::domain::time::Time;
use crate::governance::counters::{Counters, Way};
use crate::rtdl::decision::batch::Decided;
use crate::rtdl::decision::heard;
use crate::runtime::ground::Ground;
use crate::substrate::db::{self, Day, Db};

const READ: &str = include_str!("sql/read_decided.sql");
/// Before every decision.
pub(super) const EVER: Day = Day(0);
/// How long those that wait when the process is told to stop may still be told.
const GRACE: Duration = Duration::from_secs(3);

/// The waiting ids of a process.
pub(super) struct Told {
    state: Mutex<State>,
    wake: Notify,
    /// Whether anybody waits.
    is_awaited: watch::Sender<bool>,
    counters: Counters,
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
    pub(super) fn new(counters: Counters) -> Told {
        Told {
            state: Mutex::default(),
            wake: Notify::new(),
            is_awaited: watch::Sender::new(false),
            counters,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the change of `state` means for those that look after it.
    fn changed(&self, state: &State) {
        let is_awaited = !state.waiting.is_empty();
        self.is_awaited
            .send_if_modified(|it| std::mem::replace(it, is_awaited) != is_awaited);
    }

    pub(super) fn is_awaited(&self) -> bool {
        *self.is_awaited.borrow()
    }

    /// How often somebody began to wait.
    pub(super) fn n_watches(&self) -> u64 {
        self.lock().watches_count
    }

    /// Comes when somebody waits.
    pub(super) async fn awaited(&self) {
        self.until(true).await;
    }

    async fn until(&self, is_awaited: bool) {
        let mut changes = self.is_awaited.subscribe();
        // It cannot close: it is here.
        drop(changes.wait_for(|it| *it == is_awaited).await);
    }

    /// Tells what was committed to whoever waits for it.
    pub(super) fn tell(&self, decided: &[Decided]) {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            return;
        }
        for row in decided {
            if let Some(waiting) = state.waiting.remove(&row.decision_id) {
                self.counters.add_told(Way::Memory, 1);
                waiting.tell(notice(&row.body, &row.body_hash, row.decided_at));
            }
        }
        self.changed(&state);
    }

    /// Nobody is told any more: whoever waits goes on.
    fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
        self.changed(&state);
    }

    /// Tells of what workers of this process do not, until stopped and for as long as anybody still waits then,
    /// [`GRACE`] at most.
    pub(super) async fn serve(
        self: Arc<Self>,
        ground: Ground,
        look_every: Duration,
        stop: CancellationToken,
    ) {
        let over = CancellationToken::new();
        tokio::join!(
            self.look(&ground.db, look_every, &over),
            heard::hear(&self, &ground, &over),
            async {
                stop.cancelled().await;
                drop(tokio::time::timeout(GRACE, self.until(false)).await);
                over.cancel();
            }
        );
        self.close();
    }

    async fn look(&self, db: &Db, look_every: Duration, over: &CancellationToken) {
        loop {
            let due = tokio::select! {
                () = self.wake.notified() => self.due(false),
                () = tokio::time::sleep(look_every) => self.due(true),
                () = over.cancelled() => return,
            };
            if let Err(error) = self.look_at(db, &due, EVER, Way::Look).await {
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

    /// Looks for every id that waits, in the decisions since a day.
    pub(super) async fn look_at_all(&self, db: &Db, since: Day, way: Way) -> Result<(), db::Error> {
        let all: Vec<DecisionId> = self.lock().waiting.keys().copied().collect();
        self.look_at(db, &all, since, way).await
    }

    async fn look_at(
        &self,
        db: &Db,
        ids: &[DecisionId],
        since: Day,
        way: Way,
    ) -> Result<(), db::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let client = db.get().await?;
        let statement = client.prepare_cached(READ).await?;
        let rows = client.query(&statement, &[&ids, &since]).await?;
        let mut state = self.lock();
        for row in rows {
            let id: DecisionId = row.get(0);
            if let Some(waiting) = state.waiting.remove(&id) {
                self.counters.add_told(way, 1);
                waiting.tell(notice(row.get(1), &row.get(2), row.get(3)));
            }
        }
        self.changed(&state);
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
            self.0.changed(&state);
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
        self.told.changed(&state);
    }
}
