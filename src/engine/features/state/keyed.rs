//! The series of one group by key: in memory, or put away whole where the key was not touched for
//! long (a clock over all series tells: who was touched since the hand last passed is spared).

use std::collections::HashMap;

use crate::contracts::chunks::Error;
use crate::engine::features::Group;
use crate::engine::features::series::Series;
use crate::engine::features::shared::Shared;
use crate::engine::features::spill::{Away, Spill};

#[derive(Debug, Default)]
pub(super) struct Keyed {
    keys: HashMap<Box<[u8]>, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hand: usize,
    /// Of all keys.
    key_bytes: usize,
    /// Of the series in memory, as last counted.
    warm_bytes: usize,
    n_cold: usize,
    n_entries: usize,
}

#[derive(Debug)]
enum Slot {
    Free,
    Warm(Box<Warm>),
    Cold(Away),
}

#[derive(Debug)]
struct Warm {
    series: Series,
    /// What it was last counted with.
    bytes: usize,
    is_touched: bool,
}

/// What a key's place in the map takes besides the key: pointer, length, number and spare room, and
/// what the allocator keeps.
const KEY_BYTES: usize = 2 * 24 + 16;

impl Keyed {
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.get(key).copied()
    }

    /// Every key with its number, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.keys.iter().map(|(key, it)| (&**key, *it))
    }

    pub(super) fn n_keys(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn n_entries(&self) -> usize {
        self.n_entries
    }

    pub(super) fn count_entry(&mut self) {
        self.n_entries += 1;
    }

    pub(super) fn create(&mut self, key: &[u8], group: &Group) -> u32 {
        let warm = Slot::warm(Series::new(group));
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = warm;
                number
            }
            None => {
                self.slots.push(warm);
                u32::try_from(self.slots.len() - 1).expect("fewer than 4 billion keys fit memory")
            }
        };
        self.key_bytes += key.len();
        self.keys.insert(key.into(), number);
        number
    }

    /// The series of a number, brought back where it was away; `None` if it is let go.
    pub(super) fn touch_any(
        &mut self,
        number: u32,
        group: &Group,
        spill: &mut Spill,
    ) -> Result<Option<&mut Series>, Error> {
        let slot = &mut self.slots[number as usize];
        if let Slot::Cold(away) = slot {
            *slot = Slot::warm(Series::thaw(group, spill, away)?);
            self.n_cold -= 1;
        }
        Ok(match slot {
            Slot::Warm(warm) => {
                warm.is_touched = true;
                Some(&mut warm.series)
            }
            _ => None,
        })
    }

    /// The series of a key that is here.
    pub(super) fn touch(
        &mut self,
        number: u32,
        group: &Group,
        spill: &mut Spill,
    ) -> Result<&mut Series, Error> {
        let series = self.touch_any(number, group, spill)?;
        Ok(series.expect("a key's series is there as long as the key"))
    }

    /// A series that [`Keyed::touch`] brought.
    pub(super) fn get_mut(&mut self, number: u32) -> &mut Series {
        match &mut self.slots[number as usize] {
            Slot::Warm(warm) => &mut warm.series,
            _ => unreachable!("it was touched before"),
        }
    }

    /// Shows the series of a key, wherever it is, and changes nothing.
    pub(super) fn peek<T>(
        &self,
        number: u32,
        group: &Group,
        spill: &Spill,
        show: impl FnOnce(&Series) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.slots[number as usize] {
            Slot::Warm(warm) => show(&warm.series),
            Slot::Cold(away) => show(&Series::peek(group, spill, away)?),
            Slot::Free => unreachable!("a key's series is there as long as the key"),
        }
    }

    /// After a series was worked on: puts away what it need not hold, and counts it anew.
    pub(super) fn settle(&mut self, number: u32, spill: &mut Spill) -> Result<(), Error> {
        if let Slot::Warm(warm) = &mut self.slots[number as usize] {
            warm.series.settle(spill)?;
            let bytes = warm.series.bytes();
            self.warm_bytes = self.warm_bytes - warm.bytes + bytes;
            warm.bytes = bytes;
        }
        Ok(())
    }

    pub(super) fn warm_bytes(&self) -> usize {
        self.warm_bytes
    }

    /// Puts the series away that was not touched for the longest; `false` if none is in memory.
    pub(super) fn cool(&mut self, group: &Group, spill: &mut Spill) -> Result<bool, Error> {
        // Once round the hand has passed every one and spares none any more.
        for _ in 0..=2 * self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(slot) = self.slots.get_mut(self.hand) else {
                return Ok(false);
            };
            match slot {
                Slot::Warm(warm) if warm.is_touched => warm.is_touched = false,
                Slot::Warm(_) => {
                    if let Slot::Warm(warm) = std::mem::replace(slot, Slot::Free) {
                        self.warm_bytes -= warm.bytes;
                        *slot = Slot::Cold(warm.series.freeze(group, spill)?);
                        self.n_cold += 1;
                    }
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Drops entries at or before `cutoff`, and keys that have none left.
    pub(super) fn evict(
        &mut self,
        group: &Group,
        shared: &mut Shared,
        cutoff: i64,
    ) -> Result<(), Error> {
        let mut gone = Vec::new();
        let numbers: Vec<u32> = self.keys.values().copied().collect();
        for number in numbers {
            let was_cold = matches!(self.slots[number as usize], Slot::Cold(_));
            let series = self.touch(number, group, &mut shared.spill)?;
            let n_gone = series.evict(group, shared, cutoff)?;
            let is_empty = series.is_empty();
            self.n_entries -= n_gone;
            self.settle(number, &mut shared.spill)?;
            let slot = &mut self.slots[number as usize];
            if !is_empty && !was_cold {
                continue;
            }
            if let Slot::Warm(warm) = std::mem::replace(slot, Slot::Free) {
                self.warm_bytes -= warm.bytes;
                if is_empty {
                    gone.push(number);
                } else {
                    *slot = Slot::Cold(warm.series.freeze(group, &mut shared.spill)?);
                    self.n_cold += 1;
                }
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let (slots, key_bytes) = (&self.slots, &mut self.key_bytes);
        self.keys.retain(|key, number| {
            let is_gone = matches!(slots[*number as usize], Slot::Free);
            *key_bytes -= if is_gone { key.len() } else { 0 };
            !is_gone
        });
        self.free.extend(gone);
        Ok(())
    }

    pub(super) fn n_cold(&self) -> usize {
        self.n_cold
    }

    pub(super) fn bytes(&self) -> usize {
        let keys = self.key_bytes + self.keys.len() * KEY_BYTES;
        keys + self.slots.capacity() * size_of::<Slot>() + self.warm_bytes
    }
}

impl Slot {
    fn warm(series: Series) -> Slot {
        Slot::Warm(Box::new(Warm {
            series,
            bytes: 0,
            is_touched: true,
        }))
    }
}
