//! How a state packs and puts away what it holds: none of it may show in a feature.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fraudplat::contracts::chunks::{ChunkId, Chunks, Error, MemoryChunks};
use fraudplat::engine::features::Room;
use fraudplat::substrate::scratch::ScratchFile;

#[derive(Debug)]
pub(crate) struct Packing {
    pub(crate) block_entries: Option<usize>,
    pub(crate) memory_bytes: usize,
    pub(crate) on_disk: bool,
    damage: Option<Arc<Damage>>,
}

impl Packing {
    /// Nothing of a stream of some tens of events is packed; some of it; nearly all, and the keys
    /// that were not touched last are away; all of it is, always, on disk and in memory.
    pub(crate) fn all() -> Vec<Packing> {
        let of = |block_entries, memory_bytes, on_disk| Packing {
            block_entries,
            memory_bytes,
            on_disk,
            damage: None,
        };
        vec![
            of(None, usize::MAX, false),
            of(Some(7), usize::MAX, false),
            of(Some(2), 6_000, false),
            of(Some(3), 0, true),
            of(Some(2), 0, false),
        ]
    }

    /// Everything is away, always, and one of the chunks comes back damaged.
    pub(crate) fn damaging(damage: Arc<Damage>) -> Packing {
        Packing {
            block_entries: Some(2),
            memory_bytes: 0,
            on_disk: false,
            damage: Some(damage),
        }
    }

    pub(crate) fn room(&self) -> Room {
        let chunks: Box<dyn Chunks> = match (&self.damage, self.on_disk) {
            (Some(damage), _) => Box::new(Damaging {
                chunks: MemoryChunks::default(),
                damage: Arc::clone(damage),
            }),
            (None, true) => Box::new(ScratchFile::new(&std::env::temp_dir())),
            (None, false) => Box::new(MemoryChunks::default()),
        };
        Room {
            chunks,
            memory_bytes: self.memory_bytes,
        }
    }
}

/// Which of the chunks that are asked for is damaged, and how.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    ahead: AtomicU64,
    how: u64,
    is_done: AtomicBool,
}

impl Damage {
    pub(crate) fn at(nth: u64, how: u64) -> Damage {
        Damage {
            ahead: AtomicU64::new(nth),
            how,
            is_done: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    fn is_due(&self) -> bool {
        let next = |it: u64| it.checked_sub(1);
        let ahead = self
            .ahead
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        ahead.is_err() && !self.is_done.swap(true, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Damaging {
    chunks: MemoryChunks,
    damage: Arc<Damage>,
}

impl Chunks for Damaging {
    fn put(&mut self, bytes: &[u8]) -> Result<ChunkId, Error> {
        self.chunks.put(bytes)
    }

    fn get(&self, id: ChunkId) -> Result<Vec<u8>, Error> {
        let mut bytes = self.chunks.get(id)?;
        if !self.damage.is_due() {
            return Ok(bytes);
        }
        let how = usize::try_from(self.damage.how >> 8).unwrap();
        match self.damage.how % 8 {
            0 => {
                return Err(Error::Io {
                    action: "read",
                    cause: "the disk is gone".to_owned(),
                });
            }
            1 => bytes.truncate(how % bytes.len()),
            2 => bytes.push(0),
            _ => {
                let at = how % (8 * bytes.len());
                bytes[at / 8] ^= 1 << (at % 8);
            }
        }
        Ok(bytes)
    }

    fn free(&mut self, id: ChunkId) {
        self.chunks.free(id);
    }

    fn bytes(&self) -> u64 {
        self.chunks.bytes()
    }
}
