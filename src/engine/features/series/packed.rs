//! The packed blocks of a series: in memory where a window ends, else put away. Of a block that is
//! away there remain its length, its first time, an id and a seal: 40 bytes.

use crate::contracts::chunks::Error;
use crate::engine::features::Group;
use crate::engine::features::block::Block;
use crate::engine::features::series::{Place, Series};
use crate::engine::features::spill::{Away, Spill};

#[derive(Debug, Default)]
pub(super) struct Blocks {
    slots: Vec<Slot>,
    /// Those that are in memory, in no order.
    here: Vec<u32>,
    /// Whether one more came into memory since those that need not be there were put away.
    is_unsettled: bool,
}

#[derive(Debug)]
pub(super) struct Slot {
    /// The time of the first entry.
    pub(super) first: i64,
    /// Entries.
    pub(super) len: u32,
    pub(super) at: At,
}

#[derive(Debug)]
pub(super) enum At {
    Here(Block),
    Away(Away),
}

impl Slot {
    fn new(group: &Group, words: &[i64]) -> Slot {
        let stride = Series::stride(group);
        let len = words.len() / stride;
        Slot {
            first: words[0],
            len: u32::try_from(len).expect("a block has a few hundred entries"),
            at: At::Here(Block::pack(words, stride, 1)),
        }
    }

    /// A copy in memory of what it holds.
    pub(super) fn words(&self, group: &Group, spill: &Spill) -> Result<Vec<i64>, Error> {
        let stride = Series::stride(group);
        Ok(match &self.at {
            At::Here(block) => block.unpack(stride),
            At::Away(away) => Block::of_bytes(spill.get(away)?).unpack(stride),
        })
    }

    fn put_away(&mut self, spill: &mut Spill) -> Result<(), Error> {
        if let At::Here(block) = &self.at {
            self.at = At::Away(spill.put(block.as_bytes())?);
        }
        Ok(())
    }
}

impl Blocks {
    pub(super) fn of(slots: Vec<Slot>) -> Blocks {
        Blocks {
            slots,
            ..Blocks::default()
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn n_blocks(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("a key has fewer than 4 billion records")
    }

    pub(super) fn len_of(&self, block: u32) -> Option<u32> {
        self.slots.get(block as usize).map(|it| it.len)
    }

    pub(super) fn first_of(&self, block: u32) -> Option<i64> {
        self.slots.get(block as usize).map(|it| it.first)
    }

    /// One that was loaded; `None` behind the last.
    pub(super) fn get(&self, block: u32) -> Option<&Block> {
        self.slots.get(block as usize).map(|it| match &it.at {
            At::Here(block) => block,
            At::Away(_) => unreachable!("a block is loaded before it is read"),
        })
    }

    pub(super) fn get_mut(&mut self, block: u32) -> Option<&mut Block> {
        self.slots
            .get_mut(block as usize)
            .map(|it| match &mut it.at {
                At::Here(block) => block,
                At::Away(_) => unreachable!("a block is loaded before it is written"),
            })
    }

    /// Adds a block behind the others.
    pub(super) fn push(&mut self, group: &Group, words: &[i64]) {
        self.here.push(self.n_blocks());
        self.slots.push(Slot::new(group, words));
        self.is_unsettled = true;
    }

    /// Packs a loaded block anew.
    pub(super) fn replace(&mut self, group: &Group, block: u32, words: &[i64]) {
        self.slots[block as usize] = Slot::new(group, words);
    }

    /// Makes two of a loaded block.
    pub(super) fn split(&mut self, group: &Group, block: u32, older: &[i64], newer: &[i64]) {
        self.replace(group, block, older);
        for it in self.here.iter_mut().filter(|it| **it > block) {
            *it += 1;
        }
        self.slots
            .insert(block as usize + 1, Slot::new(group, newer));
        self.here.push(block + 1);
        self.is_unsettled = true;
    }

    /// Lets the oldest blocks go.
    pub(super) fn drain(&mut self, spill: &mut Spill, n: u32) {
        for slot in self.slots.drain(..n as usize) {
            if let At::Away(away) = &slot.at {
                spill.free(away);
            }
        }
        self.here.retain(|it| *it >= n);
        self.here.iter_mut().for_each(|it| *it -= n);
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to_fit();
        }
    }

    fn load(&mut self, spill: &mut Spill, block: u32) -> Result<(), Error> {
        let Some(Slot {
            at: at @ At::Away(_),
            ..
        }) = self.slots.get_mut(block as usize)
        else {
            return Ok(());
        };
        if let At::Away(away) = at {
            let bytes = spill.get(away)?;
            spill.free(away);
            *at = At::Here(Block::of_bytes(bytes));
        }
        self.here.push(block);
        self.is_unsettled = true;
        Ok(())
    }

    /// Puts away all that need not stay.
    fn put_away(&mut self, spill: &mut Spill, stays: impl Fn(u32) -> bool) -> Result<(), Error> {
        let slots = &mut self.slots;
        let mut put = Ok(());
        self.here.retain(|it| {
            if put.is_err() || stays(*it) {
                return true;
            }
            put = slots[*it as usize].put_away(spill);
            false
        });
        if self.here.is_empty() {
            self.here.shrink_to_fit();
        }
        put
    }

    pub(super) fn bytes(&self) -> usize {
        let here = self
            .here
            .iter()
            .map(|it| match &self.slots[*it as usize].at {
                At::Here(block) => block.bytes(),
                At::Away(_) => 0,
            });
        self.slots.capacity() * size_of::<Slot>() + 4 * self.here.capacity() + here.sum::<usize>()
    }
}

impl Series {
    /// Brings a block into memory, where it stays until another is brought.
    pub(super) fn load(&mut self, spill: &mut Spill, block: u32) -> Result<(), Error> {
        if let None
        | Some(Slot {
            at: At::Here(_), ..
        }) = self.blocks.slots.get(block as usize)
        {
            return Ok(());
        }
        // A window that is walked through does not come into memory as a whole.
        if self.blocks.here.len() > 4 * self.cursors.len() {
            self.blocks.put_away(spill, |_| false)?;
        }
        self.blocks.load(spill, block)
    }

    /// Puts away the blocks that have no entry beside the end of a window.
    pub(crate) fn settle(&mut self, spill: &mut Spill) -> Result<(), Error> {
        if !self.blocks.is_unsettled {
            return Ok(());
        }
        self.blocks.is_unsettled = false;
        let ends = || self.cursors.iter().flat_map(|it| [it.lo, it.hi]);
        let is_beside = |block: u32, end: Place| {
            end.block == block
                || end
                    == Place {
                        block: block + 1,
                        at: 0,
                    }
        };
        let stays = |block: u32| ends().any(|end| is_beside(block, end));
        self.blocks.put_away(spill, stays)
    }

    /// Puts all blocks away.
    pub(super) fn put_away_blocks(&mut self, spill: &mut Spill) -> Result<(), Error> {
        self.blocks.put_away(spill, |_| false)
    }
}
