//! The windows of a series move to an event, and labels to its time; what then is in a window.

use std::cmp::Ordering;

use crate::engine::features::ids::{EventIds, EventRef};
use crate::engine::features::labels::Labels;
use crate::engine::features::series::{Change, Cursor, FRAUD, Place, Position, Series};
use crate::engine::features::{Accumulator, Group, Window};
use crate::planted;

impl Series {
    /// Takes an entry into a window's aggregates, or out of them.
    pub(super) fn step(
        &mut self,
        group: &Group,
        window: &Window,
        nth: usize,
        entry: Place,
        enters: bool,
    ) {
        let n = &mut self.cursors[nth].n;
        *n = if enters { *n + 1 } else { *n - 1 };
        for (at, accumulator) in window.accumulators.iter().enumerate() {
            let running = window.first_accumulator + at;
            match accumulator {
                Accumulator::Fraud => {
                    let is_fraud = self.is_fraud(group, entry);
                    self.running[running].count_fraud(u32::from(is_fraud), enters);
                }
                Accumulator::Sum(column)
                | Accumulator::Squares(column)
                | Accumulator::Counted(column) => {
                    if let Some(value) = self.column(group, entry, *column) {
                        self.running[running].take(value, enters);
                    }
                }
                Accumulator::Decayed { column, half_life } => {
                    let value = match column {
                        Some(column) => self.column(group, entry, *column),
                        None => Some(1),
                    };
                    if let Some(value) = value {
                        let ts = self.ts(group, entry);
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
        let lo = self.seek(group, old.lo, |it| {
            let ts = self.ts(group, it);
            planted!(WindowOffByOne, ts < lower, ts <= lower)
        });
        let upper = at.ts.saturating_sub(window.delay);
        let hi = self.seek(group, old.hi, |it| match window.delay {
            0 => match self.order(group, ids, it, at) {
                Ordering::Less => true,
                Ordering::Equal => window.include_current,
                Ordering::Greater => false,
            },
            _ => self.ts(group, it) <= upper,
        });
        // First in, then out: the aggregates never hold less than nothing.
        for (from, to) in [(lo, hi.min(old.lo)), (lo.max(old.hi), hi)] {
            self.step_through(group, window, nth, (from, to), true);
        }
        for (from, to) in [(old.lo, old.hi.min(lo)), (old.lo.max(hi), old.hi)] {
            self.step_through(group, window, nth, (from, to), false);
        }
        (self.cursors[nth].lo, self.cursors[nth].hi) = (lo, hi);
    }

    pub(super) fn step_through(
        &mut self,
        group: &Group,
        window: &Window,
        nth: usize,
        (from, to): (Place, Place),
        enters: bool,
    ) {
        let mut entry = from;
        while entry < to {
            self.step(group, window, nth, entry, enters);
            entry = self.next(group, entry);
        }
    }

    /// The first entry for which `is_before` fails, walked to from `from`.
    fn seek(&self, group: &Group, from: Place, is_before: impl Fn(Place) -> bool) -> Place {
        let end = self.end(group);
        let mut at = from;
        while at < end && is_before(at) {
            at = self.next(group, at);
        }
        while at > Place::default() {
            let before = self.before(group, at);
            if is_before(before) {
                break;
            }
            at = before;
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
        let Ok(place) = self.find(group, ids, at) else {
            return;
        };
        let is_fraud = labels.is_fraud(change.event, self.label_time);
        if self.is_fraud(group, place) == is_fraud {
            return;
        }
        let (stride, nth) = (Series::stride(group), place.at as usize);
        match self.blocks.get_mut(place.block as usize) {
            Some(block) => block.flip(stride, nth, 1),
            None => self.open[nth * stride + 1] ^= FRAUD,
        }
        for (window, cursor) in group.windows.iter().zip(&self.cursors) {
            if !(cursor.lo..cursor.hi).contains(&place) {
                continue;
            }
            for (at, _) in window.accumulators.iter().enumerate() {
                self.running[window.first_accumulator + at].count_fraud(1, is_fraud);
            }
        }
    }

    /// When the first and the last record of the window were, by `(t, event_id)`.
    pub(crate) fn ends(&self, group: &Group, window: usize) -> Option<(i64, i64)> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        let ts = |it| self.ts(group, it);
        (lo < hi).then(|| (ts(lo), ts(self.before(group, hi))))
    }

    /// The value of the earliest record of the window that has one.
    pub(crate) fn first(&self, group: &Group, window: usize, column: usize) -> Option<i64> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        let mut forwards = self.between(group, lo, hi);
        forwards.find_map(|it| self.column(group, it, column))
    }

    /// The value of the latest record of the window that has one.
    pub(crate) fn last(&self, group: &Group, window: usize, column: usize) -> Option<i64> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        let mut at = hi;
        while lo < at {
            at = self.before(group, at);
            if let Some(value) = self.column(group, at, column) {
                return Some(value);
            }
        }
        None
    }

    /// Records in the window.
    pub(crate) fn count(&self, window: usize) -> u32 {
        self.cursors[window].n
    }
}
