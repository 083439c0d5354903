//! Event ids of the records in memory: millions of short texts, stored back to back in chunks. A
//! chunk is let go as a whole when nothing refers to it any more, which with records leaving in
//! about the order they came is soon.

/// Ids in a chunk.
const CHUNK_BITS: u32 = 12;
const CHUNK_IDS: usize = 1 << CHUNK_BITS;

/// Refers to an id that is held.
pub(crate) type EventRef = u32;

#[derive(Debug, Default)]
pub(crate) struct EventIds {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    /// The chunk that is being filled.
    open: Option<u32>,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: String,
    ends: Vec<u32>,
    n_refs: u32,
}

impl EventIds {
    /// Stores an id with `n_refs` references to it. Each is given back by [`EventIds::release`].
    pub(crate) fn hold(&mut self, id: &str, n_refs: u32) -> EventRef {
        let number = match self.open {
            Some(number) if self.chunks[number as usize].ends.len() < CHUNK_IDS => number,
            _ => self.open_chunk(),
        };
        let chunk = &mut self.chunks[number as usize];
        let at = u32::try_from(chunk.ends.len()).expect("a chunk holds 4,096 ids");
        chunk.bytes.push_str(id);
        let end = u32::try_from(chunk.bytes.len()).expect("4,096 ids of 128 bytes fit");
        chunk.ends.push(end);
        chunk.n_refs += n_refs;
        number << CHUNK_BITS | at
    }

    fn open_chunk(&mut self) -> u32 {
        if let Some(full) = self.open {
            let chunk = &mut self.chunks[full as usize];
            chunk.bytes.shrink_to_fit();
            if chunk.n_refs == 0 {
                self.let_go(full);
            }
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            u32::try_from(self.chunks.len() - 1).expect("fewer than 2^20 chunks: 4 billion ids")
        });
        assert!(
            number < 1 << (32 - CHUNK_BITS),
            "4 billion event ids are held"
        );
        self.open = Some(number);
        number
    }

    fn let_go(&mut self, number: u32) {
        self.chunks[number as usize] = Chunk::default();
        self.free.push(number);
    }

    pub(crate) fn get(&self, event: EventRef) -> &str {
        let chunk = &self.chunks[(event >> CHUNK_BITS) as usize];
        let at = event as usize & (CHUNK_IDS - 1);
        let start = at.checked_sub(1).map_or(0, |it| chunk.ends[it] as usize);
        &chunk.bytes[start..chunk.ends[at] as usize]
    }

    /// Gives one reference back.
    pub(crate) fn release(&mut self, event: EventRef) {
        let number = event >> CHUNK_BITS;
        let chunk = &mut self.chunks[number as usize];
        chunk.n_refs -= 1;
        if chunk.n_refs == 0 && self.open != Some(number) {
            self.let_go(number);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let of = |it: &Chunk| it.bytes.capacity() + 4 * it.ends.capacity();
        self.chunks
            .iter()
            .map(|it| of(it) + size_of::<Chunk>())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_let_go_and_used_again() {
        let mut ids = EventIds::default();
        let held: Vec<_> = (0..10_000)
            .map(|it| ids.hold(&format!("e{it}"), 1))
            .collect();
        assert_eq!(ids.get(held[9_999]), "e9999");
        let before = ids.bytes();
        for event in &held[..8_192] {
            ids.release(*event);
        }
        assert!(ids.bytes() < before / 2);
        assert_eq!(ids.get(held[8_192]), "e8192");
        let again: Vec<_> = (0..10_000)
            .map(|it| ids.hold(&format!("f{it}"), 1))
            .collect();
        assert_eq!((ids.chunks.len(), ids.get(again[5_000])), (3, "f5000"));
    }
}
