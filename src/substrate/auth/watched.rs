//! A secret that rests in files and is read again when they change, without a restart.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::domain::digest::Digest;
use crate::substrate::auth::Error;

/// What files held when they were read.
pub struct Loaded<T> {
    pub value: T,
    /// Of what is public about it: hashes of keys, public keys, certificates; never of a secret.
    pub digest: Digest,
    /// The ids in it, for people.
    pub ids: BTreeSet<String>,
}

/// A change that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub name: &'static str,
    pub from: Digest,
    pub to: Digest,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

impl Rotation {
    pub(super) fn between<T>(name: &'static str, old: &Loaded<T>, new: &Loaded<T>) -> Rotation {
        let minus = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect();
        Rotation {
            name,
            from: old.digest,
            to: new.digest,
            added: minus(&new.ids, &old.ids),
            removed: minus(&old.ids, &new.ids),
        }
    }
}

/// Reads what the files hold.
pub type Load<T> = fn(&[Vec<u8>]) -> Result<Loaded<T>, String>;

/// The files, and what they meant when they last meant something.
pub struct Watched<T> {
    name: &'static str,
    paths: Vec<PathBuf>,
    load: Load<T>,
    current: ArcSwap<Loaded<T>>,
    /// Hash of the bytes that were looked at last, understood or not.
    seen: Mutex<blake3::Hash>,
}

impl<T> Watched<T> {
    /// # Errors
    /// Files that cannot be read, or mean nothing.
    pub fn open(
        name: &'static str,
        paths: Vec<PathBuf>,
        load: Load<T>,
    ) -> Result<Arc<Watched<T>>, Error> {
        let files = read(name, &paths)?;
        let loaded = load(&files).map_err(|cause| Error::Unread {
            name,
            cause: format!("{}: {cause}", shown(&paths)),
        })?;
        Ok(Arc::new(Watched {
            name,
            seen: Mutex::new(hash(&files)),
            current: ArcSwap::from_pointee(loaded),
            paths,
            load,
        }))
    }

    /// What is in force.
    #[must_use]
    pub fn current(&self) -> arc_swap::Guard<Arc<Loaded<T>>> {
        self.current.load()
    }

    /// Reads the files again. Small ones, so their content tells of a change, which times of
    /// modification do not always. What cannot be understood changes nothing, and is said once.
    pub fn check(&self) -> Option<Rotation> {
        let files = match read(self.name, &self.paths) {
            Ok(files) => files,
            Err(error) => {
                self.refuse(blake3::hash(b"unreadable"), &error);
                return None;
            }
        };
        let found = hash(&files);
        if found == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            return None;
        }
        let loaded = match (self.load)(&files) {
            Ok(loaded) => loaded,
            Err(cause) => {
                self.refuse(found, &cause);
                return None;
            }
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = found;
        let old = self.current.swap(Arc::new(loaded));
        let new = self.current.load();
        (old.digest != new.digest).then(|| Rotation::between(self.name, &old, &new))
    }

    fn refuse(&self, found: blake3::Hash, cause: &dyn std::fmt::Display) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, found) != found {
            let files = shown(&self.paths);
            tracing::warn!(secret = self.name, files, cause = %cause, "a changed secret is not understood; the one before stays in force");
        }
    }
}

impl<T> std::ops::Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

fn read(what: &'static str, paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Error> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| Error::Read {
            what,
            path: path.clone(),
            source,
        })
    };
    paths.iter().map(read).collect()
}

fn hash(files: &[Vec<u8>]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&(file.len() as u64).to_le_bytes());
        hasher.update(file);
    }
    hasher.finalize()
}

fn shown(paths: &[PathBuf]) -> String {
    let shown = paths.iter().map(|path| path.display().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file is understood if it is a number.
    fn number(files: &[Vec<u8>]) -> Result<Loaded<u32>, String> {
        let text = String::from_utf8_lossy(&files[0]);
        let value: u32 = text.trim().parse().map_err(|_| "no number".to_owned())?;
        Ok(Loaded {
            value,
            digest: Digest::of_bytes(&value.to_le_bytes()),
            ids: [value.to_string()].into(),
        })
    }

    #[test]
    fn a_change_is_taken_and_what_is_not_understood_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(Watched::open("s", vec![path.clone()], number).is_err());
        std::fs::write(&path, "1").unwrap();
        let watched = Watched::open("s", vec![path.clone()], number).unwrap();
        assert_eq!(watched.check(), None);
        std::fs::write(&path, "2").unwrap();
        let rotation = watched.check().unwrap();
        assert_eq!(watched.current().value, 2);
        assert_eq!(
            (&rotation.added[..], &rotation.removed[..]),
            (&["2".to_owned()][..], &["1".to_owned()][..])
        );
        for broken in ["x", ""] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(watched.check(), None);
            assert_eq!(watched.current().value, 2);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(watched.check(), None);
        // Other bytes that mean the same are no rotation.
        std::fs::write(&path, " 2 ").unwrap();
        assert_eq!(watched.check(), None);
        std::fs::write(&path, "3").unwrap();
        assert_eq!(watched.check().unwrap().from, rotation.to);
    }
}
