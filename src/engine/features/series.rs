//! One key's records in time order, with a cursor per window that moves both ways (after Feedzai's
//! Railgun, VLDB 2021): in order a step costs O(1) amortised whatever the window's length, and a
//! late event rewinds exactly.
//!
//! All access to records goes through this type: the latest as they came, the older in packed
//! blocks, of which those that no window ends in are put away.
//!
//! **Invariant:** a block is loaded before one of its entries is read; what is loaded stays until
//! the next is.

mod change;
mod cold;
mod packed;
mod window;

use std::cmp::Ordering;

use crate::contracts::chunks::Error;
use crate::engine::features::Group;
use crate::engine::features::ids::EventRef;
use crate::engine::features::running::Running;
use crate::engine::features::series::packed::Blocks;
use crate::engine::features::shared::Shared;
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
    blocks: Blocks,
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
            blocks: Blocks::default(),
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
        self.blocks.len_of(block).unwrap_or_else(|| {
            let len = self.open.len() / Series::stride(group);
            u32::try_from(len).expect("the open end has a few hundred entries")
        })
    }

    fn open_end(&self) -> u32 {
        self.blocks.n_blocks()
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

    fn word(&self, group: &Group, place: Place, field: usize) -> i64 {
        let (stride, nth) = (Series::stride(group), place.at as usize);
        match self.blocks.get(place.block) {
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

    fn column(&self, group: &Group, place: Place, column: usize) -> Option<i64> {
        let is_there = self.word(group, place, 1) & (FRAUD << (1 + column)) != 0;
        is_there.then(|| self.word(group, place, LEAD + column))
    }

    /// The entry's block is loaded.
    fn order(
        &self,
        group: &Group,
        shared: &mut Shared,
        place: Place,
        at: Position<'_>,
    ) -> Result<Ordering, Error> {
        let by_time = self.ts(group, place).cmp(&at.ts);
        if by_time.is_ne() {
            return Ok(by_time);
        }
        let event = self.event(group, place);
        let by_id = shared.ids.order(&shared.spill, event, at.event_id)?;
        Ok(planted!(TieOrder, by_id.reverse(), by_id))
    }

    /// Where the position stands or would stand.
    fn find(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        at: Position<'_>,
    ) -> Result<Found, Error> {
        let end = self.end(group);
        // In order it stands behind the last, which is in the open end.
        let is_last = self.is_empty() || {
            let last = self.before(group, end);
            self.order(group, shared, last, at)?.is_lt()
        };
        if is_last {
            return Ok(Found::absent(end));
        }
        let begun = self.blocks_begun(group, shared, at)?;
        let block = begun.saturating_sub(1);
        self.load(&mut shared.spill, block)?;
        let n = self.len_of(group, block);
        let (mut lo, mut hi) = (0, n);
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            match self.order(group, shared, Place { block, at: mid }, at)? {
                Ordering::Less => lo = mid + 1,
                Ordering::Equal => return Ok(Found::present(Place { block, at: mid })),
                Ordering::Greater => hi = mid,
            }
        }
        // Behind the last of a block is before the first of the next.
        Ok(Found::absent(match lo == n && block != self.open_end() {
            true => Place {
                block: block + 1,
                at: 0,
            },
            false => Place { block, at: lo },
        }))
    }

    /// How many blocks, the open end among them, have their first entry at or before the position.
    fn blocks_begun(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        at: Position<'_>,
    ) -> Result<u32, Error> {
        let (mut lo, mut hi) = (0, self.open_end() + 1);
        while lo < hi {
            let block = lo + (hi - lo) / 2;
            let first = Place { block, at: 0 };
            let by_time = match self.blocks.first_of(block) {
                Some(ts) => ts.cmp(&at.ts),
                None => self.ts(group, first).cmp(&at.ts),
            };
            let order = match by_time {
                Ordering::Equal => {
                    self.load(&mut shared.spill, block)?;
                    self.order(group, shared, first, at)?
                }
                decided => decided,
            };
            match order {
                Ordering::Less | Ordering::Equal => lo = block + 1,
                Ordering::Greater => hi = block,
            }
        }
        Ok(lo)
    }

    /// Where a new record belongs; `None` if it is here already.
    pub(crate) fn place(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        at: Position<'_>,
    ) -> Result<Option<Place>, Error> {
        let found = self.find(group, shared, at)?;
        Ok((!found.is_there).then_some(found.place))
    }

    pub(crate) fn running(&self, accumulator: usize) -> &Running {
        &self.running[accumulator]
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let held_apart = self.running.iter().map(Running::bytes);
        size_of::<Series>()
            + self.blocks.bytes()
            + self.open.capacity() * size_of::<i64>()
            + self.cursors.len() * size_of::<Cursor>()
            + self.running.len() * size_of::<Running>()
            + self.changes.capacity() * size_of::<Change>()
            + held_apart.sum::<usize>()
    }
}

/// Where a position stands, or would.
struct Found {
    place: Place,
    is_there: bool,
}

impl Found {
    fn present(place: Place) -> Found {
        let is_there = true;
        Found { place, is_there }
    }

    fn absent(place: Place) -> Found {
        let is_there = false;
        Found { place, is_there }
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
