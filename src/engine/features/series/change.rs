//! Records come into a series, late ones too, and leave it at its old end.

use std::cmp::Ordering;

use crate::engine::features::Group;
use crate::engine::features::block::Block;
use crate::engine::features::ids::EventRef;
use crate::engine::features::labels::Labels;
use crate::engine::features::series::{Cursor, Entry, FRAUD, Place, Series};

impl Series {
    /// Puts a record at its [`Series::place`].
    pub(crate) fn insert(&mut self, group: &Group, labels: &Labels, at: Place, entry: Entry<'_>) {
        let present = entry.columns.iter().enumerate();
        let present = present.map(|(at, it)| i64::from(it.is_some()) << (1 + at));
        let mut flags = present.fold(0, |flags, it| flags | it);
        if group.labelled && labels.is_fraud(entry.event, self.label_time) {
            flags |= FRAUD;
        }
        let columns = entry.columns.iter().map(|it| it.unwrap_or(0));
        let event = i64::from(entry.event) << (1 + group.columns.len());
        let words = [entry.ts, event | flags].into_iter().chain(columns);
        let place = self.make_room(group, at);
        let start = place.at as usize * Series::stride(group);
        match self.blocks.get_mut(place.block as usize) {
            None if start == self.open.len() => self.open.extend(words),
            None => drop(self.open.splice(start..start, words)),
            Some(block) => {
                let stride = Series::stride(group);
                let mut entries = block.unpack(stride);
                entries.splice(start..start, words);
                *block = Block::pack(&entries, stride, 1);
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
    }

    /// Makes the block at a place shorter where it is full; where the place is then.
    fn make_room(&mut self, group: &Group, place: Place) -> Place {
        let stride = Series::stride(group);
        let len = self.len_of(group, place.block) as usize;
        let is_open = place.block == self.open_end();
        let nth = place.block as usize;
        // What stands from `cut` on goes into a block of its own.
        let cut = match is_open {
            true if len >= group.block_entries => {
                // In order the block is left full; what is late gets its half.
                let cut = if place.at as usize == len {
                    len
                } else {
                    len / 2
                };
                let packed = Block::pack(&self.open[..cut * stride], stride, 1);
                self.blocks.push(packed);
                self.open.drain(..cut * stride);
                cut
            }
            false if len >= 2 * group.block_entries => {
                let entries = self.blocks[nth].unpack(stride);
                let (older, newer) = entries.split_at(len / 2 * stride);
                self.blocks[nth] = Block::pack(older, stride, 1);
                self.blocks.insert(nth + 1, Block::pack(newer, stride, 1));
                len / 2
            }
            _ => return place,
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
        moved(place)
    }

    /// Drops entries at or before `cutoff`; hands each one's event and interned columns back.
    pub(crate) fn evict(
        &mut self,
        group: &Group,
        cutoff: i64,
        mut gone: impl FnMut(EventRef, &dyn Fn(usize) -> Option<i64>),
    ) {
        let mut kept = Place::default();
        let end = self.end(group);
        while kept < end && self.ts(group, kept) <= cutoff {
            let value_of = |column| self.column(group, kept, column);
            gone(self.event(group, kept), &value_of);
            kept = self.next(group, kept);
        }
        if kept == Place::default() {
            return;
        }
        for (nth, window) in group.windows.iter().enumerate() {
            let Cursor { lo, hi, .. } = self.cursors[nth];
            // A key that has been quiet still holds them in its windows.
            self.step_through(group, window, nth, (lo, hi.min(kept)), false);
            let moved = |it: Place| it.behind(kept).unwrap_or_default();
            (self.cursors[nth].lo, self.cursors[nth].hi) = (moved(lo), moved(hi));
        }
        self.blocks.drain(..kept.block as usize);
        let (stride, n) = (Series::stride(group), kept.at as usize);
        match self.blocks.first_mut() {
            Some(_) if n == 0 => {}
            Some(block) => *block = Block::pack(&block.unpack(stride)[n * stride..], stride, 1),
            None => {
                self.open.drain(..n * stride);
            }
        }
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to_fit();
        }
        self.changes.retain(|it| it.ts > cutoff);
    }
}
