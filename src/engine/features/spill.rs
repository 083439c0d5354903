//! What a state puts away: bytes of which it keeps an id and a seal, so that what comes back is
//! what was put away, or an error.

use crate::contracts::chunks::{ChunkId, Chunks, Error, MemoryChunks};
use crate::domain::canonical::{Canon, Reader};
use crate::domain::digest::Digest;

/// Where a state may put away what it seldom reads, and from when on it does.
#[derive(Debug)]
pub struct Room {
    pub chunks: Box<dyn Chunks>,
    /// Of the keys in memory. Above it the series of keys that were not touched for the longest are
    /// put away whole.
    pub memory_bytes: usize,
}

impl Room {
    /// All of it in memory.
    #[must_use]
    pub fn in_memory() -> Room {
        Room {
            chunks: Box::new(MemoryChunks::default()),
            memory_bytes: usize::MAX,
        }
    }
}

/// Bytes that were put away. Whoever holds it takes them back, or frees them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Away {
    id: ChunkId,
    seal: u64,
}

#[derive(Debug)]
pub(crate) struct Spill {
    chunks: Box<dyn Chunks>,
}

impl Spill {
    pub(crate) fn new(chunks: Box<dyn Chunks>) -> Spill {
        Spill { chunks }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Away, Error> {
        let id = self.chunks.put(bytes)?;
        let seal = seal(bytes);
        Ok(Away { id, seal })
    }

    pub(crate) fn get(&self, away: &Away) -> Result<Vec<u8>, Error> {
        let bytes = self.chunks.get(away.id)?;
        match seal(&bytes) == away.seal {
            true => Ok(bytes),
            false => Err(Error::Damaged),
        }
    }

    pub(crate) fn free(&mut self, away: &Away) {
        self.chunks.free(away.id);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.bytes()
    }
}

fn seal(bytes: &[u8]) -> u64 {
    let digest = Digest::of_bytes(bytes);
    let (seal, _) = digest.as_bytes().split_first_chunk().expect("32 bytes");
    u64::from_le_bytes(*seal)
}

impl Away {
    pub(crate) fn write(&self, canon: &mut Canon) {
        let words = [self.id.0, self.seal].map(u64::cast_signed);
        canon.int(words[0]).int(words[1]);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Away, Error> {
        Ok(Away {
            id: ChunkId(word(reader)?.cast_unsigned()),
            seal: word(reader)?.cast_unsigned(),
        })
    }
}

/// The next number of what was put away. It fits the seal, so it reads as it was written.
pub(crate) fn word(reader: &mut Reader<'_>) -> Result<i64, Error> {
    reader.int().map_err(|_| Error::Damaged)
}

/// The same, as a number of another size.
pub(crate) fn number<T: TryFrom<i64>>(reader: &mut Reader<'_>) -> Result<T, Error> {
    T::try_from(word(reader)?).map_err(|_| Error::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_what_was_put_away_or_an_error() {
        let mut spill = Spill::new(Box::new(MemoryChunks::default()));
        let (one, other) = (spill.put(b"one").unwrap(), spill.put(b"other").unwrap());
        assert_eq!(spill.get(&one).unwrap(), b"one");
        spill.free(&one);
        assert_eq!(spill.get(&one), Err(Error::Damaged));
        // Another chunk under the old id is not taken for it.
        spill.put(b"two").unwrap();
        assert_eq!(spill.get(&one), Err(Error::Damaged));
        assert_eq!(spill.get(&other).unwrap(), b"other");
    }
}
