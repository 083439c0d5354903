//! A keyspace on disk: `current` names a list of tables and its checksum, which the store does not check; the list names
//! the tables and theirs. Lists and tables are archives: parts, then `TOC!` with where they are, then a trailer.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::substrate::bus::embedded::inspect::{Error, altered, failed, read};

/// Up to here a table is hashed whole. In a larger one its contents are checked here, and its blocks when they are read:
/// a log of many gigabytes opens in seconds.
const WHOLE_BYTES_MAX: u64 = 1 << 20;
/// `SFA! | 1 | 0 | xxh3 of the contents u128 | their place u64 | their length u64`.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
const TRAILER: [u8; 6] = *b"SFA!\x01\x00";

struct Table {
    id: u64,
    sum: u128,
}

pub(super) fn inspect(dir: &Path) -> Result<(), Error> {
    let current = dir.join("current");
    if !current.try_exists().map_err(failed(&current))? {
        // A keyspace that was not made to its end; the store removes it.
        return Ok(());
    }
    let bytes = read(&current)?;
    let mut fields = Fields(&bytes);
    let (Some(id), Some(sum), Some(0), []) = (fields.u64(), fields.u128(), fields.u8(), fields.0)
    else {
        return Err(altered(&current, "is not what the store writes there"));
    };
    let list = dir.join(format!("v{id}"));
    if !list.try_exists().map_err(failed(&list))? {
        let what = format!("names the list of tables v{id}, which is not there");
        return Err(altered(&current, what));
    }
    let bytes = read(&list)?;
    if xxh3_128(&bytes) != sum {
        let what = format!("does not hash to what {} says of it", current.display());
        return Err(altered(&list, what));
    }
    let tables = tables(&bytes).ok_or_else(|| altered(&list, "is no list of tables"))?;
    for table in tables {
        inspect_table(&dir.join("tables").join(table.id.to_string()), table.sum)?;
    }
    Ok(())
}

/// The tables that a list names, its levels and runs in one.
fn tables(list: &[u8]) -> Option<Vec<Table>> {
    let (at, n_bytes) = Trailer::of(list)?.contents;
    let mut contents = Fields(list.get(at..at.checked_add(n_bytes)?)?);
    contents.take(4)?;
    for _ in 0..contents.u32()? {
        let (at, n_bytes) = (contents.u64()?, contents.u64()?);
        let name_bytes = contents.u16()?;
        if contents.take(usize::from(name_bytes))? == b"tables" {
            let at = usize::try_from(at).ok()?;
            let end = at.checked_add(usize::try_from(n_bytes).ok()?)?;
            return listed(Fields(list.get(at..end)?));
        }
    }
    None
}

fn listed(mut fields: Fields<'_>) -> Option<Vec<Table>> {
    let mut tables = Vec::new();
    for _level in 0..fields.u8()? {
        for _run in 0..fields.u8()? {
            for _ in 0..fields.u32()? {
                let id = fields.u64()?;
                let _kind = fields.u8()?;
                let sum = fields.u128()?;
                let _seqno = fields.u64()?;
                tables.push(Table { id, sum });
            }
        }
    }
    Some(tables)
}

fn inspect_table(path: &Path, sum: u128) -> Result<(), Error> {
    let wrong = || altered(path, "does not hash to what the list of tables says of it");
    let io = failed(path);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(altered(path, "is missing"));
        }
        Err(error) => return Err(io(error)),
    };
    let n_bytes = file.metadata().map_err(&io)?.len();
    if n_bytes <= WHOLE_BYTES_MAX {
        return match xxh3_128(&read(path)?) == sum {
            true => Ok(()),
            false => Err(wrong()),
        };
    }
    let is_whole = has_contents(&mut file, n_bytes).map_err(&io)?;
    if is_whole { Ok(()) } else { Err(wrong()) }
}

/// Whether the trailer is one, and the contents hash to it.
fn has_contents(file: &mut File, n_bytes: u64) -> io::Result<bool> {
    let mut end = vec![0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(n_bytes - TRAILER_BYTES as u64))?;
    file.read_exact(&mut end)?;
    let Some(trailer) = Trailer::parse(&end) else {
        return Ok(false);
    };
    let (at, n_contents) = trailer.contents;
    let ends_at = (at as u64).checked_add(n_contents as u64);
    let is_placed = ends_at == Some(n_bytes - TRAILER_BYTES as u64);
    if !is_placed || WHOLE_BYTES_MAX < n_contents as u64 {
        return Ok(false);
    }
    let mut contents = vec![0; n_contents];
    file.seek(SeekFrom::Start(at as u64))?;
    file.read_exact(&mut contents)?;
    Ok(xxh3_128(&contents) == trailer.sum)
}

struct Trailer {
    sum: u128,
    /// Place and length.
    contents: (usize, usize),
}

impl Trailer {
    /// Of a whole archive.
    fn of(archive: &[u8]) -> Option<Trailer> {
        let at = archive.len().checked_sub(TRAILER_BYTES)?;
        Trailer::parse(&archive[at..])
    }

    fn parse(bytes: &[u8]) -> Option<Trailer> {
        let mut fields = Fields(bytes);
        if fields.take(TRAILER.len())? != TRAILER {
            return None;
        }
        Some(Trailer {
            sum: fields.u128()?,
            contents: (
                usize::try_from(fields.u64()?).ok()?,
                usize::try_from(fields.u64()?).ok()?,
            ),
        })
    }
}

/// What is left of some bytes, numbers in little endian.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.fixed().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.fixed().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.fixed().map(u128::from_le_bytes)
    }
}
