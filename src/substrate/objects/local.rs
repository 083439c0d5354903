//! Objects in a directory: written beside, synced, then linked into place, which the kernel does
//! for one of several racing writers only. Nothing that stands is ever opened for writing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::digest::Digest;
use crate::substrate::objects::{Error, Listed, ObjectKey, Objects, Put, check_removable};

/// Where bodies are written before they have a name. A key cannot collide with it: see
/// [`LocalObjects::open`].
const NURSERY: &str = ".tmp";
/// Where objects stand, so that no key can name the nursery.
const PLACE: &str = "objects";

/// Beyond this many the known directories are forgotten; that costs syncs, not truth.
const DURABLE_DIRS_MAX: usize = 16_384;

/// Objects below `root`: `root/objects/<key>`, and `root/.tmp` for what is being written. One
/// process owns a root; several handles in one process may share it only as clones.
#[derive(Debug, Clone)]
pub struct LocalObjects(Arc<Root>);

#[derive(Debug)]
struct Root {
    place: PathBuf,
    nursery: PathBuf,
    /// Names of bodies in the nursery; unique, because the nursery is emptied at the start.
    next_name: AtomicU64,
    puts: AtomicU64,
    /// Directories that this process knows to be durable in their parents. One that merely exists
    /// may have been made by a writer that was killed, or has yet to sync it.
    durable_dirs: Mutex<HashSet<PathBuf>>,
}

