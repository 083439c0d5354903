//! How long the code of each part of the process runs, while a bench measures it; otherwise it costs a load.
//!
//! A task is measured from poll to poll, a section while it runs; what runs inside another is not counted twice.
//! It is time on a worker thread: where others want the CPU too, their turns are in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time by part.
pub type Spent = BTreeMap<&'static str, Duration>;

static IS_ON: AtomicBool = AtomicBool::new(false);
static SPENT: Mutex<Spent> = Mutex::new(Spent::new());

thread_local! {
    /// What runs on this thread, and since when.
    static RUNNING: Cell<Option<(&'static str, Instant)>> = const { Cell::new(None) };
}

/// Begins to measure, from nothing. One measures at a time.
pub fn start() {
    spent().clear();
    IS_ON.store(true, Ordering::Relaxed);
}

/// Ends it; what was spent meanwhile.
#[must_use]
pub fn stop() -> Spent {
    IS_ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut *spent())
}

/// Runs `work` as a section of its own.
pub fn section<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let _in = In::enter(name);
    work()
}

/// Runs a future as a part of its own, whoever polls it.
pub async fn task<T>(name: &'static str, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| section(name, || future.as_mut().poll(cx))).await
}

fn spent() -> std::sync::MutexGuard<'static, Spent> {
    SPENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until dropped, this part runs; then the one before goes on.
struct In(Option<Option<&'static str>>);

impl In {
    fn enter(name: &'static str) -> In {
        let is_on = IS_ON.load(Ordering::Relaxed);
        In(is_on.then(|| switch(Some(name))))
    }
}

impl Drop for In {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            switch(before);
        }
    }
}

/// Lets another part run; returns which one ran.
fn switch(to: Option<&'static str>) -> Option<&'static str> {
    let now = Instant::now();
    let before = RUNNING.replace(to.map(|name| (name, now)));
    let (name, since) = before?;
    *spent().entry(name).or_default() += now - since;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(at_least: Duration) {
        let began = Instant::now();
        while began.elapsed() < at_least {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn what_runs_inside_another_is_not_counted_twice() {
        let long = Duration::from_millis(20);
        section("off", || work(Duration::ZERO));
        start();
        let began = Instant::now();
        section("outer", || {
            work(long);
            section("inner", || work(long));
            work(long);
        });
        let all = began.elapsed();
        let spent = stop();
        assert!(
            spent["outer"] >= 2 * long && spent["inner"] >= long,
            "{spent:?}"
        );
        assert!(
            spent["outer"] + spent["inner"] <= all,
            "{spent:?} of {all:?}"
        );
        assert!(!spent.contains_key("off"), "{spent:?}");
        section("after", || work(Duration::ZERO));
        // Other tests of this process may have been within a section of theirs.
        assert!(!stop().contains_key("after"));
    }
}
