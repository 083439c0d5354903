//! Looks at the store's files before the store does. It takes an altered one for the end of a torn
//! journal, or ends the process on it; here it is named instead. Changes nothing.
//!
//! What is looked at is what the store reads without a checksum of its own: the journals' structure,
//! each tree's list of tables, and each table's list of its parts. The blocks of a table it checks
//! itself, each time that it reads one.

mod journal;
mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::substrate::bus::embedded::inspect::journal::Walk;

/// The file of the store that says which form its files have, and what it holds.
const FORM_FILE: &str = "version";
const FORM: &[u8] = b"FJL\x03";

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{} {what}", file.display())]
    Altered { file: PathBuf, what: String },
    #[error("reading {}", file.display())]
    Io {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The newest item that the journals hold of each of the store's keyspaces, by its number. When the
/// store is open it must have them: it skips what it takes for stored already.
pub(super) type Newest = BTreeMap<u64, Item>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    /// Of the value; `None` where the journal holds it compressed.
    hash: Option<u64>,
}

impl Item {
    pub(super) fn is(&self, value: &[u8]) -> bool {
        self.hash
            .is_none_or(|hash| hash == xxhash_rust::xxh3::xxh3_64(value))
    }
}

/// # Errors
/// [`Error::Altered`] names the first file that is not as the store wrote it. A torn end of the
/// newest journal is none: an append that was never acknowledged leaves one.
pub(super) fn inspect(dir: &Path) -> Result<Newest, Error> {
    let form = dir.join(FORM_FILE);
    if read(&form)? != FORM {
        return Err(altered(&form, "is not what the store writes there"));
    }
    let mut journals = Vec::new();
    for path in entries(dir)? {
        let name = path.file_name().and_then(|it| it.to_str());
        if let Some(nth) = name.and_then(|it| it.strip_suffix(".jnl")) {
            let nth: u64 = nth
                .parse()
                .map_err(|_| altered(&path, "is no name of a journal"))?;
            journals.push((nth, path));
        }
    }
    journals.sort();
    let mut walk = Walk::default();
    for (at, (_, path)) in journals.iter().enumerate() {
        walk.journal(path, at + 1 == journals.len())?;
    }
    for path in entries(&dir.join("keyspaces"))? {
        tree::inspect(&path)?;
    }
    Ok(walk.newest)
}

fn altered(file: &Path, what: impl Into<String>) -> Error {
    Error::Altered {
        file: file.to_owned(),
        what: what.into(),
    }
}

fn failed(file: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io {
        file: file.to_owned(),
        source,
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(dir).and_then(|it| {
        it.map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    listed.map_err(failed(dir))
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|mut it| it.read_to_end(&mut bytes))
        .map_err(failed(file))?;
    Ok(bytes)
}
