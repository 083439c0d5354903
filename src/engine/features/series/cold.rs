//! A series as a whole is put away and comes back: its blocks as they are, what else it holds as one
//! chunk of numbers.

use crate::contracts::chunks::Error;
use crate::domain::canonical::{Canon, Reader};
use crate::engine::features::Group;
use crate::engine::features::block::Block;
use crate::engine::features::series::packed::{At, Blocks, Slot};
use crate::engine::features::series::{Change, Cursor, Place, Series};
use crate::engine::features::spill::{Away, Spill, number, word};

impl Series {
    /// Puts it away whole.
    pub(crate) fn freeze(mut self, group: &Group, spill: &mut Spill) -> Result<Away, Error> {
        self.put_away_blocks(spill)?;
        let mut canon = Canon::new();
        let slots = self.blocks.slots();
        canon.array(slots.len());
        for slot in slots {
            canon.int(slot.first).int(i64::from(slot.len));
            if let At::Away(away) = &slot.at {
                away.write(&mut canon);
            }
        }
        canon.bytes(Block::pack(&self.open, Series::stride(group), 1).as_bytes());
        for Cursor { lo, hi, n } in &self.cursors {
            for part in [lo.block, lo.at, hi.block, hi.at, *n] {
                canon.int(i64::from(part));
            }
        }
        for running in &self.running {
            running.write(&mut canon);
        }
        canon.int(self.label_time).array(self.changes.len());
        for it in &self.changes {
            canon.int(it.observed).int(it.ts).int(i64::from(it.event));
        }
        spill.put(canon.as_bytes())
    }

    /// Takes back what was put away.
    pub(crate) fn thaw(group: &Group, spill: &mut Spill, away: &Away) -> Result<Series, Error> {
        let bytes = spill.get(away)?;
        let series = Series::of_chunk(group, &mut Reader::new(&bytes))?;
        spill.free(away);
        Ok(series)
    }

    /// A series that stays away, as it is.
    pub(crate) fn peek(group: &Group, spill: &Spill, away: &Away) -> Result<Series, Error> {
        Series::of_chunk(group, &mut Reader::new(&spill.get(away)?))
    }

    fn of_chunk(group: &Group, reader: &mut Reader<'_>) -> Result<Series, Error> {
        let length = |it: &mut Reader<'_>| it.array().map_err(|_| Error::Damaged);
        let mut series = Series::new(group);
        let mut slots = Vec::with_capacity(length(reader)?);
        for _ in 0..slots.capacity() {
            slots.push(Slot {
                first: word(reader)?,
                len: number(reader)?,
                at: At::Away(Away::read(reader)?),
            });
        }
        series.blocks = Blocks::of(slots);
        let open = reader.bytes().map_err(|_| Error::Damaged)?;
        series.open = Block::of_bytes(open.to_vec()).unpack(Series::stride(group));
        let place = |reader: &mut Reader<'_>| {
            Ok(Place {
                block: number(reader)?,
                at: number(reader)?,
            })
        };
        for cursor in &mut series.cursors {
            *cursor = Cursor {
                lo: place(reader)?,
                hi: place(reader)?,
                n: number(reader)?,
            };
        }
        for running in &mut series.running {
            running.read(reader)?;
        }
        series.label_time = word(reader)?;
        for _ in 0..length(reader)? {
            series.changes.push(Change {
                observed: word(reader)?,
                ts: word(reader)?,
                event: number(reader)?,
            });
        }
        Ok(series)
    }
}
