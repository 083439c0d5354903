//! One key's records in time order, with a cursor per window that moves both ways (after Feedzai's
//! Railgun, VLDB 2021): in order a step costs O(1) amortised whatever the window's length, and a
//! late event rewinds exactly.
//!
//! All access to records goes through this type; a later form may keep them on disk.

use std::cmp::Ordering;

use crate::engine::features::ids::{EventIds, EventRef};
use crate::engine::features::labels::Labels;
use crate::engine::features::running::Running;
use crate::engine::features::{Accumulator, Group, Window};
use crate::planted;

/// `(t, event_id)`: the order of records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position<'p> {
    pub(crate) ts: i64,
    pub(crate) event_id: &'p str,
}

/// A record as a series takes it. `columns[i]` is `None` where the record lacks the value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'e> {
    pub(crate) ts: i64,
    pub(crate) event: EventRef,
    pub(crate) columns: &'e [Option<i64>],
}

/// Most columns of a group: their presence, and the fraud flag, are bits of one half word.
pub(crate) const COLUMNS_MAX: usize = 31;

const FRAUD: i64 = 1 << 31;

/// Words before the columns: the time, then the event (high half) and the flags (low half).
const LEAD: usize = 2;

#[derive(Debug)]
pub(crate) struct Series {
    /// Entries back to back, sorted by (ts, event_id).
    words: Vec<i64>,
    cursors: Box<[Cursor]>,
    running: Box<[Running]>,
    /// The fraud flags are what one sees who looks at this time.
    label_time: i64,
    /// When what is known of an entry may change, sorted by that time.
    changes: Vec<Change>,
}

/// The entries `lo..hi` are in the running aggregates.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    lo: u32,
    hi: u32,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    observed: i64,
    ts: i64,
    event: EventRef,
}

impl Series {
    pub(crate) fn new(group: &Group) -> Series {
        let windows = group.windows.iter();
        let running = windows.flat_map(|it| &it.accumulators).map(Running::new);
        Series {
            words: Vec::new(),
            cursors: vec![Cursor::default(); group.windows.len()].into(),
            running: running.collect(),
            label_time: i64::MIN,
            changes: Vec::new(),
        }
    }

    fn stride(group: &Group) -> usize {
        LEAD + group.columns.len()
    }

    pub(crate) fn len(&self, group: &Group) -> usize {
        self.words.len() / Series::stride(group)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn ts(&self, group: &Group, nth: usize) -> i64 {
        self.words[nth * Series::stride(group)]
    }

    fn event(&self, group: &Group, nth: usize) -> EventRef {
        (self.words[nth * Series::stride(group) + 1] >> 32) as u32
    }

    /// Time and event of an entry.
    pub(crate) fn at(&self, group: &Group, nth: usize) -> (i64, EventRef) {
        (self.ts(group, nth), self.event(group, nth))
    }

    pub(crate) fn column(&self, group: &Group, nth: usize, column: usize) -> Option<i64> {
        let start = nth * Series::stride(group);
        let is_there = self.words[start + 1] & (1 << column) != 0;
        is_there.then(|| self.words[start + LEAD + column])
    }

    fn order(&self, group: &Group, ids: &EventIds, nth: usize, at: Position<'_>) -> Ordering {
        let by_time = self.ts(group, nth).cmp(&at.ts);
        let by_id = || ids.get(self.event(group, nth)).cmp(at.event_id);
        by_time.then_with(|| planted!(TieOrder, by_id().reverse(), by_id()))
    }

    /// Where the position stands or would stand.
    fn find(&self, group: &Group, ids: &EventIds, at: Position<'_>) -> Result<usize, usize> {
        let (mut lo, mut hi) = (0, self.len(group));
        // In order it stands behind the last.
        if hi > 0 && self.order(group, ids, hi - 1, at).is_lt() {
            return Err(hi);
        }
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            match self.order(group, ids, mid, at) {
                Ordering::Less => lo = mid + 1,
                Ordering::Greater => hi = mid,
                Ordering::Equal => return Ok(mid),
            }
        }
        Err(lo)
    }

    /// Where a new record belongs; `None` if it is here already.
    pub(crate) fn place(&self, group: &Group, ids: &EventIds, at: Position<'_>) -> Option<usize> {
        self.find(group, ids, at).err()
    }

