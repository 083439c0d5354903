//! Chunks in a file that has no name: it is gone with its last handle, however the process ends.
//!
//! Room is given out in few sizes, each at most an eighth too large, and what is freed is used
//! again by the next chunk of its size.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::contracts::chunks::{ChunkId, Chunks, Error};

/// Rooms are whole multiples of it.
const UNIT: u64 = 64;
/// An id is the number of the first unit, then the room's size class.
const CLASS_BITS: u32 = 8;
/// Before the bytes: how many there are.
const HEAD: usize = 4;

/// A scratch file, made with its first chunk.
#[derive(Debug)]
pub struct ScratchFile {
    dir: PathBuf,
    file: Option<File>,
    /// Units given out from the file's start.
    end: u64,
    /// First units of what was freed, by class.
    free: BTreeMap<u8, Vec<u64>>,
}

impl ScratchFile {
    /// One in a folder, which is made where it is missing.
    #[must_use]
    pub fn new(dir: &Path) -> ScratchFile {
        ScratchFile {
            dir: dir.to_owned(),
            file: None,
            end: 0,
            free: BTreeMap::new(),
        }
    }

    fn file(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                fs::create_dir_all(&self.dir)?;
                tempfile::tempfile_in(&self.dir)?
            }
        };
        Ok(self.file.insert(file))
    }

    fn room(&mut self, class: u8) -> u64 {
        let freed = self.free.get_mut(&class).and_then(Vec::pop);
        freed.unwrap_or_else(|| {
            let at = self.end;
            self.end += units_of(class);
            at
        })
    }
}

impl Chunks for ScratchFile {
    fn put(&mut self, bytes: &[u8]) -> Result<ChunkId, Error> {
        let length = u32::try_from(bytes.len()).map_err(|cause| failed("written", &cause))?;
        let class = class_of((HEAD as u64 + u64::from(length)).div_ceil(UNIT));
        let at = self.room(class);
        let mut room = Vec::with_capacity(HEAD + bytes.len());
        room.extend(length.to_le_bytes());
        room.extend(bytes);
        let written = self.file();
        let written = written.and_then(|it| it.write_all_at(&room, at * UNIT));
        if let Err(cause) = written {
            self.free.entry(class).or_default().push(at);
            return Err(failed("written", &cause));
        }
        Ok(ChunkId(at << CLASS_BITS | u64::from(class)))
    }

    fn get(&self, id: ChunkId) -> Result<Vec<u8>, Error> {
        let (at, class) = parts(id);
        let file = self.file.as_ref().ok_or(Error::Damaged)?;
        let size = usize::try_from(units_of(class) * UNIT).unwrap_or(usize::MAX);
        let mut room = vec![0; size];
        let read = read_at(file, &mut room, at * UNIT).map_err(|cause| failed("read", &cause))?;
        room.truncate(read);
        let (length, rest) = room.split_first_chunk::<HEAD>().ok_or(Error::Damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let bytes = rest.get(..length).ok_or(Error::Damaged)?;
        Ok(bytes.to_vec())
    }

    fn free(&mut self, id: ChunkId) {
        let (at, class) = parts(id);
        self.free.entry(class).or_default().push(at);
    }

    fn bytes(&self) -> u64 {
        self.end * UNIT
    }
}

fn parts(id: ChunkId) -> (u64, u8) {
    let [class, ..] = id.0.to_le_bytes();
    (id.0 >> CLASS_BITS, class)
}

fn failed(action: &'static str, cause: &dyn std::error::Error) -> Error {
    let cause = cause.to_string();
    Error::Io { action, cause }
}

/// Reads until the buffer is full or the file ends: the last room may be written in part.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The least class that has so many units: to 8 each size is one, then eight a doubling.
fn class_of(units: u64) -> u8 {
    let exponent = (u64::BITS - units.max(1).leading_zeros()).saturating_sub(4);
    let eighths = units.max(1).div_ceil(1 << exponent);
    u8::try_from(u64::from(exponent) * 8 + eighths).expect("a chunk is below 4 GB: 29 doublings")
}

fn units_of(class: u8) -> u64 {
    let class = u64::from(class);
    match class.checked_sub(17) {
        // Of class 8 e + m, m in 9..=16: m units, doubled e times.
        Some(above) => (above % 8 + 9) << (above / 8 + 1),
        None => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_at_most_an_eighth_too_large() {
        for units in (1..5_000).chain([1 << 20, (1 << 20) + 1, (1 << 26) - 1]) {
            let room = units_of(class_of(units));
            assert!(
                room >= units && room <= units + units.div_ceil(8),
                "{units} in {room}"
            );
            assert_eq!(class_of(room), class_of(units));
        }
    }

    #[test]
    fn chunks_come_back_and_their_room_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut chunks = ScratchFile::new(folder.path());
        let body = |nth: usize| vec![u8::try_from(nth % 251).unwrap(); nth * 37 % 5_000];
        let mut held: Vec<ChunkId> = (0..500).map(|it| chunks.put(&body(it)).unwrap()).collect();
        let full = chunks.bytes();
        for round in 1..4 {
            for (nth, id) in held.iter_mut().enumerate() {
                assert_eq!(chunks.get(*id).unwrap(), body(nth + (round - 1) * 500));
                chunks.free(*id);
                *id = chunks.put(&body(nth + round * 500)).unwrap();
            }
        }
        assert!(
            chunks.bytes() < full * 3 / 2,
            "{} of {full}",
            chunks.bytes()
        );
        // Nothing of it has a name.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut chunks = ScratchFile::new(&file.path().join("below_a_file"));
        let refused = chunks.put(b"x");
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        assert_eq!(chunks.get(ChunkId(1)), Err(Error::Damaged));
    }
}
