//! Lets others wait until the decision role has looked at every run there is: from then on a run
//! without a lease is a run without work.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// The role's side: what it is asked, what it has done.
pub(super) struct Looked {
    asked: Arc<Notify>,
    /// How many looks have ended well.
    done: watch::Sender<u64>,
}

/// The other side; clones ask the same role.
#[derive(Debug, Clone)]
pub struct Looks {
    asked: Arc<Notify>,
    done: watch::Receiver<u64>,
}

impl Looked {
    pub(super) fn new() -> Looked {
        Looked {
            asked: Arc::default(),
            done: watch::Sender::new(0),
        }
    }

    pub(super) fn looks(&self) -> Looks {
        Looks {
            asked: Arc::clone(&self.asked),
            done: self.done.subscribe(),
        }
    }

    pub(super) fn done(&self) {
        self.done.send_modify(|done| *done += 1);
    }

    /// Returns when someone wants the next look now.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }
}

impl Looks {
    /// Returns when a look that began after this call has ended well, or the role has.
    pub async fn complete(&mut self) {
        // One may be under way already: the one after it is the first that saw everything.
        let enough = *self.done.borrow_and_update() + 2;
        loop {
            self.asked.notify_one();
            if self.done.changed().await.is_err() || *self.done.borrow_and_update() >= enough {
                return;
            }
        }
    }
}
