//! One key's records in time order, with a cursor per window that moves both ways (after Feedzai's
//! Railgun, VLDB 2021): in order a step costs O(1) amortised whatever the window's length, and a
//! late event rewinds exactly.
//!
//! All access to records goes through this type: the latest as they came, the older in packed
//! blocks.

mod change;
mod window;

use std::cmp::Ordering;

use crate::engine::features::Group;
use crate::engine::features::block::Block;
use crate::engine::features::ids::{EventIds, EventRef};
use crate::engine::features::running::Running;
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

/// Most columns of a group: their presence, and the fraud flag, are bits of a half word.
pub(crate) const COLUMNS_MAX: usize = 31;

/// The lowest bit of an entry's second word; then come the presence of each column and the event.
const FRAUD: i64 = 1;

/// Words before the columns: the time, then event and flags.
const LEAD: usize = 2;

/// Where an entry stands: its block, the open end counting as the last, and the place in it. That
/// behind the last entry is in the open end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    block: u32,
    at: u32,
}

#[derive(Debug)]
pub(crate) struct Series {
    /// The older entries, packed; all of it is sorted by (ts, event_id).
    blocks: Vec<Block>,
    /// The latest entries back to back; it is empty only if the series is.
    open: Vec<i64>,
    cursors: Box<[Cursor]>,
    running: Box<[Running]>,
    /// The fraud flags are what one sees who looks at this time.
    label_time: i64,
    /// When what is known of an entry may change, sorted by that time.
    changes: Vec<Change>,
}

/// The `n` entries `lo..hi` are in the running aggregates.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    lo: Place,
    hi: Place,
    n: u32,
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
            blocks: Vec::new(),
            open: Vec::new(),
            cursors: vec![Cursor::default(); group.windows.len()].into(),
            running: running.collect(),
            label_time: i64::MIN,
            changes: Vec::new(),
        }
    }

    fn stride(group: &Group) -> usize {
        LEAD + group.columns.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Entries in a block or in the open end.
    fn len_of(&self, group: &Group, block: u32) -> u32 {
        let len = match self.blocks.get(block as usize) {
            Some(block) => block.len(),
            None => self.open.len() / Series::stride(group),
        };
        u32::try_from(len).expect("a block has a few hundred entries")
    }

    fn open_end(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("a key has fewer than 4 billion records")
    }

    /// Behind the last entry.
    pub(crate) fn end(&self, group: &Group) -> Place {
        let block = self.open_end();
        let at = self.len_of(group, block);
        Place { block, at }
    }

    /// The place behind one that has an entry.
    fn next(&self, group: &Group, place: Place) -> Place {
        let Place { block, at } = place;
        match at + 1 < self.len_of(group, block) || block == self.open_end() {
            true => Place { block, at: at + 1 },
            false => Place {
                block: block + 1,
                at: 0,
            },
        }
    }

    /// The place before one that is not the first.
    fn before(&self, group: &Group, place: Place) -> Place {
        match place {
            Place { block, at: 0 } => Place {
                block: block - 1,
                at: self.len_of(group, block - 1) - 1,
            },
            Place { block, at } => Place { block, at: at - 1 },
        }
    }

    /// The places from one to before another, in order.
    fn between(&self, group: &Group, from: Place, to: Place) -> impl Iterator<Item = Place> {
        let first = (from < to).then_some(from);
        std::iter::successors(first, move |it| {
            let next = self.next(group, *it);
            (next < to).then_some(next)
        })
    }

    /// The places of all entries, in order.
    pub(crate) fn places(&self, group: &Group) -> impl Iterator<Item = Place> {
        self.between(group, Place::default(), self.end(group))
    }

    fn word(&self, group: &Group, place: Place, field: usize) -> i64 {
        let (stride, nth) = (Series::stride(group), place.at as usize);
        match self.blocks.get(place.block as usize) {
            Some(block) => block.get(stride, nth, field),
            None => self.open[nth * stride + field],
        }
    }

    fn ts(&self, group: &Group, place: Place) -> i64 {
        self.word(group, place, 0)
    }

    fn event(&self, group: &Group, place: Place) -> EventRef {
        (self.word(group, place, 1) >> (1 + group.columns.len())) as u32
    }

    fn is_fraud(&self, group: &Group, place: Place) -> bool {
        self.word(group, place, 1) & FRAUD != 0
    }

    /// Time and event of an entry.
    pub(crate) fn at(&self, group: &Group, place: Place) -> (i64, EventRef) {
        (self.ts(group, place), self.event(group, place))
    }

    pub(crate) fn column(&self, group: &Group, place: Place, column: usize) -> Option<i64> {
        let is_there = self.word(group, place, 1) & (FRAUD << (1 + column)) != 0;
        is_there.then(|| self.word(group, place, LEAD + column))
    }

    fn order(&self, group: &Group, ids: &EventIds, place: Place, at: Position<'_>) -> Ordering {
        let by_time = self.ts(group, place).cmp(&at.ts);
        let by_id = || ids.get(self.event(group, place)).cmp(at.event_id);
        by_time.then_with(|| planted!(TieOrder, by_id().reverse(), by_id()))
    }

    /// Where the position stands or would stand.
    fn find(&self, group: &Group, ids: &EventIds, at: Position<'_>) -> Result<Place, Place> {
        let end = self.end(group);
        // In order it stands behind the last.
        if self.is_empty() || self.order(group, ids, self.before(group, end), at).is_lt() {
            return Err(end);
        }
        let is_past = |block: u32| {
            let last = self.len_of(group, block) - 1;
            let last = Place { block, at: last };
            self.order(group, ids, last, at).is_lt()
        };
        let block = first_that_is_not(self.open_end(), is_past);
        let is_before = |nth: u32| self.order(group, ids, Place { block, at: nth }, at).is_lt();
        let place = Place {
            block,
            at: first_that_is_not(self.len_of(group, block), is_before),
        };
        match self.order(group, ids, place, at) {
            Ordering::Equal => Ok(place),
            _ => Err(place),
        }
    }

    /// Where a new record belongs; `None` if it is here already.
    pub(crate) fn place(&self, group: &Group, ids: &EventIds, at: Position<'_>) -> Option<Place> {
        self.find(group, ids, at).err()
    }

    /// Records of the key.
    pub(crate) fn len(&self, group: &Group) -> usize {
        let packed = self.blocks.iter().map(Block::len);
        packed.sum::<usize>() + self.open.len() / Series::stride(group)
    }

    pub(crate) fn running(&self, accumulator: usize) -> &Running {
        &self.running[accumulator]
    }

    pub(crate) fn bytes(&self) -> usize {
        let held_apart = self.running.iter().map(Running::bytes);
        size_of::<Series>()
            + self.blocks.iter().map(Block::bytes).sum::<usize>()
            + self.open.capacity() * size_of::<i64>()
            + self.cursors.len() * size_of::<Cursor>()
            + self.running.len() * size_of::<Running>()
            + self.changes.capacity() * size_of::<Change>()
            + held_apart.sum::<usize>()
    }
}

impl Place {
    /// Where it is once all before `kept` is gone; `None` if it is gone itself.
    fn behind(self, kept: Place) -> Option<Place> {
        if self < kept {
            return None;
        }
        let at = match self.block == kept.block {
            true => self.at - kept.at,
            false => self.at,
        };
        Some(Place {
            block: self.block - kept.block,
            at,
        })
    }
}

/// The first number below `n` for which `is_before` fails, by halves.
fn first_that_is_not(n: u32, is_before: impl Fn(u32) -> bool) -> u32 {
    let (mut lo, mut hi) = (0, n);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if is_before(mid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    lo
}
