//! Records come into a series, late ones too, and leave it at its old end.

use std::cmp::Ordering;

use crate::contracts::chunks::Error;
use crate::engine::features::ids::EventRef;
use crate::engine::features::series::{Cursor, Entry, FRAUD, LEAD, Place, Series};
use crate::engine::features::shared::Shared;
use crate::engine::features::{Column, Group};

impl Series {
    /// Puts a record at its [`Series::place`].
    pub(crate) fn insert(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        at: Place,
        entry: Entry<'_>,
    ) -> Result<(), Error> {
        let present = entry.columns.iter().enumerate();
        let present = present.map(|(at, it)| i64::from(it.is_some()) << (1 + at));
        let mut flags = present.fold(0, |flags, it| flags | it);
        if group.labelled && shared.labels.is_fraud(entry.event, self.label_time) {
            flags |= FRAUD;
        }
        let columns = entry.columns.iter().map(|it| it.unwrap_or(0));
        let event = i64::from(entry.event) << (1 + group.columns.len());
        let words = [entry.ts, event | flags].into_iter().chain(columns);
        let place = self.make_room(group, shared, at)?;
        self.load(&mut shared.spill, place.block)?;
        let stride = Series::stride(group);
        let start = place.at as usize * stride;
        match self.blocks.get(place.block) {
            None if start == self.open.len() => self.open.extend(words),
            None => drop(self.open.splice(start..start, words)),
            Some(block) => {
                let mut entries = block.unpack(stride);
                entries.splice(start..start, words);
                self.blocks.replace(group, place.block, &entries);
            }
        }
        for (at, window) in group.windows.iter().enumerate() {
            let cursor = &mut self.cursors[at];
            let is_inside = cursor.lo <= place && place < cursor.hi;
            for end in [&mut cursor.lo, &mut cursor.hi] {
                if end.block == place.block && end.at > place.at {
                    end.at += 1;
                }
            }
            if is_inside {
                self.step(group, window, at, place, true);
            }
        }
        Ok(())
    }

    /// Makes the block at a place shorter where it is full; where the place is then.
    fn make_room(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        place: Place,
    ) -> Result<Place, Error> {
        let stride = Series::stride(group);
        let len = self.len_of(group, place.block) as usize;
        let is_open = place.block == self.open_end();
        // What stands from `cut` on goes into a block of its own.
        let cut = match is_open {
            true if len >= group.block_entries => {
                // In order the block is left full; what is late gets its half.
                let cut = if place.at as usize == len {
                    len
                } else {
                    len / 2
                };
                self.blocks.push(group, &self.open[..cut * stride]);
                self.open.drain(..cut * stride);
                cut
            }
            false if len >= 2 * group.block_entries => {
                self.load(&mut shared.spill, place.block)?;
                let block = self.blocks.get(place.block);
                let entries = block.map(|it| it.unpack(stride)).unwrap_or_default();
                let (older, newer) = entries.split_at(len / 2 * stride);
                self.blocks.split(group, place.block, older, newer);
                len / 2
            }
            _ => return Ok(place),
        };
        let cut = u32::try_from(cut).expect("a block has a few hundred entries");
        let moved = |it: Place| match it.block.cmp(&place.block) {
            Ordering::Less => it,
            Ordering::Equal if it.at < cut => it,
            Ordering::Equal => Place {
                block: it.block + 1,
                at: it.at - cut,
            },
            Ordering::Greater => Place {
                block: it.block + 1,
                at: it.at,
            },
        };
        for cursor in &mut self.cursors {
            (cursor.lo, cursor.hi) = (moved(cursor.lo), moved(cursor.hi));
        }
        Ok(moved(place))
    }

    /// Drops entries at or before `cutoff`, and what they refer to; how many.
    pub(crate) fn evict(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        cutoff: i64,
    ) -> Result<usize, Error> {
        let (mut kept, mut n_gone) = (Place::default(), 0);
        let end = self.end(group);
        while kept < end {
            self.load(&mut shared.spill, kept.block)?;
            if self.ts(group, kept) > cutoff {
                break;
            }
            self.release(group, shared, kept);
            kept = self.next(group, kept);
            n_gone += 1;
        }
        if n_gone == 0 {
            return Ok(0);
        }
        for (nth, window) in group.windows.iter().enumerate() {
            let Cursor { lo, hi, .. } = self.cursors[nth];
            // A key that has been quiet still holds them in its windows.
            let gone = (lo, hi.min(kept));
            self.step_through(group, &mut shared.spill, window, nth, gone, false)?;
            let moved = |it: Place| it.behind(kept).unwrap_or_default();
            (self.cursors[nth].lo, self.cursors[nth].hi) = (moved(lo), moved(hi));
        }
        self.blocks.drain(&mut shared.spill, kept.block);
        let n = kept.at as usize * Series::stride(group);
        self.load(&mut shared.spill, 0)?;
        match self.blocks.get(0) {
            Some(_) if n == 0 => {}
            Some(block) => {
                let entries = block.unpack(Series::stride(group));
                self.blocks.replace(group, 0, &entries[n..]);
            }
            None => {
                self.open.drain(..n);
            }
        }
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to_fit();
        }
        self.changes.retain(|it| it.ts > cutoff);
        Ok(n_gone)
    }

    /// Gives back what a loaded entry refers to.
    fn release(&self, group: &Group, shared: &mut Shared, entry: Place) {
        let event = self.event(group, entry);
        shared.ids.release(&mut shared.spill, event);
        for (at, column) in group.columns.iter().enumerate() {
            if let (Column::Interned(_), Some(value)) = (column, self.column(group, entry, at)) {
                shared.texts.release(value);
            }
        }
    }

    /// Shows every entry, in order: its time, its event and its columns.
    pub(crate) fn each(
        &self,
        group: &Group,
        shared: &Shared,
        mut show: impl FnMut(i64, EventRef, &[Option<i64>]),
    ) -> Result<(), Error> {
        let mut columns = Vec::with_capacity(group.columns.len());
        let mut show_all = |words: &[i64]| {
            for entry in words.chunks_exact(Series::stride(group)) {
                columns.clear();
                columns.extend((0..group.columns.len()).map(|at| {
                    let is_there = entry[1] & (FRAUD << (1 + at)) != 0;
                    is_there.then(|| entry[LEAD + at])
                }));
                let event = (entry[1] >> (1 + group.columns.len())) as EventRef;
                show(entry[0], event, &columns);
            }
        };
        for slot in self.blocks.slots() {
            show_all(&slot.words(group, &shared.spill)?);
        }
        show_all(&self.open);
        Ok(())
    }
}
