//! A journal: batches of `1 | items u32 | seqno u64`, the items, and `3 | xxh3 of the items u64 | FJL3`, numbers
//! little endian; zeros that were laid out ahead may follow.
//! An item is `2 | kind | compression | keyspace u64 | key length u16 | value length u32 | stored length u32 | key | value`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use crate::substrate::bus::embedded::inspect::{Error, Item, Newest, altered, failed};

const END_MAGIC: [u8; 4] = *b"FJL\x03";
const BUFFER_BYTES: usize = 64 << 10;
const PAGE_BYTES: u64 = 4_096;
/// The store counts batches one by one and keeps the highest bit for itself: no log comes this far.
const SEQNO_MAX: u64 = 1 << 62;

/// What the journals held so far.
#[derive(Default)]
pub(super) struct Walk {
    seqno: Option<u64>,
    pub(super) newest: Newest,
}

/// Why a batch could not be read.
enum Stop {
    Misfit(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Misfit("ends within a batch"),
            _ => Stop::Io(error),
        }
    }
}

impl Walk {
    /// Journals come in their order; `is_last` is the one that was appended to.
    pub(super) fn journal(&mut self, path: &Path, is_last: bool) -> Result<(), Error> {
        let io = failed(path);
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(&io)?);
        let mut at = 0;
        let what = loop {
            match self.batch(&mut reader) {
                Ok(()) => at = reader.stream_position().map_err(&io)?,
                Err(Stop::Misfit(what)) => break what,
                Err(Stop::Io(error)) => return Err(io(error)),
            }
        };
        let tail = Tail::read(reader.into_inner(), at).map_err(&io)?;
        match tail.is_torn(is_last) {
            true => Ok(()),
            false => Err(altered(path, format!("{what}, at byte {at}"))),
        }
    }

    /// Takes the batch in, or nothing of it.
    fn batch(&mut self, from: &mut impl Read) -> Result<(), Stop> {
        let [1] = bytes(from)? else {
            return Err(Stop::Misfit("has no batch where one belongs"));
        };
        let n_items = u32::from_le_bytes(bytes(from)?);
        let seqno = u64::from_le_bytes(bytes(from)?);
        let mut hash = Xxh3Default::new();
        let mut items = BTreeMap::new();
        for _ in 0..n_items {
            let (keyspace, item) = item(from, &mut hash)?;
            items.insert(keyspace, item);
        }
        let [3] = bytes(from)? else {
            return Err(Stop::Misfit(
                "has a batch that does not end where it should",
            ));
        };
        if u64::from_le_bytes(bytes(from)?) != hash.digest() {
            return Err(Stop::Misfit("has a batch that does not hash to its end"));
        }
        if bytes(from)? != END_MAGIC {
            return Err(Stop::Misfit("has a batch without its last bytes"));
        }
        // No hash covers this number, by which the store tells what it has stored already.
        if SEQNO_MAX < seqno || self.seqno.is_some_and(|before| seqno <= before) {
            return Err(Stop::Misfit("has a batch out of order"));
        }
        self.seqno = Some(seqno);
        self.newest.append(&mut items);
        Ok(())
    }
}

fn item(from: &mut impl Read, hash: &mut Xxh3Default) -> Result<(u64, Item), Stop> {
    let mut from = Hashed { from, hash };
    let [2, 0, compression] = bytes(&mut from)? else {
        return Err(Stop::Misfit("has an item that the log does not write"));
    };
    let keyspace = u64::from_le_bytes(bytes(&mut from)?);
    let key_bytes = u16::from_le_bytes(bytes(&mut from)?);
    let _: [u8; 4] = bytes(&mut from)?;
    let stored_bytes = u32::from_le_bytes(bytes(&mut from)?);
    let mut key = vec![0; usize::from(key_bytes)];
    from.read_exact(&mut key)?;
    let mut of_value = Xxh3Default::new();
    let mut left = stored_bytes as usize;
    let mut buffer = [0; 4_096];
    while 0 < left {
        let part = &mut buffer[..left.min(4_096)];
        from.read_exact(part)?;
        of_value.update(part);
        left -= part.len();
    }
    let hash = (compression == 0).then(|| of_value.digest());
    Ok((keyspace, Item { key, hash }))
}

/// Hashes what is read through it.
struct Hashed<'a, R> {
    from: &'a mut R,
    hash: &'a mut Xxh3Default,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.hash.update(&into[..n]);
        Ok(n)
    }
}

fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What follows the last whole batch, zeros at its end left out.
#[derive(Default)]
struct Tail {
    n_bytes: u64,
    last: [u8; 4],
    lacks_page: bool,
}

impl Tail {
    /// Page by page: zeros that were laid out ahead are many.
    fn read(mut file: File, at: u64) -> io::Result<Tail> {
        file.seek(SeekFrom::Start(at))?;
        let mut tail = Tail::default();
        let (mut place, mut after_empty_page) = (at, false);
        let mut page = Vec::new();
        loop {
            page.clear();
            let n_max = PAGE_BYTES - place % PAGE_BYTES;
            let n_read = (&mut file).take(n_max).read_to_end(&mut page)? as u64;
            match page.iter().rposition(|byte| *byte != 0) {
                Some(last) => {
                    tail.n_bytes = place - at + last as u64 + 1;
                    tail.lacks_page |= after_empty_page;
                }
                None => after_empty_page |= n_read == PAGE_BYTES,
            }
            place += n_read;
            if n_read < n_max {
                break;
            }
        }
        if 4 <= tail.n_bytes {
            file.seek(SeekFrom::Start(at + tail.n_bytes - 4))?;
            file.read_exact(&mut tail.last)?;
        }
        Ok(tail)
    }

    /// A batch is acknowledged when all of it is on the disk. One of which the end is missing was not; neither was, of
    /// the journal that was appended to, one that lacks a page in its middle: a machine that stops writes pages in
    /// any order. What reaches its last bytes, but for a bit of them, was whole once.
    fn is_torn(&self, is_last: bool) -> bool {
        let differing = |(is, was): (&u8, &u8)| (is ^ was).count_ones();
        let n_differing: u32 = self.last.iter().zip(&END_MAGIC).map(differing).sum();
        let reaches_end = 4 <= self.n_bytes && n_differing <= 1;
        !reaches_end || (is_last && self.lacks_page)
    }
}
