//! The windows of a series move to an event, and labels to its time; what then is in a window.

use std::cmp::Ordering;

use crate::contracts::chunks::Error;
use crate::engine::features::ids::EventRef;
use crate::engine::features::series::{Change, Cursor, FRAUD, Place, Position, Series};
use crate::engine::features::shared::Shared;
use crate::engine::features::spill::Spill;
use crate::engine::features::{Accumulator, Group, Window};
use crate::planted;

impl Series {
    /// Takes a loaded entry into a window's aggregates, or out of them.
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
        shared: &mut Shared,
        at: Position<'_>,
    ) -> Result<(), Error> {
        if group.labelled {
            self.look_from(group, shared, at.ts)?;
        }
        for (nth, window) in group.windows.iter().enumerate() {
            self.move_window(group, shared, nth, window, at)?;
        }
        Ok(())
    }

    fn move_window(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        nth: usize,
        window: &Window,
        at: Position<'_>,
    ) -> Result<(), Error> {
        let old = self.cursors[nth];
        let lower = at
            .ts
            .saturating_sub(window.delay)
            .saturating_sub(window.length);
        let lo = self.seek(group, shared, old.lo, |series, _, it| {
            let ts = series.ts(group, it);
            Ok(planted!(WindowOffByOne, ts < lower, ts <= lower))
        })?;
        let upper = at.ts.saturating_sub(window.delay);
        let hi = self.seek(group, shared, old.hi, |series, shared, it| {
            Ok(match window.delay {
                0 => match series.order(group, shared, it, at)? {
                    Ordering::Less => true,
                    Ordering::Equal => window.include_current,
                    Ordering::Greater => false,
                },
                _ => series.ts(group, it) <= upper,
            })
        })?;
        let spill = &mut shared.spill;
        // First in, then out: the aggregates never hold less than nothing.
        for entries in [(lo, hi.min(old.lo)), (lo.max(old.hi), hi)] {
            self.step_through(group, spill, window, nth, entries, true)?;
        }
        for entries in [(old.lo, old.hi.min(lo)), (old.lo.max(hi), old.hi)] {
            self.step_through(group, spill, window, nth, entries, false)?;
        }
        (self.cursors[nth].lo, self.cursors[nth].hi) = (lo, hi);
        Ok(())
    }

    pub(super) fn step_through(
        &mut self,
        group: &Group,
        spill: &mut Spill,
        window: &Window,
        nth: usize,
        (from, to): (Place, Place),
        enters: bool,
    ) -> Result<(), Error> {
        let mut entry = from;
        while entry < to {
            self.load(spill, entry.block)?;
            self.step(group, window, nth, entry, enters);
            entry = self.next(group, entry);
        }
        Ok(())
    }

    /// The first entry for which `is_before` fails, walked to from `from`.
    fn seek(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        from: Place,
        is_before: impl Fn(&Series, &mut Shared, Place) -> Result<bool, Error>,
    ) -> Result<Place, Error> {
        let end = self.end(group);
        let mut at = from;
        while at < end {
            self.load(&mut shared.spill, at.block)?;
            if !is_before(self, shared, at)? {
                break;
            }
            at = self.next(group, at);
        }
        while at > Place::default() {
            let before = self.before(group, at);
            self.load(&mut shared.spill, before.block)?;
            if is_before(self, shared, before)? {
                break;
            }
            at = before;
        }
        Ok(at)
    }

    /// Notes that what is known of an entry changes at `observed`.
    pub(crate) fn note_change(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        (ts, event): (i64, EventRef),
        observed: i64,
    ) -> Result<(), Error> {
        let at = self.changes.partition_point(|it| it.observed <= observed);
        let change = Change {
            observed,
            ts,
            event,
        };
        self.changes.insert(at, change);
        match observed <= self.label_time {
            true => self.review(group, shared, change),
            false => Ok(()),
        }
    }

    /// Makes the fraud flags those that one sees at `time`, earlier or later than before.
    fn look_from(&mut self, group: &Group, shared: &mut Shared, time: i64) -> Result<(), Error> {
        let (from, to) = (self.label_time.min(time), self.label_time.max(time));
        self.label_time = time;
        let first = self.changes.partition_point(|it| it.observed <= from);
        let last = self.changes.partition_point(|it| it.observed <= to);
        for at in first..last {
            let change = self.changes[at];
            self.review(group, shared, change)?;
        }
        Ok(())
    }

    /// Sets one entry's flag anew, in every window that holds it.
    fn review(&mut self, group: &Group, shared: &mut Shared, change: Change) -> Result<(), Error> {
        let event_id = shared.ids.text(&shared.spill, change.event)?;
        let at = Position {
            ts: change.ts,
            event_id: &event_id,
        };
        let found = self.find(group, shared, at)?;
        if !found.is_there {
            return Ok(());
        }
        let place = found.place;
        let is_fraud = shared.labels.is_fraud(change.event, self.label_time);
        if self.is_fraud(group, place) == is_fraud {
            return Ok(());
        }
        let (stride, nth) = (Series::stride(group), place.at as usize);
        match self.blocks.get_mut(place.block) {
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
        Ok(())
    }

    /// When the first and the last record of the window were, by `(t, event_id)`.
    pub(crate) fn ends(
        &mut self,
        group: &Group,
        spill: &mut Spill,
        window: usize,
    ) -> Result<Option<(i64, i64)>, Error> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        if lo >= hi {
            return Ok(None);
        }
        self.load(spill, lo.block)?;
        let first = self.ts(group, lo);
        let last = self.before(group, hi);
        self.load(spill, last.block)?;
        Ok(Some((first, self.ts(group, last))))
    }

    /// The value of the earliest record of the window that has one.
    pub(crate) fn first(
        &mut self,
        group: &Group,
        spill: &mut Spill,
        window: usize,
        column: usize,
    ) -> Result<Option<i64>, Error> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        let mut at = lo;
        while at < hi {
            self.load(spill, at.block)?;
            if let Some(value) = self.column(group, at, column) {
                return Ok(Some(value));
            }
            at = self.next(group, at);
        }
        Ok(None)
    }

    /// The value of the latest record of the window that has one.
    pub(crate) fn last(
        &mut self,
        group: &Group,
        spill: &mut Spill,
        window: usize,
        column: usize,
    ) -> Result<Option<i64>, Error> {
        let Cursor { lo, hi, .. } = self.cursors[window];
        let mut at = hi;
        while lo < at {
            at = self.before(group, at);
            self.load(spill, at.block)?;
            if let Some(value) = self.column(group, at, column) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Records in the window.
    pub(crate) fn count(&self, window: usize) -> u32 {
        self.cursors[window].n
    }
}
