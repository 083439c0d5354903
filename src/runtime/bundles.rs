//! Bundles at rest: each once, under its digest, where a replay finds it years later.

use bytes::Bytes;

use crate::contracts::bundle::Bundle;
use crate::domain::digest::Digest;
use crate::substrate::objects::{self, ObjectKey, Objects, Put};

/// Why a bundle is not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// Corruption: the name is the hash of the content.
    #[error("object `{key}` is not the bundle that it names")]
    Altered { key: ObjectKey },
}

/// Where the bundle of this digest is.
///
/// # Panics
/// Never: a digest is hex.
#[must_use]
pub fn key(digest: &Digest) -> ObjectKey {
    let key = format!("mpr/bundles/{digest}.json").parse();
    key.expect("a digest makes a key")
}

/// The bundle of this digest, looked at; none where there never was one.
///
/// # Errors
/// [`Error`].
pub async fn read(objects: &dyn Objects, digest: &Digest) -> Result<Option<Bundle>, Error> {
    let key = key(digest);
    let Some(stored) = objects.get(&key).await? else {
        return Ok(None);
    };
    match serde_json::from_slice::<Bundle>(&stored) {
        Ok(bundle) if bundle.digest() == *digest => Ok(Some(bundle)),
        _ => Err(Error::Altered { key }),
    }
}

/// Puts the bundle under its digest; to repeat it is harmless.
///
/// # Errors
/// [`Error`].
pub async fn store(objects: &dyn Objects, bundle: &Bundle) -> Result<(), Error> {
    let digest = bundle.digest();
    let body = serde_json::to_vec_pretty(bundle).expect("texts are plain JSON");
    match objects.put_new(&key(&digest), Bytes::from(body)).await? {
        Put::Created | Put::Same => Ok(()),
        // The name is a label, not part of the identity: the first one stands.
        Put::Conflict { .. } => match read(objects, &digest).await? {
            Some(_) => Ok(()),
            None => Err(Error::Altered { key: key(&digest) }),
        },
    }
}
