//! How much of a run's features a worker keeps in memory, and where the rest lies.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::features::Room;
use crate::substrate::scratch::ScratchFile;

/// Of each run's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Of the keys in memory; above it those that were not touched for the longest are put away.
    pub keys_bytes_max: usize,
    /// Where what is put away lies, in files without a name.
    pub scratch_dir: PathBuf,
}

impl Memory {
    /// Room for one run, with nothing in it.
    pub(super) fn room(&self) -> Room {
        Room {
            chunks: Box::new(ScratchFile::new(&self.scratch_dir)),
            memory_bytes: self.keys_bytes_max,
        }
    }
}