    /// Puts a record at its [`Series::place`].
    pub(crate) fn insert(&mut self, group: &Group, labels: &Labels, nth: usize, entry: Entry<'_>) {
        let present = entry.columns.iter().enumerate();
        let present = present.map(|(at, it)| i64::from(it.is_some()) << at);
        let mut flags = present.fold(0, |flags, it| flags | it);
        if group.labelled && labels.is_fraud(entry.event, self.label_time) {
            flags |= FRAUD;
        }
        let columns = entry.columns.iter().map(|it| it.unwrap_or(0));
        let words = [entry.ts, i64::from(entry.event) << 32 | flags];
        let start = nth * Series::stride(group);
        if start == self.words.len() {
            self.words.extend(words.into_iter().chain(columns));
        } else {
            let words = words.into_iter().chain(columns);
            self.words.splice(start..start, words);
        }
        let position = u32::try_from(nth).expect("a key has fewer than 4 billion records");
        for (at, window) in group.windows.iter().enumerate() {
            let cursor = &mut self.cursors[at];
            if position < cursor.lo {
                cursor.lo += 1;
                cursor.hi += 1;
            } else if position < cursor.hi {
                cursor.hi += 1;
                self.step(group, window, nth, true);
            }
        }
    }

    /// Takes an entry into a window's aggregates, or out of them.
    fn step(&mut self, group: &Group, window: &Window, nth: usize, enters: bool) {
        for (at, accumulator) in window.accumulators.iter().enumerate() {
            let running = window.first_accumulator + at;
            match accumulator {
                Accumulator::Fraud => {
                    let is_fraud = self.words[nth * Series::stride(group) + 1] & FRAUD != 0;
                    self.running[running].count_fraud(u32::from(is_fraud), enters);
                }
                Accumulator::Sum(column)
                | Accumulator::Squares(column)
                | Accumulator::Counted(column) => {
                    if let Some(value) = self.column(group, nth, *column) {
                        self.running[running].take(value, enters);
                    }
                }
                Accumulator::Decayed { column, half_life } => {
                    let value = match column {
                        Some(column) => self.column(group, nth, *column),
                        None => Some(1),
                    };
                    if let Some(value) = value {
                        let ts = self.ts(group, nth);
                        self.running[running].take_decaying(value, ts, *half_life, enters);
                    }
                }
            }
        }
    }

    /// Moves every window to the event at `at`, and the labels to its time.
    pub(crate) fn move_to(
        &mut self,
        group: &Group,
        ids: &EventIds,
        labels: &Labels,
        at: Position<'_>,
    ) {
        if group.labelled {
            self.look_from(group, ids, labels, at.ts);
        }
        for (nth, window) in group.windows.iter().enumerate() {
            self.move_window(group, ids, nth, window, at);
        }
    }

    fn move_window(
        &mut self,
        group: &Group,
        ids: &EventIds,
        nth: usize,
        window: &Window,
        at: Position<'_>,
    ) {
        let old = self.cursors[nth];
        let lower = at
            .ts
            .saturating_sub(window.delay)
            .saturating_sub(window.length);
        let lo = self.seek(group, old.lo, |series, it| {
            planted!(
                WindowOffByOne,
                series.ts(group, it) < lower,
                series.ts(group, it) <= lower
            )
        });
        let upper = at.ts.saturating_sub(window.delay);
        let hi = self.seek(group, old.hi, |series, it| match window.delay {
            0 => match series.order(group, ids, it, at) {
                Ordering::Less => true,
                Ordering::Equal => window.include_current,
                Ordering::Greater => false,
            },
            _ => series.ts(group, it) <= upper,
        });
        // First in, then out: the aggregates never hold less than nothing.
        for entry in (lo..hi.min(old.lo)).chain(lo.max(old.hi)..hi) {
            self.step(group, window, entry as usize, true);
        }
        for entry in (old.lo..old.hi.min(lo)).chain(old.lo.max(hi)..old.hi) {
            self.step(group, window, entry as usize, false);
        }
        self.cursors[nth] = Cursor { lo, hi };
    }

    /// The first entry for which `is_before` fails, walked to from `from`.
    fn seek(&self, group: &Group, from: u32, is_before: impl Fn(&Series, usize) -> bool) -> u32 {
        let len = u32::try_from(self.len(group)).expect("a key has fewer than 4 billion records");
        let mut at = from;
        while at < len && is_before(self, at as usize) {
            at += 1;
        }
        while at > 0 && !is_before(self, at as usize - 1) {
            at -= 1;
        }
        at
    }

    /// Notes that what is known of an entry changes at `observed`.
    pub(crate) fn note_change(
        &mut self,
        group: &Group,
        ids: &EventIds,
        labels: &Labels,
        ts: i64,
        event: EventRef,
        observed: i64,
    ) {
        let at = self.changes.partition_point(|it| it.observed <= observed);
        let change = Change {
            observed,
            ts,
            event,
        };
        self.changes.insert(at, change);
        if observed <= self.label_time {
            self.review(group, ids, labels, change);
        }
    }

