//! The data directory and its one owner: whoever holds the lock on `LOCK` owns every file below;
//! anyone else is told where the owner answers.
//!
//! ```text
//! LOCK  run/{http.addr,owner.token}  auth/{keys.yaml,NAME.key}  bus/  objects/  pg/  cache/  scratch/
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::substrate::clock::Entropy;

/// The file whose lock is the ownership. It is never removed, or two owners could hold two files.
const LOCK: &str = "LOCK";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A typing error in `--data-dir` must not change the modes of somebody's home.
    #[error(
        "`{path}` is not empty and holds no LOCK file: it is not a data directory of fraudplat"
    )]
    Foreign { path: PathBuf },
    #[error("{action} `{path}`")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// What became of the wish to own a data directory.
#[derive(Debug)]
pub enum Opened {
    Owned(OwnedDataDir),
    /// Another process owns it: be its client. `http_addr` is none until the owner listens; an
    /// address that refuses is one that the owner has just left.
    Busy {
        http_addr: Option<String>,
        pid: Option<u32>,
    },
}

/// A data directory, not yet owned.
#[derive(Debug)]
pub struct DataDir;

impl DataDir {
    /// Creates the directory where it is missing and asks for its ownership, without waiting.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a directory that holds other things; else what the disk refused.
    pub fn open(path: &Path, entropy: &dyn Entropy) -> Result<Opened, Error> {
        // As root the database server runs under another uid and must pass through.
        let as_root = rustix::process::geteuid().is_root();
        let passable = if as_root { 0o711 } else { 0o700 };
        create_dir(path, passable)?;
        let path = fs::canonicalize(path).map_err(failed("resolve", path))?;
        refuse_foreign(&path)?;

        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(busy(&path)),
            Err(errno) => return Err(failed("lock", &lock_path)(errno.into())),
        }

        let mut owned = OwnedDataDir { path, lock };
        set_mode(&owned.path, passable)?;
        for (name, mode) in [
            ("run", 0o700),
            ("auth", 0o700),
            ("bus", 0o700),
            ("objects", 0o700),
            ("pg", 0o700),
            ("cache", passable),
        ] {
            create_dir(&owned.path.join(name), mode)?;
        }
        // A killed owner left its address behind; it answers no more.
        remove_if_there(&owned.http_addr_path())?;
        write_atomic(&owned.token_path(), entropy.name(64).as_bytes(), 0o600)?;
        owned
            .lock
            .set_len(0)
            .and_then(|()| writeln!(owned.lock, "{}", std::process::id()))
            .map_err(failed("write", &lock_path))?;
        Ok(Opened::Owned(owned))
    }
}

/// A data directory that this process owns until the value is dropped.
#[derive(Debug)]
pub struct OwnedDataDir {
    path: PathBuf,
    /// Says who owns, for people; unlocking it gives the ownership back.
    lock: File,
}

impl OwnedDataDir {
    /// The directory itself, absolute and without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn bus(&self) -> PathBuf {
        self.path.join("bus")
    }

    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    #[must_use]
    pub fn pg(&self) -> PathBuf {
        self.path.join("pg")
    }

    /// What may be deleted while nobody owns the directory.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Where a file with the owner's secret lies: who can read it may command the owner.
    #[must_use]
    pub fn token_path(&self) -> PathBuf {
        self.path.join("run/owner.token")
    }

    /// Tells other invocations where this process answers.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn announce(&self, http_addr: &str) -> Result<(), Error> {
        write_atomic(&self.http_addr_path(), http_addr.as_bytes(), 0o600)
    }

    fn http_addr_path(&self) -> PathBuf {
        self.path.join("run/http.addr")
    }
}

impl Drop for OwnedDataDir {
    fn drop(&mut self) {
        // What cannot be removed now is removed or replaced by the next owner.
        remove_if_there(&self.http_addr_path()).ok();
        remove_if_there(&self.token_path()).ok();
        // Not by closing alone: a child that another thread is just starting holds the same open file until its exec.
        flock(&self.lock, FlockOperation::Unlock).ok();
    }
}

fn busy(path: &Path) -> Opened {
    let read = |name: &str| fs::read_to_string(path.join(name)).ok();
    let text = |name: &str| read(name).map(|it| it.trim().to_owned());
    Opened::Busy {
        http_addr: text("run/http.addr").filter(|it| !it.is_empty()),
        pid: text(LOCK).and_then(|it| it.parse().ok()),
    }
}

fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        names.push(entry.map_err(failed("list", path))?.file_name());
    }
    // A fresh volume holds `lost+found`.
    let foreign = names.iter().any(|it| it != "lost+found") && !names.iter().any(|it| it == LOCK);
    if foreign {
        return Err(Error::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn create_dir(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(failed("create", path))
}

/// Only the directory's owner may set its mode, and a volume's root may be somebody else's.
fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    let meta = fs::metadata(path).map_err(failed("look at", path))?;
    if meta.mode() & 0o7777 == mode || meta.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a small file so that a reader, or the next start after a power cut, sees all or nothing
/// of it. Its mode is `mode` from its first byte.
pub(in crate::substrate) fn write_atomic(
    path: &Path,
    content: &[u8],
    mode: u32,
) -> Result<(), Error> {
    let staged = path.with_extension("new");
    remove_if_there(&staged)?;
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().map_err(failed("write", path))?;
    sync_parent(path)
}

/// Makes a rename or a removal in `path`'s directory durable.
pub(in crate::substrate) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|it| it.sync_all())
        .map_err(failed("sync", parent))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
