//! The key file of a data directory and the keys beside it: hashes in `auth/keys.yaml`, and for each
//! built-in identity its key in `auth/NAME.key`, which only the owner of the files can read.

use std::path::{Path, PathBuf};

use crate::contracts::permission::CallerRole;
use crate::domain::ids::ActorId;
use crate::domain::vocabulary::SourceType;
use crate::substrate::auth::keys::{self, Entry, Keys, draw, hash};
use crate::substrate::auth::watched::Rotation;
use crate::substrate::clock::Entropy;
use crate::substrate::data_dir::{self, write_atomic};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Write(#[from] data_dir::Error),
    #[error("reading `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{}`: {cause}", path.display())]
    Unread { path: PathBuf, cause: String },
    #[error("{0}")]
    Refused(String),
}

/// Who has a key without having been given one.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// Of its key and of its file.
    pub name: &'static str,
    pub actor_id: ActorId,
    pub source_type: SourceType,
    pub roles: &'static [CallerRole],
}

#[must_use]
pub fn keys_path(auth_dir: &Path) -> PathBuf {
    auth_dir.join("keys.yaml")
}

#[must_use]
pub fn key_path(auth_dir: &Path, name: &str) -> PathBuf {
    auth_dir.join(format!("{name}.key"))
}

/// Makes the keys of the built-in identities where there is no key file yet. The key file comes
/// last: a start that was cut short begins again.
///
/// # Errors
/// What the disk refused.
pub fn prepare(auth_dir: &Path, built_in: &[BuiltIn], entropy: &dyn Entropy) -> Result<(), Error> {
    let path = keys_path(auth_dir);
    if path.exists() {
        return Ok(());
    }
    let mut keys = Keys::default();
    for it in built_in {
        let key = draw(it.name, entropy);
        write_atomic(&key_path(auth_dir, it.name), key.as_bytes(), 0o600)?;
        let entry = Entry {
            id: it.name.to_owned(),
            hash: hash(&key),
            actor_id: it.actor_id.clone(),
            source_type: it.source_type,
            roles: it.roles.iter().copied().collect(),
            expires_at: None,
            revoked_at: None,
        };
        keys.add(entry).map_err(Error::Refused)?;
    }
    Ok(write_atomic(&path, keys.render().as_bytes(), 0o600)?)
}

/// # Errors
/// A file that cannot be read or means nothing.
pub fn read(path: &Path) -> Result<Keys, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Keys::parse(&text).map_err(|cause| Error::Unread {
        path: path.to_owned(),
        cause,
    })
}

/// Changes a key file: one at a time in this process, which owns the data directory.
///
/// # Errors
/// A file that cannot be read or written, a change that is refused.
pub fn edit(
    path: &Path,
    change: impl FnOnce(&mut Keys) -> Result<(), String>,
) -> Result<Rotation, Error> {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut keys = read(path)?;
    let before = keys::loaded(keys.clone());
    change(&mut keys).map_err(Error::Refused)?;
    write_atomic(path, keys.render().as_bytes(), 0o600)?;
    Ok(Rotation::between(keys::NAME, &before, &keys::loaded(keys)))
}
