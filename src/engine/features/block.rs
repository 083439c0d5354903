//! Entries that a series is done with, packed, and as such put away: of each field the least value once, and of each entry
//! the difference to it in as few bytes as the block needs. Every entry is still reached in one
//! step, in either direction, and a label may change its flags where they are.
//!
//! `n: u16, row: u16, (base: i64, width: u8, offset: u16) a field, n rows of row bytes, 8 zeros`

/// Packed entries.
#[derive(Debug)]
pub(crate) struct Block(Box<[u8]>);

const HEAD: usize = 4;
const FIELD: usize = 11;
/// So that a field of any width can be read as eight bytes.
const SPARE: usize = 8;

impl Block {
    /// Packs entries of `stride` words, back to back; fewer than 2^16. The lowest bit of the field
    /// `loose` may be flipped later.
    pub(crate) fn pack(words: &[i64], stride: usize, loose: usize) -> Block {
        let n = words.len() / stride;
        let column = |field: usize| words.iter().skip(field).step_by(stride);
        let mut head = Vec::with_capacity(HEAD + stride * FIELD);
        let mut widths = Vec::with_capacity(stride);
        let mut row = 0;
        let short = |it: usize| {
            let it = u16::try_from(it).expect("a block is a few hundred entries of few fields");
            it.to_le_bytes()
        };
        for field in 0..stride {
            let least = column(field).min().copied().unwrap_or(0);
            let most = column(field).max().copied().unwrap_or(0);
            let (base, most) = match field == loose {
                true => (least & !1, most | 1),
                false => (least, most),
            };
            let width = width_of(most.wrapping_sub(base).cast_unsigned());
            head.extend(base.to_le_bytes());
            head.push(u8::try_from(width).expect("at most eight"));
            head.extend(short(row));
            widths.push((base, width));
            row += width;
        }
        let mut bytes = Vec::with_capacity(HEAD + head.len() + n * row + SPARE);
        bytes.extend(short(n));
        bytes.extend(short(row));
        bytes.extend(head);
        for entry in words.chunks_exact(stride) {
            for (value, (base, width)) in entry.iter().zip(&widths) {
                bytes.extend(&value.wrapping_sub(*base).to_le_bytes()[..*width]);
            }
        }
        bytes.extend([0; SPARE]);
        Block(bytes.into())
    }

    /// One that was put away.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Block {
        Block(bytes.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn short(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn long(&self, at: usize) -> u64 {
        let bytes = self.0[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes were taken"))
    }

    fn len(&self) -> usize {
        self.short(0)
    }

    /// Where the field of the entry is, and of how many bytes.
    fn spot(&self, stride: usize, nth: usize, field: usize) -> (usize, usize) {
        let head = HEAD + field * FIELD;
        let rows = HEAD + stride * FIELD;
        let start = rows + nth * self.short(2) + self.short(head + 9);
        (start, usize::from(self.0[head + 8]))
    }

    pub(crate) fn get(&self, stride: usize, nth: usize, field: usize) -> i64 {
        let base = self.long(HEAD + field * FIELD).cast_signed();
        let (start, width) = self.spot(stride, nth, field);
        let mask = match width {
            8 => u64::MAX,
            width => (1 << (8 * width)) - 1,
        };
        base.wrapping_add((self.long(start) & mask).cast_signed())
    }

    /// Flips the lowest bit of the loose field.
    pub(crate) fn flip(&mut self, stride: usize, nth: usize, loose: usize) {
        // The base ends in 0 and there is a byte, so the bit is that of the difference.
        let (start, _) = self.spot(stride, nth, loose);
        self.0[start] ^= 1;
    }

    /// The entries as they were.
    pub(crate) fn unpack(&self, stride: usize) -> Vec<i64> {
        let entries = 0..self.len();
        let words = entries.flat_map(|nth| (0..stride).map(move |field| (nth, field)));
        words
            .map(|(nth, field)| self.get(stride, nth, field))
            .collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        // With what the allocator keeps for itself.
        size_of::<Block>() + self.0.len() + 16
    }
}

/// The bytes that hold it.
fn width_of(most: u64) -> usize {
    (64 - most.leading_zeros() as usize).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let words = [[i64::MIN, 5, 7, -1], [0, 5, 7, 255], [i64::MAX, 5, 7, 254]].concat();
        let mut block = Block::pack(&words, 4, 1);
        assert_eq!((block.len(), block.unpack(4)), (3, words));
        block.flip(4, 1, 1);
        assert_eq!([0, 1, 2].map(|it| block.get(4, it, 1)), [5, 4, 5]);
        // Eight bytes, one, none and two an entry, of 32.
        assert_eq!(block.0.len(), HEAD + 4 * FIELD + 3 * 11 + SPARE);
    }
}
