//! Where a state in memory puts bytes that it seldom reads, and gets them back from. Nothing here
//! is truth: what is put away is made again from a snapshot and the log, so it need not be durable,
//! only never another than it was; who puts it keeps a check of it and compares.

use std::fmt;

/// Names a chunk until it is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkId(pub u64);

/// Why bytes that were put away are not to be had. Who hears it throws its state away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a chunk that was put away could not be {action}: {cause}")]
    Io { action: &'static str, cause: String },
    #[error("a chunk that was put away is not what it was")]
    Damaged,
}

/// Bytes put away. Calls are short: a few kilobytes to or from a local file at most.
pub trait Chunks: fmt::Debug + Send + Sync {
    /// Puts bytes away, under an id that no other chunk has.
    ///
    /// # Errors
    /// [`Error::Io`]: there is no room, or the place is gone.
    fn put(&mut self, bytes: &[u8]) -> Result<ChunkId, Error>;

    /// The bytes of an id, as far as the store can tell.
    ///
    /// # Errors
    /// They cannot be read, or there are none under the id.
    fn get(&self, id: ChunkId) -> Result<Vec<u8>, Error>;

    /// Gives a chunk's room to others.
    fn free(&mut self, id: ChunkId);

    /// Bytes that the chunks take, with room that waits to be used again.
    fn bytes(&self) -> u64;
}

/// Chunks in memory: for what runs once over little, and for tests.
#[derive(Debug, Default)]
pub struct MemoryChunks {
    chunks: Vec<Option<Box<[u8]>>>,
    free: Vec<usize>,
    bytes: u64,
}

impl Chunks for MemoryChunks {
    fn put(&mut self, bytes: &[u8]) -> Result<ChunkId, Error> {
        self.bytes += bytes.len() as u64;
        let chunk = Some(bytes.into());
        let at = match self.free.pop() {
            Some(at) => {
                self.chunks[at] = chunk;
                at
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        };
        Ok(ChunkId(at as u64))
    }

    fn get(&self, id: ChunkId) -> Result<Vec<u8>, Error> {
        let at = usize::try_from(id.0).ok();
        let chunk = at.and_then(|it| self.chunks.get(it)?.as_deref());
        chunk.map(<[u8]>::to_vec).ok_or(Error::Damaged)
    }

    fn free(&mut self, id: ChunkId) {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        if let Some(chunk) = self.chunks.get_mut(at).and_then(Option::take) {
            self.bytes -= chunk.len() as u64;
            self.free.push(at);
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