impl LocalObjects {
    /// Opens `root`, creating it when absent, and removes what a crash left unfinished. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open(root: &Path) -> Result<LocalObjects, Error> {
        let failed = |source: io::Error| Error::Io {
            action: "opening the store",
            key: root.display().to_string(),
            source: Box::new(source),
        };
        let root = std::path::absolute(root).map_err(failed)?;
        let root = Root {
            place: root.join(PLACE),
            nursery: root.join(NURSERY),
            next_name: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            durable_dirs: Mutex::default(),
        };
        root.make_dirs(&root.place).map_err(failed)?;
        root.make_dirs(&root.nursery).map_err(failed)?;
        for stale in fs::read_dir(&root.nursery).map_err(failed)? {
            fs::remove_file(stale.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(LocalObjects(Arc::new(root)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        work: impl FnOnce(&Root) -> Result<T, io::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let root = self.0.clone();
        let ended = tokio::task::spawn_blocking(move || work(&root)).await;
        ended
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| Error::Io {
                action,
                key: key.to_owned(),
                source: Box::new(source),
            })
    }
}

impl Root {
    /// The one place where a key becomes a path. `ObjectKey` refuses what could climb; this
    /// asserts it again, because a wrong path here writes anywhere.
    fn path(&self, key: &ObjectKey) -> PathBuf {
        let path = self.place.join(key.as_str());
        let climbs = key
            .as_str()
            .split('/')
            .any(|it| matches!(it, "" | "." | ".."));
        assert!(!climbs, "object key `{key}` climbs");
        assert!(
            path.starts_with(&self.place),
            "object key `{key}` leaves its root"
        );
        path
    }

    fn put_new(&self, key: &ObjectKey, body: &[u8]) -> io::Result<Put> {
        let path = self.path(key);
        if let Some(put) = compare(&path, body)? {
            return Ok(put);
        }
        let name = self.next_name.fetch_add(1, Ordering::Relaxed).to_string();
        let draft = self.nursery.join(name);
        let put = self.write_and_link(&draft, &path, body);
        // A draft that stays behind wastes room until the next start; the answer stands.
        if let Err(error) = fs::remove_file(&draft)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not remove the draft of an object");
        }
        put
    }

    fn write_and_link(&self, draft: &Path, path: &Path, body: &[u8]) -> io::Result<Put> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(draft)?;
        file.write_all(body)?;
        file.sync_all()?;
        let parent = path.parent().unwrap_or(&self.place);
        self.make_dirs(parent)?;
        match fs::hard_link(draft, path) {
            Ok(()) => {
                sync_dir(parent)?;
                Ok(Put::Created)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                compare(path, body)?.ok_or_else(|| io::Error::other("it is a prefix of other keys"))
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a directory and those above it, each durable in its parent.
    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        let known = || {
            self.durable_dirs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if known().contains(dir) {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.make_dirs(parent)?;
            match fs::create_dir(dir) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            sync_dir(parent)?;
        }
        let mut known = known();
        if DURABLE_DIRS_MAX <= known.len() {
            known.clear();
        }
        known.insert(dir.to_owned());
        Ok(())
    }

    /// Depth first in byte order of the full keys: in that order `a/b` comes after `a-b` but
    /// before `a0`, so directories sort as if their name ended in `/`.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        // Smallest key first; the keys of directories end in `/`.
        let mut open = BinaryHeap::new();
        let base = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
        self.open_dir(base, prefix, after, &mut open)?;
        while listed.len() < limit {
            let Some(Reverse(key)) = open.pop() else {
                break;
            };
            if key.ends_with('/') {
                self.open_dir(&key, prefix, after, &mut open)?;
                continue;
            }
            let size = match fs::metadata(self.place.join(&key)) {
                Ok(found) => found.len(),
                // Removed since its directory was read.
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(error),
            };
            let key = key.parse().map_err(io::Error::other)?;
            listed.push(Listed { key, size });
        }
        Ok(listed)
    }

    /// Adds what a directory holds, as far as it can hold keys that were asked for. `base` is its
    /// key, empty or ending in `/`.
    fn open_dir(
        &self,
        base: &str,
        prefix: &str,
        after: Option<&str>,
        open: &mut BinaryHeap<Reverse<String>>,
    ) -> io::Result<()> {
        // A prefix is text, not a path: only a legal one may touch the disk.
        let dir = base.strip_suffix('/').unwrap_or(base);
        if !base.is_empty() && dir.parse::<ObjectKey>().is_err() {
            return Ok(());
        }
        let entries = match fs::read_dir(self.place.join(dir)) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = std::str::from_utf8(name.as_bytes()).map_err(io::Error::other)?;
            let is_dir = entry.file_type()?.is_dir();
            let key = format!("{base}{name}{}", if is_dir { "/" } else { "" });
            let is_wanted = if is_dir {
                // Some key below may begin with the prefix and follow `after`.
                (key.starts_with(prefix) || prefix.starts_with(&key))
                    && after.is_none_or(|it| it < key.as_str() || it.starts_with(&key))
            } else {
                key.starts_with(prefix) && after.is_none_or(|it| it < key.as_str())
            };
            if is_wanted {
                open.push(Reverse(key));
            }
        }
        Ok(())
    }
}

/// What stands there against `body`; `None` if nothing does. An equal body is synced again: the
/// first writer may have been killed between the link and the sync.
fn compare(path: &Path, body: &[u8]) -> io::Result<Option<Put>> {
    let Some(mut file) = open(path)? else {
        return Ok(None);
    };
    let mut stored = Vec::with_capacity(body.len());
    file.read_to_end(&mut stored)?;
    let digest = Digest::of_bytes(&stored);
    if digest != Digest::of_bytes(body) {
        return Ok(Some(Put::Conflict { stored: digest }));
    }
    if let Some(parent) = path.parent() {
        sync_dir(parent)?;
    }
    Ok(Some(Put::Same))
}

/// `None` if no object stands there; a key that is a directory of other keys is none.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last is a key below a key that is an object.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[async_trait]
impl Objects for LocalObjects {
    async fn put_new(&self, key: &ObjectKey, body: Bytes) -> Result<Put, Error> {
        self.0.puts.fetch_add(1, Ordering::Relaxed);
        let owned = key.clone();
        let put = move |root: &Root| root.put_new(&owned, &body);
        self.blocking("the write", key.as_str(), put).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Bytes>, Error> {
        let owned = key.clone();
        let get = move |root: &Root| {
            let Some(mut file) = open(&root.path(&owned))? else {
                return Ok(None);
            };
            let mut body = Vec::new();
            file.read_to_end(&mut body)?;
            Ok(Some(Bytes::from(body)))
        };
        self.blocking("the read", key.as_str(), get).await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        start: u64,
        end: u64,
    ) -> Result<Option<Bytes>, Error> {
        let owned = key.clone();
        let get = move |root: &Root| {
            let Some(mut file) = open(&root.path(&owned))? else {
                return Ok(None);
            };
            let size = file.metadata()?.len();
            if end < start || size < end {
                return Ok(Some(Err(size)));
            }
            file.seek(SeekFrom::Start(start))?;
            let n_bytes = usize::try_from(end - start).map_err(io::Error::other)?;
            let mut body = vec![0; n_bytes];
            file.read_exact(&mut body)?;
            Ok(Some(Ok(Bytes::from(body))))
        };
        match self.blocking("the read", key.as_str(), get).await? {
            None => Ok(None),
            Some(Ok(body)) => Ok(Some(body)),
            Some(Err(size)) => Err(Error::Range {
                key: key.to_string(),
                size,
                start,
                end,
            }),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<Listed>, Error> {
        let (owned, after) = (prefix.to_owned(), after.map(ToString::to_string));
        let list = move |root: &Root| root.list(&owned, after.as_deref(), limit);
        self.blocking("the listing", prefix, list).await
    }

    /// Not synced: a removal that a crash undoes is asked for again.
    async fn remove(&self, key: &ObjectKey) -> Result<(), Error> {
        check_removable(key)?;
        let at = key.clone();
        let work = move |root: &Root| match fs::remove_file(root.path(&at)) {
            Err(error) if !is_absence(&error) => Err(error),
            _ => Ok(()),
        };
        self.blocking("the removal", key.as_str(), work).await
    }

    /// A `file://` URL: whoever may read the directory may read the object, and it does not
    /// expire. Meant for the person at this machine. No byte of a key needs escaping; the bytes
    /// of the root that do are.
    async fn presign(&self, key: &ObjectKey, _: Duration) -> Result<String, Error> {
        let mut url = "file://".to_owned();
        for byte in self.0.path(key).as_os_str().as_bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' | b'=' => url.push(char::from(*byte)),
                byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
                byte => url.push_str(&format!("%{byte:02X}")),
            }
        }
        Ok(url)
    }

    fn puts(&self) -> u64 {
        self.0.puts.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_start_removes_what_a_crash_left_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let store = LocalObjects::open(root.path()).unwrap();
        store
            .put_new(&key("a/b"), Bytes::from_static(b"1"))
            .await
            .unwrap();
        let stale = root.path().join(NURSERY).join("0");
        fs::write(&stale, b"half").unwrap();
        let store = LocalObjects::open(root.path()).unwrap();
        assert!(!stale.exists());
        let put = store
            .put_new(&key("a/c"), Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert_eq!(put, Put::Created);
        assert_eq!(store.list("", None, 10).await.unwrap().len(), 2);
        assert_eq!(fs::read_dir(root.path().join(NURSERY)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_key_may_be_called_like_the_nursery() {
        let root = tempfile::tempdir().unwrap();
        let store = LocalObjects::open(root.path()).unwrap();
        store
            .put_new(&key(".tmp/0"), Bytes::from_static(b"1"))
            .await
            .unwrap();
        let store = LocalObjects::open(root.path()).unwrap();
        assert_eq!(
            store.get(&key(".tmp/0")).await.unwrap().as_deref(),
            Some(&b"1"[..])
        );
    }

    #[tokio::test]
    async fn a_link_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("mit Leer%");
        let store = LocalObjects::open(&root).unwrap();
        store
            .put_new(&key("a/b"), Bytes::from_static(b"1"))
            .await
            .unwrap();
        let url = store
            .presign(&key("a/b"), Duration::from_secs(1))
            .await
            .unwrap();
        assert!(
            url.starts_with("file:///") && url.ends_with("/mit%20Leer%25/objects/a/b"),
            "{url}"
        );
    }
}