    /// Makes the fraud flags those that one sees at `time`, earlier or later than before.
    fn look_from(&mut self, group: &Group, ids: &EventIds, labels: &Labels, time: i64) {
        let (from, to) = (self.label_time.min(time), self.label_time.max(time));
        self.label_time = time;
        let first = self.changes.partition_point(|it| it.observed <= from);
        let last = self.changes.partition_point(|it| it.observed <= to);
        for at in first..last {
            let change = self.changes[at];
            self.review(group, ids, labels, change);
        }
    }

    /// Sets one entry's flag anew, in every window that holds it.
    fn review(&mut self, group: &Group, ids: &EventIds, labels: &Labels, change: Change) {
        let at = Position {
            ts: change.ts,
            event_id: ids.get(change.event),
        };
        let Ok(nth) = self.find(group, ids, at) else {
            return;
        };
        let word = &mut self.words[nth * Series::stride(group) + 1];
        let is_fraud = labels.is_fraud(change.event, self.label_time);
        if (*word & FRAUD != 0) == is_fraud {
            return;
        }
        *word ^= FRAUD;
        for (window, cursor) in group.windows.iter().zip(&self.cursors) {
            if !(cursor.lo as usize..cursor.hi as usize).contains(&nth) {
                continue;
            }
            for (at, _) in window.accumulators.iter().enumerate() {
                self.running[window.first_accumulator + at].count_fraud(1, is_fraud);
            }
        }
    }

    /// Drops entries at or before `cutoff`; hands each one's event and interned columns back.
    pub(crate) fn evict(
        &mut self,
        group: &Group,
        cutoff: i64,
        mut gone: impl FnMut(EventRef, &dyn Fn(usize) -> Option<i64>),
    ) {
        let mut n = 0;
        while n < self.len(group) && self.ts(group, n) <= cutoff {
            n += 1;
        }
        if n == 0 {
            return;
        }
        let dropped = u32::try_from(n).expect("a key has fewer than 4 billion records");
        for (at, window) in group.windows.iter().enumerate() {
            let Cursor { lo, hi } = self.cursors[at];
            // A key that has been quiet still holds them in its windows.
            for entry in lo..hi.min(dropped) {
                self.step(group, window, entry as usize, false);
            }
            self.cursors[at] = Cursor {
                lo: lo.saturating_sub(dropped),
                hi: hi.saturating_sub(dropped),
            };
        }
        for nth in 0..n {
            gone(self.event(group, nth), &|column| {
                self.column(group, nth, column)
            });
        }
        self.words.drain(..n * Series::stride(group));
        if self.words.len() < self.words.capacity() / 4 {
            self.words.shrink_to_fit();
        }
        self.changes.retain(|it| it.ts > cutoff);
    }

    /// When the first and the last record of the window were, by `(t, event_id)`.
    pub(crate) fn ends(&self, group: &Group, window: usize) -> Option<(i64, i64)> {
        let Cursor { lo, hi } = self.cursors[window];
        (lo < hi).then(|| (self.ts(group, lo as usize), self.ts(group, hi as usize - 1)))
    }

    /// The value of the earliest record of the window that has one.
    pub(crate) fn first(&self, group: &Group, window: usize, column: usize) -> Option<i64> {
        let Cursor { lo, hi } = self.cursors[window];
        (lo..hi).find_map(|it| self.column(group, it as usize, column))
    }

    /// The value of the latest record of the window that has one.
    pub(crate) fn last(&self, group: &Group, window: usize, column: usize) -> Option<i64> {
        let Cursor { lo, hi } = self.cursors[window];
        let mut backwards = (lo..hi).rev();
        backwards.find_map(|it| self.column(group, it as usize, column))
    }

    /// Records in the window.
    pub(crate) fn count(&self, window: usize) -> u32 {
        self.cursors[window].hi - self.cursors[window].lo
    }

    pub(crate) fn running(&self, accumulator: usize) -> &Running {
        &self.running[accumulator]
    }

    pub(crate) fn bytes(&self) -> usize {
        let held_apart = self.running.iter().map(Running::bytes);
        size_of::<Series>()
            + self.words.capacity() * size_of::<i64>()
            + self.cursors.len() * size_of::<Cursor>()
            + self.running.len() * size_of::<Running>()
            + self.changes.capacity() * size_of::<Change>()
            + held_apart.sum::<usize>()
    }
}
