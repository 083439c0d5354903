//! A bundle in a folder, as people write it: its texts, read as they stand.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::contracts::bundle::{Bundle, SCHEMA_VERSION};

/// The files of a bundle.
pub const FEATURE_SET: &str = "feature_set.yaml";
pub const POLICY: &str = "policy.yaml";
pub const MODEL: &str = "model.json";
pub const MANIFEST: &str = "bundle.yaml";

#[derive(Debug, thiserror::Error)]
#[error("reading {}: {cause}", path.display())]
pub struct Error {
    pub path: PathBuf,
    pub cause: std::io::Error,
}

/// Reads the bundle in a folder; it is called as the folder is.
///
/// # Errors
/// When a file that it needs is not there, or one that is there cannot be read.
pub fn read(dir: &Path) -> Result<Bundle, Error> {
    let text = |file: &str| {
        let path = dir.join(file);
        std::fs::read_to_string(&path).map_err(|cause| Error { path, cause })
    };
    let optional = |file: &str| match text(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let name = dir.file_name().unwrap_or_default();
    Ok(Bundle {
        schema_version: SCHEMA_VERSION,
        name: name.to_string_lossy().into_owned(),
        feature_set: text(FEATURE_SET)?,
        policy: text(POLICY)?,
        model: optional(MODEL)?,
        manifest: optional(MANIFEST)?,
    })
}
